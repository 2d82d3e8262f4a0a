"""The grammar: which frame may follow which, as one table.

Both ends of a call run this table over the frames they see, in the order in which they send and
receive them. Only Cancel can cross a frame of the other direction; the states that end in ``x`` say
that a Cancel is under way. Frames for a call that has ended are no concern of this table: they
crossed the end, and are dropped and counted.
"""

from __future__ import annotations

from catena.errors import ProtocolError

__all__ = ["DRIVES", "END", "NEW", "TABLE", "TO_CALLER", "TO_WORKER", "Position"]

NEW = "new"
END = "end"

TABLE: dict[str, dict[str, str]] = {
    NEW: {"task": "call", "stream": "flow"},
    # a coroutine: opened, sent, running
    "call": {"next": "call sent"},
    "call sent": {"ack": "call running", "nack": END, "cancel": "call sent x"},
    "call sent x": {"ack": "call running x", "nack": END},
    "call running": {"return": END, "exception": END, "cancel": "call running x"},
    "call running x": {"return": END, "return+": END, "exception": END},
    # a generator: opened, sent, in a step, between steps, closing
    "flow": {"next": "flow sent"},
    "flow sent": {"ack": "flow step", "nack": END, "cancel": "flow sent x"},
    "flow sent x": {"ack": "flow step x", "nack": END},
    "flow step": {
        "yield": "flow idle",
        "return": END,
        "exception": END,
        "cancel": "flow step x",
    },
    # A plain yield crossed the Cancel: the worker will find that while idle, and close.
    "flow step x": {
        "yield": "flow closing",
        "yield+": "flow idle",
        "return": END,
        "return+": END,
        "exception": END,
    },
    "flow idle": {
        "next": "flow step",
        "send": "flow step",
        "throw": "flow step",
        "cancel": "flow closing",
    },
    "flow closing": {"return": END, "exception": END},
    END: {},
}

TO_WORKER = frozenset({"task", "stream", "next", "send", "throw", "cancel"})
TO_CALLER = frozenset({"ack", "nack", "yield", "yield+", "return", "return+", "exception"})
DRIVES = frozenset({"next", "send", "throw"})


class Position:
    """Where a call stands in the table, and the last frame that moved it."""

    __slots__ = ("last", "state")

    def __init__(self) -> None:
        self.state = NEW
        self.last = "nothing"

    def step(self, symbol: str) -> str:
        """Move on by a frame that is sent here, and return the new state.

        Raises ProtocolError that names both frames.
        """
        try:
            self.state = TABLE[self.state][symbol]
        except KeyError:
            raise self._illegal(symbol) from None
        self.last = symbol
        return self.state

    def hear(self, symbol: str, direction: frozenset[str]) -> str:
        """Move on by a frame that arrives, which must be one of its direction."""
        state = TABLE[self.state].get(symbol)
        if state is None or symbol not in direction:
            raise self._illegal(symbol)
        self.state = state
        self.last = symbol
        return state

    def allows(self, symbol: str) -> bool:
        """Say whether a frame would be legal now."""
        return symbol in TABLE[self.state]

    def end(self) -> None:
        """Leave the table: the call is over, however it got there."""
        self.state = END

    def _illegal(self, symbol: str) -> ProtocolError:
        return ProtocolError(reason="an illegal frame ends its call", frame=symbol, after=self.last)
