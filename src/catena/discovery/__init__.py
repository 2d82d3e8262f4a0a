"""Finding workers: in a folder, by DNS, in the local network, or from a list.

What is found is a hint and never an authority. A pool makes a member of it when the link to it has
shown that the right worker is there.
"""

from __future__ import annotations

from catena.discovery.announcement import Announcement, announce
from catena.discovery.forms import source_of
from catena.discovery.listed import ListedMembers
from catena.discovery.looking import LookingSource
from catena.discovery.medium import Medium
from catena.ids import MemberRecord
from catena.members import MemberSource

__all__ = [
    "Announcement",
    "ListedMembers",
    "LookingSource",
    "Medium",
    "MemberRecord",
    "MemberSource",
    "announce",
    "source_of",
]
