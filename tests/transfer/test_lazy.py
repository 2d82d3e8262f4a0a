"""What a named state keeps as bytes is decoded by the call that first reads it, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import catena
from catena.context.ownership import fork_here
from catena.dispatch.payloads import LENIENT
from tests.support import run, variable
from tests.transfer.ends import Link, Scope, entries_of


class Watched:
    """A value that counts how often it is decoded, and may refuse to be."""

    decoded = 0
    opens = True

    def __init__(self) -> None:
        self.items: list[Any] = []

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not Watched.opens:
            raise ValueError("not now")
        Watched.decoded += 1
        self.__dict__.update(state)


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    yield
    Watched.opens = True


def met(*values: Any) -> tuple[Link, Scope, list[catena.ContextVar[Any]]]:
    """Return a link that has carried a state with these values, and its caller."""
    variables = [variable(default="default") for _ in values]
    link, caller = Link(), Scope()
    for var, value in zip(variables, values, strict=True):
        caller.set(var, value)
    link.call(caller)
    Watched.decoded = 0
    return link, caller, variables


def test_a_value_is_decoded_when_a_call_first_reads_it() -> None:
    """M2: not at the mount, and once for the call; a call that does not read it pays nothing."""
    link, caller, (var,) = met(Watched())

    worker, _ = link.call(caller)
    nobody, _ = link.call(caller)

    assert Watched.decoded == 0
    assert worker.get(var) is worker.get(var)
    assert Watched.decoded == 1
    assert nobody.bound == {var}
    assert nobody.capture(to_worker=False).entries == b""


def test_forks_of_a_call_read_the_same_object() -> None:
    """C5, C15: as a task's copy of the context would; what a fork changes in it comes back."""
    link, caller, (var,) = met(Watched())
    worker, _ = link.call(caller)
    chain = worker.chain
    assert chain is not None
    fork = Scope(worker.context.copy())
    fork.run(fork_here, chain)

    fork.get(var).items.append("the fork's")
    assert worker.get(var) is fork.get(var)
    worker.answer(caller)

    assert caller.get(var).items == ["the fork's"]
    assert Watched.decoded == 2


def test_a_fork_reads_what_its_parent_never_does() -> None:
    """C15: the parent answers with what its fork changed, though it has not looked itself."""
    link, caller, (var,) = met([])
    worker, _ = link.call(caller)
    chain = worker.chain
    assert chain is not None
    fork = Scope(worker.context.copy())
    fork.run(fork_here, chain)

    fork.get(var).append(1)
    worker.answer(caller)

    assert caller.get(var) == [1]


def test_what_nobody_read_goes_on_as_the_bytes_that_came() -> None:
    """V2: a relay neither decodes nor encodes it; what it reads afterwards, it compares."""
    link, caller, (var,) = met(Watched())
    middle, _ = link.call(caller)
    onward = Link()

    end, manifest = onward.call(middle)

    assert Watched.decoded == 1, "the end of the relay has met it for the first time"
    assert entries_of(manifest)[var.key].value == LENIENT.dumps(caller.get(var))
    assert onward.call(middle)[1].entries == b""
    middle.get(var)
    assert onward.call(middle)[1].entries == b""
    middle.get(var).items.append(1)
    _, manifest = onward.call(middle)
    assert LENIENT.loads(entries_of(manifest)[var.key].value).items == [1]
    assert end.get(var).items == []


def test_a_token_gives_back_what_nobody_had_read() -> None:
    """T1: the reset restores the bytes, and the old value is the object that a read would give."""
    link, caller, (var,) = met(Watched())
    worker, _ = link.call(caller)

    token = worker.set(var, "mine")
    worker.run(var.reset, token)
    assert Watched.decoded == 0
    assert worker.capture(to_worker=False).entries == b""
    token = worker.set(var, "mine")
    old = token.old_value
    worker.run(var.reset, token)

    assert worker.get(var) is old
    assert Watched.decoded == 1


def test_a_token_crosses_with_an_old_value_that_nobody_has_read() -> None:
    """T3: as the bytes that came; decoded where somebody asks for it."""
    link, caller, (var,) = met(Watched())
    worker, _ = link.call(caller)
    token = worker.set(var, "mine")

    data = worker.run(LENIENT.dumps, token)

    assert Watched.decoded == 0
    assert data.count(b"Watched") == 1
    token.old_value.items.append(1)
    assert Watched.decoded == 1


@pytest.mark.parametrize("ask", ["get", "old_value"])
def test_bytes_that_open_no_more_cost_their_reader_the_value(ask: str) -> None:
    """M2: get warns and falls back, old_value raises; the call goes on with them all the same."""
    link, caller, (var, other) = met(Watched(), 1)
    worker, _ = link.call(caller)
    Watched.opens = False

    if ask == "get":
        with pytest.warns(catena.SerializationWarning, match="not now"):
            assert worker.run(var.get) == "default"
    else:
        token = worker.set(var, 1)
        with pytest.raises(catena.SerializationError, match="not now"):
            _ = token.old_value
        worker.run(var.reset, token)
    assert worker.get(other) == 1
    assert worker.capture(to_worker=False).entries == b""
    Watched.opens = True
    assert worker.get(var).items == []


def test_what_is_set_over_it_is_never_decoded() -> None:
    """M3: the worker's own value wins there and comes back."""
    link, caller, (var, kept) = met(Watched(), [])
    worker, _ = link.call(caller)
    worker.set(var, "mine")

    worker.answer(caller)

    assert (caller.get(var), caller.get(kept), Watched.decoded) == ("mine", [], 0)


def test_what_the_call_sent_anew_is_not_read_from_the_state() -> None:
    """M9: an entry that differs replaces the kept one, and so does a reset."""
    link, caller, (var, gone, kept) = met(Watched(), [1], [2])
    token = caller.set(var, "new")
    caller.run(gone.reset, caller.set(gone, 0))
    worker, _ = link.call(caller)
    assert [worker.get(one) for one in (var, gone, kept)] == ["new", [1], [2]]
    caller.run(var.reset, token)

    again, _ = link.call(caller)

    assert again.get(var).items == []
    assert again.get(kept) == [2]


def test_a_value_that_holds_a_token_is_decoded_at_the_mount() -> None:
    """T3, T8: a token that has arrived has to be known, read or not."""
    var = variable()
    caller, link = Scope(), Link()
    token = caller.set(var, 1)
    caller.set(var, {"token": token})
    link.call(caller)

    worker, manifest = link.call(caller)

    assert manifest.base
    assert worker.chain is not None
    assert worker.chain.state.materialize()[var].lazy is None
    assert worker.get(var)["token"] == token


def test_threads_and_tasks_of_a_call_share_what_one_of_them_decodes() -> None:
    """C5, C10: a thread and a task that read at their first chance see one object."""
    link, caller, (var,) = met(Watched())
    worker, _ = link.call(caller)
    seen: list[Any] = []

    async def look() -> None:
        seen.append(var.get())

    async def work() -> None:
        await asyncio.gather(look(), catena.to_thread(lambda: seen.append(var.get())))
        await look()

    async def main() -> None:
        await asyncio.get_running_loop().create_task(work(), context=worker.context)

    run(main())

    assert len({id(one) for one in seen}) == 1
    assert len(seen) == 3


def test_how_a_value_is_written_is_found_out_once_for_all_calls() -> None:
    """C15, M9: calls that name one state compare with the same bytes, and see their own changes."""
    link, caller, (var,) = met([])
    first, _ = link.call(caller)
    first.get(var)
    base = link.base_of(link.capture(caller).manifest)
    assert base is not None
    known = base.written[var]
    assert known is base.lazy[var], "kept once"

    second, _ = link.call(caller)
    assert second.get(var) == []
    assert second.capture(to_worker=False).entries == b""
    second.get(var).append(2)
    sent = entries_of(second.capture(to_worker=False))

    assert base.written == {var: known}
    assert LENIENT.loads(sent[var.key].value) == [2]
    assert first.capture(to_worker=False).entries == b""
    caller.set(var, ["new"])
    third, _ = link.call(caller)
    assert third.get(var) == ["new"]
    assert third.capture(to_worker=False).entries == b""
