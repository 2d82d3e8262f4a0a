"""The faults that the fuzzer has to find, each by its title; tests/house/planted.py takes them."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from catena.dispatch.payloads import Wire
from catena.dispatch.worker.session import Session
from catena.errors import ChainSerializationError, ProtocolError
from catena.link import link as linking
from catena.transfer.states import kept as kept_states
from catena.transfer.states.kept import KeptStates
from catena.wire import codec
from catena.wire.frames import ExceptionFrame
from tests.laws.fault import given, keep, returning
from tests.laws.test_fuzz import test_whatever_arrives_has_an_outcome_of_a_type as a_case

__all__ = ["CHECKS"]

CHECKS = (a_case,)

_unpack, _find_base, _reply = Wire.unpack, KeptStates.find_base, Session.send_answer


def _unpack_or_key_error(data: bytes) -> Any:
    try:
        return _unpack(data)
    except ChainSerializationError:
        raise KeyError("entries") from None


def _unbind_another(found: Any) -> Any:
    if found.problems and found.bound:
        var = found.bound.pop()[0]
        del found.bindings[var]
        found.unbound.append(var)
    return found


class _Untyped:
    """The codec as a link sees it, with another error."""

    def __getattr__(self, name: str) -> Any:
        return getattr(codec, name)

    def decode_message(self, data: bytes) -> Any:
        """Return what a message holds. Raises LookupError."""
        try:
            return codec.decode_message(data)
        except ProtocolError:
            raise LookupError("a message") from None


def _reply_or_not(self: Session, frame: Any) -> None:
    if type(frame) is not ExceptionFrame:
        _reply(self, frame)


keep(
    "entries that do not parse escape as a KeyError",
    patch.object(Wire, "unpack", staticmethod(_unpack_or_key_error)),
    a_case,
)
keep(
    "a bad entry unbinds another", returning(kept_states, "decode_entries", _unbind_another), a_case
)
keep(
    "of a key that occurs twice the last one counts",
    given(kept_states, "decode_entries", lambda entries: tuple(reversed(tuple(entries)))),
    a_case,
)
keep(
    "a message that does not parse ends the link with an error of any type",
    patch.object(linking, "codec", _Untyped()),
    a_case,
)
keep("an exception is not answered", patch.object(Session, "send_answer", _reply_or_not), a_case)
keep(
    "a state that nobody named is taken for an empty one",
    patch.object(KeptStates, "find_base", lambda self, one: _find_base(self, one) or self.plain),
    a_case,
)
