"""Frames of a later release, written byte by byte: our own codec has no part in them.

Whatever message is made here ends in fields that this version has never heard of.
"""

from __future__ import annotations

__all__ = [
    "CANCEL",
    "DECLINE",
    "EXCEPTION",
    "GOODBYE",
    "HELLO",
    "LATER",
    "MADE",
    "MEMBERS",
    "NACK",
    "NEXT",
    "OFFER",
    "PIECE",
    "PING",
    "PONG",
    "RESULT",
    "SEND",
    "STREAM",
    "TASK",
    "THROW",
    "WANT",
    "data",
    "frame",
    "later",
    "message",
    "number",
]

TASK, STREAM, NEXT, SEND, THROW, CANCEL, NACK, RESULT, EXCEPTION = range(1, 10)
HELLO, GOODBYE, PIECE, PING, PONG, WANT, OFFER, DECLINE = range(10, 18)
MEMBERS = 20

MADE: set[str] = set()
"""The messages of the proto that were made."""


def number(field: int, value: int) -> bytes:
    """Return a field that holds a number."""
    return _varint(field << 3) + _varint(value)


def data(field: int, value: bytes | str) -> bytes:
    """Return a field that holds bytes, a text or a message."""
    value = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def later(name: str, *fields: bytes) -> bytes:
    """Return a message of that name, with fields of a later release behind its own."""
    MADE.add(name)
    return b"".join(fields) + LATER


def frame(call: int, kind: int, *fields: bytes) -> bytes:
    """Return a Frame."""
    return later("Frame", number(1, call), number(2, kind), *fields)


def message(*frames: bytes, acks: bytes = b"") -> bytes:
    """Return a Batch of frames, and of Acks whose calls take a byte each."""
    return later("Batch", *(data(1, one) for one in frames), data(2, acks) if acks else b"")


def _varint(value: int) -> bytes:
    some = bytearray()
    while value > 127:
        some.append(value & 127 | 128)
        value >>= 7
    return bytes([*some, value])


LATER = number(1000, 7) + data(1001, "news") + _varint(1002 << 3 | 1) + bytes(8)
"""A number, some bytes and eight fixed ones, in fields that nobody knows."""
