"""Identifiers are 16 bytes and unique: among threads, and in a forked child."""

from __future__ import annotations

import os
import threading

from catena.ids import ID_BYTES, new_id


def test_ids_of_many_threads_are_all_different() -> None:
    """M1: an id has 16 bytes and no other id is equal to it, whichever thread drew it."""
    drawn: list[bytes] = []
    start = threading.Barrier(4)

    def draw() -> None:
        start.wait(10)
        mine = [new_id() for _ in range(5_000)]
        drawn.extend(mine)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(drawn) == len(set(drawn)) == 20_000
    assert {len(id) for id in drawn} == {ID_BYTES} == {16}


def test_a_forked_child_draws_other_ids() -> None:
    """D9: the child of a fork continues no count of its parent's."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, b"".join(new_id() for _ in range(10)))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)

    theirs = {data[n : n + ID_BYTES] for n in range(0, len(data), ID_BYTES)}
    ours = {new_id() for _ in range(20)}
    assert len(theirs) == 10
    assert theirs.isdisjoint(ours)
    assert {id[:8] for id in theirs}.isdisjoint({id[:8] for id in ours})
