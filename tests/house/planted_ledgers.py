"""The faults that the counts of crossing tokens have to find, each by its title."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Self
from unittest.mock import patch

import catena
from catena.context.ledger import CallLedger, Ledger
from tests.integration import token_counts
from tests.integration.test_token_counts import (
    test_a_step_that_sets_costs_the_same_however_many_there_were as a_stream,
    test_nothing_stays_of_dispatches_whose_tokens_cross as dispatches,
)
from tests.laws.fault import keep

__all__ = ["CHECKS"]

CHECKS = (dispatches, a_stream)

_note_spent, _for_frame = Ledger.note_spent, Ledger.for_frame
_LAST = 16


class Always:
    """Stands for a weak reference to a token: one that does not forget."""

    def __call__(self) -> None:
        """Return no token."""


def _spend_for_good(self: Ledger, id: bytes, **options: Any) -> None:
    _note_spent(self, id, **options)
    self.spent[id] = Always()  # type: ignore[assignment]


def _call_for_good(self: Ledger, known: CallLedger | None, **options: Any) -> Any:
    spent, live, call = _for_frame(self, known, **options)
    if known is None:
        _hoard.append(call)
    return spent, live, call


def _all_of_it(self: Ledger, call: CallLedger | None, **options: Any) -> Any:
    known = () if call is None else tuple(call.known)
    spent, live, call = _for_frame(self, call, **options)
    return spent, (*known, *live)[-_LAST:] if known else live, call


_hoard: list[Any] = []

dropping_nothing = patch.object(Ledger, "note_spent", _spend_for_good)
sending_all = patch.object(Ledger, "for_frame", _all_of_it)


@catena.routine
async def plant_there(name: str) -> None:
    """Plant a fault in the worker, which ends with the pool."""
    {"dropping nothing": dropping_nothing, "sending all": sending_all}[name].start()


async def _dropping_nothing_there() -> None:
    await plant_there("dropping nothing")


async def _sending_all_there() -> None:
    await plant_there("sending all")


class Hoarding(ExitStack):
    """Plants a ledger that keeps its calls, and lets go of them in the end."""

    def __enter__(self) -> Self:
        self.callback(_hoard.clear)
        self.enter_context(patch.object(Ledger, "for_frame", _call_for_good))
        return self


keep("a spent id is never dropped", dropping_nothing, dispatches, a_stream)
keep("the ledgers of calls stay when these have ended", Hoarding(), dispatches)
keep("a caller sends with every frame all ids that it has sent", sending_all, a_stream)
keep(
    "a worker never drops a spent id",
    patch.object(token_counts, "prepare", _dropping_nothing_there),
    a_stream,
)
keep(
    "a worker sends with every frame all ids that it has sent",
    patch.object(token_counts, "prepare", _sending_all_there),
    a_stream,
)
