"""The way to a pool's workers: which one takes the next call, and the ways a worker knows."""
