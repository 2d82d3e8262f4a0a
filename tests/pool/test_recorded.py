"""What a record of a pool says, and what is made of one that says something else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from catena.events.kept import Refusal
from catena.pool.recorded import RecordedPool, RecordedWorker, decode_pool, encode_pool

WORKER = RecordedWorker(
    "w1", "h:1", "w1.shop.catena", "PEM", "ready", "0.2.0", "1.0", ("delta", "names"), "it was"
)
REFUSAL = Refusal("PeerAccessRefused", "w1", "mallory", "no", 3, 12.5)
POOL = RecordedPool(
    *("ab", 7, "shop", (7, 99, "here"), "0.2.0", "1.0", ("delta",), "/certs", True),
    workers=(WORKER, RecordedWorker("", "unix:/w2")),
    refusals=(REFUSAL,),
)


@pytest.mark.parametrize("pool", [POOL, RecordedPool("cd", 8)])
def test_a_record_comes_back_as_it_was(pool: RecordedPool) -> None:
    """Every field is written and read."""
    assert decode_pool(encode_pool(pool)) == pool


def test_a_record_of_another_release_is_read() -> None:
    """V2: fields that are new are ignored, those that are missing have their defaults."""
    workers = [{"id": "w", "x": 1}]
    fields: dict[str, Any] = {"id": "ab", "pid": 7, "colour": "red", "workers": workers}

    found = decode_pool(json.dumps(fields).encode())
    assert found == RecordedPool("ab", 7, workers=(RecordedWorker("w", ""),))


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"pid": "7"}',
        b'{"pid": true}',
        b'{"workers": 1}',
        b'{"workers": [1]}',
        b'{"workers": [{"capabilities": [1]}]}',
        b'{"capabilities": "delta"}',
        b'{"refusals": [{"at": "now"}]}',
    ],
)
def test_a_record_that_is_wrong_is_refused(fields: bytes) -> None:
    """Bad input: one kind of error for all of it."""
    with pytest.raises(ValueError, match=r"."):
        decode_pool(fields)


@pytest.mark.parametrize("process", [None, 7, [7], ["7", 1, ""], [0, 1, ""], [-1, 1, ""]])
def test_a_mark_that_cannot_be_right_is_none(process: object) -> None:
    """It only helps to clean up; kill() takes zero and less for whole groups of processes."""
    data = json.dumps({"id": "ab", "pid": 7, "process": process}).encode()

    assert decode_pool(data).process is None
