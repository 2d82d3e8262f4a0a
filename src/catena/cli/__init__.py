"""The command line of Catena: ``catena`` and ``python -m catena``.

Each command is a module of its own with one name, ``command``. Its one rule: a command prints,
waits and returns an exit code; what it shows is computed by the package that it stands for.
"""
