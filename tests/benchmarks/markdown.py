"""The Markdown that the pages are made of: tables and cells. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .ratios import Finding, Spread


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def number(cell: Spread, digits: int = 0) -> str:
    """A cell with its range, each value with so many decimals."""
    values = (cell.median, cell.least, cell.greatest)
    middle, least, greatest = (f"{value:,.{digits}f}" for value in values)
    return f"{middle} ({least}-{greatest})"


def times(cell: Spread) -> str:
    """A ratio with its range."""
    values = (cell.median, cell.least, cell.greatest)
    middle, least, greatest = (f"{value:.{0 if value >= 100 else 2}f}" for value in values)
    return f"{middle}x ({least}-{greatest})"


def finding(one: Finding) -> str:
    """A line of a list: the aim, what was reached, and by how much it was missed."""
    most = "at least" if one.is_floor else "at most"
    aim, missed_by = (_amount(value, one.unit) for value in (one.aim, one.missed_by))
    verdict = f"**missed** by {missed_by}" if one.missed_by else "**met**"
    reached = times(one.reached) if one.unit == "x" else number(one.reached) + one.unit
    return f"- {one.what}: {most} {aim}, reached {reached}, {verdict}"


def _amount(value: float, unit: str) -> str:
    digits = f"{value:.2f}" if unit == "x" else f"{value:,.0f}"
    # What is too little to be seen in these digits is not nothing.
    return f"{value:.2g}{unit}" if value and not digits.strip("0.") else digits + unit
