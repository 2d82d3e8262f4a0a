"""The frames: one message of a call each, as values.

``call`` is the link's number of the call, 0 for the frames of the link itself. ``symbol`` is the
word by which the grammar knows the frame, ``weight`` is roughly how many bytes it takes on the
wire. Frames are named tuples because eight of them are made for every dispatch and a frozen
dataclass takes three times as long.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from catena.transfer.manifest import BARE, ChainManifest

SMALL = 32
"""About how many bytes a frame takes that carries nothing."""

_ID = 18
"""How many bytes a token's id takes in a ledger."""


def _weigh_value(frame: Send | Throw | Result | ExceptionFrame) -> int:
    """Return about how many bytes a frame takes on the wire that holds a payload and a chain."""
    size = SMALL + len(frame.payload)
    return size if frame.manifest is None else size + _weigh_manifest(frame.manifest)


class NackCode(IntEnum):
    """Why a worker refuses a call; the numbers are the proto's."""

    UNSPECIFIED = 0
    UNKNOWN = 1
    UNLOADABLE = 2
    DRAINING = 3
    BUSY = 4
    FORBIDDEN = 5

    @classmethod
    def _missing_(cls, value: object) -> NackCode:  # noqa: ARG003 - named by enum
        """Read what a later version says as the weakest that there is."""
        return cls.UNSPECIFIED


class Task(NamedTuple):
    """Opens a call: which routine, how to reach the pool, and the pickled arguments.

    ``drive`` is its first drive frame when both leave together, as they do; one frame on the wire.
    ``timeout_ns`` is the time left for the execution, ``dispatch_timeout_ns`` what the calls that
    the routine makes inherit, both in nanoseconds and None when unset. ``sent_at_ns`` is when the
    call was made, in nanoseconds of the machine's monotonic clock, None when that is not said.
    ``kill_after_ns`` is how long after its time the worker is killed when the call goes on; None
    leaves that to the routine.
    ``slots`` is how many of the worker's slots it takes, ``offered`` whether they were offered.
    """

    call: int
    function: int
    payload: bytes
    routine: str = ""
    stream: bool = False
    callable: bytes = b""
    proxy: bytes = b""
    proxy_id: bytes = b""
    drive: Next | None = None
    timeout_ns: int | None = None
    dispatch_timeout_ns: int | None = None
    sent_at_ns: int | None = None
    kill_after_ns: int | None = None
    slots: int = 0
    offered: bool = False

    @property
    def symbol(self) -> str:
        """``stream`` or ``task``."""
        return "stream" if self.stream else "task"

    @property
    def weight(self) -> int:
        """About how many bytes it takes on the wire."""
        size = SMALL + len(self.payload) + len(self.callable) + len(self.proxy)
        drive = self.drive
        if drive is None or (manifest := drive.manifest) is None:
            return size
        # Most manifests say nothing but where they begin.
        return size if manifest is BARE.get(manifest.base) else size + _weigh_manifest(manifest)


class Next(NamedTuple):
    """Drives a call: start it, or go on to the next yield."""

    call: int
    manifest: ChainManifest | None = None

    symbol = "next"

    @property
    def weight(self) -> int:
        """About how many bytes it takes on the wire."""
        return SMALL if self.manifest is None else SMALL + _weigh_manifest(self.manifest)


class Send(NamedTuple):
    """Drives a suspended stream with a value, as ``asend`` does."""

    call: int
    payload: bytes
    manifest: ChainManifest | None = None

    symbol = "send"

    weight = property(_weigh_value)


class Throw(NamedTuple):
    """Drives a suspended stream with an exception, as ``athrow`` does."""

    call: int
    payload: bytes
    manifest: ChainManifest | None = None

    symbol = "throw"

    weight = property(_weigh_value)


class Cancel(NamedTuple):
    """Cancels what runs, closes what is suspended.

    ``text`` is the message that the caller's task was cancelled with, None without one.
    """

    call: int
    text: str | None = None

    symbol = "cancel"

    @property
    def weight(self) -> int:
        """About how many bytes it takes on the wire."""
        return SMALL + len(self.text or "")


class Ack(NamedTuple):
    """The worker has accepted the call: it has begun."""

    call: int

    symbol = "ack"
    weight = SMALL


class Nack(NamedTuple):
    """The worker refuses the call: it has not begun.

    With ``slots`` it is busy until so many of them are free, and will offer them.
    """

    call: int
    code: NackCode
    text: str = ""
    slots: int = 0

    symbol = "nack"

    @property
    def weight(self) -> int:
        """About how many bytes it takes on the wire."""
        return SMALL + len(self.text)


class Result(NamedTuple):
    """A value that the routine returned or yielded.

    ``symbol`` says which of the two, ``return`` or ``yield``; with a ``+`` the routine was
    cancelled and answered all the same.
    """

    call: int
    payload: bytes
    manifest: ChainManifest | None = None
    symbol: str = "return"

    @property
    def more(self) -> bool:
        """Whether it is a step of a stream that goes on."""
        return self.symbol.startswith("yield")

    @property
    def after_cancel(self) -> bool:
        """Whether the routine was cancelled and answered all the same."""
        return self.symbol.endswith("+")

    weight = property(_weigh_value)


class ExceptionFrame(NamedTuple):
    """The routine raised; the last frame of its call."""

    call: int
    payload: bytes
    manifest: ChainManifest | None = None

    symbol = "exception"

    weight = property(_weigh_value)


class Hello(NamedTuple):
    """The first frame each way: protocol version, software, capabilities and who speaks.

    ``boot`` names the machine's boot, empty when unknown; ``tags`` what a worker is fit for;
    ``secret`` is what the pool's parent gave to its workers, empty without one. ``slots`` is how
    many slots a worker has, 0 for a process that is none.
    """

    call: int
    major: int
    minor: int
    software: str
    capabilities: tuple[str, ...]
    peer: str
    pid: int
    boot: str = ""
    tags: tuple[str, ...] = ()
    secret: bytes = b""
    slots: int = 0

    symbol = "hello"
    weight = SMALL

    def __repr__(self) -> str:
        """As any frame's, without the secret."""
        shown = self._asdict()
        del shown["secret"]
        return f"Hello({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class Goodbye(NamedTuple):
    """No more calls from this side."""

    call: int
    reason: str

    symbol = "goodbye"
    weight = SMALL


class Piece(NamedTuple):
    """A part of an encoded frame that is too long for one message; ``total`` is its size."""

    call: int
    transfer: int
    data: bytes
    last: bool
    total: int

    symbol = "piece"

    @property
    def weight(self) -> int:
        """About how many bytes it takes on the wire."""
        return SMALL + len(self.data)


class Ping(NamedTuple):
    """Asks the other end of the link whether it is there; answered by a Pong of the same number."""

    call: int
    number: int

    symbol = "ping"
    weight = SMALL


class Pong(NamedTuple):
    """Answers a Ping."""

    call: int
    number: int

    symbol = "pong"
    weight = SMALL


class Want(NamedTuple):
    """A caller has a call that needs so many slots."""

    call: int
    slots: int

    symbol = "want"
    weight = SMALL


class Offer(NamedTuple):
    """The worker keeps so many slots free for the next call of this caller that needs as many."""

    call: int
    slots: int

    symbol = "offer"
    weight = SMALL


class Decline(NamedTuple):
    """The caller does not need the slots that it was offered."""

    call: int
    slots: int

    symbol = "decline"
    weight = SMALL


class Members(NamedTuple):
    """The members of a pool are others now; ``proxy`` is what a Task would carry, encoded."""

    call: int
    proxy: bytes

    symbol = "members"

    @property
    def weight(self) -> int:
        """About how many bytes it takes on the wire."""
        return SMALL + len(self.proxy)


class Unknown(NamedTuple):
    """A frame of a kind that this version does not know."""

    call: int

    symbol = "unknown"
    weight = SMALL


Drive = Next | Send | Throw
"""What makes a generator go on, or a coroutine begin."""

Frame = (
    Task
    | Next
    | Send
    | Throw
    | Cancel
    | Ack
    | Nack
    | Result
    | ExceptionFrame
    | Hello
    | Goodbye
    | Piece
    | Ping
    | Pong
    | Want
    | Offer
    | Decline
    | Members
    | Unknown
)


def _weigh_manifest(manifest: ChainManifest) -> int:
    """Return about how many bytes a frame takes more for the chain that it carries."""
    size = SMALL + len(manifest.entries)
    if manifest.spent or manifest.live:
        size += _ID * (len(manifest.spent) + len(manifest.live))
    return size
