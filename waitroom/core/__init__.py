"""The rules of the line: no I/O, no clock, no randomness. Time is an argument."""
