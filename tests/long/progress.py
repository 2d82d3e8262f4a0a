"""How far a long count is: a bar on a terminal, a plain line every five seconds elsewhere."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Bar"]

SECONDS = 5.0


class Bar:
    """Shows the progress of one check while its block is open; call it with how many are done."""

    def __init__(self, name: str, count: int, console: Console) -> None:
        self._name = name
        self._count = count
        self._console = console
        self._told = monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task(name, total=count)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int) -> None:
        """Show it."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif monotonic() - self._told >= SECONDS:
            self._told = monotonic()
            self._console.print(f"{self._name}: {done:,} of {self._count:,}", highlight=False)
