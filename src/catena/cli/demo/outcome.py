"""What a run tells while it lasts and when it has ended, as values.

Its one rule: everything that the report shows is in here, so a report is made without a worker.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from catena.cli.demo.rows import Analysis
from catena.cli.demo.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: files read, of files known (None before the listing), functions found."""

    read: int = 0
    known: int | None = None
    functions: int = 0


@dataclass(frozen=True, slots=True)
class Calls:
    """How many calls each worker process ran, by process id, told by the routines themselves."""

    listings: Counter[int] = field(default_factory=Counter[int])
    files: Counter[int] = field(default_factory=Counter[int])
    nested: Counter[int] = field(default_factory=Counter[int])

    @property
    def total(self) -> int:
        """All calls, nested or not."""
        return self.listings.total() + self.files.total() + self.nested.total()

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of all processes that ran a call, in order."""
        return tuple(sorted({*self.listings, *self.files, *self.nested}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the context variable brought back: changes made on workers and seen here.

    ``skipped`` is what the run started with, ``set_aside`` what a worker added; ``files`` and
    ``functions`` count the calls that noted themselves, the latter from two processes away.
    """

    run: str
    skipped: tuple[str, ...]
    set_aside: tuple[str, ...]
    files: int
    functions: int

    @property
    def changes(self) -> int:
        """All changes."""
        return len(self.set_aside) + self.files + self.functions


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found and how it was done."""

    analysis: Analysis
    calls: Calls
    context: Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What the second analysis, in this process and without Catena, says about the first.

    ``rows`` counts what was compared, ``differences`` has a line for each row that is not the same.
    """

    rows: int
    differences: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything there is to show about a finished run; ``seconds`` leaves out the check."""

    root: str
    workers: int
    outcome: Outcome
    seconds: float
    check: Check | None = None
    trace: Trace | None = None

    @property
    def failed(self) -> bool:
        """Whether the check found a difference."""
        return self.check is not None and bool(self.check.differences)
