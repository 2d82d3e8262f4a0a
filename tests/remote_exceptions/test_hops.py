"""Where a remote exception comes from, as a person reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from catena.wire import codec
from tests.remote_exceptions.crossing import Plain, crossed, traceback_of


def _inner() -> None:
    raise Plain("deep")


def _outer() -> None:
    _inner()


def test_the_remote_traceback_reads_like_one() -> None:
    """D5: it names the worker and the routine, and shows each frame with its line of source."""
    with pytest.raises(Plain) as caught:
        _outer()
    shown = str(traceback_of(crossed(caught.value, "w7", "app.job")))
    assert shown.startswith("Remote traceback (most recent call last):\n")
    assert "on worker w7, in routine app.job:" in shown
    assert shown.index(", in _outer\n") < shown.index(", in _inner\n")
    assert 'raise Plain("deep")' in shown
    assert f'File "{__file__}"' in shown


def test_hops_are_shown_in_order_and_each_frame_once() -> None:
    """D5: over two hops the note grows instead of being quoted: outermost first, nothing twice."""
    with pytest.raises(Plain) as caught:
        _outer()
    near = crossed(caught.value, "w1", "app.leaf")

    def relay() -> None:
        raise near

    with pytest.raises(Plain) as again:
        relay()
    note = traceback_of(crossed(again.value, "w0", "app.root"))
    assert [(hop.worker, hop.routine) for hop in note.hops] == [
        ("w0", "app.root"),
        ("w1", "app.leaf"),
    ]
    names = [frame[2] for hop in note.hops for frame in hop.frames]
    assert names[-2:] == ["_outer", "_inner"]
    assert "relay" in names
    places = [frame[:3] for hop in note.hops for frame in hop.frames]
    assert len(places) == len(set(places))
    assert str(note).count('raise Plain("deep")') == 1
    assert str(note).index("w0") < str(note).index("w1")


def _through_us() -> None:
    codec.decode_message(b"\xff\xff")


@pytest.mark.parametrize(("asked", "ours"), [("", False), ("1", True)])
def test_our_own_frames_are_hidden_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, ours: bool
) -> None:
    """D5: CATENA_FULL_TRACEBACK shows the frames of Catena itself."""
    monkeypatch.setenv("CATENA_FULL_TRACEBACK", asked)
    with pytest.raises(Exception, match="does not parse") as caught:
        _through_us()
    files = [Path(frame[0]).name for frame in traceback_of(crossed(caught.value)).hops[0].frames]
    assert Path(__file__).name in files
    assert ("codec.py" in files) is ours


def test_the_hop_of_an_exception_without_frames_is_named_all_the_same() -> None:
    """D5: whoever sent an exception that was never raised is still named."""
    assert "on worker w1, in routine app.work" in str(traceback_of(crossed(Plain("x"))))
