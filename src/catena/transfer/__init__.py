"""How a chain becomes a manifest, and how a manifest becomes a chain again.

``capture`` asks the guard and hands the chain to what a link has carried (``states``), which says
what of it has to travel; ``diff`` finds out what that is. ``decode`` and ``mount`` do the same
backwards. Nothing here opens a socket or pickles; values are encoded through the port ``Values``.
"""
