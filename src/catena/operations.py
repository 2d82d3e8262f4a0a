"""Operations of the seam: what lasts, from a call's dispatch to the mount of a chain.

They are part of the vocabulary in ``events``. Each holds what it is about, and its facts are asked
for when somebody wants them: most are told to a listener that counts and asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from catena.ids import new_id
from catena.observe import Carrier, Operation

__all__ = [
    "Attempt",
    "Dispatch",
    "Ends",
    "Execution",
    "Key",
    "Keyed",
    "Kind",
    "Lease",
    "Mount",
    "Serving",
    "Told",
]

Key = tuple[str, str]


# ---- what operations refer to: their facts are asked for when somebody wants them


class Ends(NamedTuple):
    """Who is at the ends of a link, the same for all its calls.

    ``worker`` and ``caller`` name the two, ``peer_version`` and ``protocol`` are those of the other
    side, ``address`` is where the worker listens: a Unix socket's path, empty within one process.
    """

    worker: str
    caller: str
    peer_version: str
    protocol: str
    address: str


_NOBODY = Ends("", "", "", "", "")
"""The ends of a call that was not sent."""


class Attempt(Protocol):
    """A call on its way to a worker, seen by its caller."""

    @property
    def id(self) -> int:
        """The number of the call on its link."""
        ...

    @property
    def ends(self) -> Ends:
        """Who was asked to take it."""
        ...

    @property
    def chain_id(self) -> bytes:
        """The chain that it took along, empty for an unarmed call."""
        ...


class Serving(Protocol):
    """A call on the worker that runs it."""

    @property
    def call(self) -> int:
        """The number of the call on its link."""
        ...

    @property
    def proxy_id(self) -> bytes:
        """The pool that nested calls go to, empty without one."""
        ...

    @property
    def ends(self) -> Ends:
        """The worker itself, and who calls."""
        ...


class Told(Protocol):
    """What a frame tells of a chain."""

    @property
    def chain_id(self) -> bytes:
        """16 bytes, or none."""
        ...

    @property
    def parent_id(self) -> bytes:
        """16 bytes, or none."""
        ...

    @property
    def entries(self) -> bytes:
        """The encoded block of entries."""
        ...

    @property
    def whole(self) -> bool:
        """Whether it tells all, and not what changed."""
        ...

    @property
    def carrier(self) -> Carrier:
        """What a listener at the other end left for those at this one."""
        ...


class Kind(Protocol):
    """A frame, as far as its kind goes."""

    @property
    def symbol(self) -> str:
        """Its kind, in the words of the grammar."""
        ...


class Keyed(Protocol):
    """A variable, as far as it has a name."""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        ...


# ---- operations: their defaults belong to the class, for one is made for each call


class Dispatch(Operation):
    """One call of a routine, seen by its caller, all attempts; for a stream, the whole stream.

    ``attempt`` is the last of ``attempts``, None before it is sent; ``worker``, ``call``,
    ``chain_id`` (empty for an unarmed call), ``peer_version`` and ``protocol`` are its. ``answer``
    is the last of ``answers``, and ``frame`` its kind and which one it was.

    A listener may assign ``carrier``, which every attempt takes along; ``context``, for listeners
    that come after it; ``span``, ``began`` and ``sampled``, for its own use; and ``enter``, called
    before an answer that brings a chain is mounted: what that returns is called afterwards. One
    that sets ``measured`` finds the sizes of payloads in ``sent_bytes`` and ``received_bytes``.
    """

    attempt: Attempt | None = None
    attempts: int = 0
    answer: Kind | None = None
    answers: int = 0
    measured: bool = False
    sent_bytes: int = 0
    received_bytes: int = 0
    carrier: Carrier | None = None
    context: Any = None
    span: Any = None
    began: int = 0
    sampled: bool = False
    enter: Callable[[], Any] | None = None

    def __init__(self, routine: str, stream: bool) -> None:  # noqa: FBT001 - as its facts are named
        self.routine = routine
        self.stream = stream

    @property
    def ends(self) -> Ends:
        """Whom the last attempt went to."""
        return _NOBODY if self.attempt is None else self.attempt.ends

    @property
    def worker(self) -> str:
        """Who was asked last, empty before anybody was."""
        return self.ends.worker

    @property
    def call(self) -> int:
        """The number of the last attempt on its link, 0 before there was one."""
        return 0 if self.attempt is None else self.attempt.id

    @property
    def chain_id(self) -> bytes:
        """The chain that was taken along, empty for an unarmed call."""
        return b"" if self.attempt is None else self.attempt.chain_id

    @property
    def peer_version(self) -> str:
        """The software version of the worker that was asked last."""
        return self.ends.peer_version

    @property
    def protocol(self) -> str:
        """The protocol version of the worker that was asked last."""
        return self.ends.protocol

    @property
    def frame(self) -> tuple[str, int]:
        """The kind of the last answer, and which one it was, from 1."""
        return ("" if self.answer is None else self.answer.symbol), self.answers

    def __repr__(self) -> str:
        return f"<Dispatch {self.routine} call={self.call} to={self.worker!r}>"


class Execution(Operation):
    """One call of a routine, seen by the worker that runs it, from before its chain is mounted.

    So variables have their defaults when it begins, and what the routine left in them when it ends.
    ``carrier`` is what the caller's listener sent along, ``caller`` the peer that calls, ``frame``
    the kind of the last drive and which one it was. ``leased`` tells of the proxy that serves the
    call where it was found and whether it was ``built`` or ``cached``, None without one; ``lease``
    ends with the execution, and is told to those who listen to leases besides. ``answered`` is when
    its last answer was ready, by ``perf_counter_ns``; 0 before that, and for streams.

    A listener may assign ``reply``, which returns the carrier of an answer that carries a chain;
    ``context``, for listeners that come after it; ``span``, ``began``, ``sampled``, ``origin`` and
    ``leasing``, for its own use; and ``enter``, called once in each Context that a stream's steps
    run in after the first, in which its begin is told. Those Contexts end with the call, so nothing
    is left there.
    """

    drive: Kind | None = None
    drives: int = 1
    leased: tuple[str, str] | None = None
    answered: int = 0
    context: Any = None
    span: Any = None
    began: int = 0
    sampled: bool = False
    origin: Any = None
    leasing: Any = None
    reply: Callable[[], Carrier | None] | None = None
    enter: Callable[[], Any] | None = None
    _lease: Lease | None = None

    def __init__(self, routine: str, stream: bool, serving: Serving, told: Told) -> None:  # noqa: FBT001
        self.routine = routine
        self.stream = stream
        self.serving = serving
        self.told = told

    @property
    def call(self) -> int:
        """The number of the call on its link."""
        return self.serving.call

    @property
    def chain_id(self) -> bytes:
        """The chain that came along, empty for an unarmed call."""
        return self.told.chain_id

    @property
    def parent_id(self) -> bytes:
        """The chain that it was forked from, or empty."""
        return self.told.parent_id

    @property
    def carrier(self) -> Carrier:
        """What the caller's listener sent along."""
        return self.told.carrier

    @property
    def worker(self) -> str:
        """The worker itself."""
        return self.serving.ends.worker

    @property
    def caller(self) -> str:
        """The peer that calls."""
        return self.serving.ends.caller

    @property
    def peer_version(self) -> str:
        """The software version of the peer that calls."""
        return self.serving.ends.peer_version

    @property
    def protocol(self) -> str:
        """The protocol version of the peer that calls."""
        return self.serving.ends.protocol

    @property
    def frame(self) -> tuple[str, int]:
        """The kind of the last drive, and which one it was, from 1."""
        return ("" if self.drive is None else self.drive.symbol), self.drives

    @property
    def lease(self) -> Lease | None:
        """The lease of the proxy that serves the call, the same one each time."""
        if self._lease is None and self.leased is not None:
            source, outcome = self.leased
            serving = self.serving
            self._lease = Lease(
                new_id(), serving.proxy_id, source, outcome == "cached", serving.call, self.chain_id
            )
        return self._lease

    def __repr__(self) -> str:
        return f"<Execution {self.routine} call={self.call} for={self.caller!r}>"


class Mount(Operation):
    """A manifest is put into the current context, on the worker or back on the caller.

    It is told when it is done, so its listeners find the values that came. ``bytes`` is the size of
    its entries, ``delta`` whether it tells only what changed, ``carrier`` what came with it; the
    variables that it ``bound`` and ``unbound`` are filled in. Its counter is called with what it is
    told and ``to_worker``, and returns whether that is all.
    """

    bound: Iterable[Keyed] = ()
    unbound: Iterable[Keyed] = ()

    def __init__(self, told: Told, *, to_worker: bool) -> None:
        self.told = told
        self.to_worker = to_worker

    @property
    def chain_id(self) -> bytes:
        """The chain that the manifest tells of."""
        return self.told.chain_id

    @property
    def parent_id(self) -> bytes:
        """The chain that it was forked from, or empty."""
        return self.told.parent_id

    @property
    def bytes(self) -> int:
        """How many bytes the entries take."""
        return len(self.told.entries)

    @property
    def delta(self) -> bool:
        """Whether only what changed is told."""
        return not self.told.whole

    @property
    def carrier(self) -> Carrier:
        """What came with the manifest."""
        return self.told.carrier

    @property
    def keys_set(self) -> tuple[Key, ...]:
        """The keys of the variables that were bound, sorted."""
        return tuple(sorted([var.key for var in self.bound]))

    @property
    def keys_reset(self) -> tuple[Key, ...]:
        """The keys of the variables that were unbound, sorted."""
        return tuple(sorted([var.key for var in self.unbound]))

    def __repr__(self) -> str:
        direction = "to worker" if self.to_worker else "to caller"
        return f"<Mount {self.chain_id.hex()} {direction} bytes={self.bytes}>"


@dataclass(slots=True)
class Lease(Operation):
    """A proxy serves a call on a worker, from the mount of its chain until that is unmounted.

    ``source`` tells where the proxy was found: in the ``fields`` of the Task. ``cached`` is whether
    an earlier call of the same link used it.
    """

    lease_id: bytes
    proxy_id: bytes
    source: str
    cached: bool
    call: int
    chain_id: bytes = b""
