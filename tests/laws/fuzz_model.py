"""What a mount must come to, written a second time and without a Context: entry by entry.

Its one rule is the law itself: each entry counts for its own key alone. What the model cannot say
(a state that was named twice) it leaves open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import DecodeError

from catena.context.proxy import PROXY_KEY
from catena.pickling import pickler
from catena.transfer.manifest import ChainManifest
from catena.wire.frames import ExceptionFrame, Frame, Nack, Next, Result, Send, Task, Throw
from catena.wire.v1 import catena_pb2 as pb
from tests.laws.fuzz_corpus import UNBOUND, VARIABLES

__all__ = ["Expected", "after_answer"]

_BY_KEY = {var.key: var for var in VARIABLES}
_FORWARD = {var.key for var in VARIABLES if var.propagate == "forward"}
_VALUE, _RESET = 1, 2
_BAD: Any = object()

State = dict[tuple[str, str], bytes]


class Expected:
    """What each call begins with on the worker, by the frames that were sent."""

    def __init__(self) -> None:
        # None for a call that builds on a state which nobody named: it must not run.
        self.calls: dict[int, dict[str, Any] | None] = {}
        self._kept: dict[int, State] = {}
        self._twice: set[int] = set()
        self._opened: set[int] = set()

    def sent(self, frames: Iterable[Frame]) -> None:
        """Go on with the frames of one message."""
        for frame in frames:
            match frame:
                case Task() if frame.call not in self._opened:
                    self._opened.add(frame.call)
                    if frame.drive is not None:
                        self._begun(frame.call, frame.drive.manifest)
                case Next() | Send() | Throw() if frame.call in self._opened:
                    if frame.call not in self.calls:
                        self._begun(frame.call, frame.manifest)
                case _:
                    pass

    def _begun(self, call: int, manifest: ChainManifest | None) -> None:
        entries = _entries(b"" if manifest is None else manifest.entries)
        state = self._find_base(manifest, entries)
        if manifest is None or state is None:
            self.calls[call] = None if state is None else _values(state)
            return
        for key, one in entries.items():
            if not manifest.chain_id and one.policy != pb.Entry.FORWARD:
                continue
            if one.kind == _VALUE and _opened(one.value) is not _BAD:
                state[key] = one.value
            elif manifest.chain_id:
                state.pop(key, None)
        if manifest.name and manifest.chain_id:
            if manifest.name in self._kept:
                self._twice.add(manifest.name)
            self._kept[manifest.name] = state
        if manifest.base not in self._twice:
            self.calls[call] = _values(state)

    def _find_base(
        self, manifest: ChainManifest | None, entries: Mapping[tuple[str, str], Any]
    ) -> State | None:
        """Return what a call builds on, None for what nobody named."""
        if manifest is None or not manifest.base:
            return {}
        if PROXY_KEY in entries:
            # Where it was unknown, it is that which has the proxy and nothing else.
            self._kept.setdefault(manifest.base, {})
        known = self._kept.get(manifest.base)
        return None if known is None else dict(known)


def after_answer(
    before: Mapping[str, Any], answers: Iterable[Frame], call: int
) -> dict[str, Any] | None:
    """Return what is bound after a call's answer; None when these frames do not show it."""
    of_call = [one for one in answers if isinstance(one, Nack) or one.call == call]
    last = [one for one in of_call if isinstance(one, Result | ExceptionFrame)]
    if any(isinstance(one, Nack) for one in of_call) or not last:
        return None
    after, manifest = dict(before), last[0].manifest
    if manifest is None or manifest.base or len(manifest.chain_id) != 16:
        return after
    if len(manifest.parent_id) not in (0, 16):
        return after
    for key, one in _entries(manifest.entries).items():
        var = _BY_KEY.get(key)
        if var is None or one.policy == pb.Entry.FORWARD or key in _FORWARD:
            continue
        if one.kind == _RESET:
            after[var.name] = UNBOUND
        elif one.kind == _VALUE and (value := _opened(one.value)) is not _BAD:
            after[var.name] = value
    return after


def _entries(block: bytes) -> dict[tuple[str, str], Any]:
    """Return the entries that count: the first of each key; none when the block does not parse."""
    try:
        parsed = pb.Entries.FromString(block)
    except DecodeError:
        return {}
    found: dict[tuple[str, str], Any] = {}
    for one in parsed.entries:
        found.setdefault((one.namespace, one.name), one)
    return found


def _opened(data: bytes) -> Any:
    try:
        return pickler.loads(data)
    except Exception:
        return _BAD


def _values(state: State) -> dict[str, Any]:
    return {
        var.name: pickler.loads(state[var.key]) if var.key in state else UNBOUND
        for var in VARIABLES
    }
