"""Floor 2: chains, variables and tokens.

Nothing here opens a socket or pickles.
"""
