"""The benchmark's own environments: pinned versions beside this checkout, built by the runner.

Each peer has one, since wool and Catena need different protobufs, and so that none decides what
another one gets. Rule: nothing is skipped. What will
not install ends the benchmark, by name.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .plan import BenchmarkError

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".bench-venv"
CONSTRAINTS: Final = "constraints.txt"
INSTALL_TIMEOUT: Final = 300.0
QUICK_TIMEOUT: Final = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One environment: which systems run in it, and what they need.

    `packages` are installed by name in this order, `imports` must be importable afterwards, and
    the versions of `reported` are written beside the figures.
    """

    name: str
    systems: tuple[str, ...]
    packages: tuple[str, ...]
    imports: tuple[str, ...]
    reported: tuple[str, ...]
    has_checkout: bool = False

    @property
    def folder(self) -> Path:
        """Where the environment lies."""
        return FOLDER / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def constraints(self) -> tuple[Path, Path]:
        """The pins of all environments, and its own."""
        here = Path(__file__).parent
        return here / CONSTRAINTS, here / f"constraints-{self.name}.txt"


PARTS: Final = (
    Part(
        name="catena",
        systems=("catena", "echo", "executor"),
        # hatchling builds the checkout; the others are what it needs when it runs.
        packages=(
            *("grpcio", "uvloop", "protobuf", "cloudpickle"),
            *("opentelemetry-api", "structlog", "rich", "hatchling"),
            *("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-common"),
        ),
        imports=("catena", "grpc", "uvloop"),
        reported=(
            "catena-dispatch",
            "grpcio",
            "uvloop",
            "cloudpickle",
            "protobuf",
            "opentelemetry-sdk",
        ),
        has_checkout=True,
    ),
    Part(
        name="wool",
        systems=("wool",),
        packages=("grpcio", "uvloop", "wool"),
        imports=("wool", "grpc", "uvloop"),
        reported=("wool", "grpcio", "uvloop", "cloudpickle", "protobuf"),
    ),
    Part("ray", ("ray",), ("ray",), ("ray",), ("ray",)),
    Part("dask", ("dask",), ("distributed",), ("distributed",), ("dask", "distributed")),
    Part("xoscar", ("xoscar",), ("xoscar",), ("xoscar",), ("xoscar", "uvloop")),
)


@dataclass(frozen=True, slots=True)
class Environment:
    """A built environment: its interpreter, and the versions to report, by distribution."""

    python: Path
    interpreter: str
    versions: dict[str, str]


def build(systems: Sequence[str], say: Say) -> dict[str, Environment]:
    """The environment of each of the systems, made or brought up to date.

    Raises:
        BenchmarkError: something will not install; the text names it and quotes the reason.
    """
    built: dict[str, Environment] = {}
    for part in PARTS:
        wanted = [system for system in part.systems if system in systems]
        if wanted:
            built |= dict.fromkeys(wanted, _build(part, say))
    return built


def _build(part: Part, say: Say) -> Environment:
    stamp = part.folder / "built-from"
    fingerprint = _fingerprint(part)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != fingerprint:
        say(f"building the environment of {part.name}")
        _create(part.folder)
        for name in part.packages:
            say(f"installing {name}")
            _install(part, name)
        stamp.write_text(fingerprint, encoding="utf-8")
    if part.has_checkout:
        say("installing this checkout")
        _install(part, "--no-deps", "--no-build-isolation", "--force-reinstall", str(ROOT))
    return _inspect(part)


def commit() -> str:
    """The commit of the checkout, and whether its files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "no commit yet"
    changed = _git("status", "--porcelain", "--", ".", ":!docs/reference/benchmarks.md")
    return f"{head} with uncommitted changes" if changed else head


def private_folder(folder: Path) -> Path:
    """The folder, made if it is missing, with an ignore file of its own for git."""
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    return folder


def _create(folder: Path) -> None:
    private_folder(FOLDER)
    try:
        _quietly([sys.executable, "-m", "venv", "--clear", str(folder)], QUICK_TIMEOUT)
    except BenchmarkError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BenchmarkError(
            "no environment for the benchmark could be made; on Debian the package "
            f"python{version}-venv is probably missing: {error}"
        ) from None


def _install(part: Part, *arguments: str) -> None:
    pip = [str(part.python), "-m", "pip", "--disable-pip-version-check", "--no-input", "-q"]
    pins = [word for path in part.constraints for word in ("-c", str(path))]
    try:
        _quietly([*pip, "install", *pins, *arguments], INSTALL_TIMEOUT)
    except BenchmarkError as error:
        what = "this checkout" if arguments[-1] == str(ROOT) else _pin(part, arguments[-1])
        raise BenchmarkError(
            f"{what}, which the comparison needs, could not be installed: {error}"
        ) from None


def _pin(part: Part, name: str) -> str:
    """The package with the version that it is pinned to."""
    pins = [line for path in part.constraints for line in path.read_text("utf-8").splitlines()]
    return next((pin for pin in pins if pin.partition("==")[0] == name), name)


def _inspect(part: Part) -> Environment:
    """Import what must be importable, and read the installed versions."""
    code = (
        f"import json, platform, importlib.metadata as m, {', '.join(part.imports)};"
        "print(json.dumps([platform.python_implementation() + ' ' + platform.python_version(),"
        f"{{name: m.version(name) for name in {part.reported!r}}}]))"
    )
    try:
        told = _quietly([str(part.python), "-c", code], QUICK_TIMEOUT)
    except BenchmarkError as error:
        raise BenchmarkError(
            f"{part.name} is installed but cannot be imported; if its environment is damaged, "
            f"remove {FOLDER.name}: {error}"
        ) from None
    interpreter, versions = json.loads(told)
    return Environment(part.python, interpreter, versions)


def _quietly(command: list[str], timeout: float) -> str:
    """The command's stdout; an error with the end of its stderr when it fails or is too slow."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"no end after {timeout:.0f} s") from None
    if done.returncode:
        raise BenchmarkError(last_lines(done.stderr or done.stdout))
    return done.stdout


def last_lines(text: str, most: int = 4) -> str:
    """The last lines that say something, on one line; warnings explain no failure."""
    stripped = [line.strip() for line in text.splitlines()]
    lines = [line for line in stripped if line and not line.startswith("WARNING")]
    return " | ".join(lines[-most:]) or "no reason was given"


def _git(*arguments: str) -> str:
    try:
        return _quietly(["git", *arguments], QUICK_TIMEOUT).strip()
    except (BenchmarkError, FileNotFoundError):
        return ""


def _fingerprint(part: Part) -> str:
    """Another Python, other pins or another place of the checkout make another environment."""
    pins = [path.read_text(encoding="utf-8") for path in part.constraints]
    text = "\n".join([sys.version, str(ROOT), str(part.packages), *pins])
    return hashlib.sha256(text.encode()).hexdigest()
