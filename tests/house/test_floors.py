"""The floors: imports go down, in no circles, and some modules stay pure."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.house.imports import Import, circle, imports, modules

ROOMS: list[tuple[str, ...]] = [
    (
        "errors",
        "escape",
        "facts",
        "call_errors",
        "link_errors",
        "task_errors",
        "grpc_loading",
        "ids",
        "leases",
        "members",
        "standing",
        "tags",
        "targets",
        "wording",
        "events",
    ),
    ("security", "discovery"),
    ("context",),
    ("transfer",),
    ("pickling",),
    ("remote_exceptions",),
    ("wire",),
    ("link",),
    ("dispatch",),
    ("proxy",),
    ("pool",),
    ("engines", "background"),
    ("_autostart", "logging"),
    ("testing", "asgi", ""),
    ("demo",),
    ("cli",),
    ("__main__",),
]
"""A room imports those above it; what stands in one row is one floor."""

FLOORS = {
    f"catena.{room}".rstrip("."): number for number, row in enumerate(ROOMS, 1) for room in row
}
# Beside the floors: each may import floor 1 and itself. The command line starts what stands there.
BESIDE = ("catena.telemetry", "catena.collect")
# These import not even all of floor 1: discovery announces nothing and keeps no state of Catena's.
NARROW = {
    "catena.discovery": {
        *("catena.errors", "catena.escape", "catena.facts", "catena.ids", "catena.members"),
        *("catena.tags", "catena.targets", "catena.wording"),
    }
}

# Imports that are not made when a module is loaded, each with its reason.
TYPING = {
    ("catena.background", "catena.background.queue"),  # loaded when they are first used
    ("catena.background", "catena.background.worker"),
    ("catena.cli.tasks", "catena.background.queue"),
    ("catena.cli.collect", "catena.collect"),  # ... loaded when the command runs
    ("catena.cli.collect", "catena.collect.intake"),
    ("catena.cli.certs", "catena.security.inspection"),
    ("catena.engines", "catena.engines.dask"),
    ("catena.engines", "catena.engines.ray"),
    ("catena.engines.launching", "catena.engines.identity"),
    ("catena.telemetry.switch", "catena.telemetry.metrics"),  # both import OpenTelemetry
    ("catena.telemetry.switch", "catena.telemetry.spans"),
    ("catena.telemetry.options", "opentelemetry.metrics"),
    ("catena.telemetry.options", "opentelemetry.propagators.textmap"),
    ("catena.telemetry.options", "opentelemetry.trace"),
    ("catena.telemetry.switch", "opentelemetry.metrics"),
    ("catena.telemetry.switch", "opentelemetry.propagators.textmap"),
    ("catena.telemetry.switch", "opentelemetry.trace"),
}
LATE = {
    ("catena.background.sealing", "catena.security.cryptography_loading"),  # it needs an extra
    ("catena._autostart", "catena.telemetry.switch"),  # a process without a pool needs none of it
    ("catena.cli.certs", "catena.security.authority"),  # it needs an extra
    ("catena.cli.certs", "catena.security.inspection"),
    ("catena.cli.collect", "catena.collect"),  # it needs an extra
    ("catena.cli.demo", "catena.demo.tracing"),  # it needs an extra
    ("catena.dispatch.declaration", "catena.dispatch.routine"),  # unpickling makes a wrapper
    ("catena.discovery.forms", "catena.discovery.dns_names"),  # each of these needs an extra
    ("catena.discovery.forms", "catena.discovery.folder"),
    ("catena.discovery.forms", "catena.discovery.lan"),
    ("catena.engines.launching", "catena.engines.identity"),  # it needs an extra
    ("catena.pool.announcing", "catena.discovery"),  # where it is asked for
    ("catena.pool.announcing", "catena.discovery.lan"),  # it needs an extra
    ("catena.pool.arguments", "catena.discovery"),
    ("catena.pool.pool_record", "catena.discovery.processes"),  # a worker needs none of it
    ("catena.pool.record_folder", "catena.discovery.processes"),
    ("catena.pool.record_folder", "catena.discovery.records"),
    ("catena.pool.running", "catena.discovery"),
    ("catena.pool.worker_main", "catena.pool.record_folder"),  # where its pool's process is dead
    ("catena.pool.worker_main", "uvloop"),  # an extra
    ("catena.telemetry.switch", "catena.telemetry.logging"),  # structlog, when it is asked for
    ("catena.telemetry.switch", "catena.telemetry.logs"),  # OpenTelemetry, when there is a record
    ("catena.telemetry.switch", "catena.telemetry.metrics"),  # OpenTelemetry, when there is an SDK
    ("catena.telemetry.switch", "catena.telemetry.observers"),
    ("catena.telemetry.switch", "catena.telemetry.spans"),
    ("catena.telemetry.switch", "importlib"),
}

GRPC = ("catena.grpc_loading",)
CRYPTOGRAPHY = ("catena.security.cryptography_loading",)
# The demo is an application, and configures an SDK as one.
TELLING = ("catena.telemetry", "catena.collect", "catena.demo.tracing")
PURE = {
    "catena.context.binding",
    "catena.context.chain",
    "catena.context.ledger",
    "catena.context.token",
    "catena.transfer.baseline",
    "catena.transfer.manifest",
    "catena.transfer.states.sent",
    "catena.wire.frames",
    "catena.wire.codec",
    "catena.wire.call_states",
}
IMPURE = {
    "asyncio",
    "grpc",
    "logging",
    "os",
    "pickle",
    "random",
    "socket",
    "threading",
    "time",
    "uuid",
}


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def floor(name: str) -> int | None:
    """Return a module's floor, None for what stands beside them; KeyError when it has no place."""
    if any(_within(name, one) for one in BESIDE):
        return None
    places = [one for one in FLOORS if _within(name, one) and (one != "catena" or name == one)]
    if not places:
        raise KeyError(f"{name} is on no floor")
    return FLOORS[max(places, key=len)]


def upward(found: list[Import]) -> list[str]:
    """Return the imports that do not go down; within a package they may go sideways."""
    bad: list[str] = []
    for one in found:
        if not _within(one.imported, "catena"):
            continue
        mine, theirs = floor(one.importer), floor(one.imported)
        if mine is None:
            top = ".".join(one.importer.split(".")[:2])
            allowed = _within(one.imported, top) or theirs == 1
        else:
            below = theirs is not None and theirs < mine
            allowed = below or (theirs is None and mine >= FLOORS["catena._autostart"])
            allowed = allowed or _siblings(one, mine == theirs)
        if not allowed:
            bad.append(f"{one.importer} imports {one.imported}")
    return bad


def _siblings(one: Import, same_floor: bool) -> bool:
    """Say whether an import stays on its floor: in its package, or among the modules of floor 1."""
    first = one.importer.split(".")[:2] == one.imported.split(".")[:2]
    return same_floor and (first or floor(one.importer) == 1) and one.imported != "catena"


def too_wide(found: list[Import]) -> list[str]:
    """Return what rooms that may use little import of Catena besides that."""
    return [
        f"{one.importer} imports {one.imported}"
        for one in found
        for room, allowed in NARROW.items()
        if _within(one.importer, room) and _within(one.imported, "catena")
        if not _within(one.imported, room) and one.imported not in allowed
    ]


def circles(found: list[Import]) -> list[str]:
    """Return the modules that import each other in a circle, when loaded or for their types."""
    return circle(
        {
            (one.importer, one.imported)
            for one in found
            if one.when in ("load", "typing") and _within(one.imported, "catena")
        }
    )


def unlisted(found: list[Import], when: str, table: set[tuple[str, str]]) -> list[str]:
    """Return the imports of a kind that the table does not name."""
    return sorted(
        f"{one.importer} imports {one.imported}"
        for one in found
        if one.when == when and (one.importer, one.imported) not in table
    )


def outside(found: list[Import], libraries: set[str], allowed: tuple[str, ...]) -> list[str]:
    """Return the imports of the libraries from anywhere else than the allowed packages."""
    return [
        f"{one.importer} imports {one.imported}"
        for one in found
        if one.imported.partition(".")[0] in libraries
        and not any(_within(one.importer, package) for package in allowed)
    ]


def impure(found: list[Import], pure: set[str]) -> list[str]:
    """Return what pure modules import of the impure ones, at any time."""
    return [
        f"{one.importer} imports {one.imported}"
        for one in found
        if one.importer in pure and one.imported.partition(".")[0] in IMPURE
    ]


def beyond_the_face(found: list[Import]) -> list[str]:
    """Return what the demo imports of Catena that users of Catena would not."""
    return [
        f"{one.importer} imports {one.imported}"
        for one in found
        if _within(one.importer, "catena.demo")
        and _within(one.imported, "catena")
        and one.imported != "catena"
        and not _within(one.imported, "catena.demo")
    ]


def to_the_root(found: list[Import], roof: set[str]) -> list[str]:
    """Return the imports of the package root, or of names through it."""
    return [
        f"{one.importer} imports {one.imported}"
        for one in found
        if one.imported == "catena" and one.importer not in roof
    ]


SOURCES = modules()
FOUND = imports(SOURCES)
CHECKS = {
    "upward": upward,
    "narrow": too_wide,
    "circles": circles,
    "typing": lambda found: unlisted(found, "typing", TYPING),
    "late": lambda found: unlisted(found, "late", LATE),
    "grpc": lambda found: outside(found, {"grpc"}, GRPC),
    "telling": lambda found: outside(found, {"opentelemetry", "structlog"}, TELLING),
    "cryptography": lambda found: outside(found, {"cryptography"}, CRYPTOGRAPHY),
    "impure": lambda found: impure(found, PURE),
    "root": lambda found: to_the_root(found, {"catena.demo.routines", "catena.demo.run"}),
    "demo": beyond_the_face,
}
PLANTED = {
    "upward": {"catena.wire.codec": "from catena.link.link import Link"},
    "narrow": {"catena.discovery.folder": "from catena.events.bus import announce"},
    "circles": {
        "catena.wire.codec": "from catena.wire import frames",
        "catena.wire.frames": "import catena.wire.codec",
    },
    "typing": {"catena.ids": "if TYPE_CHECKING:\n    from catena.wire import codec"},
    "late": {"catena.ids": "def f():\n    def g():\n        import json"},
    "grpc": {"catena.dispatch.caller.exchange": "def f():\n    from grpc import aio"},
    "telling": {"catena.events": "import opentelemetry.trace as trace"},
    "cryptography": {"catena.security.files": "def f():\n    from cryptography import x509"},
    "impure": {"catena.wire.call_states": "def f():\n    from time import monotonic"},
    "root": {"catena.wire.codec": "from catena import ContextVar"},
    "demo": {"catena.demo.run": "from catena.pool.pool import WorkerPool"},
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_source_keeps_the_rule(check: str) -> None:
    """Imports go down the floors, in no circle, and the pure modules stay pure."""
    assert CHECKS[check](FOUND) == []


@pytest.mark.parametrize("check", CHECKS)
def test_the_check_finds_a_planted_mistake(check: str) -> None:
    """Each check fails on a small source that breaks its rule, and names the module."""
    found = CHECKS[check](imports(PLANTED[check]))
    assert found
    assert next(iter(PLANTED[check])) in found[0]


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("catena.errors", "import catena.ids"),
        ("catena.pool.pool", "from catena.errors import NoPool"),
        ("catena.telemetry.spans", "from catena.events import Mount"),
        ("catena.telemetry.spans", "from catena.telemetry.catalog import NAMES"),
        ("catena.discovery.folder", "from catena.wording import reason"),
        ("catena.cli.collect", "from catena.collect import Receiver"),
    ],
)
def test_imports_that_go_down_are_no_mistake(importer: str, line: str) -> None:
    """Floor 1 is one floor, its modules may use each other; telemetry may use floor 1."""
    assert upward(imports({importer: line})) == []


@pytest.mark.parametrize(
    "line", ["from catena.wire import codec", "from catena.collect import x", "import catena"]
)
def test_telemetry_stands_beside_the_floors(line: str) -> None:
    """What stands beside imports floor 1 only."""
    assert upward(imports({"catena.telemetry.spans": line, "catena.wire.codec": ""})) != []


def test_the_core_knows_nothing_of_what_stands_beside() -> None:
    """Only what stands above the pools imports it."""
    line = "from catena.collect import Receiver"
    assert upward(imports({"catena.pool.pool": line})) == [
        "catena.pool.pool imports catena.collect"
    ]


def test_a_module_without_a_floor_is_noticed() -> None:
    """A new folder is put on a floor before it is used."""
    with pytest.raises(KeyError, match=r"catena\.attic is on no floor"):
        floor("catena.attic")
    assert {floor(name) for name in SOURCES} >= {1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14}


def test_the_tables_name_nothing_that_is_gone() -> None:
    """An exception that nobody needs any more is taken out."""
    for when, table in (("typing", TYPING), ("late", LATE)):
        made = {(one.importer, one.imported) for one in FOUND if one.when == when}
        assert table <= made
    assert set(SOURCES) >= PURE


def test_the_reader_sees_what_python_loads() -> None:
    """What the source says about imports is what really happens, for one module that shows it."""
    program = "import sys, catena.wire.codec; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    loaded = {one for one in done.stdout.split() if _within(one, "catena")}
    reached, todo = set(), ["catena.wire.codec"]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += [one.imported for one in FOUND if one.importer == name and one.when == "load"]
    # The package root is loaded before any of its submodules, and loads what it exports.
    assert {one for one in reached if _within(one, "catena")} <= loaded


def test_sources_parse() -> None:
    """The reader reads every module there is."""
    assert len(SOURCES) > 40
    assert all(ast.parse(text) for text in SOURCES.values())
