"""What people read: the waiting page and the answers in its place, in their language and the operator's look."""
