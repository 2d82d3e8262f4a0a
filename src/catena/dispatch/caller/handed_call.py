"""A call that is made where the pool's loop is not: the near end, and the end on the pool's loop.

``hand_over`` says how the two belong together.
"""

from __future__ import annotations

import weakref
from asyncio import AbstractEventLoop
from collections.abc import Callable
from copy import copy
from typing import Any, cast

from catena.dispatch.caller.call import Call
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.caller.timeouts import Bounds
from catena.dispatch.declaration import Declaration
from catena.dispatch.posting import post
from catena.events import Dispatch
from catena.link.link import Link
from catena.wire.frames import Ack, Frame, Nack, NackCode, Task
from catena.wire.versions import NAMES, PINGS

LOOK_SECONDS = 1.0
"""How often a call looks whether the pool's loop still runs."""


class Place:
    """A worker's connection, and a number on its link that is kept for one call.

    Made, used and given back on the pool's loop. ``pass_on`` gives away slots that came with it.
    """

    def __init__(
        self, connection: WorkerConnection, pass_on: Callable[[], object] | None = None
    ) -> None:
        self.connection = connection
        self._pass_on = pass_on
        self.number = connection.reserve_number()
        self._kept = True

    def use(self) -> None:
        """Note that a call has the number from here on."""
        self._kept = False

    def give_back(self) -> None:
        """Give the number back, once, unless a call has it."""
        if self._kept:
            self._kept = False
            self.connection.spare_numbers.append(self.number)
            if self._pass_on is not None:
                self._pass_on()


class HandedLink:
    """A link whose other end is the pool's loop, as far as a call and its connection use one."""

    congested = False

    def __init__(self, place: Place, here: AbstractEventLoop) -> None:
        link = place.connection.link
        self.loop = here
        self.up = True
        self.name, self.address, self.protocol = link.name, link.address, link.protocol
        self.peer, self.same_boot = link.peer, link.same_boot
        # What the pool's link has carried cannot be looked up from here: each chain goes whole.
        self.capabilities = link.capabilities - {NAMES, PINGS}
        self._pools_loop = link.loop
        self._entrance: _Entrance | None = None
        self._place = place

    def start(self, connection: HandedConnection) -> None:
        """Begin to move frames for a connection."""
        self._entrance = _Entrance(self._place, connection, self.loop)

    def send(self, frame: Frame) -> None:
        """Hand a frame over; it goes nowhere once the other end is gone."""
        if self.up and self._entrance is not None:
            self.up = post(self._pools_loop, self._entrance.take_frame, frame)

    def give_back(self) -> None:
        """Give back a place of which no use was made."""
        post(self._pools_loop, self._place.give_back)

    def post_refusal(self, call: Call, nack: Nack) -> None:
        """Have the pool's side note that a worker has refused the call."""
        post(self._pools_loop, self._place.connection.note_nack, call, nack)

    @property
    def is_dead(self) -> bool:
        """Whether the pool's loop does not run."""
        return not self._pools_loop.is_running()


class HandedConnection(WorkerConnection):
    """The near end of a connection, for one call that is made where its link is not."""

    def __init__(self, place: Place, here: AbstractEventLoop) -> None:
        self._handed = HandedLink(place, here)
        real = self.real = place.connection
        link = cast("Link", self._handed)
        super().__init__(link, (b"", b""), strict=real.values.strict, listed=False)
        # The pool's link adds the proxy, by the path that is its own.
        self.endpoints = real.endpoints
        self._ids = iter((place.number,))
        # The worker's pulse is taken where the link is, and not looked for here.
        self.pulse.is_alert = True
        self._looks = 0
        self._is_used = False
        self._handed.start(self)

    def open_call(
        self,
        declared: Declaration,
        payload: bytes,
        operation: Dispatch | None = None,
        bounds: Bounds | None = None,
        *,
        offered: bool = False,
    ) -> Call:
        """Make the one call of this connection. Raises as any connection does."""
        self.real.check_proxy(declared.name)
        call = super().open_call(declared, payload, operation, bounds, offered=offered)
        self._is_used = True
        self._look_later()
        return call

    def __del__(self) -> None:
        if not self._is_used:
            # The call was refused before it was sent, or the worker is one that was busy.
            self._handed.give_back()

    def note_nack(self, call: Call, nack: Nack) -> None:
        """Have the refusal noted where the link is."""
        self._handed.post_refusal(call, nack)

    def call_lost(self, error: Exception, *, closed: bool) -> None:
        """Learn that the worker's link is down."""
        self.closed = closed
        self._handed.up = False
        self.link_ended(error)

    def call_refused(self, error: Any) -> None:
        """Learn that the call was ended on the pool's side."""
        for call in tuple(self.calls.values()):
            call.end_refused(error)

    def _look_later(self) -> None:
        """Look from time to time, while the call is open, whether the pool's loop still runs."""
        # The timer must not keep alive what nobody waits for any more.
        reference: weakref.ref[HandedConnection] = weakref.ref(self)
        self._handed.loop.call_later(LOOK_SECONDS, _look_after, reference)

    def look(self) -> None:
        """End the call when the pool's loop stands still for the second time in a row."""
        if not self.calls:
            return
        self._looks = self._looks + 1 if self._handed.is_dead else 0
        if self._looks > 1:
            self.call_lost(ConnectionError("the pool's event loop has ended"), closed=False)
        else:
            self._look_later()


def _look_after(reference: weakref.ref[HandedConnection]) -> None:
    connection = reference()
    if connection is not None:
        connection.look()


class _Entrance:
    """Where the frames of a handed-over call come in, on the pool's loop."""

    def __init__(self, place: Place, connection: HandedConnection, back: AbstractEventLoop) -> None:
        self._place = place
        self._back = back
        self._call: HandedCall | None = None
        # Whoever made the call holds its connection; when nobody does, the call is given up.
        self._from = weakref.ref(connection, self._post_end)

    def _post_end(self, _: object) -> None:
        post(self._place.connection.link.loop, self._abandon)

    def _abandon(self) -> None:
        if self._call is not None:
            self._call.cancel()

    def take_frame(self, frame: Frame) -> None:
        """Send a frame on, if it is legal still: the call may have ended here meanwhile."""
        if isinstance(frame, Task):
            self._begin(frame)
        elif (call := self._call) is not None and call.lost is None:
            call.pass_on(frame)

    def _begin(self, task: Task) -> None:
        real = self._place.connection
        if not real.usable:
            # It was handed to no link, which is what a Nack proves.
            self._place.give_back()
            self.send_back("receive", Nack(task.call, NackCode.DRAINING, "its link has ended"))
            return
        self._place.use()
        self._call = HandedCall(real, task, self)
        real.send_handed(task, self._call)

    def send_back(self, do: str, *args: Any, **named: Any) -> None:
        """Call a method of the connection where the call was made; without it, end the call."""
        connection = self._from()
        if connection is None or not post(self._back, _call_named, self._from, do, args, named):
            self._abandon()


def _call_named(
    reference: weakref.ref[HandedConnection], do: str, args: tuple[Any, ...], named: dict[str, Any]
) -> None:
    connection = reference()
    if connection is not None:
        getattr(connection, do)(*args, **named)


class HandedCall(Call):
    """A call on the pool's link that was made elsewhere: what comes for it is passed back."""

    def __init__(self, connection: WorkerConnection, task: Task, entrance: _Entrance) -> None:
        declared = Declaration(cast("Any", None), task.routine, task.stream, 0.0, slots=task.slots)
        super().__init__(connection, task.call, declared, None)
        self._entrance = entrance

    def pass_on(self, frame: Frame) -> None:
        """Send one of its frames, unless the call has moved on meanwhile."""
        if self.is_legal(frame.symbol):
            self.note_sent(frame.symbol)
            self.connection.link.send(frame)

    def take_frame(self, frame: Frame) -> None:
        """Take a frame that came for it; its caller learns of an Ack as well."""
        super().take_frame(frame)
        if type(frame) is Ack and self.refusal is None:
            self._entrance.send_back("receive", frame)

    def wake_caller(self, frame: Frame | None = None) -> None:
        """Pass back what came, or why nothing will."""
        if frame is not None:
            self._entrance.send_back("receive", frame)
        elif self.refusal is not None:
            self._entrance.send_back("call_refused", copy(self.refusal))
        elif self.lost is not None:
            self._entrance.send_back("call_lost", self.lost, closed=self.connection.closed)
