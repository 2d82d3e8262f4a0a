"""The faults that the count of live objects has to find, each by its title."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest.mock import patch

import catena
from catena.context.chain import current
from catena.context.var import Token
from catena.dispatch.caller.call import Call
from catena.dispatch.worker import run_coroutine as running
from tests.integration import accumulating
from tests.integration.test_nothing_accumulates import (
    test_nothing_stays_of_dispatches_with_set_reset_and_fork as a_count,
)
from tests.laws.fault import keep

__all__ = ["CHECKS"]

CHECKS = (a_count,)

_mint, _leave, _unmount = Token.mint, Call._leave_table, running.unmount


class Keeping(AbstractContextManager[None]):
    """Plants something that keeps objects in a list, and lets go of them in the end."""

    def __init__(self, target: Any, name: str, replacement: Any) -> None:
        self._planted = target, name, replacement
        self._stack = ExitStack()

    def __enter__(self) -> None:
        self._stack.callback(_hoard.clear)
        self._stack.enter_context(patch.object(*self._planted))

    def __exit__(self, *_: object) -> None:
        self._stack.close()


_hoard: list[Any] = []


def _mint_and_keep(*args: Any) -> Token[Any]:
    _hoard.append(token := _mint(*args))
    return token


def _leave_and_keep(self: Call) -> None:
    _hoard.append(self)
    _leave(self)


def _unmount_and_keep() -> None:
    _hoard.append(current.get())
    _unmount()


@catena.routine
async def keep_there() -> None:
    """Plant the fault in the worker, which ends with the pool."""
    patch.object(running, "unmount", _unmount_and_keep).start()


async def _keep_there() -> None:
    await keep_there()


keep(
    "the caller keeps every token",
    Keeping(Token, "mint", staticmethod(_mint_and_keep)),
    a_count,
)
keep("the caller keeps every call", Keeping(Call, "_leave_table", _leave_and_keep), a_count)
keep(
    "a worker keeps every chain that it unmounts",
    Keeping(accumulating, "prepare", _keep_there),
    a_count,
)
