"""The way in: ``python -m tests.observed``."""

from __future__ import annotations

import sys

from tests.observed.command import command

if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
