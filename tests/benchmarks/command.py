"""The command line: build, probe, run all blocks in shuffled order, write what came out.

Exit codes: 0 measured (whether or not a target is met), 1 failed, 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Final, TypeVar

from . import environment, plan, report, turns
from .clients import Block, run_client
from .conversation import run_turns
from .environment import ROOT, Environment
from .plan import BenchmarkError, Facts, Sample, Settings, Variant

PAGE: Final = ROOT / "docs" / "reference" / "benchmarks.md"
RESULTS: Final = ROOT / ".bench-results"

Built = dict[str, Environment]
Group = tuple[Variant, ...]
T = TypeVar("T")

EPILOG: Final = """\
The first start builds an environment of pinned versions in .bench-venv. Raw samples and the page
of every run are kept in .bench-results; a full run also replaces docs/reference/benchmarks.md.
Exit codes: 0 measured, 1 failed (wrong answer, missing peer, no samples, no time), 2 wrong usage,
130 interrupted. A missed target is told and is no failure.
"""


def command(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit code."""
    settings, again = _settings(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if again is None:
            _write(_run(settings))
        else:
            _publish(_kept(again))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def _settings(arguments: Sequence[str]) -> tuple[Settings, Path | None]:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Compare Catena with wool and a bare grpc.aio echo, with other engines, and "
        "with itself without context variables, in one interleaved run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: two short repeats")
    parser.add_argument("--repeats", type=_positive, help="default 7; fewer are not published")
    parser.add_argument("--seconds", type=float, help="per metric of a block; default 0.6")
    parser.add_argument("--seed", type=int, help="of the order of the blocks; default: drawn")
    parser.add_argument(
        "--sections",
        nargs="+",
        choices=plan.SECTIONS,
        default=plan.SECTIONS,
        help="default: all; a run without one of them is not published",
    )
    # The three that follow are about the peers' section alone.
    parser.add_argument("--systems", nargs="+", choices=plan.SYSTEMS, default=plan.SYSTEMS)
    parser.add_argument(
        "--loops",
        nargs="+",
        choices=plan.LOOPS,
        help="uvloop or asyncio: client and workers of every system on that loop; default: each "
        "as a user finds it. Default: uvloop default",
    )
    parser.add_argument("--workers", nargs="+", type=_positive, help="default: 1 2")
    parser.add_argument(
        "--page", type=Path, metavar="RAW", help="measure nothing: write the page of raw samples"
    )
    chosen = parser.parse_args(arguments)
    if chosen.seconds is not None and not 0.01 <= chosen.seconds <= 10:
        parser.error("--seconds must be between 0.01 and 10")
    settings = Settings(
        repeats=chosen.repeats or (2 if chosen.quick else plan.REPEATS_TO_PUBLISH),
        seconds=chosen.seconds or (0.3 if chosen.quick else 0.6),
        seed=random.SystemRandom().randrange(2**32) if chosen.seed is None else chosen.seed,
        systems=_unique(chosen.systems),
        loops=_unique(chosen.loops or (["uvloop"] if chosen.quick else ["uvloop", "default"])),
        workers=_unique(chosen.workers or ([2] if chosen.quick else [1, 2])),
        sections=_unique(chosen.sections),
        has_callgrind=shutil.which("valgrind") is not None,
    )
    return settings, chosen.page


def _kept(raw: Path) -> report.Run:
    """The run whose raw samples a file of the results' folder holds."""
    path = RESULTS / raw.name
    try:
        return report.kept(path.read_text(encoding="utf-8"), _relative(path))
    except OSError as error:
        raise BenchmarkError(f"{_relative(path)}: {error.strerror}") from None


def _run(settings: Settings) -> report.Run:
    commit = environment.commit()
    built = environment.build(settings.environments, _say)
    load = os.getloadavg()[0]
    end = monotonic() + settings.run_timeout
    facts = _probe(built, settings, end)
    orders = plan.shuffled(list(facts), settings)
    samples = _blocks(built, settings, orders, end)
    now = datetime.now(UTC)
    return report.Run(
        settings=settings,
        date=now.strftime("%Y-%m-%d %H:%M UTC"),
        commit=commit,
        versions=_versions(built),
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        load=load,
        facts=facts,
        samples=tuple(samples),
        raw=f"{RESULTS.name}/{now:%Y%m%dT%H%M%SZ}.json",
    )


def _probe(built: Built, settings: Settings, end: float) -> dict[Variant, Facts]:
    """Start every row once, so that what cannot work is known in seconds, not in minutes."""
    return {row: _facts(built, settings, row, end) for row in plan.variants(settings)}


def _facts(built: Built, settings: Settings, row: Variant, end: float) -> Facts:
    _say(f"trying {row}")
    block = Block(0, row, 0.0, _time_left(settings, row, end))
    return run_client(built[row.environment].python, block)[0]


def _blocks(
    built: Built, settings: Settings, orders: Sequence[Sequence[Group]], end: float
) -> list[Sample]:
    total = sum(len(order) for order in orders)
    samples: list[Sample] = []
    done = 0
    for repeat, order in enumerate(orders, start=1):
        for rows in order:
            done += 1
            what = str(rows[0]) if len(rows) == 1 else f"{len(rows)} {rows[0].section} in turn"
            _say(f"[{done}/{total}] repeat {repeat}: {what}")
            samples += _measured(built, settings, repeat, rows, end)
    return samples


def _measured(
    built: Built, settings: Settings, repeat: int, rows: Group, end: float
) -> list[Sample]:
    """The samples of rows that are measured at the same time, or of one alone."""
    python = built[rows[0].environment].python
    blocks = [Block(repeat, row, settings.seconds, _time_left(settings, row, end)) for row in rows]
    if rows[0].section == plan.VARIABLES:
        return run_turns(python, blocks, turns.slices(rows, settings, repeat))
    return run_client(python, blocks[0])[1]


def _time_left(settings: Settings, row: Variant, end: float) -> float:
    left = end - monotonic()
    if left < 1:
        minutes = settings.run_timeout / 60
        raise BenchmarkError(f"the run did not end within {minutes:.0f} minutes")
    return min(left, settings.timeout_of(row))


def _write(run: report.Run) -> None:
    environment.private_folder(RESULTS)
    (ROOT / run.raw).write_text(report.raw_samples(run), encoding="utf-8")
    _publish(run)


def _publish(run: report.Run) -> None:
    text = report.page(run)
    (ROOT / run.raw).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    _say(f"raw samples: {run.raw}")
    if run.settings.is_publishable:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
        _say(f"page written: {_relative(PAGE)}")
    else:
        _say(f"not a full run: {_relative(PAGE)} is left as it is")


def _versions(built: Built) -> dict[str, str]:
    """For each environment what runs in it, on one line."""
    return {
        " and ".join(name for name in built if built[name] is found): ", ".join(
            [found.interpreter, *(f"{name} {version}" for name, version in found.versions.items())]
        )
        for found in built.values()
    }


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _unique(values: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise argparse.ArgumentTypeError("must be between 1 and 64")
    return value


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
