"""Context over tasks of real engines: their own functions, actors and keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import catena
from catena.errors import ChainSerializationError
from tests.carrying import carrying_alone
from tests.engines import tasks
from tests.engines.needed import needs
from tests.engines.tasks import request_id, tenant
from tests.support import isolated

on_dask = [*needs("distributed"), pytest.mark.filterwarnings("default")]
on_ray = [*needs("ray"), pytest.mark.filterwarnings("default")]


def mark(*marks: Any) -> Any:
    """Return what puts several marks on a test."""

    def put(test: Any) -> Any:
        for one in marks:
            test = one(test)
        return test

    return put


@contextmanager
def dask_client(cluster: Any) -> Iterator[Any]:
    """Yield a client."""
    from distributed import Client

    with Client(cluster) as client:
        yield client


@mark(*on_dask)
@isolated
def test_dask_tasks_read_what_their_submitter_had(dask_cluster: Any) -> None:
    """C13: in submit and map, in threads and in coroutines, and nothing comes back."""
    from catena.engines.dask import with_context

    with dask_client(dask_cluster) as client:
        tenant.set("acme")
        assert client.submit(with_context(tasks.read), 1).result() == ("acme", 1)
        mapped = client.map(with_context(tasks.read), range(3))
        tenant.set("another one")
        assert client.gather(mapped) == [("acme", 0), ("acme", 1), ("acme", 2)]
        found = client.submit(with_context(tasks.wait_and_read), "there").result()
        assert found == ("another one, there", "another one, there in a task")
        assert client.submit(with_context(tasks.set_there), "changed").result() == "changed"
        assert tenant.get() == "another one"
        # The next task on the same thread has nothing of it.
        assert set(client.gather(client.map(tasks.read, range(4), pure=False))) == {
            ("-", number) for number in range(4)
        }


@mark(*on_dask)
@isolated
def test_dask_carries_variables_of_the_standard_library(dask_cluster: Any) -> None:
    """C17: those that were handed to `catena.carry`."""
    from catena.engines.dask import with_context

    with dask_client(dask_cluster) as client, carrying_alone():
        catena.carry(request_id)
        request_id.set("r-1")
        assert client.submit(with_context(tasks.read_all)).result() == ("-", "r-1")


@mark(*on_dask)
@isolated
def test_dask_keys_name_the_function_and_depend_on_the_values(dask_cluster: Any) -> None:
    """A pure result is computed once for equal values, and again for others."""
    from catena.engines.dask import with_context

    with dask_client(dask_cluster) as client:
        tenant.set("acme")
        first, again = (client.submit(with_context(tasks.read), 1) for _ in range(2))
        tenant.set("another one")
        other = client.submit(with_context(tasks.read), 1)

        assert first.key == again.key != other.key
        assert first.key.startswith("read-")
        assert (first.result(), other.result()) == (("acme", 1), ("another one", 1))


@mark(*on_dask)
@isolated
def test_dask_delayed_takes_it(dask_cluster: Any) -> None:
    """What takes a function takes one with context."""
    import dask

    from catena.engines.dask import with_context

    with dask_client(dask_cluster):
        tenant.set("acme")
        assert dask.delayed(with_context(tasks.read))(2).compute() == ("acme", 2)


@mark(*on_ray)
@isolated
def test_ray_functions_read_what_their_caller_had(ray_cluster: Any) -> None:
    """C13: captured at each call, with options as well, and nothing comes back."""
    import ray

    from catena.engines.ray import with_context

    read = ray.remote(with_context(tasks.read))
    tenant.set("acme")
    first = read.remote(1)
    tenant.set("another one")
    second = read.options(name="read").remote(argument=2)

    assert ray.get([first, second]) == [("acme", 1), ("another one", 2)]
    assert ray.get(ray.remote(with_context(tasks.set_there)).remote("changed")) == "changed"
    assert tenant.get() == "another one"
    with pytest.raises(TypeError, match="too many positional arguments"):
        read.remote(1, 2)


@mark(*on_ray)
@isolated
def test_ray_generators_run_in_it(ray_cluster: Any) -> None:
    """M8: each step of a streaming generator."""
    import ray

    from catena.engines.ray import with_context

    tenant.set("acme")
    refs = ray.remote(with_context(tasks.count)).remote(2)

    assert [ray.get(one) for one in refs] == [("acme", 0), ("after 0", 1)]


class Counter:
    """An actor with state of its own, a threaded one."""

    def __init__(self, start: int) -> None:
        self.number = start
        self.at_start = tenant.get()

    def add(self, more: int) -> tuple[int, Any]:
        """Count on; also called from within."""
        self.number += more
        return self.number, tenant.get()

    def add_twice(self) -> Any:
        """Call a method of its own."""
        return [self.add(1), self.add(1)]

    def tell_start(self) -> Any:
        """Return what the constructor has read."""
        return self.at_start

    @staticmethod
    def describe(what: str) -> str:
        """Need no instance."""
        return f"{what} {tenant.get()}"


class Waiter:
    """An actor with an event loop."""

    async def wait(self, value: str) -> Any:
        """Wait in the middle."""
        return await tasks.wait_and_read(value)

    async def count(self, most: int) -> Any:
        """Yield slowly."""
        async for one in tasks.count_slowly(most):
            yield one

    def read(self) -> Any:
        """Wait for nothing."""
        return tenant.get()


@mark(*on_ray)
@isolated
def test_methods_of_ray_actors_read_what_their_caller_had(ray_cluster: Any) -> None:
    """C13: each call its own, by every handle; the constructor runs without."""
    import ray

    from catena.engines.ray import with_context

    tenant.set("acme")
    counter = ray.remote(with_context(Counter)).options(name="counter").remote(1)
    first = counter.add.remote(1)
    tenant.set("another one")

    assert ray.get(first) == (2, "acme")
    assert ray.get(counter.add_twice.remote()) == [(3, "another one"), (4, "another one")]
    assert ray.get(counter.describe.remote("for")) == "for another one"
    assert ray.get(counter.tell_start.remote()) == "-"
    assert ray.get(ray.get_actor("counter").add.remote(1)) == (5, "another one")
    assert ray.get(ray.remote(with_context(_add_from_a_task)).remote(counter)) == (6, "handed on")
    ray.kill(counter)


def _add_from_a_task(counter: Any) -> Any:
    import ray

    tenant.set("handed on")
    return ray.get(counter.add.remote(1))


@mark(*on_ray)
@isolated
def test_asynchronous_actors_of_ray_keep_calls_apart(ray_cluster: Any) -> None:
    """M8: calls that overlap on one event loop do not see each other's values."""
    import ray

    from catena.engines.ray import with_context

    waiter = ray.remote(with_context(Waiter)).remote()
    refs = []
    for name in ("acme", "another one"):
        tenant.set(name)
        refs.append(waiter.wait.remote("there"))

    assert [one[0] for one in ray.get(refs)] == ["acme, there", "another one, there"]
    assert ray.get(waiter.read.remote()) == "another one"
    counted = [ray.get(one) for one in waiter.count.remote(2)]
    assert counted == [("another one", 0), ("after 0", 1)]
    ray.kill(waiter)


@mark(*on_ray)
@isolated
def test_strict_refuses_a_call_of_ray(ray_cluster: Any) -> None:
    """M5: when it is made."""
    import threading

    import ray

    from catena.engines.ray import with_context

    tenant.set(threading.Lock())
    with pytest.raises(ChainSerializationError, match="tenant"):
        ray.remote(with_context(strict=True)(tasks.read)).remote()


@mark(*on_ray)
@isolated
def test_what_ray_has_made_is_refused(ray_cluster: Any) -> None:
    """Misuse: the decorator stands below Ray's, on a function or a class."""
    import ray

    from catena.engines.ray import with_context

    for made in (ray.remote(tasks.read), ray.remote(Counter)):
        with pytest.raises(TypeError, match=r"put @with_context below @ray\.remote"):
            with_context(made)
    with pytest.raises(TypeError, match="takes a function or a class for Ray, not builtin"):
        with_context(abs)
