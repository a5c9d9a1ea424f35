"""A sale in virtual time: a crowd, a room in memory, and what came of it. The rules are the live ones."""
