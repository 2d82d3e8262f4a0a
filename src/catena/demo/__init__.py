"""``catena demo``: an application of Catena, written as any other would be.

It measures every function of every Python file below a directory, on worker processes. To learn how
Catena is used, read ``routines`` and then ``run``. ``analysis`` and ``files`` are plain functions
that know no worker; ``report`` shows the outcome; ``tracing`` is for ``--otlp``; the options stand
in ``catena.cli.demo``. The one rule: nothing of Catena is used but what ``import catena`` offers.
"""
