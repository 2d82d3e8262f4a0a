"""The faults of finding workers that its law has to find; tests/house/planted.py takes them in."""

from __future__ import annotations

from unittest.mock import patch

from catena.discovery import folder_reader
from tests.discovery.test_folder_law import test_a_reader_finds_what_is_there as a_folder
from tests.laws.fault import keep

__all__ = ["CHECKS"]

CHECKS = (a_folder,)

keep(
    "what was read once is believed for ever",
    patch.object(folder_reader, "_Version", lambda *_: 0),
    a_folder,
)
keep(
    "a dead worker's record counts",
    patch.object(folder_reader, "is_dead", lambda _: False),
    a_folder,
)
