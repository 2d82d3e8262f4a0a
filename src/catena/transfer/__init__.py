"""How a chain becomes a manifest, and how a manifest becomes a chain again.

``capture`` asks the guard, then compares the chain with the states that the link has carried
(``states``), and sends only what is missing on the other side, which ``diff`` finds. ``decode`` and
``mount`` do the reverse. Nothing here opens a socket or pickles; values are encoded through the
port ``Values``.
"""
