"""Calls: what a routine is, how the caller drives it and how a worker runs it."""
