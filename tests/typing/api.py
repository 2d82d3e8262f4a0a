"""The public API as a type checker sees it; nobody runs this file.

A line with ``pyright: ignore`` proves that a mistake is an error: one that is not needed fails.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, assert_type

import catena
from catena.background import BackgroundQueue
from catena.discovery import Announcement, MemberRecord, MemberSource, announce, source_of
from catena.dispatch.queueing import TaskState


@catena.routine
async def total(numbers: list[int], *, scale: float = 1.0) -> float:
    """Bare decorator."""
    return sum(numbers) * scale


@catena.routine(
    name="the.greeting",
    cancel_grace=1.0,
    timeout=5,
    dispatch_timeout=0.5,
    retry=catena.Retry(attempts=2, pause=0.5),
)
async def greet(name: str) -> str:
    """Decorator with options."""
    return f"hello {name}"


@catena.routine
async def numbers(to: int) -> AsyncGenerator[int, str]:
    """An async generator that takes what is sent."""
    for number in range(to):
        assert_type((yield number), str)


@catena.routine(cancel_grace=0)
async def letters(word: str) -> AsyncGenerator[str, None]:
    """An async generator with options."""
    for letter in word:
        yield letter


@catena.routine
async def nothing() -> None:
    """No arguments, no result."""


@catena.routine
def burn(rounds: int, *, seed: bytes = b"") -> str:
    """A plain function."""
    return f"{seed!r} {rounds}"


@catena.routine(timeout=1)
def flag(name: str) -> bool:
    """A plain function with options."""
    return bool(name)


T = TypeVar("T")


@catena.routine
async def first(items: list[T]) -> T:
    """Generic."""
    return items[0]


class Account:
    """Methods of every kind."""

    @catena.routine
    async def deposit(self, amount: int) -> str:
        """A method."""
        return str(amount)

    @catena.routine
    async def history(self, limit: int) -> AsyncGenerator[bytes, None]:
        """A method that is a stream."""
        yield bytes(limit)

    @catena.routine
    def audit(self, depth: int) -> float:
        """A plain method."""
        return float(depth)

    @staticmethod
    @catena.routine
    def hashed(code: str) -> bytes:
        """A plain staticmethod."""
        return code.encode()

    @classmethod
    @catena.routine
    async def opened(cls, owner: str) -> int:
        """A classmethod."""
        return len(owner)

    @staticmethod
    @catena.routine
    async def checked(code: str) -> bool:
        """A staticmethod."""
        return bool(code)


async def calls() -> None:
    """What a call returns, and what it refuses."""
    assert_type(await total([1, 2]), float)
    assert_type(await total([1], scale=2.0), float)
    assert_type(await greet("you"), str)
    assert_type(await nothing(), None)
    assert_type(await total.local([1]), float)
    assert_type(total.__name__, str)
    assert_type(await first(["a"]), str)

    await total("12")  # pyright: ignore[reportArgumentType]
    await total([1], 2.0)  # pyright: ignore[reportCallIssue]
    await total([1], scale="2")  # pyright: ignore[reportArgumentType]
    await total()  # pyright: ignore[reportCallIssue]
    await total([1], factor=2)  # pyright: ignore[reportCallIssue]
    await greet(b"you")  # pyright: ignore[reportArgumentType]
    await greet(nickname="you")  # pyright: ignore[reportCallIssue]
    await nothing(1)  # pyright: ignore[reportCallIssue]
    await total.local("12")  # pyright: ignore[reportArgumentType]
    total([1]) + 1  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    total([1])  # pyright: ignore[reportUnusedCoroutine]


async def plain(account: Account) -> None:
    """A plain function is awaited, and ``local`` is the function itself."""
    assert_type(await burn(1, seed=b"s"), str)
    coming = burn(1)
    assert_type(await coming, str)
    assert_type(burn.local(1), str)
    assert_type(await flag("a"), bool)
    assert_type(flag.local("a"), bool)
    assert_type(await account.audit(1), float)
    assert_type(account.audit.local(1), float)
    assert_type(await Account.audit(account, 1), float)
    assert_type(await account.hashed("c"), bytes)
    assert_type(catena.cancelled(), bool)

    await burn("1")  # pyright: ignore[reportArgumentType]
    await burn.local(1)  # pyright: ignore[reportGeneralTypeIssues]
    burn(1) + "1"  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    await account.audit("1")  # pyright: ignore[reportArgumentType]
    burn(1)  # pyright: ignore[reportUnusedCoroutine]


async def streams() -> None:
    """What a stream yields and takes."""
    async for number in numbers(3):
        assert_type(number, int)
    stream = numbers(3)
    assert_type(await anext(stream), int)
    assert_type(await stream.asend("more"), int)
    assert_type(await stream.athrow(KeyError("k")), int)
    assert_type(await stream.aclose(), None)
    assert_type([letter async for letter in letters("abc")], list[str])
    assert_type([number async for number in numbers.local(3)], list[int])

    await stream.asend(1)  # pyright: ignore[reportArgumentType]
    numbers("3")  # pyright: ignore[reportArgumentType]
    letters()  # pyright: ignore[reportCallIssue]
    await numbers(3)  # pyright: ignore[reportGeneralTypeIssues]
    for _ in numbers(3):  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        pass
    async for _ in greet("you"):  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        pass


def blocking(account: Account, pool: catena.WorkerPool) -> None:
    """What a thread that waits gets."""
    assert_type(total.blocking([1], scale=2.0), float)
    assert_type(nothing.blocking(), None)
    assert_type(list(numbers.blocking(3)), list[int])
    assert_type(account.deposit.blocking(1), str)
    assert_type(total.on(pool).blocking([1]), float)
    assert_type(nothing.on(tags={"gpu"}).blocking(), None)
    assert_type(total.on(pool, tags=["gpu", "eu"]).blocking([1], scale=2.0), float)
    total.on(pool, tags={1})  # pyright: ignore[reportArgumentType]

    total.blocking("12")  # pyright: ignore[reportArgumentType]
    total.blocking([1], factor=2)  # pyright: ignore[reportCallIssue]


async def broadcasts(pool: catena.WorkerPool) -> None:
    """What a broadcast takes and returns."""
    assert_type(await pool.broadcast(total, [1], scale=2.0), dict[str, float])

    await pool.broadcast(total, "12")  # pyright: ignore[reportArgumentType]
    await pool.broadcast(numbers, 3)  # pyright: ignore[reportArgumentType]


async def finding() -> None:
    """What a source takes and gives."""
    source = source_of(["10.0.0.5:7800", MemberRecord("w1", "10.0.0.6:7800")])
    assert_type(source, MemberSource)
    async for members in source.members():
        assert_type(members, frozenset[MemberRecord])
    with announce("/run/workers", MemberRecord("w1", "unix:/run/w1.sock")) as announced:
        assert_type(announced, Announcement)

    source_of(7)  # pyright: ignore[reportArgumentType]
    source_of([7])  # pyright: ignore[reportArgumentType]
    announce("/run/workers", "10.0.0.5:7800")  # pyright: ignore[reportArgumentType]


async def methods(account: Account) -> None:
    """Methods keep their signatures, bound and unbound."""
    assert_type(await account.deposit(1), str)
    assert_type(await Account.deposit(account, 1), str)
    assert_type(await Account.opened("me"), int)
    assert_type(await account.opened("me"), int)
    assert_type(await Account.checked("c"), bool)
    assert_type(await account.checked("c"), bool)
    async for entry in account.history(3):
        assert_type(entry, bytes)

    assert_type(await account.deposit.local(1), str)
    assert_type(await Account.deposit.local(account, 1), str)
    assert_type([entry async for entry in account.history.local(3)], list[bytes])

    await account.deposit("1")  # pyright: ignore[reportArgumentType]
    await account.deposit.local("1")  # pyright: ignore[reportArgumentType]
    await account.deposit.local(account, 1)  # pyright: ignore[reportCallIssue]
    await account.deposit()  # pyright: ignore[reportCallIssue]
    await Account.deposit(1)  # pyright: ignore[reportCallIssue]
    await Account.opened(1)  # pyright: ignore[reportArgumentType]
    await Account.checked(1)  # pyright: ignore[reportArgumentType]
    account.history("3")  # pyright: ignore[reportArgumentType]


def routines_as_values() -> None:
    """A routine is a callable like the function it was made from."""
    plain: Callable[[str], Coroutine[Any, Any, str]] = greet
    looser: Callable[[str], Awaitable[object]] = greet
    named: catena.Routine[[str], Coroutine[Any, Any, str]] = greet
    assert plain
    assert looser
    assert named

    wrong: Callable[[int], Awaitable[str]] = greet  # pyright: ignore[reportAssignmentType]
    assert wrong


catena.routine(5)  # pyright: ignore[reportArgumentType, reportCallIssue]
catena.routine(name=1)  # pyright: ignore[reportArgumentType]
catena.routine(patience=1)  # pyright: ignore[reportCallIssue]


bare: catena.ContextVar[int] = catena.ContextVar("bare")
inferred = catena.ContextVar("inferred", default="none")
full = catena.ContextVar[list[int] | None](
    "full", default=None, namespace="ours", propagate="forward"
)

catena.ContextVar(1)  # pyright: ignore[reportArgumentType]
catena.ContextVar("x", propagate="back")  # pyright: ignore[reportArgumentType]


def variables() -> None:
    """A variable's type is the type of its values."""
    assert_type(bare.get(), int)
    assert_type(bare.get(1), int)
    assert_type(bare.get(None), int | None)
    assert_type(bare.get("none"), int | str)
    assert_type(inferred, catena.ContextVar[str])
    assert_type(inferred.get(), str)
    assert_type(full.get(), list[int] | None)
    assert_type(bare.name, str)
    assert_type(bare.namespace, str)

    bare.set("1")  # pyright: ignore[reportArgumentType]
    full.set([""])  # pyright: ignore[reportArgumentType]
    bare.set()  # pyright: ignore[reportCallIssue]
    bare.set(1, 2)  # pyright: ignore[reportCallIssue]
    bare.set(value=1)  # pyright: ignore[reportCallIssue]
    bare.get(1, 2)  # pyright: ignore[reportCallIssue]
    wrong: str = bare.get()  # pyright: ignore[reportAssignmentType]
    assert wrong


def tokens() -> None:
    """A token belongs to its variable's type, and is a context manager."""
    token = bare.set(1)
    assert_type(token, catena.Token[int])
    assert_type(token.var, catena.ContextVar[int])
    bare.reset(token)
    with inferred.set("inside") as held:
        assert_type(held, catena.Token[str])

    inferred.reset(token)  # pyright: ignore[reportArgumentType]
    bare.reset(None)  # pyright: ignore[reportArgumentType]
    bare.reset()  # pyright: ignore[reportCallIssue]
    bare.reset(token, token)  # pyright: ignore[reportCallIssue]
    stdlib: contextvars.ContextVar[int] = contextvars.ContextVar("stdlib")
    bare.reset(stdlib.set(1))  # pyright: ignore[reportArgumentType]


async def pools() -> None:
    """A pool is what its block is given; options are keywords with types."""
    async with catena.WorkerPool(spawn=2, start_timeout=5, stop_timeout=1, loop="uvloop") as pool:
        assert_type(pool, catena.WorkerPool)
        assert_type(pool.workers, tuple[str, ...])
        assert_type(pool.pids, dict[str, int])

    catena.WorkerPool(2)
    catena.WorkerPool(2, 5)  # pyright: ignore[reportCallIssue]
    catena.WorkerPool(spawn="2")  # pyright: ignore[reportArgumentType]
    catena.WorkerPool(loop="trio")  # pyright: ignore[reportArgumentType]
    with catena.WorkerPool():  # pyright: ignore[reportGeneralTypeIssues]
        pass


def _size(name: str, *, strict: bool) -> int:
    return len(name) if strict else 0


async def threads() -> None:
    """to_thread keeps the function's signature."""
    assert_type(await catena.to_thread(_size, "x", strict=True), int)

    await catena.to_thread(_size, 1, strict=True)  # pyright: ignore[reportArgumentType]
    await catena.to_thread(_size, "x")  # pyright: ignore[reportCallIssue]


def the_rest() -> None:
    """Statistics are numbers; errors carry their facts."""
    assert_type(catena.statistics().calls, int)
    try:
        catena.install_task_factory()
    except catena.WorkerLost as error:
        assert_type(error.worker, str)
        assert_type(error.begun, bool | None)
    try:
        total.local([1])  # pyright: ignore[reportUnusedCoroutine]
    except* catena.WorkerStartError as group:
        assert_type(group, ExceptionGroup[catena.WorkerStartError])


def credentials() -> None:
    """Credentials are those of a folder, or the pool's own."""
    with catena.credentials("certs/alice") as scope:
        assert_type(scope, None)
    with catena.credentials(None), catena.credentials(Path("certs")):
        assert_type(catena.CredentialsError(where="certs", cause="").cause, str)
    catena.credentials(7)  # pyright: ignore[reportArgumentType]


def telemetry() -> None:
    """Options of telemetry and of logging are typed."""
    import catena.logging
    import catena.telemetry

    catena.telemetry.install(detail="dispatch", record_messages=True)
    catena.telemetry.install(detail="loud")  # pyright: ignore[reportArgumentType]
    told: frozenset[str] = catena.telemetry.installed()
    catena.logging.configure_json(audit=bool(told), level="DEBUG")
    catena.logging.audit()


async def submitting(queue: BackgroundQueue) -> None:
    """Tasks: arguments are checked, results are typed, and a stream is none."""
    task = await total.submit([1, 2], scale=2.0)
    assert_type(await task.result(timeout=1), float)
    assert_type(await task.state(), TaskState)
    assert_type((await task.progress()).current, int | None)
    await task.cancel()
    later = total.on(queue, when=timedelta(seconds=5), key="k", replace=True)
    assert_type(await (await later.submit([1])).result(), float)
    assert_type(await (await total.on(when=datetime.now(UTC)).submit([1])).result(), float)
    assert_type(await (await burn.submit(1)).result(), str)
    assert_type(await (await burn.on(queue).submit(1, seed=b"")).result(), str)
    assert_type(await (await greet.submit("ada")).result(), str)
    await total.submit(["1"])  # pyright: ignore[reportArgumentType]
    await total.submit()  # pyright: ignore[reportCallIssue]
    await total.on(queue).submit([1], scales=1)  # pyright: ignore[reportCallIssue]
    await total.on(key=5).submit([1])  # pyright: ignore[reportArgumentType]
    await numbers.submit(3)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    found = await queue.find("k")
    assert found is None or found.key
