"""No answer says anything of the proxy: its id and its encoded form are looked for in all of them.

The law of leases looks at the answers of calls that end in every way. Here is what shows that its
probe finds what there is to be found.
"""

from __future__ import annotations

import pytest

import catena
from catena.context.proxy import proxy
from catena.dispatch.dispatcher import dispatcher
from catena.wire import codec
from tests.dispatch.tapped import tapped
from tests.laws.lease_calls import CANARY, check_answers
from tests.support import isolated, run

_SAID = CANARY[0].decode()


@catena.routine
async def rebind() -> str:
    """Set the proxy as any variable is set, which puts it into the chain."""
    proxy.set(_SAID)
    return "done"


async def answers_of_rebinding() -> list[bytes]:
    """Return what a worker answers to a routine that rebinds the proxy."""
    async with tapped() as ends:
        through = dispatcher.get(None)
        assert await rebind() == "done"
        assert dispatcher.get(None) is through
        return [codec.encode_message([one]) for one in ends.answered]


@isolated
def test_what_a_worker_rebinds_does_not_come_back() -> None:
    """P1: the policy keeps it from every answer, also where it is in the chain."""
    messages = run(answers_of_rebinding())

    assert messages
    check_answers(messages)


@isolated
def test_the_probe_finds_it_where_the_policy_is_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers, and the probe finds both key and bytes; the caller is not rebound."""
    monkeypatch.setattr(proxy, "_propagate", "both")

    messages = run(answers_of_rebinding())

    with pytest.raises(AssertionError, match="the proxy is in an answer"):
        check_answers(messages)
    with pytest.raises(AssertionError, match="names the proxy"):
        check_answers([one.replace(CANARY[0], b"-" * 16) for one in messages])
