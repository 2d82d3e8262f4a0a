"""The second distribution: it keeps the rules of the first, and works beside its wheel."""

from __future__ import annotations

import ast
import importlib
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import catena
from tests.house.docs_examples import ROOT
from tests.house.test_exports import listed, missing, order, private
from tests.house.test_package import Archives, command
from tests.house.test_shape import CHECKS

HOME = ROOT / "instrumentation"
SOURCE = HOME / "src"
SOURCES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): text
    for path in sorted(SOURCE.rglob("*.py"))
    for text in [path.read_text("utf-8")]
}
PACKAGE = "opentelemetry.instrumentation.catena"
PROJECT: dict[str, Any] = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]

PROGRAM = """
import asyncio, os, sys
from importlib.metadata import entry_points
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import catena

exporter = InMemorySpanExporter()
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(exporter))
(entry,) = entry_points(group="opentelemetry_instrumentor")
instrumentor = entry.load()()

@catena.routine
async def who():
    from opentelemetry import trace
    return type(trace.get_tracer_provider()).__module__

async def main():
    async with catena.WorkerPool(spawn=1):
        return await who()

instrumentor.instrument(tracer_provider=tracers)
there = asyncio.run(main())
print(there, sorted(one.kind.name for one in exporter.get_finished_spans())[0])
print(sys.modules[type(instrumentor).__module__].__file__.startswith(sys.prefix))
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Both archives; the wheel is built from the source archive."""
    out = tmp_path_factory.mktemp("instrumentation")
    command(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, HOME, cwd=out)
    return Archives(next(out.glob("*.whl")), next(out.glob("*.tar.gz")))


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__)
def test_it_keeps_the_shape(check: Any) -> None:
    """Files, functions and blocks stay short; nothing is asserted, nothing swallowed."""
    assert check(SOURCES) == []


def test_its_lists_are_complete_and_sorted() -> None:
    """Every module lists what it offers, in order, and no underscore name crosses a file."""
    assert missing(SOURCES) == []
    assert private(SOURCES) == []
    for name, text in SOURCES.items():
        names = listed(text) or []
        assert names == sorted(names, key=order)
        loaded = importlib.import_module(name)
        assert [one for one in names if not hasattr(loaded, one)] == []


def test_it_needs_no_pre_release_at_run_time() -> None:
    """It depends on the API and the SDK, and imports nothing of the contrib packages."""
    imported = {
        node.module
        for text in SOURCES.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    contrib = {
        one
        for one in imported
        if one.startswith("opentelemetry.instrumentation") and not one.startswith(PACKAGE)
    }
    needed = {one.partition(">")[0] for one in PROJECT["dependencies"]}

    assert contrib == set()
    assert needed == {"catena-dispatch", "opentelemetry-api", "opentelemetry-sdk"}


def test_it_is_released_with_catena() -> None:
    """Both have one version, and the later of two needs the other."""
    assert PROJECT["version"] == catena.__version__
    next_minor = int(catena.__version__.split(".")[1]) + 1
    assert f"catena-dispatch>={catena.__version__},<0.{next_minor}" in PROJECT["dependencies"]
    assert (HOME / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.timeout(400)
def test_the_wheel_holds_the_package(archives: Archives) -> None:
    """The package, the marker of types and nothing above it: the namespace is everybody's."""
    files = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = {one for one in archives.wheel_names() if ".dist-info/" not in one}

    assert names == files
    assert "opentelemetry/instrumentation/catena/py.typed" in names
    assert {one.rpartition("/")[0] for one in names} == {"opentelemetry/instrumentation/catena"}
    assert not [one for one in archives.metadata().get_all("Requires-Dist", []) if "://" in one]


@pytest.mark.timeout(400)
def test_the_wheel_works_beside_catenas(
    archives: Archives, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """In an empty environment with both wheels a worker has an SDK, contrib packages or none."""
    out = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", out, ROOT)
    command(*build, cwd=out)
    home = tmp_path_factory.mktemp("empty") / "environment"
    command(sys.executable, "-m", "venv", home, cwd=home.parent)
    pip = (home / "bin" / "python", "-m", "pip", "install", "-qq", "-c", ROOT / "constraints.txt")
    command(*pip, next(out.glob("*.whl")), archives.wheel, cwd=home.parent)
    (tmp_path / "script.py").write_text(PROGRAM)
    silent = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("METRICS", "LOGS")}
    python = (home / "bin" / "python", "script.py")
    env = ("env", "OTEL_TRACES_EXPORTER=console", *(f"{k}={v}" for k, v in silent.items()))

    said = command(*env, *python, cwd=tmp_path).splitlines()
    assert said[-2:] == ["opentelemetry.sdk.trace CLIENT", "True"]
    assert "SERVER" in "".join(said)
