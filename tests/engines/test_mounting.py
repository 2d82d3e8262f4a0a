"""Context over tasks of other engines, without one: capture here, mount in another process."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest

import catena
from catena import events
from catena.context.chain import current
from catena.engines.dask_tasks import with_context
from catena.engines.mounting import (
    TaskScope,
    capture_context,
    find_kind,
    name_function,
    run_coroutine,
    run_generator,
    run_plain,
    run_stream,
)
from catena.errors import ChainSerializationError, SerializationError, SerializationWarning
from catena.events.bus import observe
from catena.testing import recording
from tests.carrying import carrying_alone
from tests.engines import relay, tasks
from tests.engines.elsewhere import call_elsewhere
from tests.engines.tasks import handled, request_id, tenant
from tests.support import isolated, run, variable


@isolated
def test_a_task_in_another_process_reads_what_its_submitter_had() -> None:
    """M1: the values of the moment when it was submitted, whatever is set afterwards."""
    tenant.set("acme")
    task = with_context(tasks.read)
    tenant.set("another one")

    assert call_elsewhere(task, 7) == ("acme", 7)
    assert call_elsewhere(with_context(tasks.read)) == ("another one", None)


@isolated
def test_nothing_comes_back() -> None:
    """C13, B2: what a task sets ends with it, in the same process as well."""
    tenant.set("acme")
    task = with_context(tasks.set_there)

    assert task("changed") == "changed"
    assert call_elsewhere(task, "changed") == "changed"
    assert tenant.get() == "acme"


@isolated
def test_each_task_has_a_chain_of_its_own() -> None:
    """C5, B2: a fresh id that records its submitter's, as a created task has."""
    tenant.set("acme")
    task = with_context(_read_chain)
    submitter = current.get()
    assert submitter is not None

    with recording(events.ChainForked) as recorded:
        ids = [task() for _ in range(3)]

    assert len({id for id, _ in ids}) == 3
    assert {parent for _, parent in ids} == {submitter.id}
    assert [(one.chain_id, one.parent_id) for one in recorded.of(events.ChainForked)] == ids


def _read_chain() -> tuple[bytes, bytes]:
    chain = current.get()
    assert chain is not None
    return chain.id, chain.parent


@isolated
def test_what_the_executing_thread_had_is_not_seen() -> None:
    """B3: every variable is bound or unbound; the engine's own Context stays as it is."""
    task = with_context(tasks.read)

    def work() -> tuple[Any, Any]:
        tenant.set("of the thread")
        return task(), tenant.get()

    assert contextvars.Context().run(work) == (("-", None), "of the thread")


@isolated
def test_variables_of_the_engine_stay_in_reach() -> None:
    """A task runs in a copy of the Context that its engine runs it in."""
    engines_own: contextvars.ContextVar[str] = contextvars.ContextVar("engines_own")
    captured = capture_context("get", strict=False)
    engines_own.set("this worker")

    scope = TaskScope("get", captured, strict=False)
    assert run_plain(scope, engines_own.get, (), {}) == "this worker"


@isolated
def test_an_unarmed_submitter_arms_nothing() -> None:
    """C4: without a chain there is none in the task either."""
    assert with_context(_is_unarmed)()


def _is_unarmed() -> bool:
    return current.get() is None


@isolated
def test_a_carried_variable_goes_along() -> None:
    """C17: under a chain or without one."""
    with carrying_alone():
        catena.carry(request_id)
        request_id.set("r-1")
        assert call_elsewhere(with_context(tasks.read_all)) == ("-", "r-1")

        tenant.set("acme")
        assert call_elsewhere(with_context(tasks.read_all)) == ("acme", "r-1")


@isolated
def test_a_variable_that_nobody_declares_there_is_handed_on() -> None:
    """C12, V2: its bytes wait, go on to the next task, and are read once it is declared."""
    tenant.set("acme")
    payload = with_context(tasks.read_all)._held.pickle()  # type: ignore[attr-defined]

    was_known, (found, _), afterwards = call_elsewhere(with_context(relay.hand_on), payload)

    assert not was_known
    assert (found, afterwards) == ("acme", "acme")


@isolated
def test_a_function_that_cannot_be_imported_goes_by_value() -> None:
    """D3: with the variables that it uses, which plain pickling refuses."""
    secret = variable(default="nothing")
    secret.set("found")

    assert call_elsewhere(with_context(lambda more: secret.get() + more), "!") == "found!"


@isolated
def test_a_token_does_not_open_there() -> None:
    """T6: a token that lies in a value is an orphan in the task, and stays good here."""
    token = tenant.set("acme")
    handled.set(token)

    assert "was created in a different Context" in call_elsewhere(with_context(tasks.reset_there))
    tenant.reset(token)
    assert tenant.get() == "-"


@isolated
def test_a_value_that_cannot_be_pickled_is_left_out() -> None:
    """M2: with a warning that names the variable; the others arrive."""
    tenant.set("acme")
    handled.set(threading.Lock())

    with pytest.warns(SerializationWarning, match="tests.tasks:handled"):
        task = with_context(tasks.read)

    assert call_elsewhere(task) == ("acme", None)


@isolated
def test_strict_refuses_a_value_that_cannot_be_pickled() -> None:
    """M5: one error for all of them, when the task is submitted."""
    handled.set(threading.Lock())

    with pytest.raises(ChainSerializationError) as raised:
        with_context(tasks.read, strict=True)

    assert [one.key for one in raised.value.warnings] == [handled.key]


class _Unreadable:
    """What another process refuses to unpickle."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["pid"] != os.getpid():
            raise ValueError("not here")


@isolated
def test_strict_goes_along_with_the_task() -> None:
    """M5: a value that cannot be read there fails the task, and else is a warning."""
    tenant.set(_Unreadable())
    with pytest.raises(ChainSerializationError, match="not here"):
        call_elsewhere(with_context(tasks.read, strict=True))

    # The other process turns warnings into errors.
    with pytest.raises(ChainSerializationError, match="not here"):
        call_elsewhere(with_context(tasks.read))


@isolated
def test_a_function_that_cannot_be_pickled_is_refused_when_it_is_submitted() -> None:
    """D5: the error names the function."""
    with pytest.raises(SerializationError, match=r"function .*<lambda> could not be sent"):
        with_context(lambda lock=threading.Lock(): lock)  # noqa: B008 - it has to be unpicklable


@isolated
def test_an_exception_is_the_functions_own() -> None:
    """A task that fails fails as it would without."""
    tenant.set("acme")

    with pytest.raises(LookupError, match="acme"):
        call_elsewhere(with_context(tasks.fail))


@isolated
def test_a_coroutine_function_stays_one() -> None:
    """Each step runs in the task's Context, and nothing of that is current in between."""
    tenant.set("acme")
    task = with_context(tasks.wait_and_read)

    async def main() -> None:
        found = await asyncio.gather(task("one"), task("two"))
        assert found == [
            ("acme, one", "acme, one in a task"),
            ("acme, two", "acme, two in a task"),
        ]
        assert tenant.get() == "acme"

    run(main())
    assert call_elsewhere(task, "three")[0] == "acme, three"


@isolated
def test_cancelling_reaches_the_coroutine() -> None:
    """The engine cancels its own task, and the function is cancelled where it waits."""
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append(tenant.get())
            raise

    async def main() -> None:
        tenant.set("acme")
        scope = TaskScope("wait", capture_context("wait", strict=False), strict=False)
        running = asyncio.create_task(run_coroutine(scope, wait, (), {}))
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(main())
    assert seen == ["acme"]


@isolated
def test_each_step_of_a_generator_runs_in_its_context() -> None:
    """M8: what it sets between two yields stays there, and the consumer keeps its own."""
    tenant.set("acme")
    scope = TaskScope("count", capture_context("count", strict=False), strict=False)

    found = []
    for one in run_generator(scope, tasks.count, (3,), {}):
        found.append(one)
        assert tenant.get() == "acme"

    assert found == [("acme", 0), ("after 0", 1), ("after 1", 2)]


@isolated
def test_each_step_of_an_async_generator_runs_in_its_context() -> None:
    """M8: likewise, and closing it early closes the function's own."""

    async def main() -> None:
        tenant.set("acme")
        captured = capture_context("count", strict=False)
        for most, expected in ((3, 3), (1, 1)):
            found = []
            scope = TaskScope("count", captured, strict=False)
            stream = run_stream(scope, tasks.count_slowly, (3,), {})
            async for one in stream:
                found.append(one)
                assert tenant.get() == "acme"
                if len(found) == most:
                    break
            await stream.aclose()
            assert len(found) == expected
            assert found[-1][1] == expected - 1

    run(main())


@isolated
def test_what_is_no_task_is_refused() -> None:
    """Misuse fails when it is wrapped, with a name in the message."""
    with pytest.raises(TypeError, match="takes a function, not int"):
        with_context(5)  # type: ignore[arg-type]
    for generator in (tasks.count, tasks.count_slowly):
        with pytest.raises(TypeError, match=f"tasks.{generator.__name__} is a generator function"):
            with_context(generator)


def test_kinds_and_names_of_functions_are_found() -> None:
    """Partial functions, methods, classes and objects that can be called are functions."""

    class Awaiting:
        async def __call__(self) -> None: ...

    assert find_kind(functools.partial(tasks.wait_and_read, "x")) == "coroutine"
    assert find_kind(Awaiting()) == "coroutine"
    assert find_kind(len) == find_kind(int) == find_kind([].append) == "plain"
    assert (find_kind(tasks.count), find_kind(tasks.count_slowly)) == ("generator", "stream")
    assert name_function(functools.partial(tasks.read)) == "tests.engines.tasks.read"
    assert name_function(Awaiting()).endswith("Awaiting")


@isolated
def test_both_ends_are_announced() -> None:
    """The seam: a submission takes an observer's carrier along, the task shows it."""
    tenant.set("acme")

    class Sending:
        def begin(self, operation: Any) -> None:
            if isinstance(operation, events.Submission):
                operation.carrier = {"traceparent": "there"}

        def end(self, operation: Any, error: BaseException | None, at: int) -> None: ...

    with (
        observe(Sending(), events.Submission),
        recording(events.Submission, events.EngineTask, events.Unmounted) as recorded,
    ):
        task = with_context(tasks.fail)
        with pytest.raises(LookupError):
            task()

    (submission,), (ran,) = recorded.of(events.Submission), recorded.of(events.EngineTask)
    assert submission.function == ran.function == "tests.engines.tasks.fail"
    assert ran.carrier == {"traceparent": "there"}
    assert ran.chain_id != submission.chain_id
    assert recorded.outcome(ran).end == "failed"
    assert [one.chain_id for one in recorded.of(events.Unmounted)] == [ran.chain_id]


@isolated
def test_a_carrier_that_is_no_text_is_refused() -> None:
    """Misuse: an observer's mistake fails with an error of ours."""

    class Wrong:
        def begin(self, operation: Any) -> None:
            operation.carrier = {"traceparent": 5}

        def end(self, operation: Any, error: BaseException | None, at: int) -> None: ...

    with (
        observe(Wrong(), events.Submission),
        pytest.raises(SerializationError, match=r"tasks\.read"),
    ):
        with_context(tasks.read)


@isolated
def test_dask_knows_a_task_by_its_function_and_its_values() -> None:
    """Equal values make an equal key, so that Dask computes a pure result once; others do not."""
    tenant.set("acme")
    first, again = with_context(tasks.read), with_context(tasks.read)
    tenant.set("another one")
    other = with_context(tasks.read)

    tokens = [one.__dask_tokenize__() for one in (first, again, other)]  # type: ignore[attr-defined]
    assert tokens[0] == tokens[1] != tokens[2]
    assert first.__name__ == "read"
    assert pickle.loads(pickle.dumps(first)).__dask_tokenize__() == tokens[0]
    assert repr(first) == "<ContextTask tests.engines.tasks.read>"


def test_no_engine_is_imported() -> None:
    """Whoever has no engine can load what all of them share."""
    program = (
        "import sys, catena.engines.mounting, catena.engines.dask_tasks, catena.engines.ray_tasks;"
        "print([one for one in ('ray', 'dask', 'distributed') if one in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ran.stdout == b"[]\n"
