"""Where Catena differs from the stdlib by intent.

A row whose two sides have become equal fails, and so does one whose sides have changed.
"""

from __future__ import annotations

from tests.parity.differs import runners, surface
from tests.parity.differs.row import Difference

__all__ = ["DIFFERS"]

DIFFERS: list[Difference] = [*surface.DIFFERS, *runners.DIFFERS]
