"""The rules of a sale at a stated time: its schedule and phases, their live changes, and the draw of its places."""
