"""A process that announces a worker, says so, and waits for its end: ``announcer.py FOLDER ID``."""

from __future__ import annotations

import sys

from catena.discovery import MemberRecord, announce

with announce(sys.argv[1], MemberRecord(sys.argv[2], "10.0.0.1:7800")):
    print("announced", flush=True)
    sys.stdin.read()
