"""What lasts, as the core announces it: calls at either end, leases and mounts.

One object is made for each call that is observed, so their defaults belong to the class. Keys are
namespace and name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from catena.events.bus import Operation
from catena.events.carrier import NO_CARRIER, Carrier
from catena.ids import Key, new_id


class Endpoints(NamedTuple):
    """Who is at the two ends of a link, the same for all its calls.

    ``worker`` and ``caller`` name the two, ``peer_version`` and ``protocol`` are those of the other
    side, ``address`` is where the worker listens: a Unix socket's path, empty within one process.
    ``proxy_path`` is how the way to the pool goes along: on the ``chain``, or in ``fields``.
    """

    worker: str
    caller: str
    peer_version: str
    protocol: str
    address: str
    proxy_path: str = ""


class Attempt(NamedTuple):
    """A call as it was sent to one worker: its number on the link, and the chain it took along."""

    call: int
    endpoints: Endpoints
    chain_id: bytes


class ServedCall(NamedTuple):
    """A call as its worker got it.

    ``call`` is its number on the link, ``proxy_id`` the pool that nested calls go to (empty without
    one), ``chain_id`` and ``parent_id`` the chain that came along and the one that this was forked
    from (both empty for a call without a chain), ``carrier`` what an observer at the caller sent.
    """

    call: int
    endpoints: Endpoints
    proxy_id: bytes = b""
    chain_id: bytes = b""
    parent_id: bytes = b""
    carrier: Carrier = NO_CARRIER


class Dispatch(Operation):
    """One call of a routine, seen by its caller, with all attempts; or one whole stream.

    ``attempt`` is the last of ``attempts``, None before the call is sent; ``answer`` is the kind of
    the last of ``answers``.

    An observer may assign ``carrier``, which every attempt takes along; ``context``, for observers
    that come after it; ``span``, ``began`` and ``sampled``, for its own use; and ``enter``, called
    before an answer that brings a chain is mounted: what that returns is called afterwards. One
    that sets ``measured`` finds the sizes of payloads in ``sent_bytes`` and ``received_bytes``.
    """

    attempt: Attempt | None = None
    attempts: int = 0
    answer: str = ""
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
    def call(self) -> int:
        """The number of the last attempt on its link, 0 before there was one."""
        return 0 if self.attempt is None else self.attempt.call

    @property
    def chain_id(self) -> bytes:
        """The chain that was taken along, empty for a call without a chain."""
        return b"" if self.attempt is None else self.attempt.chain_id

    @property
    def frame(self) -> tuple[str, int]:
        """The kind of the last answer, and which one it was, from 1."""
        return self.answer, self.answers

    def __repr__(self) -> str:
        worker = "" if self.attempt is None else self.attempt.endpoints.worker
        return f"<Dispatch {self.routine} call={self.call} to={worker!r}>"


class Execution(Operation):
    """One call of a routine, seen by the worker that runs it, from before its chain is mounted.

    So variables have their defaults when it begins, and the routine's values when it ends.
    ``served`` is the call as it came, ``drive`` the kind of the last of ``drives``. ``leased`` says
    where the proxy that serves the call was found and whether it was ``built`` or ``cached``, None
    without one; ``lease`` ends with the execution, and is announced to those who observe leases
    besides. ``answered`` is when its last answer was ready, by ``perf_counter_ns``; 0 before that,
    and for streams.

    An observer may assign ``reply``, which returns the carrier of an answer that carries a chain;
    ``context``, for observers that come after it; ``span``, ``began``, ``sampled``, ``origin`` and
    ``leasing``, for its own use; and ``enter``, called once in each Context that a stream's steps
    run in after the first, in which its begin is announced. Those Contexts end with the call, so
    nothing is left there.
    """

    drive: str = ""
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

    def __init__(self, routine: str, stream: bool, served: ServedCall) -> None:  # noqa: FBT001
        self.routine = routine
        self.stream = stream
        self.served = served

    @property
    def call(self) -> int:
        """The number of the call on its link."""
        return self.served.call

    @property
    def chain_id(self) -> bytes:
        """The chain that came along, empty for a call without a chain."""
        return self.served.chain_id

    @property
    def frame(self) -> tuple[str, int]:
        """The kind of the last drive, and which one it was, from 1."""
        return self.drive, self.drives

    @property
    def lease(self) -> Lease | None:
        """The lease of the proxy that serves the call, the same one each time."""
        if self._lease is None and self.leased is not None:
            (source, outcome), served = self.leased, self.served
            self._lease = Lease(
                new_id(),
                served.proxy_id,
                source,
                outcome == "cached",
                served.call,
                self.chain_id,
                self.routine,
                served.endpoints.caller,
            )
        return self._lease

    def __repr__(self) -> str:
        served = self.served
        return f"<Execution {self.routine} call={served.call} for={served.endpoints.caller!r}>"


@dataclass(slots=True)
class Lease(Operation):
    """A proxy serves a call on a worker, from the mount of its chain until that is unmounted.

    ``source`` is the path by which the proxy came: on the ``chain``, in ``fields`` of the Task, or
    as a route in the ``snapshot`` of a background task, which holds it and makes the ``call`` 0.
    ``cached`` is whether an earlier call of the same link used it. It is held by the ``call`` of
    that number, of a ``routine``, made by a ``caller``.
    """

    lease_id: bytes
    proxy_id: bytes
    source: str
    cached: bool
    call: int
    chain_id: bytes = b""
    routine: str = ""
    caller: str = ""


class Named(Protocol):
    """A variable, as far as it has a name."""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        ...


class Mount(Operation):
    """A manifest is put into the current context, on the worker or back on the caller.

    It is announced when it is done, so its observers find the values that came. ``size`` is how
    many bytes its entries take, ``whole`` whether it describes all of the chain and not only
    changes, ``carrier`` the carrier that came with it; ``bound`` and ``unbound`` are the variables
    that the mount set and unset; ``span`` is for an observer to assign.
    """

    span: Any = None
    bound: Iterable[Named] = ()
    unbound: Iterable[Named] = ()

    def __init__(
        self,
        chain_id: bytes,
        parent_id: bytes = b"",
        *,
        to_worker: bool,
        size: int = 0,
        whole: bool = True,
        carrier: Carrier = NO_CARRIER,
    ) -> None:
        self.chain_id = chain_id
        self.parent_id = parent_id
        self.to_worker = to_worker
        self.size = size
        self.whole = whole
        self.carrier = carrier

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
        return f"<Mount {self.chain_id.hex()} {direction} bytes={self.size}>"


class Submission(Operation):
    """A function is about to become a task of another engine; what surrounds it here goes along.

    ``function`` is its name, ``chain_id`` the chain, empty without one. An observer may assign
    ``carrier``, which every task that is made of it takes along.
    """

    carrier: Carrier | None = None

    def __init__(self, function: str, chain_id: bytes) -> None:
        self.function = function
        self.chain_id = chain_id

    def __repr__(self) -> str:
        return f"<Submission {self.function}>"


class EngineTask(Operation):
    """A function runs as a task of another engine, with what surrounded its submission.

    It begins in the Context of the task before anything is mounted, and ends when the chain has
    been taken out; nobody else runs in that Context, so nothing that an observer leaves there need
    be undone. ``function`` is the name, ``chain_id`` the task's own chain, empty without one,
    ``carrier`` what an observer sent along.
    """

    def __init__(self, function: str, chain_id: bytes, carrier: Carrier) -> None:
        self.function = function
        self.chain_id = chain_id
        self.carrier = carrier

    def __repr__(self) -> str:
        return f"<EngineTask {self.function}>"
