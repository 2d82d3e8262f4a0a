"""``catena demo``: the figures of every Python file below a directory, computed on workers.

``analysis``, ``source`` and ``walk`` know no worker; ``routines`` calls them on workers, ``run``
merges what comes back, ``local`` calls them in this process for ``--check``; ``report``,
``machine`` and ``progress`` show it. The one rule: only ``routines`` and ``run`` import the core.
"""
