"""Finding workers: in a folder, by DNS, in the local network, or from a list.

What is found is a hint and never an authority. A pool makes a member of it when the link to it has
shown that the right worker is there.
"""

from __future__ import annotations

from catena.discovery.announcement import Announcement, announce
from catena.discovery.forms import source_of
from catena.discovery.source import MemberSource
from catena.ids import MemberRecord

__all__ = ["Announcement", "MemberRecord", "MemberSource", "announce", "source_of"]
