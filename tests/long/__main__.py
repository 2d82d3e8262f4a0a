"""Runs the long counts: ``python -m tests.long [NAME]``."""

from __future__ import annotations

import sys

from tests.long.command import command

if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
