"""The command line of the long counts: run them, one after the other, and write what came out.

Exit codes: 0 all hold, 1 one does not, 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from rich.console import Console

from tests.laws.law import reached
from tests.long.checks import CHECKS, Check
from tests.long.page import PAGE, Row, source, with_row
from tests.long.progress import Bar

__all__ = ["command"]


def command(
    arguments: Sequence[str],
    *,
    checks: Mapping[str, Check] = CHECKS,
    page: Path = PAGE,
    console: Console | None = None,
) -> int:
    """Run the check that is named, or all; return the exit code."""
    console = console or Console(stderr=True)
    try:
        chosen = _parsed(arguments, checks)
    except SystemExit as end:
        return int(end.code or 0)
    trying = chosen.count is not None or chosen.seed is not None
    failed = False
    for check in [checks[chosen.name]] if chosen.name else checks.values():
        count = chosen.count or check.count
        seed = check.seed if chosen.seed is None else chosen.seed
        try:
            row = _row(check, count, seed, console)
        except KeyboardInterrupt:
            console.print("interrupted; nothing was written")
            return 130
        failed = failed or row.outcome != "holds"
        console.print(f"{row.check}: {row.outcome} ({row.duration})", highlight=False, markup=False)
        console.print(f"  {row.met}", highlight=False, markup=False, soft_wrap=True)
        if chosen.write or not trying:
            text = page.read_text("utf-8") if page.exists() else ""
            page.write_text(with_row(text, row), "utf-8")
    return int(failed)


def _parsed(arguments: Sequence[str], checks: Mapping[str, Check]) -> argparse.Namespace:
    listed = "".join(f"\n  {one.name:24} {one.count:,}: {one.what}" for one in checks.values())
    parser = argparse.ArgumentParser(
        prog="make long",
        description="Run the long counts, or one of them, and write docs/reference/long-runs.md.",
        epilog=f"checks:{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the check; default: all")
    parser.add_argument("--count", type=_positive, help="to try out; no row is written")
    parser.add_argument("--seed", type=int, help="to try out; no row is written")
    parser.add_argument("--write", action="store_true", help="write the row all the same")
    chosen = parser.parse_args(arguments)
    if chosen.name and chosen.name not in checks:
        parser.error(f"no check is named {chosen.name!r}; there are: {', '.join(checks)}")
    return chosen


def _row(check: Check, count: int, seed: int, console: Console) -> Row:
    """Run a check; return the row that tells of it, whatever came out."""
    console.print(
        f"{check.name}: {count:,} from seed {seed} ({check.what})", highlight=False, soft_wrap=True
    )
    # Before it runs: what is edited meanwhile is not what runs.
    commit, src = source()
    began = monotonic()
    met: Counter[str] = Counter()
    try:
        with Bar(check.name, count, console) as bar:
            met = check.run(count, seed, bar)
        if count >= check.count:
            reached(met, check.floors)
        outcome = "holds"
    except Exception as error:
        console.print_exception()
        first = (str(error).splitlines() or [""])[0][:200]
        outcome = f"fails: {type(error).__name__}: {first}"
    took = monotonic() - began
    return Row(check.name, f"{count}", f"{seed}", commit, src, f"{took:.0f} s", outcome, _told(met))


def _told(met: Counter[str]) -> str:
    return ", ".join(f"{what} {many}" for what, many in sorted(met.items())) or "nothing"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
