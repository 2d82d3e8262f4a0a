"""Worker processes, how they are reached, and the scope that owns them.

In the parent: ``pool`` is the scope, ``arguments`` is what a pool may be given, ``workers`` are its
workers together, ``process`` is one of them, ``likeness`` what makes a worker like its parent,
``output`` what workers print, ``socket_dir`` where their sockets are, ``heartbeat`` the beat of the
loop, ``broadcast`` the way to each worker. In the worker: ``worker_main`` is its program,
``bootstrap`` what it runs before and after. In both: ``held`` and ``forking`` keep file descriptors
from forked children.
"""
