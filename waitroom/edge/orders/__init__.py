"""Orders at the edge: each is noted, sent once, and its outcome told to whoever sent it."""
