"""The command line of Catena: ``catena`` and ``python -m catena``.

Each command is a module of its own that offers one name, ``command``. The one rule: a command
prints, waits and returns an exit code; the package behind it computes what it shows.
"""
