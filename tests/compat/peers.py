"""Processes of releases that were cut, played against this source, in both directions.

A release is its wheel, unpacked. A worker of it is started as its pool would start one; a caller of
it is a program that reaches given workers through a proxy of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import catena
from catena.security.trust import NO_TRUST
from tests.release.kept import COMPAT

SECONDS = 30.0
HERE = Path(catena.__file__).parents[1]
SECRET = b"of the pool of both" * 2

CALLER = """
import asyncio, json, sys
from catena.dispatch.dispatcher import dispatcher
from catena.ids import new_id
from catena.proxy.balance import Proxy
import catena, compat_routines as routines

async def main(members, secret):
    proxy = Proxy(new_id(), tuple(map(tuple, members)), "caller", secret=bytes.fromhex(secret))
    dispatcher.set(proxy)
    print(json.dumps(await routines.everything()), flush=True)
    await proxy.close()

asyncio.run(asyncio.wait_for(main(*json.loads(sys.argv[1])), 30))
"""
"""A caller of any release: what it uses of the inside has these names since 0.1.0."""

ROUTINES = '''
import contextvars

import catena

request = contextvars.ContextVar("request", default="none")
if hasattr(catena, "carry"):
    catena.carry(request)
color = catena.ContextVar("color", namespace="compat", default="none")
basket = catena.ContextVar("basket", namespace="compat", default=None)


@catena.routine
async def version():
    """Return the version of the worker."""
    return catena.__version__


@catena.routine
async def paint(value):
    """Return the color that came, and set another one."""
    before = color.get()
    color.set(value)
    if basket.get() is not None:
        basket.get().append(value)
    return before


@catena.routine
async def count(to):
    """Yield numbers, and the color at each step."""
    for number in range(to):
        yield number, color.get()


@catena.routine
async def nested(depth):
    """Return the versions of the workers of a call and of those within it, and set the color."""
    inner = await nested(depth - 1) if depth else []
    color.set(f"depth {depth}")
    return [catena.__version__, *inner]


@catena.routine
async def requests(depth):
    """Return the request that each worker sees, of a call and of those within it."""
    inner = await requests(depth - 1) if depth else []
    return [[catena.__version__, request.get()], *inner]


@catena.routine
async def fail():
    """Raise an exception."""
    raise LookupError("there", 7)


async def everything():
    """Make calls of each kind; return what came of them."""
    found = {"caller": catena.__version__}
    found["workers"] = sorted({await version() for _ in range(4)})
    request.set("r1")
    found["unarmed request"] = (await requests(0))[0]
    color.set("red")
    basket.set([])
    found["paint"] = [await paint("green"), color.get(), await paint("blue"), color.get()]
    found["basket"] = basket.get()
    found["token"] = []
    with catena.RuntimeContext(timeout=20):
        token = color.set("kept")
        await paint("passing")
        color.reset(token)
        found["token"].append(color.get())
    found["count"] = [step async for step in count(3)]
    found["nested"] = await nested(3)
    found["after"] = color.get()
    found["requests"] = await requests(2)
    try:
        await fail()
    except LookupError as error:
        found["error"] = [type(error).__name__, list(error.args)]
    return found
'''


class Release(NamedTuple):
    """A version, and the folder that it is imported from."""

    version: str
    path: Path


def this_source() -> Release:
    """Return the source at hand."""
    return Release(catena.__version__, HERE)


def unpack_release(version: str, folder: Path) -> Release:
    """Unpack the wheel of a release that was cut."""
    (wheel,) = (COMPAT / version).glob("*.whl")
    path = folder / version
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(path)
    return Release(version, path)


@contextmanager
def worker_of(
    release: Release, name: str, folder: Path, secret: bytes = SECRET
) -> Generator[tuple[str, str]]:
    """Run a worker of a release; yield its name and address. Without a secret, pools find it."""
    path = folder / f"{name}.sock"
    facts = {
        "worker": name,
        "socket": str(path),
        "sys_path": [str(release.path), str(folder), *_site()],
        "argv": [""],
        "environment": {},
        "loop": "asyncio",
        "stop_timeout": 2.5,
        "strict": False,
        "drain_timeout": 1.0,
        "bootstrap": None,
        "gc_threshold": None,
        "slots": 1,
        "max_calls_in_flight": None,
        "refuse": None,
        "beat": 1.0,
        "records": None,
        "secret": secret.hex(),
        "trust": NO_TRUST.as_facts(),
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(SECONDS)
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "catena.pool.worker_main"],
            stdin=theirs,
            env=environment_of(release, folder, CATENA_WORKER_ID=name),
        )
        theirs.close()
        try:
            ours.sendall(json.dumps(facts).encode() + b"\n")
            assert ours.recv(4096) == b"ready"
            yield name, f"unix:{path}"
        finally:
            ours.close()
            try:
                worker.wait(SECONDS)
            finally:
                worker.kill()


def call_from(release: Release, members: list[tuple[str, str]], folder: Path) -> dict[str, object]:
    """Make calls of each kind from a caller of a release; return what came of them."""
    (folder / "compat_routines.py").write_text(ROUTINES)
    done = subprocess.run(
        [sys.executable, "-P", "-c", CALLER, json.dumps([members, SECRET.hex()])],
        env=environment_of(release, folder),
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def environment_of(release: Release, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process of a release."""
    path = os.pathsep.join((str(release.path), str(folder)))
    return {**os.environ, "PYTHONPATH": path, "CATENA_TELEMETRY": "off", **more}


def _site() -> list[str]:
    """Return where the standard library and the packages are, and no folder of ours."""
    return [one for one in sys.path if one and Path(one).resolve() not in (HERE, HERE.parent)]
