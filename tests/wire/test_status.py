"""What workers answer operators, as bytes and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from catena.errors import ProtocolError
from catena.events.kept import Refusal
from catena.wire import status
from catena.wire.status import LinkedPeer, StopAnswer, WorkerStatus

EMPTY = WorkerStatus("", "", "unknown", 0, 0.0, (0, 0), "")
FULL = WorkerStatus(
    worker="w1",
    address="10.0.0.5:7800",
    state="draining",
    pid=2**22,
    seconds=86_400.25,
    protocol=(1, 7),
    software="0.2.0",
    capabilities=("delta", "größer"),
    tags=("eu", "gpu"),
    slots=8,
    slots_taken=9,
    calls=2**32 - 1,
    leases=3,
    links=512,
    refusals=(
        Refusal("CallRefused", "", "caller", "a call of x: busy", 2**40, 12.5),
        Refusal("PeerAccessRefused", "w2", "", "größer", 1, 0.0),
    ),
    peers=(
        LinkedPeer("parent-7", 7, (1, 0), "0.1.0", ("delta",), fields=True),
        LinkedPeer("", 0, (0, 0), ""),
    ),
)


@pytest.mark.parametrize("found", [EMPTY, FULL, FULL._replace(state="ready", tags=())])
def test_a_status_comes_back_as_it_was(found: WorkerStatus) -> None:
    """V2: every field crosses."""
    assert status.decode_status(status.encode_status(found)) == found


@pytest.mark.parametrize("refusal", ["", "only its pool stops it"])
def test_an_answer_comes_back_as_it_was(refusal: str) -> None:
    """V2: with the status that was true when it was given."""
    answer = StopAnswer(refusal, FULL)
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
