"""Floor 6: worker processes, how they are reached, and the scope that owns them."""
