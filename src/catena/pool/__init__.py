"""Worker processes, how they are reached, and the scope that owns them.

In the parent: ``pool`` is the scope, ``settings`` what it was asked for (``arguments`` checks each
option), ``running`` what there is while it is open. ``workers`` are its workers together,
``process`` is one of them, ``likeness`` what makes a worker like its parent, ``exits`` how one
ended. ``upkeep`` replaces workers as ``restarts`` and ``recycling`` say, ``silence`` sees to those
that do not answer. ``output`` is what workers print, ``records`` what they log, ``socket_dir``
where their sockets are, ``heartbeat`` the beat of the loop, ``broadcast`` the way to each worker.

In the worker: ``worker_main`` is its program, ``bootstrap`` what it runs before and after,
``lines`` keeps lines whole, ``forwarding`` sends records, ``stacks`` says where its loop is
blocked. In both: ``held`` and ``forking`` keep file descriptors from forked children.
"""
