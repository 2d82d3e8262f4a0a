"""Probes: each tries one feature from a caller of any release, and raises where it is not intact.

A probe is given how to call: directly, or through another worker. What is asserted is what the
feature promises between two processes of this source.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import skew_routines as there

import catena
from catena.proxy.balance import Proxy

PROBES: dict[str, Probe] = {}
"""By the name of their row in the table."""

LONG = 3_000_000


class Probe(NamedTuple):
    """What tries a feature, and the public name of Catena that has to exist for it, if any."""

    run: Callable[[Way], Awaitable[None]]
    needs: str


class Way(NamedTuple):
    """How a probe calls: the proxy, whether through another worker, and who else there is."""

    proxy: Proxy
    nested: bool
    spare: tuple[str, str] | None

    def call(self, name: str, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Call a routine of the module of routines."""
        if self.nested:
            return there.through(name, *args, **kwargs)
        return getattr(there, name)(*args, **kwargs)

    def call_routine(self, routine: Any, *args: Any) -> Awaitable[Any]:
        """Call a routine that only the caller has."""
        return there.call_routine(routine, *args) if self.nested else routine(*args)

    def stream(self, name: str, *args: Any) -> Any:
        """Begin a stream."""
        return there.through_stream(name, *args) if self.nested else getattr(there, name)(*args)


def probe(needs: str = "") -> Callable[[Any], Any]:
    """Have the decorated function tried, under its own name."""

    def register(run: Any) -> Any:
        PROBES[run.__name__] = Probe(run, needs)
        return run

    return register


# ---- calls


@probe()
async def call(way: Way) -> None:
    """Arguments go there and the result comes back, of many calls at once."""
    results = await asyncio.gather(*(way.call("echo", n, str(n)) for n in range(20)))
    assert results == [(n, str(n)) for n in range(20)]


@probe()
async def long_payload(way: Way) -> None:
    """What is longer than a message goes in pieces, there and back."""
    data = bytes(range(256)) * (LONG // 256)
    assert await way.call("echo", data) == (data,)


@probe()
async def code_by_value(way: Way) -> None:
    """A function and an instance of a class that only the caller has."""

    class Local:
        def __init__(self, value: int) -> None:
            self.value = value

        def more(self) -> int:
            return self.value + factor

    factor = 10
    assert await way.call("call_it", lambda one: one.more(), Local(3)) == 13


@probe()
async def routine_by_value(way: Way) -> None:
    """A routine that only the caller has, with options."""

    @catena.routine(timeout=10, cancel_grace=1)
    async def local(value: int) -> tuple[int, str]:
        return value + 1, catena.__version__

    assert (await way.call_routine(local, 1))[0] == 2


@probe()
async def stream(way: Way) -> None:
    """Steps come in order; what is sent and thrown arrives, and what it set comes back."""
    there.color.set("red")
    steps = way.stream("count", 6)
    assert await anext(steps) == (0, "red")
    assert await steps.asend("green") == (1, "green")
    assert there.color.get() == "green"
    assert await steps.athrow(there.Refused("it")) == (2, "caught it")
    there.color.set("blue")
    assert [one async for one in steps] == [(3, "blue"), (4, "blue"), (5, "blue")]


@probe()
async def stream_closed_early(way: Way) -> None:
    """A stream that is closed runs its clean-up there, before aclose returns."""
    await way.call("take_notes")
    steps = way.stream("count", 9)
    await anext(steps)
    await steps.aclose()
    assert await way.call("take_notes") == ["closed"]


@probe()
async def interleaved_streams(way: Way) -> None:
    """Two streams of one chain see each other's writes at their next step."""
    one, other = way.stream("count", 3), way.stream("count", 3)
    await anext(one)
    await anext(other)
    await one.asend("of one")
    assert await anext(other) == (1, "of one")
    await one.aclose()
    await other.aclose()


@probe()
async def exception(way: Way) -> None:
    """It arrives as its own class, with all that belongs to it."""
    try:
        await way.call("fail")
    except there.Refused as error:
        assert (error.args, error.code) == (("here", 7), 4711)
        assert "a note" in error.__notes__
        assert isinstance(error.__cause__, ValueError)
        assert "in fail" in _show(error)
        return
    raise AssertionError("nothing was raised")


def _show(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@probe()
async def exception_group(way: Way) -> None:
    """Each member arrives."""
    try:
        await way.call("fail", group=True)
    except ExceptionGroup as error:
        kinds = [type(one).__name__ for one in error.exceptions]
        assert kinds == ["ValueError", "Refused"]
        return
    raise AssertionError("nothing was raised")


@probe()
async def catena_error(way: Way) -> None:
    """An error of Catena's arrives as its own class, with its facts."""
    facts = {"worker": "w", "routine": "r", "begun": True, "cause": "c"}
    try:
        await way.call("fail_with", "catena.errors", "WorkerLost", facts)
    except catena.WorkerLost as error:
        assert (error.worker, error.begun) == ("w", True)
        return
    raise AssertionError("nothing was raised")


@probe()
async def later_error(way: Way) -> None:
    """So does one whose class is of this source."""
    try:
        await way.call("fail_with", "catena.errors", "DefaultPoolExists", {"existing": "p"})
    except Exception as error:
        if type(error).__name__ == "DefaultPoolExists":
            return
        raise
    raise AssertionError("nothing was raised")


@probe()
async def unsendable_result(way: Way) -> None:
    """It is a SerializationError that names the routine."""
    try:
        await way.call("unsendable")
    except catena.SerializationError as error:
        assert "unsendable" in error.routine
        return
    raise AssertionError("nothing was raised")


# ---- context


@probe()
async def variable(way: Way) -> None:
    """A variable goes there, and comes back as the routine left it."""
    there.color.set("red")
    assert await way.call("paint", "green") == "red"
    assert there.color.get() == "green"
    assert await way.call("paint", "blue") == "green"
    assert there.color.get() == "blue"


@probe()
async def change_in_place(way: Way) -> None:
    """What is changed in place on the worker comes back."""
    there.basket.set([])
    await way.call("paint", "green")
    await way.call("paint", "blue")
    assert there.basket.get() == ["green", "blue"]


@probe()
async def forward_variable(way: Way) -> None:
    """A variable of policy forward goes there, and does not come back."""
    there.color.set("red")
    there.tenant.set("acme")
    assert await way.call("look") == ("red", "acme")
    assert there.tenant.get() == "acme"


@probe()
async def forward_variable_alone(way: Way) -> None:
    """It also goes along with a call that has no chain."""
    token = there.tenant.set("acme")
    found = await way.call("look")
    assert found == ("none", "acme")
    there.tenant.reset(token)


@probe()
async def reset_there(way: Way) -> None:
    """What the worker sets and takes back is as it was."""
    there.color.set("red")
    assert await way.call("unset") == "red"
    assert there.color.get() == "red"


@probe()
async def undeclared_variable(way: Way) -> None:
    """A variable that workers declare late, or never, keeps its value on the way."""
    late = catena.ContextVar("late", namespace="skew.late", default="none")
    late.set("of the caller")
    await way.call("echo")
    assert late.get() == "of the caller"
    assert await way.call("late", "of the worker") == "of the caller"
    assert late.get() == "of the worker"


@probe()
async def variable_as_argument(way: Way) -> None:
    """A variable that is an argument is the one that is declared there."""
    there.color.set("red")
    assert await way.call("read", there.color) == (True, "red")


@probe()
async def token_spent_there(way: Way) -> None:
    """A token of the caller is used up by the worker, for both."""
    there.color.set("red")
    token = there.color.set("green")
    assert await way.call("spend", token) == "red"
    assert there.color.get() == "red"
    try:
        there.color.reset(token)
    except RuntimeError as error:
        assert "already been used once" in str(error)
        return
    raise AssertionError("it was used twice")


@probe()
async def token_minted_there(way: Way) -> None:
    """A token of the worker resets the variable at the caller, once."""
    there.color.set("red")
    token = await way.call("mint", "green")
    assert there.color.get() == "green"
    there.color.reset(token)
    assert there.color.get() == "red"


# ---- time and cancels


@probe()
async def timeout(way: Way) -> None:
    """A call that takes too long is cancelled there, and TimeoutError here."""
    await way.call("take_notes")
    began = time.monotonic()
    try:
        with catena.RuntimeContext(timeout=0.2):
            await way.call("sleep", 9)
    except TimeoutError:
        assert time.monotonic() - began < 5
        notes = await way.call("take_notes")
        assert notes[0] == "sleeps", notes
        assert notes[1].startswith("cancelled"), notes
        return
    raise AssertionError("it did not time out")


@probe()
async def inherited_times(way: Way) -> None:
    """The time left and the bound of the hand-over are known where the call runs."""
    with catena.RuntimeContext(timeout=20, dispatch_timeout=7):
        left, hand_over = await way.call("time_left")
    assert left is not None
    assert 15 < left <= 20
    assert hand_over == 7


@probe()
async def late_start(way: Way) -> None:
    """A call whose time is up before it begins never begins."""
    await way.call("take_notes")
    blocking = asyncio.ensure_future(way.call("block", 0.6))
    await asyncio.sleep(0.2)
    try:
        with catena.RuntimeContext(timeout=0.1):
            await way.call("sleep", 0)
    except TimeoutError:
        pass
    await blocking
    assert await way.call("take_notes") == []


@probe()
async def cancel(way: Way) -> None:
    """A cancel arrives with its message; what the routine sets while it ends comes back."""
    await way.call("take_notes")
    there.color.set("red")

    async def main() -> str:
        # In the task's own context: what comes back, comes back here.
        try:
            await way.call("sleep", 9, then="cleaned up")
        except asyncio.CancelledError:
            return there.color.get()
        return "not cancelled"

    task = asyncio.ensure_future(main())
    await asyncio.sleep(0.2)
    task.cancel("enough")
    assert await task == "cleaned up"
    assert await way.call("take_notes") == ["sleeps", "cancelled ('enough',)"]


# ---- what is seen


@probe()
async def trace(way: Way) -> None:
    """Every span of a call is in one trace, and each has its parent among them."""
    import skew_process
    from opentelemetry import trace as api

    await way.call("take_records")
    skew_process.take_spans()
    with api.get_tracer("probe").start_as_current_span("probe"):
        await way.call("paint", "red")
    # Whoever answers records the call after its answer.
    await asyncio.sleep(0.05)
    spans = skew_process.take_spans()
    spans += (await there.take_records())[1]
    if way.nested:
        spans += (await there.through("take_records"))[1]
    ids = {one[3] for one in spans}
    (root,) = [one for one in spans if one[0] == "probe"]
    of_it = [one for one in spans if one[2] == root[2]]
    served = [one for one in of_it if one[1] == "SERVER" and "skew_routines" in one[0]]
    assert len(served) == 1 + way.nested, [one[:2] for one in spans]
    assert all(one[4] in ids for one in of_it if one is not root)


# ---- features of this source


@probe(needs="carry")
async def carried_variable(way: Way) -> None:
    """A carried variable of the standard library is bound there."""
    token = there.request.set("r1")
    found = await way.call("requests")
    there.request.reset(token)
    assert found[0] == "r1", found


@probe(needs="carry")
async def carried_along_a_chain(way: Way) -> None:
    """It is, too, where the call has a chain."""
    there.color.set("red")
    await carried_variable(way)


@probe(needs="carry")
async def carried_back(way: Way) -> None:
    """One that comes back is bound anew here."""
    there.answer.set("of the caller")
    found = await way.call("requests")
    assert found[1] == "of the caller", found
    assert there.answer.get() == "of the worker"


@probe(needs="carry")
async def carried_as_argument(way: Way) -> None:
    """A carried variable that is an argument is the one that stands there."""
    token = there.request.set("r1")
    found = await way.call("read", there.request)
    there.request.reset(token)
    assert found == (True, "r1"), found


@probe(needs="PlainRoutine")
async def plain_function(way: Way) -> None:
    """A plain function runs on a thread of the worker."""
    assert await way.call_routine(there.plain, 1) == 2


@probe(needs="PlainRoutine")
async def plain_function_by_value(way: Way) -> None:
    """So does one that only the caller has."""

    @catena.routine
    def local(value: int) -> int:
        return value + 2

    assert await way.call_routine(local, 1) == 3


@probe(needs="PlainRoutine")
async def slots(way: Way) -> None:
    """A worker of one slot runs one routine at a time that takes one."""

    @catena.routine(slots=1)
    async def slotted() -> int:
        active = there.notes
        active.append("runs")
        await asyncio.sleep(0.05)
        found = active.count("runs")
        active.remove("runs")
        return found

    await there.take_notes()
    assert set(await asyncio.gather(*(way.call_routine(slotted) for _ in range(4)))) == {1}


@probe(needs="PlainRoutine")
async def tags(way: Way) -> None:
    """A call that wants tags goes to a worker for which the pool has found that it has them."""
    from catena.dispatch.dispatcher import dispatcher
    from catena.ids import new_id
    from catena.wire.codec import MemberFacts

    (member,) = way.proxy.members
    facts = MemberFacts(member.worker, member.target, tags=frozenset({"gpu"}))
    proxy = Proxy(new_id(), (facts,), "caller", secret=way.proxy.secret)
    dispatcher.set(proxy)
    try:
        assert await there.echo.on(tags={"gpu"})(7) == (7,)
    finally:
        await proxy.close()


@probe(needs="Retry")
async def retry(way: Way) -> None:
    """A routine that says when it is called again is called like others."""

    @catena.routine(retry=catena.Retry(attempts=2))
    async def local() -> int:
        return 7

    assert await way.call_routine(local) == 7


@probe(needs="PlainRoutine")
async def blocking_call(way: Way) -> None:
    """A thread waits for a call."""
    name = "through" if way.nested else "echo"
    args = ("echo", 1) if way.nested else (1,)
    assert await asyncio.to_thread(getattr(there, name).blocking, *args) == (1,)


@probe(needs="PlainRoutine")
async def kill_after(way: Way) -> None:
    """A worker learns when it is to be killed."""
    with catena.RuntimeContext(timeout=20, kill_after=3):
        found = await way.call("kill_time")
    assert found is not None
    assert 2 < found <= 3


@probe(needs="PlainRoutine")
async def pings(way: Way) -> None:
    """A worker is asked whether it answers, and suspect when it does not."""
    await there.echo()
    (caller,) = [one.caller for one in way.proxy.members]
    assert caller.pulse.can_ask, "it is not asked"


@probe(needs="PlainRoutine")
async def changed_members(way: Way) -> None:
    """A worker that knows the pool learns that another one has joined it."""
    from catena.wire.codec import MemberFacts

    before = await there.chain_of_processes()
    way.proxy.add_member(way.proxy.make_member(MemberFacts(*way.spare)))
    after = [await there.chain_of_processes() for _ in range(6)]
    seen = {last for first, last in after if first == before[0]}
    assert seen - {before[1]}, "its calls do not reach the new one"
