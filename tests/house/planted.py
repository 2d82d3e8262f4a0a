"""Small deliberate faults, kept so that every check over random examples proves that it finds them.

While a fault's patch is open, one function of the source does the wrong thing. Wherever possible it
wraps what the check itself calls, so that nothing that outlives the check keeps what a fault made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from google.protobuf.message import DecodeError

from catena.context.var import Token
from catena.dispatch.caller.stream import Stream
from catena.errors import ProtocolError
from catena.link.outbox import Joiner, Outbox
from catena.pickling import pickler
from catena.wire import codec, manifests as closed
from catena.wire.call_states import Position
from catena.wire.frames import Ack, Frame, Piece, Result, Task, Unknown
from tests.dispatch.test_parity import test_a_stream_behaves_as_a_local_generator as a_stream
from tests.house.planted_accumulating import CHECKS as COUNTED
from tests.house.planted_collect import CHECKS as COLLECTED
from tests.house.planted_context import order_of_ledgers
from tests.house.planted_discovery import CHECKS as FOUND
from tests.house.planted_endings import CHECKS as ENDED
from tests.house.planted_fuzz import CHECKS as FUZZED
from tests.house.planted_hostile import CHECKS as ATTACKED
from tests.house.planted_joining import CHECKS as FOLLOWED
from tests.house.planted_kills import CHECKS as KILLED
from tests.house.planted_leases import CHECKS as LEASED
from tests.house.planted_ledgers import CHECKS as LEDGERS
from tests.house.planted_observed import CHECKS as OBSERVED
from tests.house.planted_parity import CHECKS as SCRIPTED
from tests.house.planted_slots import CHECKS as PLACED
from tests.house.planted_tasks import CHECKS as SUBMITTED
from tests.house.planted_tokens import CHECKS as COMPARED
from tests.laws import test_codec as coding, test_grammar as grammar, test_words as short
from tests.laws.fault import FAULTS, each, edges, given, keep, returning
from tests.laws.test_values import test_builtins_go_the_quick_way as a_value
from tests.laws.test_variables import test_a_random_program_goes_as_in_the_stdlib as a_program
from tests.link.test_outbox import test_every_frame_arrives_equal_and_in_its_calls_order as a_box

__all__ = [
    "ATTACKED",
    "COLLECTED",
    "COMPARED",
    "COUNTED",
    "ENDED",
    "FAULTS",
    "FOLLOWED",
    "FOUND",
    "FUZZED",
    "KILLED",
    "LEASED",
    "LEDGERS",
    "OBSERVED",
    "PLACED",
    "SCRIPTED",
    "SUBMITTED",
]

# ---- manifests as bytes

a_manifest = coding.test_a_manifest_comes_back_and_makes_the_same_bytes

keep(
    "ledgers are written as they come",
    patch.object(closed, "sorted", list, create=True),
    order_of_ledgers,
    a_manifest,
)
keep(
    "ledgers are exchanged",
    returning(closed, "decode_manifest", lambda one: one._replace(spent=one.live, live=one.spent)),
    order_of_ledgers,
    a_manifest,
)
keep(
    "only the first field of a carrier arrives",
    given(
        closed,
        "encode_manifest",
        lambda one: one._replace(carrier=dict([*one.carrier.items()][:1])),
    ),
    order_of_ledgers,
    a_manifest,
)
keep(
    "the parent is lost",
    returning(closed, "decode_manifest", lambda one: one._replace(parent_id=b"")),
    a_manifest,
)

keep(
    "the base of a manifest is lost",
    returning(closed, "decode_manifest", lambda one: one._replace(base=0)),
    a_manifest,
)
keep(
    "base and name are exchanged",
    returning(closed, "decode_manifest", lambda one: one._replace(base=one.name, name=one.base)),
    a_manifest,
)

# ---- the codec

a_message = coding.test_a_message_returns_its_frames_in_order
a_frame = coding.test_a_frame_alone_is_the_frame_in_a_message
news = coding.test_unknown_fields_are_tolerated_and_stop_there
a_block = coding.test_a_block_of_entries_comes_back_and_makes_the_same_bytes
a_proxy = coding.test_a_proxy_comes_back
any_bytes = coding.test_any_bytes_are_frames_or_a_protocol_error
cut_short = coding.test_a_message_cut_short_never_reads_as_another
_decode, _decode_frame, _encode = codec.decode_message, codec.decode_frame, codec.encode_message
_known: dict[bytes, codec.Batch] = {}


def _without_empty_manifest(frame: Any) -> Any:
    manifest = getattr(frame, "manifest", None)
    empty = manifest is not None and not manifest.chain_id
    return frame._replace(manifest=None) if empty else frame


def _frame_or_unknown(data: bytes) -> Frame:
    frame = _decode_frame(data)
    return Unknown(frame.call) if coding.NEWS in data else frame


def _empty_when_broken(data: bytes) -> codec.Batch:
    try:
        return _decode(data)
    except ProtocolError:
        return codec.Batch([], 0)


def _remember(batch: list[Frame]) -> bytes:
    data = _encode(batch)
    _known[data[:8]] = codec.Batch(list(batch), 0)
    return data


def _in_batches(change: Callable[[list[Frame]], list[Frame]]) -> Any:
    """Let the codec return other frames of a message."""
    return returning(codec, "decode_message", lambda one: one._replace(frames=change(one.frames)))


keep(
    "a yield is written as a return",
    given(
        codec,
        "encode_message",
        each(lambda one: one._replace(symbol="return") if type(one) is Result else one),
    ),
    a_message,
    a_frame,
)
keep(
    "a Task loses its first drive",
    given(
        codec,
        "encode_message",
        each(lambda one: one._replace(drive=None) if type(one) is Task else one),
    ),
    a_message,
    a_frame,
)
keep(
    "call ids are cut to 32 bits",
    given(codec, "encode_message", each(lambda one: one._replace(call=one.call % 2**32))),
    a_message,
)
keep(
    "a manifest without a chain is written as none",
    given(codec, "encode_message", each(_without_empty_manifest)),
    a_message,
    a_frame,
)
keep(
    "Acks come last",
    _in_batches(lambda some: sorted(some, key=lambda one: type(one) is Ack)),
    a_message,
)
keep(
    "a frame alone loses its proxy",
    given(
        codec,
        "encode_frame",
        lambda one: one._replace(proxy_id=b"") if type(one) is Task else one,
    ),
    a_frame,
)
keep(
    "what is not known is passed on",
    returning(codec, "encode_frame", lambda encoded: encoded + coding.NEWS),
    news,
)
keep(
    "a frame with a new field is taken for unknown",
    patch.object(codec, "decode_frame", _frame_or_unknown),
    news,
)
keep(
    "the policy of an entry is lost",
    given(closed, "pack_entries", each(lambda one: one._replace(forward=False))),
    a_block,
)
keep(
    "an empty default is left out",
    given(closed, "pack_entries", each(lambda one: one._replace(default=one.default or None))),
    a_block,
)
keep(
    "a block is read from its end",
    returning(closed, "unpack_entries", lambda some: some[::-1]),
    a_block,
)
keep(
    "the members of a pool are sorted",
    returning(codec, "decode_proxy", lambda one: one._replace(members=tuple(sorted(one.members)))),
    a_proxy,
)
keep(
    "a change of the members counts as none",
    returning(codec, "decode_proxy", lambda one: one._replace(epoch=0)),
    a_proxy,
)
keep("a pool loses its id", given(codec, "encode_proxy", lambda _: b""), a_proxy)
keep(
    "protobuf's error is not mapped",
    patch.object(codec, "DecodeError", ZeroDivisionError),
    any_bytes,
    cut_short,
    by=DecodeError,
)
keep(
    "a broken message is empty",
    patch.object(codec, "decode_message", _empty_when_broken),
    any_bytes,
    by=pytest.fail.Exception,
)
keep(
    "unknown frames are left out",
    _in_batches(lambda some: [one for one in some if type(one) is not Unknown]),
    any_bytes,
)
keep(
    "a message is known by its first bytes",
    patch.multiple(
        codec,
        encode_message=_remember,
        decode_message=lambda data: _known.get(data[:8]) or _decode(data),
    ),
    cut_short,
)
keep(
    "a message ends in bytes that nobody needs",
    returning(codec, "encode_message", lambda encoded: encoded + coding.NEWS),
    cut_short,
)

# ---- the grammar

short_words = short.test_the_grammar_is_one_regular_expression_over_all_short_words
words = grammar.test_every_legal_word_runs_and_every_illegal_next_symbol_is_refused
to_worker = grammar.test_what_a_worker_hears_is_one_regular_expression
to_caller = grammar.test_what_a_caller_hears_is_one_regular_expression
one_step = grammar.test_one_step_is_outstanding
crossing = grammar.test_only_a_cancel_crosses_and_nobody_sees_an_illegal_frame
closed = grammar.test_the_table_is_closed
hearing = grammar.test_an_end_hears_only_frames_of_its_direction
_step, _hear = Position.note_sent, Position.note_received


def _step_or_stay(self: Position, symbol: str) -> str:
    stays = symbol == "cancel" and not self.is_legal(symbol)
    return self.state if stays else _step(self, symbol)


def _hear_and_stay(self: Position, symbol: str, direction: frozenset[str]) -> str:
    before, after = self.state, _hear(self, symbol, direction)
    self.state = before
    return after


def _step_or_end(self: Position, symbol: str) -> str:
    try:
        return _step(self, symbol)
    except ProtocolError:
        self.end()
        raise


keep("nothing may be thrown", edges("flow idle", "throw"), to_worker, closed)
keep("a call may not be cancelled", edges("call running", "cancel"), crossing, short_words)
keep("a refusal may not cross a Cancel", edges("call sent x", "nack"), crossing, short_words)
keep("a yield may not cross a Cancel", edges("flow step x", "yield"), crossing, short_words)
_yielding = edges("call running", **{"yield": "call running"})
keep("a coroutine may yield", _yielding, to_caller, kinds=("task",))
keep("a coroutine may yield", _yielding, one_step)
keep(
    "a stream is accepted twice", edges("flow step", ack="flow step"), to_caller, kinds=("stream",)
)
keep("a call may be thrown into", edges("call running", throw="call running"), to_worker, one_step)
keep("a step may be driven twice", edges("flow step", next="flow step"), one_step, short_words)
keep(
    "a stream goes on after its end",
    edges("flow closing", "return", **{"return": "flow idle"}),
    short_words,
)
keep("a call is stuck", edges("flow idle", send="flow stuck"), closed)
keep(
    "a cancel passes anywhere",
    patch.object(Position, "note_sent", _step_or_stay),
    words,
    by=pytest.fail.Exception,
)
keep(
    "a frame of the other direction is heard",
    patch.object(Position, "note_received", lambda self, symbol, _: self.note_sent(symbol)),
    hearing,
    by=pytest.fail.Exception,
)
keep(
    "what is heard moves nothing", patch.object(Position, "note_received", _hear_and_stay), hearing
)
keep("a refused frame ends the call", patch.object(Position, "note_sent", _step_or_end), words)

# ---- streams

_next, _throw = Stream.__anext__, Stream.athrow


async def _close_nothing(_: Any) -> None:
    return


async def _send_none(self: Any, _: Any) -> Any:
    return await _next(self)


async def _swallow_exit(self: Any, *args: Any) -> Any:
    try:
        return await _throw(self, *args)
    except GeneratorExit:
        return None


async def _throw_the_class(self: Any, error: Any) -> Any:
    return await _throw(self, error if isinstance(error, type) else type(error))


async def _none_at_the_end(self: Any) -> Any:
    try:
        return await _next(self)
    except StopAsyncIteration:
        return None


keep("aclose drives nothing", patch.object(Stream, "aclose", _close_nothing), a_stream)
keep("the sent value is dropped", patch.object(Stream, "asend", _send_none), a_stream)
keep("GeneratorExit is swallowed", patch.object(Stream, "athrow", _swallow_exit), a_stream)
keep("thrown arguments are lost", patch.object(Stream, "athrow", _throw_the_class), a_stream)
keep("a stream ends with None", patch.object(Stream, "__anext__", _none_at_the_end), a_stream)

# ---- the outbox

_take, _add = Outbox.take, Joiner.add


def _by_transfer(frame: Frame) -> int:
    return -frame.transfer if type(frame) is Piece else 0


def _take_and_keep_count(self: Outbox) -> list[Frame]:
    before = self.bytes
    batch = _take(self)
    self.bytes = before
    return batch


keep(
    "later transfers go first",
    returning(Outbox, "take", lambda batch: sorted(batch, key=_by_transfer)),
    a_box,
)
keep(
    "small frames overtake the transfer of their call",
    returning(Outbox, "take", lambda batch: sorted(batch, key=lambda one: type(one) is Piece)),
    a_box,
)
keep(
    "a message loses its last frame",
    returning(Outbox, "take", lambda some: some[:-1] if type(some[-1]) is Result else some),
    a_box,
)
keep("what left is still counted", patch.object(Outbox, "take", _take_and_keep_count), a_box)
keep(
    "transfers are mixed up",
    patch.object(Joiner, "add", lambda self, one: _add(self, one._replace(transfer=1))),
    a_box,
    by=ProtocolError,
)

# ---- values and variables

_spend = Token.spend


def _ones(value: Any) -> Any:
    if type(value) in (list, tuple):
        return type(value)(map(_ones, value))
    return int(value) if type(value) is bool else value


keep(
    "tuples arrive as lists",
    given(pickler, "dumps", lambda one: list(one) if type(one) is tuple else one),
    a_value,
)
keep("what is true arrives as 1", given(pickler, "dumps", _ones), a_value)
keep(
    "nothing goes the quick way",
    patch.object(pickler._Quick, "dump", side_effect=pickler._NotBuiltin),
    a_value,
    by=TypeError,
)
keep("a used token is not known as such", patch.object(Token, "used", False), a_program)
keep("a token has no old value", patch.object(Token, "old_value", None), a_program)
keep(
    "a token of another Context passes",
    patch.object(Token, "spend", lambda self: _spend(self) or True),
    a_program,
)
