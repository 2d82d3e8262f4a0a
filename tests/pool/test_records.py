"""Log records of workers that the parent handles, and whole lines with a prefix."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import logging.config
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import catena
from catena.events import LogRecordsDropped
from catena.pool import forwarding
from catena.pool.records import Channel
from catena.testing import recording
from tests.carrying import nothing_carried
from tests.integration.pools import pooled

__all__ = ["nothing_carried"]

LOGGER = "tests.of.workers"
request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


class Keeping(logging.Handler):
    """Keeps every record, and what a filter of a request id would see."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.requests: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.requests.append(request.get())
        self.records.append(record)

    @property
    def texts(self) -> list[str]:
        """The messages, in their order."""
        return [record.getMessage() for record in self.records]


@pytest.fixture
def kept() -> Iterator[Keeping]:
    """A handler of the logger that the routines here use."""
    logger, handler = logging.getLogger(LOGGER), Keeping()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagate


class Odd:
    """An object that cannot be pickled, and says what it is."""

    def __reduce__(self) -> Any:
        raise TypeError("it stays here")

    def __repr__(self) -> str:
        return "<odd>"


@catena.routine
async def log(text: str, *args: Any, level: int = logging.INFO) -> None:
    """Log a line."""
    logging.getLogger(LOGGER).log(level, text, *args)


@catena.routine
async def log_odd() -> None:
    """Log what cannot be pickled, and an exception."""
    logger = logging.getLogger(LOGGER)
    logger.info("odd %s", Odd(), extra={"odd": Odd(), "size": [1, 2]})
    try:
        raise KeyError("gone")  # noqa: TRY301 - it is what is logged
    except KeyError:
        logger.exception("it failed: %d", "no number")


@catena.routine
async def log_many(count: int) -> None:
    """Log numbered lines."""
    for number in range(count):
        logging.getLogger(LOGGER).info("%d", number)


@catena.routine
async def configure() -> None:
    """Configure logging as an application does when it is imported."""
    logging.config.dictConfig({"version": 1, "root": {"level": "DEBUG"}})
    logging.basicConfig(force=True, stream=sys.stdout)


@catena.routine
async def is_enabled_there() -> bool:
    """Say whether the logger is as the parent has it, which a configuration there may disable."""
    logger = logging.getLogger(LOGGER)
    return logger.isEnabledFor(logging.INFO) and logging.root.level != logging.DEBUG


@catena.routine
async def level_there() -> int:
    """Return the level that holds on the worker."""
    return logging.getLogger(LOGGER).getEffectiveLevel()


@catena.routine
async def fork_and_log() -> int:
    """Log in a forked child, which has its own handlers again."""
    pid = os.fork()
    if pid == 0:
        logging.getLogger(LOGGER).warning("from the child")
        os._exit(0)
    return os.waitpid(pid, 0)[1]  # noqa: ASYNC222 - it ends at once


def parent(work: Callable[[catena.WorkerPool], Any], spawn: int = 1, **options: Any) -> Any:
    """Run a pool whose workers log through this process."""
    return pooled(work, spawn=spawn, logging="parent", **options)


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


def test_records_are_handled_by_the_parents_handlers(kept: Keeping) -> None:
    """A record is that of the worker: logger, level, place; its process is named."""

    async def work(pool: catena.WorkerPool) -> None:
        await log("said %s", "so", level=logging.WARNING)
        await log("below the level", level=logging.DEBUG)
        (name,) = pool.workers
        await until(lambda: bool(kept.records))
        (record,) = kept.records
        assert (record.name, record.levelname, record.getMessage()) == (
            LOGGER,
            "WARNING",
            "said so",
        )
        assert (record.processName, record.process) == (f"worker {name}", pool.pids[name])
        assert (record.filename, record.funcName) == ("test_records.py", "log")

    parent(work)


def test_they_come_in_order_for_each_worker(kept: Keeping) -> None:
    """All of them, also those that were logged just before the pool closed."""

    async def work(pool: catena.WorkerPool) -> None:
        await asyncio.gather(*(log_many(2000) for _ in pool.workers))

    parent(work, spawn=2)

    for name in {record.processName for record in kept.records}:
        mine = [one.getMessage() for one in kept.records if one.processName == name]
        assert mine == [str(number) for number in range(2000)]
    assert len(kept.records) == 4000


def test_exceptions_and_strange_arguments_arrive(kept: Keeping) -> None:
    """What cannot be pickled is its repr; the exception is there, with its traceback."""

    async def work(_: catena.WorkerPool) -> None:
        await log_odd()

    parent(work)

    odd, failed = kept.records
    assert odd.getMessage() == "odd <odd>"
    assert (vars(odd)["odd"], vars(odd)["size"]) == ("<odd>", [1, 2])
    assert "it failed: %d" in failed.getMessage()
    assert failed.exc_info is not None
    assert repr(failed.exc_info[1]) == "KeyError('gone')"
    text = logging.Formatter().format(failed)
    assert 'raise KeyError("gone")' in text


def test_a_changed_level_holds_on_workers_soon(kept: Keeping) -> None:
    """Within a second, and back; also `logging.disable`."""
    logger = logging.getLogger(LOGGER)

    async def wait_for(level: int) -> None:
        async with asyncio.timeout(10):
            while await level_there() != level:
                await asyncio.sleep(0.02)

    async def work(_: catena.WorkerPool) -> None:
        assert await level_there() == logging.INFO
        logger.setLevel(logging.DEBUG)
        await wait_for(logging.DEBUG)
        await log("now", level=logging.DEBUG)
        logger.setLevel(logging.NOTSET)
        logging.getLogger("tests.of").setLevel(logging.ERROR)
        await wait_for(logging.ERROR)
        await log("not now", level=logging.WARNING)
        logging.getLogger("tests.of").setLevel(logging.NOTSET)
        logger.setLevel(logging.INFO)
        await wait_for(logging.INFO)
        await log("again")

    try:
        parent(work)
    finally:
        logging.getLogger("tests.of").setLevel(logging.NOTSET)

    assert kept.texts == ["now", "again"]


def test_a_configuration_of_the_parent_holds(kept: Keeping) -> None:
    """Its handlers are those of the moment at which a record comes."""
    replaced = Keeping()

    async def work(_: catena.WorkerPool) -> None:
        await log("first")
        await until(lambda: bool(kept.records))
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"kept": {"()": lambda: replaced}},
                "loggers": {LOGGER: {"handlers": ["kept"], "level": "INFO"}},
            }
        )
        await log("second")

    parent(work)
    logging.getLogger(LOGGER).removeHandler(replaced)

    assert (kept.texts, replaced.texts) == (["first"], ["second"])


def test_a_configuration_of_the_worker_changes_no_handler(
    kept: Keeping, capsys: pytest.CaptureFixture[str]
) -> None:
    """What modules of routines configure there prints nothing twice; levels are the parent's."""

    async def work(_: catena.WorkerPool) -> None:
        await configure()
        async with asyncio.timeout(10):
            while not await is_enabled_there():
                await asyncio.sleep(0.02)
        await log("once")
        await log("not this", level=logging.DEBUG)

    parent(work)

    assert kept.texts == ["once"]
    assert capsys.readouterr() == ("", "")


def test_caplog_sees_what_workers_log(caplog: pytest.LogCaptureFixture) -> None:
    """A test of an application looks at one place only."""

    async def work(_: catena.WorkerPool) -> None:
        await log("for the test", level=logging.WARNING)

    parent(work)

    assert [one.getMessage() for one in caplog.records if one.name == LOGGER] == ["for the test"]


def test_handlers_see_carried_variables(kept: Keeping) -> None:
    """C17: a filter that adds the request id to a record finds that of the call."""
    catena.carry(request, at=f"{__name__}:request")

    async def work(_: catena.WorkerPool) -> None:
        request.set("r1")
        await log("one")
        request.set("r2")
        await log("two")
        request.set("r3")

    parent(work)

    assert [*zip(kept.texts, kept.requests, strict=True)] == [("one", "r1"), ("two", "r2")]


def test_a_handler_that_raises_ends_nothing(kept: Keeping) -> None:
    """The next record is handled."""

    def refuse(record: logging.LogRecord) -> bool:
        if record.getMessage() == "bad":
            raise RuntimeError("a filter that raises")
        return True

    kept.addFilter(refuse)

    async def work(_: catena.WorkerPool) -> None:
        await log("bad")
        await log("good")

    parent(work)

    assert kept.texts == ["good"]


def test_beyond_the_bound_they_are_dropped_and_counted(
    kept: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parent whose handlers are slow loses records, and is given the number; calls go on."""
    go_on = threading.Event()
    emit = kept.emit

    def emit_slowly(record: logging.LogRecord) -> None:
        go_on.wait(20)
        emit(record)

    monkeypatch.setattr(kept, "emit", emit_slowly)
    count = 4 * forwarding.RECORDS_LIMIT[0]

    async def work(_: catena.WorkerPool) -> None:
        await log_many(count)
        go_on.set()
        await until(lambda: len(kept.records) + dropped() == count, 30)

    def dropped() -> int:
        return sum(one.count for one in seen.of(LogRecordsDropped))

    with recording(LogRecordsDropped) as seen:
        parent(work, seconds=60)

    assert dropped() > 0
    assert kept.texts == sorted(kept.texts, key=int)


def test_a_forked_child_of_a_worker_logs_by_itself(
    kept: Keeping, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has no thread that sends; its records go where Python puts them."""

    async def work(_: catena.WorkerPool) -> None:
        assert await fork_and_log() == 0

    parent(work)

    assert kept.texts == []
    assert capsys.readouterr().err == "from the child\n"


def test_a_message_is_whole_however_it_is_cut() -> None:
    """A worker that dies in the middle of a record costs that record."""
    channel = Channel("w", None)  # type: ignore[arg-type]
    data = forwarding.HEADER.pack(3) + b"one" + forwarding.HEADER.pack(3) + b"two"

    found = [channel.take_messages(data[at : at + 1]) for at in range(len(data) - 1)]

    assert [one for part in found for one in part] == [b"one"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"prefix": "w"}, TypeError("prefix must be True or False, it is 'w'")),
        ({"logging": True}, ValueError("logging must be one of worker, parent, it is True")),
        ({"logging": "file"}, ValueError("logging must be one of worker, parent, it is 'file'")),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], error: Exception) -> None:
    """It is refused when the pool is constructed."""
    with pytest.raises(type(error), match=str(error)):
        catena.WorkerPool(1, **options)


# ---- lines


@catena.routine
async def print_in_threads(threads: int, lines: int) -> None:
    """Print from several threads at once."""

    def say(number: int) -> None:
        for line in range(lines):
            print(f"t{number}", line, "end")

    running = [threading.Thread(target=say, args=(number,)) for number in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()


@catena.routine
async def print_long(size: int) -> None:
    """Print one long line."""
    print("x" * size)


@catena.routine
async def die_in_a_line() -> None:
    """End without a word, in the middle of a line."""
    print("begun", end="", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def test_lines_of_threads_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line of each thread, in its order."""

    async def work(_: catena.WorkerPool) -> None:
        await print_in_threads(8, 500)

    pooled(work, spawn=1)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4000
    for number in range(8):
        mine = [line for line in lines if line.startswith(f"t{number} ")]
        assert mine == [f"t{number} {line} end" for line in range(500)]


def test_a_prefix_names_the_worker(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line begins with it once, a long one and an empty one as well."""

    @catena.routine
    async def say_two() -> None:
        print("one\n\ntwo")

    async def work(pool: catena.WorkerPool) -> list[str]:
        await say_two()
        await print_long(200_000)
        return [*pool.workers]

    (name,) = pooled(work, spawn=1, prefix=True)

    out = capsys.readouterr().out.split("\n")
    long = f"[{name}] {'x' * 200_000}"
    assert out == [f"[{name}] one", f"[{name}] ", f"[{name}] two", long, ""]


def test_a_worker_that_dies_in_a_line_leaves_a_whole_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What it had flushed is shown, as a line of its own."""

    async def work(_: catena.WorkerPool) -> None:
        with pytest.raises(catena.WorkerLost):
            await die_in_a_line()
        deadline = time.monotonic() + 10
        out = ""
        while not out and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            out = capsys.readouterr().out
        assert out == "begun\n"

    pooled(work, spawn=1)
