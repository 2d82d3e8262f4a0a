"""Floor 5: calls. What a routine is, how the caller drives it and how a worker runs it."""
