"""What several commands need: a number as an argument, and a line every few seconds."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["count", "ticking"]


def count(text: str) -> int:
    """Return an argument that is a number of at least 1; argparse tells of any other."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return number


@contextmanager
def ticking(tell: Callable[[], None], every: float) -> Generator[None]:
    """Call ``tell`` every so many seconds, from a thread, until the block is left.

    From a thread, because what a command waits for may never yield.
    """
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(every):
            tell()

    thread = threading.Thread(target=tick, name="catena-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
