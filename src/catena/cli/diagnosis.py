"""What keeps the processes of a deployment from working together, found in what they have said.

Its one rule: nothing is asked or read here; the same survey makes the same diagnosis.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from catena.cli.survey import Survey, SurveyedWorker
from catena.events.kept import Refusal
from catena.pool.recorded import RecordedPool
from catena.wire.lost import LOST
from catena.wire.status import LinkedPeer
from catena.wire.versions import PROXY, SOFTWARE, find_lacking

FIELDS = ("Task.proxy", "Task.proxy_id", "Frame.proxy_id")
"""The fields of the wire that 1.0 drops, as docs/reference/deprecations.md lists them."""

_RELINKS = (0, 2)
"""The first release that makes a link anew."""

_NO_LINK = (
    "release 0.1 makes no link anew, so a worker that is replaced before is lost to it until it is"
    " restarted"
)
_WORKER_FIRST = "workers come before callers, which can use only what their workers understand"
_CALLER_LAST = "its workers understand all that it can use then"

Kind = Literal["worker", "caller"]


class Process(NamedTuple):
    """A process of the deployment: how it is called, and its version, empty where not known."""

    kind: Kind
    who: str
    version: str


class DeprecatedUse(NamedTuple):
    """Deprecated fields of the wire that one process writes and another one reads."""

    fields: tuple[str, ...]
    written_by: str
    read_by: str


class Loss(NamedTuple):
    """What is lost because a process lacks a capability of this release."""

    who: str
    version: str
    capability: str
    lost: str


class Step(NamedTuple):
    """One process is upgraded to a version, and why at this place in the order."""

    step: int
    kind: Kind
    who: str
    version: str
    to: str
    why: str


class Diagnosis(NamedTuple):
    """All that there is to say, the refusals by when they happened last."""

    refusals: tuple[Refusal, ...]
    deprecated: tuple[DeprecatedUse, ...]
    lost: tuple[Loss, ...]
    order: tuple[Step, ...]
    unanswered: tuple[SurveyedWorker, ...]
    problems: tuple[str, ...]

    @property
    def finds_something(self) -> bool:
        """Whether anything is wrong, apart from workers that are busy, stop or do not answer."""
        refused = [one for one in self.refusals if not one.is_passing]
        return bool(refused or self.deprecated or self.lost or self.order)


def diagnose(survey: Survey) -> Diagnosis:
    """Return what is wrong, and in which order to upgrade."""
    return Diagnosis(
        refusals=_gather_refusals(survey),
        deprecated=tuple(dict.fromkeys(_find_deprecated(survey))),
        lost=tuple(dict.fromkeys(_find_losses(survey))),
        order=plan_upgrade(_list_processes(survey)),
        unanswered=tuple(one for one in survey.workers if one.status is None),
        problems=survey.problems,
    )


def plan_upgrade(processes: Iterable[Process]) -> tuple[Step, ...]:
    """Return the steps that bring all processes to the newest version among them and this one.

    Callers of a release that makes no link anew come first, then workers, then other callers.
    """
    known = [one for one in processes if one.version]
    newest = max((SOFTWARE, *(one.version for one in known)), key=read_version)
    old = [one for one in known if read_version(one.version) < read_version(newest)]

    def place(one: Process) -> tuple[int, str]:
        if one.kind == "worker":
            return 1, _WORKER_FIRST
        return (2, _CALLER_LAST) if read_version(one.version)[:2] >= _RELINKS else (0, _NO_LINK)

    old.sort(key=lambda one: (place(one)[0], read_version(one.version), one.who))
    return tuple(Step(at, *one, newest, place(one)[1]) for at, one in enumerate(old, 1))


def read_version(version: str) -> tuple[int, ...]:
    """Return a version so that it can be compared; what is no number at the beginning counts as 0.

    Its last number says whether it was released.
    """
    numbers = [int(one[:9]) for one in re.findall(r"\d+", version)[:3]]
    return (*numbers, *[0] * (3 - len(numbers)), int("dev" not in version))


def _gather_refusals(survey: Survey) -> tuple[Refusal, ...]:
    """Return the refusals of all processes, each with names in place of the process itself."""
    found: dict[Refusal, None] = {}
    for worker in survey.workers:
        if worker.status is not None:
            found |= dict.fromkeys(_named(worker.status.refusals, worker.id))
    # All pools of a process have what that process has refused; the latest record has most of it.
    for pool in {one.pid: one for one in survey.pools}.values():
        found |= dict.fromkeys(_named(pool.refusals, _name_caller(pool)))
    return tuple(sorted(found, key=lambda one: one.at))


def _named(refusals: Sequence[Refusal], who: str) -> Iterator[Refusal]:
    for one in refusals:
        yield one._replace(by=one.by or who, whom=one.whom or who)


def _find_deprecated(survey: Survey) -> Iterator[DeprecatedUse]:
    for worker, peer in _list_links(survey):
        if peer.fields:
            yield DeprecatedUse(FIELDS, _name_peer(survey, peer), worker.id)
    for pool in survey.pools:
        for one in pool.workers:
            if one.version and PROXY not in one.capabilities:
                yield DeprecatedUse(FIELDS, _name_caller(pool), one.id)


def _find_losses(survey: Survey) -> Iterator[Loss]:
    for worker in survey.workers:
        known = () if worker.known is None else worker.known.capabilities
        if worker.version:
            capabilities = known if worker.status is None else worker.status.capabilities
            yield from _make_losses(worker.id, worker.version, capabilities)
    for pool in survey.pools:
        yield from _make_losses(_name_caller(pool), pool.version, pool.capabilities)
    for _, peer in _list_links(survey):
        yield from _make_losses(_name_peer(survey, peer), peer.software, peer.capabilities)


def _make_losses(who: str, version: str, capabilities: Iterable[str]) -> Iterator[Loss]:
    for one in find_lacking(frozenset(capabilities)):
        yield Loss(who, version, one, LOST[one])


def _list_processes(survey: Survey) -> list[Process]:
    """Return each process once: workers, pools of this machine, and who else calls the workers."""
    workers = [Process("worker", one.id or one.target, one.version) for one in survey.workers]
    pools = [Process("caller", _name_caller(one), one.version) for one in survey.pools]
    ids = {one.id for one in survey.workers}
    peers = [
        Process("caller", _name_peer(survey, one), one.software)
        for _, one in _list_links(survey)
        if one.name not in ids
    ]
    return list(dict.fromkeys([*workers, *pools, *peers]))


def _list_links(survey: Survey) -> Iterator[tuple[SurveyedWorker, LinkedPeer]]:
    """Yield each link of the workers that have answered, with who is at its other end."""
    for worker in survey.workers:
        if worker.status is not None:
            yield from ((worker, one) for one in worker.status.peers)


def _name_caller(pool: RecordedPool) -> str:
    name = f"pool {pool.name}" if pool.name else "pool"
    return f"{name} (process {pool.pid})"


def _name_peer(survey: Survey, peer: LinkedPeer) -> str:
    """Return how a peer of a worker is called: as a pool of this machine, where it is one.

    What a pool calls itself has its process in it.
    """
    for pool in survey.pools:
        if peer.pid == pool.pid and peer.name == f"parent-{pool.pid}":
            return _name_caller(pool)
    return f"{peer.name} (process {peer.pid})"
