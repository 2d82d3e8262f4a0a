"""Faults to plant in a process of this source: what a check of mixed versions has to find."""

from __future__ import annotations

from typing import Any

from catena.dispatch.caller.connection import WorkerConnection
from catena.errors import ProtocolError
from catena.link.link import Link
from catena.transfer import capture
from catena.wire import versions
from catena.wire.frames import Unknown


def plant(name: str) -> None:
    """Plant the fault of that name."""
    globals()[name]()


def keep_all_capabilities() -> None:
    """Use what this process is capable of, whatever the peer says."""
    agree = versions.agree_on_capabilities

    def agree_on_capabilities(*given: Any) -> frozenset[str]:
        agree(*given)
        return frozenset(versions.CAPABILITIES)

    versions.agree_on_capabilities = agree_on_capabilities


def send_newer_fields() -> None:
    """Say to each worker how many slots a call takes."""
    begin = WorkerConnection.__init__

    def begin_and_count(self: Any, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        self._counts_slots = True

    WorkerConnection.__init__ = begin_and_count


def end_at_unknown_frames() -> None:
    """End the link for a frame of a later release."""
    take = Link._take_frame

    def _take_frame(self: Any, frame: Any) -> None:
        if type(frame) is Unknown:
            raise ProtocolError(reason="an unknown frame", frame=frame.symbol)
        take(self, frame)

    Link._take_frame = _take_frame


def lose_the_chain() -> None:
    """Answer without what the routine has set."""
    import catena.dispatch.worker.run_coroutine as running

    for module in (capture, running):
        if hasattr(module, "capture_answer"):
            module.capture_answer = lambda *_, **__: (None, None)


def say_nothing_of_links() -> None:
    """Open links to peers that lack something, and do not say what."""
    versions.find_lacking = lambda _: ()


def speak_the_next_major() -> None:
    """Be of the next major version."""
    versions.MAJOR += 1
    versions.PROTOCOL = f"{versions.MAJOR}.{versions.MINOR}"
