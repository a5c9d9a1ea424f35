"""Shared state: everything that knows Redis. Nothing here knows HTTP."""
