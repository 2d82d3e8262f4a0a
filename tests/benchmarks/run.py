"""The way into the benchmark: `python tests/benchmarks/run.py --help`, with any Python >= 3.11.

This file also runs on older interpreters, so that one of them gets a sentence and no traceback.
"""

from __future__ import annotations

import sys
from pathlib import Path

OLDEST = (3, 11)


def main() -> int:
    """Check the interpreter, then hand over to the command."""
    if sys.version_info < OLDEST:
        print("error: the benchmark needs Python 3.11 or newer", file=sys.stderr)
        return 1
    if not sys.platform.startswith(("linux", "darwin")):
        print("error: the benchmark runs on Linux and macOS only", file=sys.stderr)
        return 1
    # Instead of this script's folder, whose file names are not meant as module names. The runner
    # needs the standard library only, and some installed packages leave a `tests` behind.
    others = [
        path for path in sys.path[1:] if not path.endswith(("site-packages", "dist-packages"))
    ]
    sys.path[:] = [str(Path(__file__).resolve().parents[2]), *others]
    from tests.benchmarks.command import command

    return command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
