"""``catena demo``: the figures of every Python file below a directory, computed on workers.

``analysis``, ``source`` and ``walk`` know no worker; ``routines`` calls them on workers, ``run``
merges what comes back, ``local`` calls them in this process for ``--check``; ``report``,
``machine`` and ``progress`` show it. ``watching`` sees the calls on all processes, ``trace`` makes
a tree of them, ``tree`` draws it, ``exporting`` is for ``--otlp``. The one rule: only ``routines``,
``run`` and ``watching`` import the core.
"""
