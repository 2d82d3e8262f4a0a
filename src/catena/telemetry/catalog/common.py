"""What rows of the catalog have in common: loggers, levels, and boundaries of histograms."""

from __future__ import annotations

AUDIT = "catena.audit"
"""The logger of every mount, reset, lease and call; one switch turns it on."""

AUDITED = ("process.pid", "catena.worker.id")
"""What each record of that logger says beside the facts of its row: who writes.

In a record that names the worker of a call, as that of a dispatch does, the id is that one's.
"""

CONTEXT, LINK, POOL = "catena.context", "catena.link", "catena.pool"
DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40


SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
BYTES = tuple(float(4**power) for power in range(3, 14))
