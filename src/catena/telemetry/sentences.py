"""Sentences: how the facts of a log record are shown in its message.

A sentence of the catalog is filled when a handler asks for the message, and not before. What comes
from a peer or a user is escaped here. A phrase stands for facts that may be missing, or that are
said in different words; it begins with a space or a sign where it may be empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from catena.escape import printable

_MOST = 10
"""How many keys of variables are named."""

_UNFIT = {
    "used": ", which has been used",
    "foreign": ", which belongs to another variable",
    "orphan": ", which was made in another context",
}

_PATHS = {"chain": "on the chain", "snapshot": "with the snapshot of a task"}


class Shown(dict[str, Any]):
    """The facts of a record, by name as a sentence shows them; beside them the phrases."""

    def __bool__(self) -> bool:
        """Return True: a log record takes what is false for no facts, and leaves its message."""
        return True

    def __getitem__(self, name: str) -> Any:
        """Return what stands in the sentence for a fact or a phrase; ``unknown`` without one."""
        phrase = PHRASES.get(name)
        return phrase(self) if phrase is not None else _show(self.get(name, "unknown"))


def _show(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        names = [printable(one) for one in cast("tuple[str, ...]", value)]
        more = len(names) - _MOST
        return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")
    return value


def _say(before: str, name: str, after: str = "", *, without: str = "") -> Callable[[Shown], str]:
    """Return the phrase of one fact between words, or of the words that are said without it."""
    return lambda facts: f"{before}{facts[name]}{after}" if facts.get(name) else without


def _say_ended(facts: Shown) -> str:
    outcome = facts.get("catena.outcome")
    if outcome == "failed":
        return f"failed with {_say_error(facts)}"
    return "is done" if outcome == "done" else f"was {outcome}"


def _say_error(facts: Shown) -> str:
    return f"{facts['error.type']}{facts['message']}"


def _say_because(facts: Shown) -> str:
    return f", because of {_say_error(facts)}" if "error.type" in facts else ""


def _say_something(facts: Shown) -> str:
    """Say what could not be written or read, as far as the class of the error says it."""
    if facts.get("catena.serialization.direction") == "loaded":
        return "the code"
    is_chain = str(facts.get("error.type", "")).endswith("ChainSerializationError")
    return "a chain" if is_chain else "arguments, a result or code"


def _say_where(facts: Shown) -> str:
    at_worker = facts.get("catena.mount.direction") == "to_worker"
    return "on its worker" if at_worker else "back at its caller"


def _say_changes(facts: Shown) -> str:
    bound, unbound = (
        _say(", setting ", "catena.vars.set"),
        _say(", unsetting ", "catena.vars.reset"),
    )
    return bound(facts) + unbound(facts)


def _say_was_reset(facts: Shown) -> str:
    return "was not reset" if facts.get("catena.outcome") in _UNFIT else "was reset"


def _say_side(side: str) -> Callable[[Shown], str]:
    """Return the phrase of one side of a contention: its task, or its thread."""

    def say(facts: Shown) -> str:
        if facts.get("catena.contention.kind") == "thread":
            return f"thread {facts[f'catena.{side}.thread']}"
        task = facts.get(f"catena.{side}.task")
        return "code outside of any task" if task is None else f"the task '{printable(task)}'"

    return say


def _say_stack(facts: Shown) -> str:
    """Say where a loop is blocked, in lines of their own."""
    lines = str(facts.get("code.stacktrace", "")).splitlines()
    return "".join(f"\n{printable(line)}" for line in lines)


def _say_given_up(facts: Shown) -> str:
    """Say what is done to a worker that does not answer: only that of this pool has a process."""
    return "is killed" if facts.get("process.pid") else "loses its link"


def _say_path(facts: Shown) -> str:
    return _PATHS.get(str(facts.get("catena.proxy.source")), "in fields of the Task")


PHRASES: Mapping[str, Callable[[Shown], str]] = {
    "because": _say_because,
    "call": _say("call ", "catena.call.id", without="a call"),
    "chain": _say("chain ", "catena.chain.id", without="a chain"),
    "changes": _say_changes,
    "contender": _say_side("contender"),
    "ended": _say_ended,
    "error": _say_error,
    "follows": _say("; ", "catena.exit.follows"),
    "from_peer": _say(" from ", "catena.peer.id"),
    "given_up": _say_given_up,
    "kept": _say("; ", "catena.credentials.follows"),
    "lacking": _say(", which lacks ", "catena.peer.lacking"),
    "message": _say(": ", "exception.message"),
    "of_routine": _say(" of routine ", "rpc.method"),
    "on_worker": _say(" on worker ", "catena.worker.id"),
    "owner": _say_side("owner"),
    "process": _say(" (process ", "process.pid", ")"),
    "proxy_path": _say_path,
    "reason": _say(": ", "catena.exit.reason"),
    "refusal": _say(
        ": ", "catena.refusal.reason", without=", because it does not know the pool's secret"
    ),
    "something": _say_something,
    "stack": _say_stack,
    "to_peer": _say(" to ", "catena.peer.id", without=" to a peer"),
    "to_worker": _say(" to worker ", "catena.worker.id"),
    "unfit": lambda facts: _UNFIT.get(str(facts.get("catena.outcome")), ""),
    "was_cached": lambda facts: " and was known" if facts.get("catena.proxy.cached") else "",
    "was_reset": _say_was_reset,
    "where": _say_where,
    "why": _say(" (", "catena.exit.reason", ")"),
    "with_chain": _say(" with chain ", "catena.chain.id"),
}
