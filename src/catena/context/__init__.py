"""Floor 2: chains, variables and tokens, and how a chain becomes a manifest and comes back.

Nothing here opens a socket or pickles; values are encoded through the port ``Values``.
"""
