"""Worker processes, how they are reached, and the scope that owns them."""
