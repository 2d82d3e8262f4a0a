"""The faults that the law of endings has to find: nets, hooks and circles, on either side."""

from __future__ import annotations

import pickle
from contextlib import AbstractContextManager
from typing import Any, NoReturn
from unittest.mock import patch

import catena
from catena import wording
from catena.dispatch.caller import answers
from catena.dispatch.worker import run_coroutine as running, session
from catena.dispatch.worker.session import Session
from catena.pickling import pickler
from tests.laws import endings
from tests.laws.endings_hostile import Hostile
from tests.laws.fault import keep
from tests.laws.test_endings import test_every_call_ends_and_leaves_nothing as a_call

__all__ = ["CHECKS", "Trusting"]

CHECKS = (a_call,)

_dump, _reply = running.pickle_exception, Session.send_answer


def _dump_or_leave(error: BaseException, **names: str) -> bytes:
    """Write an exception as somebody does who trusts it."""
    if issubclass(type(error), Hostile):
        raise SystemExit("from what writes an end down")
    return _dump(error, **names)


def _raise(*_: object) -> NoReturn:
    raise KeyboardInterrupt("from a net with a hole")


def _reply_and_keep(self: Session, frame: Any) -> None:
    runs = self.running
    _reply(self, frame)
    # What runs refers to its session.
    self.running = runs


def _open_trustfully(payload: bytes, *_: object) -> Any:
    return pickle.loads(payload)


TRUSTED = tuple(
    patch.object(module, "pickle_exception", _dump_or_leave) for module in (running, session)
)
FAULTS: dict[str, tuple[Any, ...]] = {
    "the net alone": TRUSTED,
    "no net": (
        *TRUSTED,
        patch.object(running, "plain_exception", _raise),
    ),
    "a circle": (patch.object(Session, "send_answer", _reply_and_keep),),
    "a text is trusted": (patch.object(wording, "text_of", str),),
    "a pickle is trusted": (
        patch.object(pickler, "loads", pickle.loads),
        patch.object(running, "unpickle_payload", _open_trustfully),
    ),
}


@catena.routine
async def plant_there(name: str) -> None:
    """Plant a fault in the worker, which ends with the pool."""
    for one in FAULTS[name]:
        one.start()


class Trusting(AbstractContextManager[None]):
    """Plants a fault in every worker that a check starts."""

    def __init__(self, name: str) -> None:
        async def prepare() -> None:
            await plant_there(name)

        self._patch = patch.object(endings, "prepare", prepare)

    def __enter__(self) -> None:
        self._patch.start()

    def __exit__(self, *_: object) -> None:
        self._patch.stop()


keep("a worker has no net under what writes an end down", Trusting("no net"), a_call)
keep("a session keeps what ran for it", Trusting("a circle"), a_call)
keep("a worker trusts that each error has a text", Trusting("a text is trusted"), a_call)
keep("a worker opens whatever comes, without a net", Trusting("a pickle is trusted"), a_call)
keep(
    "a caller opens whatever comes, without a net",
    patch.object(answers, "unpickle_payload", _open_trustfully),
    a_call,
)
