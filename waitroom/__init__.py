"""A virtual waiting room in front of any web shop."""

__version__ = "0.1.0"
