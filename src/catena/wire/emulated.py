"""The protocol of an older release, which a process speaks instead of its own, for debugging.

``CATENA_EMULATE_PROTOCOL`` names the release. A process of that protocol says so in its Hello, has
the capabilities of that release, and sends no frame, no field and no code that it did not know.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

VARIABLE = "CATENA_EMULATE_PROTOCOL"


class Spoken(NamedTuple):
    """What a process says of its protocol beside the major version.

    ``emulates`` is the release whose protocol it is, empty where it is the process's own.
    """

    minor: int
    capabilities: tuple[str, ...]
    emulates: str = ""


OLDER: Mapping[str, Spoken] = {"0.1": Spoken(0, ("delta", "names"), emulates="0.1")}
"""The protocols that can be emulated, by the release that spoke them."""


def find_emulated(environment: Mapping[str, str] = os.environ) -> Spoken | None:
    """Return the protocol that the environment asks for, None where it asks for none.

    Raises ValueError for a release that cannot be emulated.
    """
    asked = environment.get(VARIABLE, "")
    if not asked:
        return None
    if asked not in OLDER:
        allowed = ", ".join(OLDER)
        raise ValueError(
            f"{VARIABLE} is {asked!r}; the releases whose protocol can be emulated are: {allowed}"
        )
    return OLDER[asked]
