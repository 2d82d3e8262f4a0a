"""A worker is its parent's likeness, and its socket is private."""

from __future__ import annotations

import gc
import json
import os
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

import catena
from catena.pool import likeness
from catena.pool.socket_dir import PATH_LIMIT, SocketDirectory, is_ours
from tests.integration.pools import LOOPS, pooled
from tests.integration.programs import run_source

FACTS = """
    import asyncio, json, os, sys, warnings
    import catena

    sys.path.append("/not/there/but/listed")

    def facts():
        return {
            "path": sys.path,
            "cwd": os.getcwd(),
            "environment": {k: v for k, v in os.environ.items() if k.startswith(("T_", "PYTHON"))},
            "executable": sys.executable,
            "prefix": sys.prefix,
            "xoptions": {k: v for k, v in sys._xoptions.items()},
            "warnoptions": sys.warnoptions,
            "utf8": sys.flags.utf8_mode,
            "flags": [sys.flags.optimize, sys.flags.isolated, sys.flags.dont_write_bytecode],
            "dev": sys.flags.dev_mode,
        }

    @catena.routine
    async def there():
        return facts()

    async def main():
        os.environ["T_LATE"] = "set after the start"
        async with catena.WorkerPool(spawn=1):
            print(json.dumps([facts(), await there()]))

    asyncio.run(main())
"""


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("-X", "utf8", "-X", "faulthandler", "-W", "error::BytesWarning", "-B"),
        ("-O", "-W", "ignore::DeprecationWarning"),
        ("-I",),
        ("-X", "dev", "-W", "ignore"),
        ("-X", "int_max_str_digits=5000", "-X", "no_debug_ranges", "-X", "ours=1"),
    ],
    ids=" ".join,
)
def test_a_worker_is_like_its_parent(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Interpreter, sys.path, directory, environment, -X and -W are the parent's."""
    environment = {"T_EARLY": "ünïcode", "PYTHONHASHSEED": "7"}
    if "-I" not in flags:
        environment["PYTHONPATH"] = str(tmp_path / "somewhere")

    here, there = json.loads(run_source(FACTS, tmp_path, *flags, env=environment))

    assert there == here


def test_the_relative_entry_of_a_prompt_is_kept(tmp_path: Path) -> None:
    """`python -c` has "" first on its path, and so have its workers: a module beside it."""
    (tmp_path / "beside.py").write_text(
        "import catena\n@catena.routine\nasync def f():\n    return __name__\n"
    )
    code = (
        "import asyncio, catena, beside\n"
        "async def main():\n"
        "    async with catena.WorkerPool(spawn=1):\n"
        "        print(await beside.f())\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("beside\n", 0), done.stderr


def test_modules_beside_a_script_do_not_hide_the_standard_library(tmp_path: Path) -> None:
    """A file that is called like a module Catena needs breaks no worker that starts there."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "json.py").write_text("raise ImportError('the wrong json')\n")
    source = """
        import asyncio, catena

        @catena.routine
        async def f():
            return 1

        async def main():
            async with catena.WorkerPool(spawn=1):
                print(await f())

        asyncio.run(main())
    """
    moved = f"import os; os.chdir({str(tmp_path)!r})\n{textwrap.dedent(source)}"
    assert run_source(moved, tmp_path / "sub") == "1\n"


@pytest.mark.parametrize("loop", LOOPS)
def test_the_loop_is_the_one_asked_for(loop: str) -> None:
    """The option `loop` says which event loop the workers run."""

    @catena.routine
    async def module() -> str:
        import asyncio

        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    async def work(pool: catena.WorkerPool) -> None:
        assert await module() == loop

    other = "asyncio" if loop == "uvloop" else "uvloop"
    pooled(work, spawn=1, here=other, loop=loop)


def test_the_socket_is_private_and_its_path_short(
    scratch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust: directory 0700, sockets 0600, both this user's; under 100 bytes whatever TMPDIR is."""
    long = scratch_home / ("x" * 120) / ("y" * 120)
    long.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    seen: list[tuple[Path, int, int]] = []

    async def work(pool: catena.WorkerPool) -> None:
        label = next(iter(pool.pids)).rpartition("-")[0]
        for base in (Path("/tmp"), Path("/var/tmp")):
            for home in base.glob(f"catena-{os.getpid()}-{label}"):
                seen.extend(
                    (path, stat.S_IMODE(path.stat().st_mode), path.stat().st_uid)
                    for path in (home, *home.glob("*.sock"))
                )

    old = os.umask(0o000)
    try:
        pooled(work, spawn=2)
    finally:
        os.umask(old)

    assert [mode for _, mode, _ in seen] == [0o700, 0o600, 0o600]
    assert {owner for *_, owner in seen} == {os.getuid()}
    assert all(len(os.fsencode(path)) < PATH_LIMIT for path, *_ in seen)
    assert not any(path.exists() for path, *_ in seen)
    assert list(long.iterdir()) == []


def test_a_directory_that_others_can_enter_is_refused(
    scratch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust: owner and mode are checked, not assumed."""
    made = scratch_home / "catena-1-open"
    made.mkdir()
    made.chmod(0o755)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(made))

    with pytest.raises(PermissionError, match="can be entered by others"):
        SocketDirectory()


@catena.routine
async def thresholds() -> tuple[int, ...]:
    """Return when the collector looks."""
    return gc.get_threshold()


@pytest.mark.parametrize(
    ("given", "first"), [({}, None), ({"gc_threshold": 20_000}, 20_000), ({"gc_threshold": 0}, 0)]
)
def test_the_collector_looks_as_often_as_python_says_or_the_pool(
    given: dict[str, int], first: int | None
) -> None:
    """Likeness: a worker collects circles of other people's code as any Python does."""
    plain = subprocess.run(
        [sys.executable, "-c", "import gc; print(gc.get_threshold()[0])"],
        capture_output=True,
        check=True,
        timeout=20,
    )

    async def work(_: catena.WorkerPool) -> tuple[int, ...]:
        return await thresholds()

    assert pooled(work, spawn=1, **given)[0] == (int(plain.stdout) if first is None else first)


def test_a_negative_threshold_is_refused() -> None:
    """Options are checked where they are written."""
    with pytest.raises(ValueError, match="gc_threshold must not be negative, it is -1"):
        catena.WorkerPool(gc_threshold=-1)


HANDED = """
    import asyncio, json, os, pathlib, sys
    import catena

    sys.path.insert(0, "lib")
    sys.path.insert(0, pathlib.Path("/not/a/text"))
    import beside, below

    os.chdir("/")
    sys.argv[1:] = ["--size", "3", os.fsdecode(b"\\xff"), "x" * 200_000]

    @catena.routine
    async def argv():
        return sys.argv

    async def main():
        async with catena.WorkerPool(spawn=1):
            there = await argv()
            print(json.dumps([await beside.f(), await below.f(), there == sys.argv, os.getcwd()]))

    asyncio.run(main())
"""


def test_what_spawn_hands_over_is_handed_over(tmp_path: Path) -> None:
    """K11: arguments of any length, relative entries of the path, and what is no text on it."""
    routine = "import catena\n@catena.routine\nasync def f():\n    return __name__\n"
    (tmp_path / "lib").mkdir()
    (tmp_path / "beside.py").write_text(routine)
    (tmp_path / "lib" / "below.py").write_text(routine)

    assert json.loads(run_source(HANDED, tmp_path)) == ["beside", "below", True, "/"]


def test_a_relative_entry_counts_from_both_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K11: where the program began comes first, where it is now second; absolute ones stay."""
    began = str(Path.cwd())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "lib", "/absolute/../kept", Path("/no/text"), None])

    assert likeness.parent_path() == [
        began,
        str(tmp_path),
        f"{began}/lib",
        f"{tmp_path}/lib",
        "/absolute/../kept",
    ]


TAKEN = ["a b", "a%20b", "a#b", "a?b", "ü", "a,b", "a:b"]


@pytest.mark.parametrize("name", TAKEN)
def test_a_pool_starts_whatever_its_directory_is_called(
    scratch_home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """L13: what a URI would read otherwise is encoded; what gRPC cannot express is passed over."""
    (scratch_home / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch_home / name))
    monkeypatch.setattr(tempfile, "tempdir", None)

    @catena.routine
    async def answer() -> int:
        return 7

    async def work(pool: catena.WorkerPool) -> None:
        assert await answer() == 7
        made = [*filter(is_ours, (scratch_home / name).iterdir())]
        assert len(made) == (0 if "," in name else 1)

    pooled(work, spawn=2)
