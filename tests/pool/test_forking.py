"""Forks beside pools and in routines: children live, and have nothing of the parent's."""

from __future__ import annotations

import json
import os
import signal
import textwrap
from pathlib import Path

import pytest

from tests.integration.programs import Program, alive, run_source, until
from tests.pool.forks import FORKS, ROUTINES, SEVEN, ran


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_children_of_callers_and_workers_live(tmp_path: Path, loop: str) -> None:
    """K2: os.fork, multiprocessing and executors, on the loop and in threads, here and there."""
    source = f"""
        async def main():
            async with catena.WorkerPool(spawn=1, loop={loop!r}):
                here = [fork({FORKS}), await asyncio.to_thread(fork, 2, IN_A_THREAD)]
                away = [await there({FORKS}), await there_in_a_thread(2)]
                assert await one() == 1
            print(json.dumps(here + away))

        asyncio.run(main())
    """
    in_a_thread = {"plain": [7], "executor": [7]}
    assert ran(source, tmp_path) == [SEVEN, in_a_thread] * 2


def test_a_child_cannot_use_the_pool_and_says_so(tmp_path: Path) -> None:
    """D9: a call, bounded or not, a step of a stream and leaving the pool name both processes."""
    source = """
        async def main():
            pool = catena.WorkerPool(spawn=1)
            await pool.__aenter__()
            stream = numbers()
            await anext(stream)

            def look():
                with catena.RuntimeContext(timeout=5):
                    bounded = refusal(lambda: step(one()))
                print(json.dumps({
                    "opener": os.getppid(),
                    "call": refusal(lambda: step(one())),
                    "bounded": bounded,
                    "call on a loop": refusal(lambda: asyncio.run(one())),
                    "stream": refusal(lambda: step(anext(stream))),
                    "leaving": refusal(lambda: step(pool.__aexit__(None, None, None))),
                }))

            assert child(look) == 0
            assert await anext(stream) == 2
            await stream.aclose()
            await pool.__aexit__(None, None, None)

        asyncio.run(main())
    """
    said = ran(source, tmp_path)

    whose = f"this process was forked from process {said.pop('opener')}, which opened the pool"
    leaving = said.pop("leaving")
    assert f"the pool cannot be used here: {whose}; open another pool in this process" in leaving
    for where, text in said.items():
        assert f"cannot be dispatched: {whose}; open one with" in text, where


def test_a_child_counts_nothing_of_the_parents(tmp_path: Path) -> None:
    """K2, L8: links, workers, calls and leases are the parent's, of its caller and its workers."""
    source = """
        from catena import standing

        def counts():
            return {one: sum(standing.count_now(one).values()) for one in
                    ("workers", "links", "calls", "leases")}

        def compare():
            mine, out = counts(), os.pipe()
            if os.fork() == 0:
                os.write(out[1], json.dumps(counts()).encode())
                os._exit(0)
            os.wait()
            return [mine, json.loads(os.read(out[0], 1 << 20))]

        @catena.routine
        async def compare_there():
            return compare()

        async def main():
            async with catena.WorkerPool(spawn=1):
                print(json.dumps([compare(), await compare_there()]))

        asyncio.run(main())
    """
    none = {"workers": 0, "links": 0, "calls": 0, "leases": 0}
    (caller, in_its_child), (worker, in_child_of_worker) = ran(source, tmp_path)
    assert caller == {**none, "workers": 1, "links": 1}
    assert worker == {**none, "links": 1, "calls": 1, "leases": 1}
    assert in_its_child == in_child_of_worker == none


def test_a_child_holds_nothing_of_the_pool(tmp_path: Path) -> None:
    """K2: no pipe, socket or lock of a pool is open in children of its caller and its workers."""
    source = """
        def opened():
            found = []
            for name in os.listdir("/proc/self/fd"):
                try:
                    found.append((int(name), os.readlink(f"/proc/self/fd/{name}")))
                except OSError:
                    pass
            return {at: to for at, to in found if at > 2}

        def compare():
            mine, out = opened(), os.pipe()
            if os.fork() == 0:
                os.write(out[1], json.dumps(opened()).encode())
                os._exit(0)
            os.wait()
            theirs = json.loads(os.read(out[0], 1 << 20))
            return [
                to for at, to in mine.items()
                if theirs.get(str(at)) == to and ("catena-" in to or "socket:" in to)
            ], sum(theirs.get(str(at)) == "/dev/null" != to for at, to in mine.items())

        @catena.routine
        async def compared():
            return compare()

        async def main():
            async with catena.WorkerPool(spawn=2):
                print(json.dumps([compare(), await compared()]))

        asyncio.run(main())
    """
    if not Path("/proc/self/fd").exists():
        source = "print('[[[], 9], [[], 2]]')"
    (here, blank_here), (there, blank_there) = ran(source, tmp_path)

    # What is left are the pairs by which gRPC and asyncio wake themselves.
    assert len(here) <= 6
    assert len(there) <= 6
    # Two of each: controls, standard outputs and errors, links; and the two locks.
    assert blank_here >= 10
    # A control, a socket that listens and a link.
    assert blank_there >= 3


@pytest.mark.parametrize("where", ["caller", "routine"])
def test_workers_end_while_a_child_lives(tmp_path: Path, where: str) -> None:
    """K2: leaving the pool waits for no child, and leaves its workers to nobody."""
    source = """
        def linger():
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            return pid

        @catena.routine
        async def linger_there():
            return linger()

        async def main():
            async with catena.WorkerPool(spawn=1, stop_timeout=50) as pool:
                (worker,) = pool.pids.values()
                pid = linger() if sys.argv[1:] == ["caller"] else await linger_there()
            os.kill(pid, 0)
            os.kill(pid, signal.SIGKILL)
            print(json.dumps(os.path.exists(f"/proc/{worker}/fd")))

        sys.argv[1:] = [WHERE]
        asyncio.run(main())
    """
    assert ran(source.replace("WHERE", repr(where)), tmp_path, seconds=40) is False


def test_workers_of_a_killed_parent_end_while_its_child_lives(tmp_path: Path) -> None:
    """K2: the end of the parent shows, although a child of it lives on."""
    source = textwrap.dedent(ROUTINES) + textwrap.dedent("""
        async def main():
            async with catena.WorkerPool(spawn=1) as pool:
                pid = os.fork()
                if pid == 0:
                    time.sleep(60)
                    os._exit(0)
                print(json.dumps([pid, *pool.pids.values()]), flush=True)
                await asyncio.sleep(60)

        asyncio.run(main())
    """)
    with Program(source, tmp_path) as program:
        child, worker = program.facts()
        program.process.kill()
        program.ended()
        try:
            assert until(lambda: not alive(worker), 20)
            assert alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_killed_worker_is_lost_while_its_child_lives(tmp_path: Path) -> None:
    """K2: the child of a worker does not hold the link open."""
    source = """
        @catena.routine
        async def die():
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            print(json.dumps(pid), flush=True)
            await asyncio.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)

        async def main():
            async with catena.WorkerPool(spawn=1):
                try:
                    await asyncio.wait_for(die(), 20)
                except catena.WorkerLost:
                    print(json.dumps("lost"))

        asyncio.run(main())
    """
    whole = textwrap.dedent(ROUTINES) + textwrap.dedent(source)
    child, lost = map(json.loads, run_source(whole, tmp_path).splitlines())
    os.kill(child, signal.SIGKILL)

    assert lost == "lost"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_child_that_is_terminated_leaves_the_worker_alone(tmp_path: Path, loop: str) -> None:
    """R4: signals are Python's own in a child; neither handler nor wake-up is the worker's."""
    source = f"""
        @catena.routine
        async def use_a_child():
            child = FORK.Process(target=time.sleep, args=(60,))
            child.start()
            await asyncio.sleep(0.1)
            child.terminate()
            await asyncio.to_thread(child.join, 30)
            await asyncio.sleep(0.3)
            return child.exitcode

        async def main():
            async with catena.WorkerPool(spawn=1, loop={loop!r}) as pool:
                before = pool.pids
                bystander = asyncio.create_task(slow())
                print(json.dumps([await use_a_child(), await bystander]))

        @catena.routine
        async def slow():
            await asyncio.sleep(1)
            return "slept"

        asyncio.run(main())
    """
    assert ran(source, tmp_path) == [-signal.SIGTERM, "slept"]


@pytest.mark.parametrize(
    ("body", "code"),
    [("return 3", 0), ("sys.exit(3)", 3), ("raise ValueError('of the child')", 1)],
)
def test_a_child_that_leaves_its_routine_ends(tmp_path: Path, body: str, code: int) -> None:
    """D9: nobody waits for what it returns, and it does not serve in the worker's place."""
    source = f"""
        @catena.routine
        async def fork_and_go_on():
            pid = os.fork()
            if pid == 0:
                {body}
            return os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, pid, 0))[1])

        async def main():
            async with catena.WorkerPool(spawn=1):
                code = await asyncio.wait_for(fork_and_go_on(), 20)
            # What the worker wrote has been copied by now.
            print(json.dumps(code))

        sys.stderr = sys.stdout
        asyncio.run(main())
    """
    assert ran(source, tmp_path) == code


def test_a_pool_of_its_own_in_a_child(tmp_path: Path) -> None:
    """D9: it works where the parent had opened none, and is refused at once where it had."""
    source = """
        async def own():
            try:
                async with catena.WorkerPool(spawn=1):
                    return await one()
            except catena.WorkerStartError as error:
                return str(error)

        def report():
            print(json.dumps(asyncio.run(own())))

        assert child(report) == 0
        assert asyncio.run(own()) == 1
        assert child(report) == 0
    """
    whole = textwrap.dedent(ROUTINES) + textwrap.dedent(source)
    first, second = map(json.loads, run_source(whole, tmp_path).splitlines())

    assert first == 1
    assert "forked from one that had opened a pool, and gRPC does not work after that" in second
