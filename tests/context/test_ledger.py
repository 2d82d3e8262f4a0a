"""Token ledgers: which ids a frame takes along, of which calls, and what is forgotten."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Callable
from typing import Any

import pytest

import catena
from catena.context import ledger as ledgers
from catena.context.chain import current
from catena.context.ledger import Ledger
from catena.context.var import restore_token
from catena.errors import ChainSerializationError
from catena.pickling import pickler
from catena.transfer import mount
from tests.support import isolated, run, variable
from tests.transfer.ends import Scope

FORGED = b"f" * 16


def crossing(scope: Scope, var: catena.ContextVar[Any], value: Any = 1) -> catena.Token[Any]:
    """Set a value there, write the token as a payload is written, and return it."""
    token = scope.set(var, value)
    scope.run(pickler.dumps, token)
    return token


def book(scope: Scope) -> Ledger:
    """Return the ledger there."""
    chain = scope.chain
    assert chain is not None
    assert chain.home.ledger is not None
    return chain.home.ledger


def arrived(id: bytes, var: catena.ContextVar[Any]) -> catena.Token[Any]:
    """Return the token that a payload brought, minted elsewhere."""
    return restore_token(id, var, pickler.loads, pickler.dumps("before"), "", False)


def refused(call: Callable[..., Any], *args: Any) -> str:
    """Return what a reset says that is refused."""
    with pytest.raises((ValueError, RuntimeError)) as caught:
        call(*args)
    return str(caught.value)


def test_a_context_without_crossed_tokens_has_no_ledger() -> None:
    """T8: neither a set nor a reset opens one, and the manifest is silent; crossing does."""
    scope, var = Scope(), variable()
    scope.run(var.reset, scope.set(var, 1))
    token = scope.set(var, 2)
    assert scope.chain is not None
    assert scope.chain.home.ledger is None
    assert scope.capture(to_worker=True).live == ()

    scope.run(pickler.dumps, token)

    assert scope.capture(to_worker=True).live == (token.id,)


def test_a_live_id_is_sent_once() -> None:
    """T5: what a call has sent it does not send again; a later call does."""
    scope, var = Scope(), variable()
    first = crossing(scope, var)
    assert scope.capture(to_worker=True).live == (first.id,)
    assert scope.capture_drive().live == ()
    second = crossing(scope, var)
    assert scope.capture_drive().live == (second.id,)
    assert set(scope.capture(to_worker=True).live) == {first.id, second.id}


def test_what_is_spent_is_sent_to_each_open_call_that_knew_it_live() -> None:
    """T4, T8: a reset here reaches the calls that know the id, once each, and no other."""
    scope, var = Scope(), variable()
    token = crossing(scope, var)
    open_ledger = book(scope)
    *_, one = scope.run(open_ledger.for_frame, None)
    *_, two = scope.run(open_ledger.for_frame, None)
    stranger = ledgers.CallLedger()
    scope.run(var.reset, token)
    assert scope.run(open_ledger.for_frame, one)[:2] == ((token.id,), ())
    assert scope.run(open_ledger.for_frame, one)[:2] == ((), ())
    assert scope.run(open_ledger.for_frame, two)[:2] == ((token.id,), ())
    assert scope.run(open_ledger.for_frame, stranger)[:2] == ((), ())


def test_a_spent_id_is_sent_to_later_calls_while_its_token_lives() -> None:
    """T8: and is forgotten with the token."""
    scope, var = Scope(), variable()
    token = crossing(scope, var)
    scope.capture(to_worker=True)
    scope.run(var.reset, token)
    assert scope.capture(to_worker=True).spent == (token.id,)
    del token
    gc.collect()
    assert scope.capture(to_worker=True).spent == ()
    assert not book(scope).spent


def test_a_token_that_was_used_before_it_crossed_is_sent_as_spent() -> None:
    """T4: nobody takes it for good."""
    scope, var = Scope(), variable()
    token = scope.set(var, 1)
    scope.run(var.reset, token)
    scope.run(pickler.dumps, token)
    manifest = scope.capture(to_worker=True)
    assert (manifest.spent, manifest.live) == ((token.id,), ())


def test_a_token_that_is_gone_is_forgotten() -> None:
    """T8: a live id minted here lives as long as its token."""
    scope, var = Scope(), variable()
    token = crossing(scope, var)
    scope.capture(to_worker=True)
    assert set(book(scope).live) == {token.id}
    other = crossing(scope, var)
    del token, other
    gc.collect()
    assert not book(scope).live
    assert not book(scope).crossing


def test_a_token_that_comes_back_while_its_call_is_open_is_good() -> None:
    """T5: what a call knows holds, though the object here was gone meanwhile."""
    scope, var = Scope(), variable()
    scope.set(var, "before")
    token = crossing(scope, var)
    id = token.id
    scope.capture(to_worker=True)
    del token
    gc.collect()
    token = arrived(id, var)
    assert scope.capture_drive().live == ()
    scope.run(var.reset, token)
    assert scope.get(var) == "before"
    assert scope.capture_drive().spent == (id,)
    scope.calling = None
    gc.collect()
    assert not book(scope).is_live(id)


def test_a_token_of_a_copy_of_the_context_is_never_live() -> None:
    """T6: crossing does not make an orphan good, though the chain is the same."""
    scope, var = Scope(), variable()
    scope.set(var, "before")
    orphan = scope.context.copy().run(var.set, "set")
    scope.run(pickler.dumps, orphan)
    manifest = scope.capture(to_worker=True)
    assert (manifest.spent, manifest.live) == ((), ())
    assert "in a different Context" in refused(scope.run, var.reset, orphan)
    assert (scope.get(var), orphan.used) == ("before", False)


@pytest.mark.parametrize("old", [None, 0, "before"])
def test_a_token_that_proved_its_context_resets_as_before(old: Any) -> None:
    """T5: asking a token whether it opens the Context changes neither value nor old value."""
    scope, var = Scope(), variable()
    if old is not None:
        scope.set(var, old)
    token = crossing(scope, var, "set")
    expected = token.old_value
    scope.capture(to_worker=True)
    assert (scope.get(var), token.old_value) == ("set", expected)
    later = scope.set(var, "later")
    scope.run(var.reset, token)
    assert scope.get(var) == ("unset" if old is None else old)
    scope.run(var.reset, later)
    assert scope.get(var) == "set"


def test_an_answers_ids_are_kept_when_their_tokens_arrive() -> None:
    """T7: an id whose token did not come with the answer goes to nobody, and ends with its call."""
    scope, var = Scope(), variable()
    scope.set(var, 1)
    assert scope.chain is not None
    open_ledger = scope.chain.home.open_ledger()
    calls = [ledgers.CallLedger()]
    came, never = b"1" * 16, b"2" * 16
    scope.run(lambda: open_ledger.receive((), (came, never), calls[0], to_worker=False))
    token = arrived(came, var)
    assert open_ledger.is_live(came)
    assert open_ledger.is_live(never)
    scope.capture(to_worker=True)
    assert set(open_ledger.live) == {came}
    calls.clear()
    scope.calling = None
    assert open_ledger.is_live(came)
    assert not open_ledger.is_live(never)
    scope.run(var.reset, token)
    assert scope.get(var) == "before"


def test_an_answer_spends_only_what_its_call_knows() -> None:
    """T4: an id of another call, or of none, is not touched."""
    scope, var = Scope(), variable()
    mine = crossing(scope, var)
    open_ledger = book(scope)
    stranger = ledgers.CallLedger()
    scope.run(lambda: open_ledger.receive((mine.id, FORGED), (), stranger, to_worker=False))
    assert not mine.used
    *_, call = scope.run(open_ledger.for_frame, None)
    scope.run(lambda: open_ledger.receive((mine.id,), (), call, to_worker=False))
    assert mine.used
    assert call.unsent == []
    assert "already been used once" in refused(scope.run, var.reset, mine)


def test_what_an_answer_spent_is_sent_to_the_other_calls() -> None:
    """T4: not to the one that brought it."""
    scope, var = Scope(), variable()
    token = crossing(scope, var)
    open_ledger = book(scope)
    *_, one = scope.run(open_ledger.for_frame, None)
    *_, two = scope.run(open_ledger.for_frame, None)
    scope.run(lambda: open_ledger.receive((token.id,), (), one, to_worker=False))
    assert scope.run(open_ledger.for_frame, one)[0] == ()
    assert scope.run(open_ledger.for_frame, two)[0] == (token.id,)


def test_a_token_that_arrives_used_is_spent_here_too() -> None:
    """T4: a payload that shows it used, by whatever way it came, ends what open calls know."""
    scope, var = Scope(), variable()
    token = crossing(scope, var)
    scope.capture(to_worker=True)
    *_, other = scope.run(book(scope).for_frame, None)
    same = restore_token(token.id, var, pickler.loads, None, "", True)
    assert same is token
    manifest = scope.capture_drive()
    assert (manifest.spent, manifest.live) == ((token.id,), ())
    assert scope.run(book(scope).for_frame, other)[:2] == ((token.id,), ())
    manifest = scope.capture(to_worker=True)
    assert (manifest.spent, manifest.live) == ((token.id,), ())
    assert not book(scope).live


def test_a_token_that_a_caller_sent_and_that_arrives_used_is_sent_to_later_hops() -> None:
    """T4: a worker that is shown a used token reports to nobody that it is live."""
    caller, worker, var = Scope(), Scope(contextvars.Context()), variable()
    caller.set(var, "before")
    worker.mount(caller.capture(to_worker=True)._replace(live=(FORGED,)), to_worker=True)
    assert worker.capture(to_worker=True).live == (FORGED,)
    token = restore_token(FORGED, var, pickler.loads, None, "", True)
    manifest = worker.capture(to_worker=True)
    assert (manifest.spent, manifest.live) == ((token.id,), ())


def test_a_sender_sends_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """T8: with more live tokens than may travel, the call is refused here."""
    monkeypatch.setattr(ledgers, "LEDGER_LIMIT", 2)
    scope, var = Scope(), variable()
    kept = [crossing(scope, var), crossing(scope, var)]
    assert len(scope.capture(to_worker=True).live) == 2
    kept.append(crossing(scope, var))
    with pytest.raises(ChainSerializationError, match="3 tokens have crossed, at most 2 do"):
        scope.capture(to_worker=True)
    kept.pop()
    gc.collect()
    assert len(scope.capture(to_worker=True).live) == 2


def test_what_was_too_much_to_send_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """T4, T8: a frame that was refused sent nothing, so the next one sends all of it."""
    monkeypatch.setattr(ledgers, "LEDGER_LIMIT", 2)
    scope, var = Scope(), variable()
    used = crossing(scope, var)
    scope.capture(to_worker=True)
    scope.run(var.reset, used)
    kept = [crossing(scope, var) for _ in range(3)]
    with pytest.raises(ChainSerializationError, match="3 tokens have crossed"):
        scope.capture_drive()
    kept.pop()
    gc.collect()
    manifest = scope.capture_drive()
    assert manifest.spent == (used.id,)
    assert set(manifest.live) == {token.id for token in kept}


@pytest.mark.parametrize("kind", ["spent", "live"])
def test_a_receiver_takes_no_more_than_the_limit(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T8: a manifest over the limit is refused, and the values that it has are not bound."""
    monkeypatch.setattr(mount, "LEDGER_LIMIT", 2)
    caller, var = Scope(), variable()
    caller.set(var, "red")
    manifest = caller.capture(to_worker=True)
    ids = tuple(bytes([n]) * 16 for n in range(3))
    worker = Scope()
    with pytest.raises(ChainSerializationError, match="it names 3 tokens, at most 2 may cross"):
        worker.mount(manifest._replace(**{kind: ids}), to_worker=True)
    assert worker.get(var) == "unset"
    assert worker.chain is None


@isolated
def test_a_fork_starts_without_a_ledger() -> None:
    """C6, T6: the child of a task knows no token of its parent."""

    async def main() -> None:
        var = variable()
        token = var.set(1)
        pickler.dumps(token)

        async def child() -> None:
            var.set(2)
            chain = current.get()
            assert chain is not None
            assert chain.home.ledger is None
            assert "in a different Context" in refused(var.reset, token)

        parent = current.get()
        assert parent is not None
        assert parent.home.ledger is not None
        await asyncio.create_task(child())
        var.reset(token)

    run(main())


def test_forward_variables_tokens_are_in_no_ledger() -> None:
    """C13: they cross as orphans."""
    scope, var = Scope(), variable(propagate="forward")
    token = crossing(scope, var)
    manifest = scope.capture(to_worker=True)
    assert (manifest.spent, manifest.live) == ((), ())
    scope.run(var.reset, token)
    assert scope.capture(to_worker=True).spent == ()


def test_ids_are_live_in_the_context_itself_alone() -> None:
    """T5: a copy of the Context that got the id does not reset the token."""
    worker, var = Scope(contextvars.Context()), variable()
    caller = Scope()
    caller.set(var, "before")
    forged = caller.capture(to_worker=True)._replace(live=(FORGED,))
    worker.mount(forged, to_worker=True)
    token = arrived(FORGED, var)
    assert "different Context" in refused(worker.context.copy().run, var.reset, token)
    worker.run(var.reset, token)
    assert worker.get(var) == "before"
    assert "already been used once" in refused(worker.run, var.reset, token)
