"""The faults that the token oracle has to find, planted on both sides of every link.

A worker is another process: it learns from its environment which fault to plant, and does so when
it imports the oracle's routines.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, cast
from unittest.mock import patch

from catena.context import ownership
from catena.context.chain import Chain, State, current
from catena.context.ledger import Ledger, tokens
from catena.context.var import ContextVar, Token
from catena.dispatch.worker import run_coroutine as running
from catena.transfer import capture

__all__ = ["FAULTS", "Planted", "plant_what_is_asked_for"]

_ASKED_FOR = "CATENA_TEST_FAULT"
_answer, _with_tokens = running.capture_answer, capture._with_tokens
_undo, _place = Token._undo_set, ownership.place_chain
_set, _reset = ContextVar.set, ContextVar._undo_set


def _accept(self: Token[Any], home: Any) -> bool:
    if _undo(self, home):
        return True
    if self._native is None:
        self.variable.backing.set(self._load_crossed_value())
    return self._native is None


def _accept_none(self: Ledger, one: bytes) -> bool:
    return False


def _place_with_ids(chain_id: bytes, parent: bytes, state: State, task: Any) -> Chain:
    forked_from = current.get()
    chain = _place(chain_id, parent, state, task)
    if forked_from is not None and forked_from.id == parent:
        chain.home.ledger = forked_from.home.ledger
    return chain


def _other_order(self: ContextVar[Any], chain: Chain | None, token: Token[Any]) -> str:
    return "foreign" if token.var is not self else _reset(self, chain, token)


def _capture_when_unarmed(values: Any, baseline: Any, **options: Any) -> Any:
    return _answer(values, baseline, **options) if baseline is None else (None, baseline)


def _set_and_forget(self: ContextVar[Any], value: Any) -> Token[Any]:
    chain = current.get()
    if chain is not None and chain.home.ledger is not None:
        for call in chain.home.ledger.calls:
            call.unsent = [
                one for one in call.unsent if cast("Token[Any]", tokens[one]).var is not self
            ]
    return _set(self, value)


def _send_new_calls_alone(captured: Any, home: Any, call: Any) -> Any:
    return _with_tokens(captured, home, call) if call is None else captured


FAULTS: dict[str, Callable[[], Any]] = {
    "the ledger is not sent back": lambda: patch.object(
        capture, "_with_tokens", _send_new_calls_alone
    ),
    "every crossed token is accepted": lambda: patch.object(Token, "_undo_set", _accept),
    "no crossed token is accepted": lambda: patch.object(Ledger, "is_live", _accept_none),
    "a fork keeps the live ids": lambda: patch.object(ownership, "place_chain", _place_with_ids),
    "the variable is checked before the use": lambda: patch.object(
        ContextVar, "_undo_set", _other_order
    ),
    "a spent id is forgotten at the next set": lambda: patch.object(
        ContextVar, "set", _set_and_forget
    ),
    "an answer to an armed call brings nothing back": lambda: patch.object(
        running, "capture_answer", _capture_when_unarmed
    ),
}
"""What makes the patch, by a sentence that is true while it is open."""


class Planted(AbstractContextManager[None]):
    """A fault in this process, and in every worker that starts meanwhile."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack = ExitStack()

    def __enter__(self) -> None:
        self._stack.enter_context(patch.dict(os.environ, {_ASKED_FOR: self._name}))
        self._stack.enter_context(FAULTS[self._name]())

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def plant_what_is_asked_for() -> None:
    """Plant the fault that the environment names, if it names one, for good."""
    name = os.environ.get(_ASKED_FOR)
    if name:
        FAULTS[name]().start()
