"""What messages hold that a release does not know, and which kinds and fields they use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from catena.wire.v1 import catena_pb2 as pb
from tests.compat.skew.skew_newer import batch_of, find_unknown
from tests.release.kept import COMPAT

__all__ = ["find_newer", "find_used", "read_messages"]


def read_messages(file: Path) -> list[bytes]:
    """Return the messages that a process has noted."""
    return [bytes.fromhex(line) for line in file.read_text().split()]


def find_newer(messages: Iterable[bytes], version: str) -> set[str]:
    """Return what a release does not know of what was sent, the Hello aside."""
    batch = batch_of(str(COMPAT / version / "catena.binpb"))
    return {one for data in messages for one in find_unknown(batch.FromString(data))}


def find_used(messages: Iterable[bytes]) -> set[str]:
    """Return the kinds of frames and the fields, as far as messages reach, that were sent."""
    found: set[str] = set()
    for data in messages:
        batch = pb.Batch.FromString(data)
        found.update(f"Batch.{field.name}" for field, _ in batch.ListFields())
        for frame in batch.frames:
            kind = pb.Frame.Kind.Name(frame.kind)
            found.update(f"{kind} {path}" for path in _paths_of(frame))
            if frame.HasField("hello"):
                some = sorted(frame.hello.capabilities)
                found.add(f"HELLO {frame.hello.major}.{frame.hello.minor} {' '.join(some)}")
    return found


def _paths_of(message: Any, before: str = "") -> Iterator[str]:
    opened = {"Frame.manifest": pb.Manifest, "Manifest.entries": pb.Entries, "Task.proxy": pb.Proxy}
    for field, value in message.ListFields():
        path = f"{before}{field.name}"
        yield path
        inner = opened.get(f"{message.DESCRIPTOR.name}.{field.name}")
        if inner is not None:
            yield from _paths_of(inner.FromString(value), f"{path}.")
        elif field.message_type is not None and not hasattr(value, "keys"):
            for one in value if isinstance(value, Iterable) else [value]:
                yield from _paths_of(one, f"{path}.")
