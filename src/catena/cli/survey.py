"""A look at all workers at once: those of this user's pools, and those that are found elsewhere.

Its one rule: it takes no longer than its time, whatever the workers do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import click

from catena.cli.ending import USAGE, CommandEnded
from catena.discovery import source_of
from catena.errors import CatenaError, PeerRefused
from catena.escape import printable
from catena.ids import MemberRecord
from catena.link.asking import WorkerTooOld, ask_status
from catena.link.channels import Destination
from catena.members import MemberSource
from catena.pool.record_folder import read_pools
from catena.pool.recorded import RecordedPool, RecordedWorker
from catena.security.credentials import Credentials
from catena.targets import is_local
from catena.wire.status import WorkerStatus

SECONDS = 2.0
"""How long a look at all workers takes at most."""

_SHARE = 0.9
"""The part of it that workers have, so that what comes of it is shown in time."""
_FINDING_SECONDS = 1.0
_SETTLED_SECONDS = 0.2
"""How long nothing more has to be found, once something is."""

State = Literal["ready", "draining", "unknown", "silent", "unreachable", "refused", "old"]

_SILENT = f"it has not answered within {SECONDS:g} s"


class Asking(NamedTuple):
    """Where to look, beside the pools of this machine, and how to ask there."""

    discovery: str | None = None
    certs: str | None = None
    name: str = ""
    insecure: bool = False


class SurveyedWorker(NamedTuple):
    """A worker: what it has answered, or why it has not, and the pools that have it.

    ``known`` is what the first of these knows of it.
    """

    target: str
    state: State
    error: str = ""
    status: WorkerStatus | None = None
    known: RecordedWorker | None = None
    pools: tuple[RecordedPool, ...] = ()

    @property
    def id(self) -> str:
        """Its id, empty where nobody knows it."""
        known = "" if self.known is None else self.known.id
        return known if self.status is None else self.status.worker

    @property
    def version(self) -> str:
        """Its version, empty where nobody knows it."""
        known = "" if self.known is None else self.known.version
        return known if self.status is None else self.status.software

    @property
    def protocol(self) -> str:
        """The version of its protocol, empty where nobody knows it."""
        known = "" if self.known is None else self.known.protocol
        return known if self.status is None else ".".join(map(str, self.status.protocol))


class Survey(NamedTuple):
    """What a look at all workers has found; ``problems`` are sentences about what it could not."""

    workers: tuple[SurveyedWorker, ...]
    pools: tuple[RecordedPool, ...]
    problems: tuple[str, ...] = ()


_OPTIONS = (
    click.option(
        "--discovery",
        metavar="WHERE",
        help="Ask the workers that are found there, too, such as dir:/shared/workers.",
    ),
    click.option(
        "--certs", metavar="FOLDER", help="Your credentials, in place of those of the pools."
    ),
    click.option(
        "--name",
        default="",
        metavar="NAME",
        help="The DNS name that those have to prove whose record has none, such as shop.catena.",
    ),
    click.option("--insecure", is_flag=True, help="Ask found workers without certificates."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead."),
)


def takes_workers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which workers are asked, and how."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


def survey_workers(command: str, asking: Asking) -> Survey:
    """Return what all workers say now; end the command where it is not clear where to look."""
    return asyncio.run(_survey(command, asking))


async def _survey(command: str, asking: Asking) -> Survey:
    loop = asyncio.get_running_loop()
    try:
        source = None if asking.discovery is None else source_of(asking.discovery)
    except (ValueError, PermissionError, ModuleNotFoundError) as wrong:
        raise CommandEnded(command, str(wrong), USAGE) from None
    until = loop.time() + _SHARE * SECONDS
    pools, problems = read_pools()
    asked: dict[str, asyncio.Task[SurveyedWorker]] = {}
    for target, known, having in _gather_known(pools):
        worker = _find_known(known, having[0], asking)
        surveyed = SurveyedWorker(target, "silent", _SILENT, known=known, pools=having)
        asked[target] = loop.create_task(_ask_worker(worker, surveyed, until))
    if source is not None:
        found = await _find_members(source, until)
        if not found:
            problems.append(f"no workers were found by {asking.discovery}")
        for member in sorted(found, key=lambda one: (one.id, one.target)):
            if member.target not in asked:
                worker = _find_destination(member, asking)
                known = RecordedWorker(member.id, member.target)
                surveyed = SurveyedWorker(member.target, "silent", _SILENT, known=known)
                asked[member.target] = loop.create_task(_ask_worker(worker, surveyed, until))
    workers = await asyncio.gather(*asked.values())
    return Survey(tuple(workers), tuple(pools), tuple(problems))


def _gather_known(
    pools: Sequence[RecordedPool],
) -> list[tuple[str, RecordedWorker, tuple[RecordedPool, ...]]]:
    """Return each worker of the pools once: its target, what is known of it, and who has it.

    A pool with a link to it knows more than one without.
    """
    known: dict[str, list[tuple[RecordedWorker, RecordedPool]]] = {}
    for pool in pools:
        for worker in pool.workers:
            known.setdefault(worker.target, []).append((worker, pool))
    found: list[tuple[str, RecordedWorker, tuple[RecordedPool, ...]]] = []
    for target, pairs in known.items():
        pairs.sort(key=lambda pair: not pair[0].version)
        found.append((target, pairs[0][0], tuple(pool for _, pool in pairs)))
    return found


def _find_known(worker: RecordedWorker, pool: RecordedPool, asking: Asking) -> Destination:
    """Return how a worker of a pool is asked: as the pool calls it, unless it is said otherwise."""
    folder = asking.certs or pool.credentials
    return Destination(
        worker.target,
        Credentials(folder) if folder and not is_local(worker.target) else None,
        worker.verify or asking.name,
        worker.leaf.encode() or None,
        insecure=pool.insecure or asking.insecure,
    )


def _find_destination(member: MemberRecord, asking: Asking) -> Destination:
    """Return how a worker that was found is asked."""
    credentials = None if asking.certs is None else Credentials(asking.certs)
    name = member.name or asking.name
    return Destination(member.target, credentials, name, insecure=asking.insecure)


async def _find_members(source: MemberSource, until: float) -> frozenset[MemberRecord]:
    """Return the workers that a source finds, once nothing more comes for a moment."""
    loop = asyncio.get_running_loop()
    last = min(until, loop.time() + _FINDING_SECONDS)
    found: frozenset[MemberRecord] = frozenset()
    sets = source.members()
    try:
        while True:
            settled = loop.time() + _SETTLED_SECONDS if found else last
            async with asyncio.timeout_at(min(last, settled)):
                found = await anext(sets)
    except (TimeoutError, StopAsyncIteration):
        return found
    finally:
        await source.close()


async def _ask_worker(
    worker: Destination, surveyed: SurveyedWorker, until: float
) -> SurveyedWorker:
    """Return a worker with its answer, or with the reason for which there is none."""
    try:
        async with asyncio.timeout_at(until):
            status = await ask_status(worker, SECONDS)
    except TimeoutError:
        return surveyed
    except WorkerTooOld as error:
        return surveyed._replace(state="old", error=str(error))
    except PeerRefused as error:
        return surveyed._replace(state="refused", error=printable(error.text(), 500))
    except (CatenaError, OSError, ValueError) as error:
        text = error.text() if isinstance(error, CatenaError) else str(error)
        return surveyed._replace(state="unreachable", error=printable(text, 500))
    why = "" if surveyed.known is None else surveyed.known.error
    return surveyed._replace(state=status.state, status=status, error=why)
