"""What is heard without anybody asking for it: some log records, and the refusals that are kept."""

from __future__ import annotations

from catena.events.kept import KINDS
from catena.telemetry.catalog import CATALOG

ALWAYS = {*KINDS, *(row.event for row in CATALOG if any(log.always for log in row.logs))}
"""The events that have listeners by default."""
