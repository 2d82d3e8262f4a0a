"""The benchmark's section of other engines: its rows, its page, and two clients that run here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks import environment, plan, report_engines, systems
from tests.benchmarks.clients import Block, run_client
from tests.benchmarks.plan import (
    ENGINE_METRICS,
    ENGINE_SYSTEMS,
    ENGINES,
    MEGABYTE,
    MIXED,
    P50,
    RATE_100,
    Facts,
    Sample,
    Settings,
    Variant,
)

SETTINGS = Settings(repeats=1, seconds=0.5, seed=7, sections=(ENGINES,))
OURS, THEIRS = (Variant("default", 2, name, ENGINES) for name in ("catena", "ray"))
FACTS = Facts("asyncio", "uvloop", "remark")


def test_every_engine_has_a_row_a_module_and_an_environment() -> None:
    """A row names a module that exists, and its environment is one that is built."""
    rows = plan.variants(SETTINGS)

    assert [row.system for row in rows] == list(ENGINE_SYSTEMS)
    folder = Path(systems.__file__).parent
    assert {path.name for path in folder.glob("engine_*.py")} == {
        "engine_work.py",
        *(f"engine_{name}.py" for name in ENGINE_SYSTEMS),
    }
    built = {name for part in environment.PARTS for name in part.systems}
    assert {row.environment for row in rows} <= built
    assert all(path.exists() for part in environment.PARTS for path in part.constraints)


def test_a_time_is_better_when_it_is_less_and_a_rate_when_it_is_more() -> None:
    """Half of Ray's times and three times its rate are 2 and 3 on the page."""
    values = {P50: (10.0, 20.0), RATE_100: (3.0, 1.0), MEGABYTE: (1.0, 2.0), MIXED: (5.0, 10.0)}
    samples = [
        Sample(1, row, metric, pair[place], count=1, seconds=0.1)
        for metric, pair in values.items()
        for place, row in enumerate((OURS, THEIRS))
    ]

    page = "\n".join(report_engines.section(samples, {OURS: FACTS, THEIRS: FACTS}))

    assert tuple(report_engines.HEADINGS) == ENGINE_METRICS
    assert "| Ray | 2.00x (2.00-2.00) | 3.00x (3.00-3.00) | 2.00x (2.00-2.00) |" in page
    assert "| catena | 2 | 10 (10-10) |" in page
    assert report_engines.section([], {}) == ["Not measured in this run."]


@pytest.mark.parametrize("system", ["catena", "executor"])
def test_an_engine_is_measured(system: str) -> None:
    """The engines that need nothing more answer rightly in a client process of their own."""
    row = Variant("default", 2, system, ENGINES)

    facts, samples = run_client(Path(sys.executable), Block(1, row, 0.05, 60.0))

    assert facts.client_loop == "asyncio"
    assert [sample.metric for sample in samples] == list(ENGINE_METRICS)
    # Eight jobs take 420 ms of two processors, however they are shared out.
    assert samples[-1].value > 200_000
