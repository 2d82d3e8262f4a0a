"""Compile ``proto/catena/v1`` into ``src/catena/wire/v1``.

Run it with ``make proto`` after a change of the proto; ``--check`` compares instead of writing and
exits with 1 when the committed modules differ. A test does that.

The compiler is older than the runtime of the development environment on purpose: what it generates
asks for protobuf 6.31.1 or newer and runs with version 7 as well, while a newer compiler would shut
out all who still need version 6. It wants version 6 itself, so ``.ci/setup`` puts it beside the
environment's packages, not among them; the compiler needs no runtime.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
COMPILER = Path(sys.prefix) / "protoc"
TARGET = HERE.parent / "src" / "catena" / "wire" / "v1"
SOURCE = "catena/v1/catena.proto"


def compiled(into: Path) -> dict[str, bytes]:
    """Compile into a directory and return the generated files by name."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={HERE}"]
    command += [f"--python_out={into}", f"--pyi_out={into}", SOURCE]
    if not COMPILER.is_dir():
        sys.exit(f"{COMPILER} is missing: run `make dev`, which installs the compiler there")
    environment = os.environ | {"PYTHONPATH": str(COMPILER)}
    subprocess.run(command, check=True, timeout=60, env=environment)
    return {path.name: path.read_bytes() for path in (into / "catena" / "v1").iterdir()}


def main() -> int:
    """Compile, then write or compare; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        files = compiled(Path(scratch))
    if check:
        stale = [
            name
            for name, content in files.items()
            if not (TARGET / name).is_file() or (TARGET / name).read_bytes() != content
        ]
        print("\n".join(f"{name} differs from its proto: run `make proto`" for name in stale))
        return 1 if stale else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (TARGET / name).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
