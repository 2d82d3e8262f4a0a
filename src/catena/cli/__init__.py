"""The command line of Catena: ``catena`` and ``python -m catena``.

Its one rule: a command prints, waits and returns an exit code; what it shows is computed in plain
functions beside it.
"""
