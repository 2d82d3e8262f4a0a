"""Limiting label values that the application decides: the first are kept, all others are one."""

from __future__ import annotations

import logging

from catena.telemetry.tally import losses
from catena.telemetry.texts import text

OTHER = "_OTHER"

_log = logging.getLogger("catena")


class Names:
    """Returns a name as it is, or ``_OTHER`` when ``most`` different ones came before it.

    The first that is not kept is logged in one warning, the others are counted.
    """

    def __init__(self, most: int, label: str) -> None:
        self._most = most
        self._label = label
        self._known: dict[str, str] = {}
        self._full = False

    def __call__(self, name: str) -> str:
        """Return what to put into the label: a text that exporters take."""
        known = self._known.get(name)
        if known is not None or not name:
            return name if known is None else known
        if len(self._known) < self._most:
            return self._known.setdefault(name, text(name))
        losses.add(("metrics", "names"))
        if not self._full:
            self._full = True
            said = "more than %d values of the metric label %s: the rest is %r"
            _log.warning(said, self._most, self._label, OTHER)
        return OTHER
