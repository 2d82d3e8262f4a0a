"""The states of a call: which frame may follow which, as one table.

Theory of operation. A call is a conversation of two ends that may be of different releases, or
broken. Each end has to know at any time what it may send, what it may be sent, and when the call is
over; and whatever else comes has to end that call, and no other.

So there is one table, of states and of what each frame makes of them, and both ends walk through it
with the frames that they send and receive, in that order. One table for both is enough because they
take turns: each drive is answered before the next one is sent. There is one exception. A caller may
cancel at any time, so a Cancel may cross an answer, and then the ends see the two in different
orders. That is what the states ending in ``x`` are for: a Cancel is under way, and what the worker
sent before it met that is still legal. An answer with a ``+`` was sent after it.

Take a generator that is cancelled while it makes its first value::

    caller sends      worker sends      caller is in      worker is in
    stream next                         flow sent         flow sent
                      ack               flow step         flow step
    cancel                              flow step x       flow step
                      yield             flow closing      flow idle         they cross
                      (cancel comes)                      flow closing
                      exception         end               end

The caller learns from the plain ``yield`` that the worker had not met the Cancel yet, and will find
it while the generator is suspended, and close it. Had the worker sent ``yield+``, the generator
would have gone on in spite of the Cancel, and both would be in ``flow idle``.

Frames for a call that has ended are no concern of this table: they crossed the end, and are dropped
and announced.
"""

from __future__ import annotations

from catena.errors import ProtocolError

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

    def note_sent(self, symbol: str) -> str:
        """Move on by a frame that is sent here, and return the new state.

        Raises ProtocolError that names both frames.
        """
        try:
            self.state = TABLE[self.state][symbol]
        except KeyError:
            raise self._illegal_frame(symbol) from None
        self.last = symbol
        return self.state

    def note_received(self, symbol: str, direction: frozenset[str]) -> str:
        """Move on by a frame that arrives, which must be one of its direction."""
        state = TABLE[self.state].get(symbol)
        if state is None or symbol not in direction:
            raise self._illegal_frame(symbol)
        self.state = state
        self.last = symbol
        return state

    def is_legal(self, symbol: str) -> bool:
        """Say whether a frame would be legal now."""
        return symbol in TABLE[self.state]

    def end(self) -> None:
        """Leave the table: the call is over, however it got there."""
        self.state = END

    def _illegal_frame(self, symbol: str) -> ProtocolError:
        return ProtocolError(reason="an illegal frame ends its call", frame=symbol, after=self.last)
