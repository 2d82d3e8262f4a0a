"""What workers answer operators, as bytes and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from catena.errors import ProtocolError
from catena.wire import status
from catena.wire.status import State, StopAnswer, WorkerStatus

_states: tuple[State, ...] = ("unknown", "ready", "draining")
_counts = st.integers(0, 2**32 - 1)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_statuses = st.builds(
    WorkerStatus,
    worker=_texts,
    address=_texts,
    state=st.sampled_from(_states),
    pid=_counts,
    seconds=st.floats(0, 1e12),
    protocol=st.tuples(_counts, _counts),
    software=_texts,
    capabilities=st.lists(_texts, max_size=3).map(tuple),
    tags=st.lists(_texts, max_size=3).map(tuple),
    slots=_counts,
    slots_taken=_counts,
    calls=_counts,
    leases=_counts,
    links=_counts,
)


@given(_statuses)
def test_a_status_comes_back_as_it_was(found: WorkerStatus) -> None:
    """V2: every field crosses."""
    assert status.decode_status(status.encode_status(found)) == found


@given(_statuses, _texts)
def test_an_answer_comes_back_as_it_was(found: WorkerStatus, refusal: str) -> None:
    """V2: with the status that was true when it was given."""
    answer = StopAnswer(refusal, found)
    assert status.decode_answer(status.encode_answer(answer)) == answer


@pytest.mark.parametrize("now", [True, False])
def test_a_request_to_stop_comes_back(now: bool) -> None:
    """Trust: without the time for calls only where that was asked for."""
    assert status.decode_stop(status.encode_stop(now=now)) is now


@pytest.mark.parametrize("decode", [status.decode_status, status.decode_stop, status.decode_answer])
def test_what_does_not_parse_is_refused(decode: Callable[[bytes], Any]) -> None:
    """Trust: with an error that says what it should have been."""
    with pytest.raises(ProtocolError, match=r"3 bytes are no S\w+"):
        decode(b"\x0a\xff\x01")
