"""What a call that is not sampled asks of the SDK: one decision and one duration a side."""

from __future__ import annotations

from collections import Counter
from typing import Any
from unittest.mock import patch

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler

from catena.telemetry import metrics
from catena.telemetry.metrics import Metrics
from catena.telemetry.observers import Chains
from tests.dispatch.ends import connected
from tests.support import isolated, run
from tests.telemetry.sdk import telling
from tests.telemetry.story import add, count_up, nest, number
from tests.telemetry.test_spans import Counting

DURATIONS = {"rpc.client.call.duration": 1, "rpc.server.call.duration": 1}


class Own(ParentBased):
    """A sampler of somebody's, which says of itself what the SDK's says."""

    def __init__(self) -> None:
        super().__init__(ALWAYS_OFF)


def asked(
    monkeypatch: pytest.MonkeyPatch, of: str, sampler: Sampler | None = None
) -> tuple[Counter[str], Counter[str]]:
    """Return what the tracer and the instruments were asked for by one thing, not sampled."""
    found: list[Counting] = []

    async def work() -> None:
        number.set(1)
        async with connected():
            await add(1)
            found.append(Counting(monkeypatch, told))
            if of == "call":
                await add(2)
            elif of == "nested":
                await nest(2)
            elif of == "stream":
                async for _ in count_up(3):
                    pass
            else:
                number.reset(number.set(5))

    with telling(sampled=False, sampler=sampler) as told, monkeypatch.context() as within:
        monkeypatch = within
        # Each duration at once, or those of so few calls would still wait for more.
        monkeypatch.setattr(metrics, "_TOGETHER", 1)
        run(work())
    return Counter(found[0].tracer), Counter(found[0].instruments)


@isolated
@pytest.mark.parametrize(
    ("of", "spans_asked", "records"),
    [
        ("call", {"add": 1}, 1),
        ("nested", {"nest": 1}, 2),
        ("stream", {"count_up": 1}, 1),
        ("reset", {}, 0),
    ],
)
def test_one_decision_a_trace_and_one_duration_a_side(
    of: str, spans_asked: dict[str, int], records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Budget: mounts, unmounts, leases, resets, forks and frames ask for nothing.

    A sampler that does what the parent says is not asked again.
    """
    tracer, instruments = asked(monkeypatch, of)

    assert tracer == spans_asked
    assert instruments == {name: number * records for name, number in DURATIONS.items() if records}


@isolated
@pytest.mark.parametrize(
    ("of", "spans_asked"),
    [("call", {"add": 2}), ("nested", {"nest": 2, "add": 2}), ("reset", {})],
)
def test_a_sampler_that_decides_for_itself_is_asked_once_a_side(
    of: str, spans_asked: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Budget: only the SDK's own parent-based sampler is known to repeat what the parent says."""
    tracer, _ = asked(monkeypatch, of, Own())

    assert tracer == spans_asked


@pytest.mark.parametrize("name", ["begin", "record_unmounted"])
@isolated
def test_a_span_of_what_is_not_sampled_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the tracer is asked for a mount, or an unmount, whether sampled or not."""
    plain: Any = getattr(Chains, name)

    def asking(self: Any, event: Any) -> Any:
        self._leaves._begin_leaf(event, None).end()
        return plain(self, event)

    with patch.object(Chains, name, asking):
        tracer, _ = asked(monkeypatch, "call")

    assert tracer.total() > 1


@isolated
def test_an_instrument_on_the_hot_path_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: an instrument records each mount at once."""
    plain = Metrics.count_mount

    def recording_at_once(self: Metrics, event: Any) -> Any:
        self._direct["catena.manifest.size"].record(event.size)
        return plain(self, event)

    with patch.object(Metrics, "count_mount", recording_at_once):
        _, instruments = asked(monkeypatch, "call")

    assert instruments.total() > 2
