"""What every engine runs in the benchmark of engines: plain functions, without a context."""

from __future__ import annotations

import os
from time import perf_counter

from .common import here

__all__ = ["burn", "echo", "here", "process_id"]


def echo(value: int | bytes) -> int | bytes:
    """The value, there and back."""
    return value


def burn(seconds: float) -> None:
    """Keep a processor busy."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def process_id() -> int:
    """Id of this process."""
    return os.getpid()
