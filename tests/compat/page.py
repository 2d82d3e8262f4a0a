"""The page of versions; ``python -m tests.compat.page`` writes it, a test compares it."""

from __future__ import annotations

from pathlib import Path

from catena.wire import versions
from catena.wire.lost import LOST
from tests.compat.table import PAIRS, Row, read_table

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "versions.md"

SINCE = {versions.DELTA: "0.1.0", versions.NAMES: "0.1.0"}
"""The first release with a capability, by name, where it is not 0.2.0."""

HEAD = """\
# Versions that work together

<!-- Written by `python -m tests.compat.page`, from tests/compat/skew.toml; edits are lost. -->

Callers and workers of different releases work together within one major version of the protocol, in
both directions. Each link begins with a greeting, in which both ends name their protocol, their
release and their capabilities. Only what both ends are capable of is used. A peer of another major
version is refused with a [VersionRefused](errors.md#version-refused), which names both versions and
the side to upgrade, before anything else is read.

Release 0.1.0 speaks protocol 1.0, and this release protocol {protocol}. Both are shown by the
[log record](telemetry.md#linkopened) of each link, which also names the capabilities that the other
end lacks:

```text
the link to w0 is up, with version 0.1.0 and protocol 1.0 there, which lacks pings, slots, …
```

## Capabilities

| Capability | Since | Without it |
|---|---|---|
{capabilities}

## What holds between 0.1.0 and this release

The tests run every feature below between both releases, with 0.1.0 as it was released and the
oldest packages that it works with. A feature is **intact** when it does between them what it does
between two processes of this release. One that is not intact is lost, and the table has the error
or the [event](events.md) that says so: **error** is what the caller gets, and **event** what one of
the processes announces. For `LinkOpened`, the capability follows that is named there as lacking.
With **–**, the caller is of 0.1.0, which does not have the feature.

| Feature | Clauses | {pairs} |
|---|---|{lines}|
{rows}

## Faults of 0.1.0

Release 0.1.0 stays as it is. What is wrong with it is worked around as far as that is possible from
the other end of a link:

- *It never makes a link anew.* When a worker is replaced, callers of 0.1.0 do not reach the new
  one, even at the same address, and neither do the nested calls of workers of 0.1.0. A call for
  which no worker is left fails with `WorkerLost(begun=False)`. Upgrade callers before workers, and
  restart a caller of 0.1.0 when its workers were replaced.
- *It keeps the members that came first with the id of a pool.* A caller of this release therefore
  gives the pool another id there whenever its members change. As 0.1.0 forgets none of them, this
  is done 64 times for each link.
- *It does not pass on what came without a chain.* Carried variables reach a worker behind one of
  0.1.0 only if the call has a chain. A call has one as soon as a `catena.ContextVar` was set.

## A process that speaks an older protocol

With `CATENA_EMULATE_PROTOCOL=0.1`, a process speaks protocol 1.0: it names that version and the
capabilities of 0.1.0 in its greeting, and sends no frame and no field that 0.1.0 does not know.
Workers inherit the variable from the process that opens their pool. This shows on one machine, and
without an old release, what a deployment loses while it is mixed.

What is pickled is not changed by it: functions, exceptions and options are written as this release
writes them. Each such process logs a warning when it makes its first link. Any value but `0.1` is
an error when Catena is imported.
"""


def page() -> str:
    """Return the page."""
    return HEAD.format(
        protocol=versions.PROTOCOL,
        capabilities="\n".join(
            f"| `{name}` | {SINCE.get(name, '0.2.0')} | {lost[0].upper()}{lost[1:]}. |"
            for name, lost in LOST.items()
        ),
        pairs=" | ".join(one[0].upper() + one[1:] for one in PAIRS.values()),
        lines="|".join("---" for _ in PAIRS),
        rows="\n".join(map(_show_row, read_table().values())),
    )


def _show_row(row: Row) -> str:
    cells = " | ".join(_show_cell(cell) for cell in row.cells.values())
    return f"| {row.feature} | {row.clauses} | {cells} |"


def _show_cell(cell: str) -> str:
    if cell in ("intact", "absent"):
        return {"intact": "intact", "absent": "–"}[cell]
    name, _, lacking = cell.partition(": ")
    if name.endswith("Error"):
        return f"error `{name}`"
    return f"event `{name}`" + (f", `{lacking}`" if lacking else "")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
