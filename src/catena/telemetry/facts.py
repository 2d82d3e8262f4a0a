"""The facts of an event as attributes, made once, so that its span and its log records agree.

Ids become hexadecimal here, and keys text. Facts that are not known are left out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, cast

from catena import errors, events
from catena.events import Named
from catena.events.bus import Event, end_of
from catena.ids import Key
from catena.telemetry import underway
from catena.telemetry.catalog import CATALOG
from catena.telemetry.texts import text

Facts = dict[str, Any]

_KEYS = 100
_DONE: Facts = {"catena.outcome": "done", "rpc.status_code": "OK"}
_STATUS: tuple[tuple[type[BaseException], str], ...] = (
    (errors.Busy, "RESOURCE_EXHAUSTED"),
    (errors.WorkerLost, "UNAVAILABLE"),
    (errors.NoPool, "UNAVAILABLE"),
    (errors.SerializationError, "INVALID_ARGUMENT"),
    (errors.ChainContention, "ABORTED"),
    (errors.ProtocolError, "INTERNAL"),
    (errors.VersionRefused, "FAILED_PRECONDITION"),
    (errors.PeerRefused, "PERMISSION_DENIED"),
    (errors.CredentialsError, "UNAUTHENTICATED"),
    (TimeoutError, "DEADLINE_EXCEEDED"),
)


def error_type(error: BaseException | type[BaseException]) -> str:
    """Return the class of an error, with its module unless that is the builtins'."""
    kind = error if isinstance(error, type) else type(error)
    module = kind.__module__
    name = kind.__qualname__
    return text(name if module == "builtins" else f"{module}.{name}")


def status_of(error: BaseException | None) -> str:
    """Return how a call ended, in the words of gRPC."""
    if error is None:
        return "OK"
    if end_of(error) != "failed":
        return "CANCELLED"
    return next((word for kind, word in _STATUS if isinstance(error, kind)), "UNKNOWN")


def outcome_of(error: BaseException | None, *, messages: bool = False) -> Facts:
    """Return how a call ended; a cancellation is no error."""
    if error is None:
        return _DONE
    end = end_of(error)
    facts: Facts = {"catena.outcome": end, "rpc.status_code": status_of(error)}
    if end == "failed":
        facts |= _describe_error(error, messages=messages)
    return facts


def facts_of(event: Event, *, messages: bool = False) -> Facts:
    """Return what is known of an event; of an operation, at its end."""
    find = _FACTS.get(type(event))
    facts = _read_fields(event) if find is None else find(event)
    error = getattr(event, "error", None)
    if isinstance(error, BaseException):
        facts |= _describe_error(error, messages=messages)
    elif not messages:
        facts.pop("exception.message", None)
    return facts


def _read_fields(event: Event) -> Facts:
    """Return what the row of an event says of its fields."""
    facts: Facts = {}
    for name, read in _READERS[type(event)]:
        value = read(event)
        # A number is known also where it is 0.
        if value or isinstance(value, int):
            facts[name] = _show(value)
    return facts


def _show(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case str():
            return text(value)
        case (str(), str()):
            return _format_key(cast("Key", value))
        case tuple():
            return tuple(map(_format_key, cast("tuple[Key, ...]", value)[:_KEYS]))
        case _:
            return value


def _describe_error(error: BaseException, *, messages: bool) -> Facts:
    facts: Facts = {"error.type": error_type(error)}
    if messages:
        facts["exception.message"] = text(error)
    return facts


def describe_begin(event: events.Dispatch | events.Execution) -> Facts:
    """Return what is known of a call when it begins, for whoever decides whether to sample it."""
    return {"rpc.system.name": "catena", "rpc.method": text(event.routine)}


def describe_answered(event: events.Dispatch) -> Facts:
    """Return what is known of a dispatch when it ends, beside what was when it began."""
    facts: Facts = {"catena.stream": event.stream, "catena.attempts": event.attempts}
    attempt = event.attempt
    if attempt is not None:
        facts |= _describe_way(attempt)
    return facts


def _describe_way(call: events.Attempt | events.ServedCall) -> Facts:
    """Return over which link a call went, and with which chain."""
    worker, _, version, protocol, address, path = call.endpoints
    facts: Facts = {
        "catena.worker.id": worker,
        "catena.call.id": call.call,
        "catena.peer.version": version,
        "catena.protocol.version": protocol,
    }
    if path:
        facts["catena.proxy.source"] = path
    if address:
        facts["server.address"] = text(address)
    return _with_chain(facts, call.chain_id)


def describe_execution(event: events.Execution) -> Facts:
    """Return what is known of an execution, all of it when it begins."""
    served, routine = event.served, text(event.routine)
    facts: Facts = {
        "rpc.system.name": "catena",
        "rpc.method": routine,
        "code.function.name": routine,
        "catena.stream": event.stream,
        "catena.peer.id": served.endpoints.caller,
    }
    facts |= _describe_way(served)
    if event.leased is not None:
        facts["catena.proxy.source"], _ = event.leased
    return _with_chain(facts, b"", served.parent_id)


def _with_chain(facts: Facts, chain_id: bytes, parent_id: bytes = b"") -> Facts:
    if chain_id:
        facts["catena.chain.id"] = chain_id.hex()
    if parent_id:
        facts["catena.chain.parent_id"] = parent_id.hex()
    return facts


def describe_mount(event: events.Mount) -> Facts:
    """Return what is known of a mount when it ends."""
    facts: Facts = {
        "catena.mount.direction": "to_worker" if event.to_worker else "to_caller",
        "catena.manifest.bytes": event.size,
        "catena.manifest.kind": "whole" if event.whole else "delta",
    }
    for name, variables in (("set", event.bound), ("reset", event.unbound)):
        if variables:
            facts[f"catena.vars.{name}"] = _format_keys(variables)
    call = underway.here()
    if call is not None:
        facts["catena.call.id"] = call.call
        facts["catena.frame.kind"], facts["catena.frame.seq"] = call.frame
    return _with_chain(facts, event.chain_id, event.parent_id)


def _with_call(facts: Facts) -> Facts:
    call = underway.here()
    if call is not None:
        facts["catena.call.id"] = call.call
    return facts


def _describe_unmount(event: events.Unmounted) -> Facts:
    return _with_call(_with_chain({"catena.mount.direction": "out"}, event.chain_id))


def _describe_reset(event: events.TokenReset) -> Facts:
    return _with_call(
        {
            "catena.token.id": event.token_id.hex(),
            "catena.var": _format_key(event.key),
            "catena.outcome": event.outcome,
        }
    )


def _format_key(key: Key) -> str:
    return text(f"{key[0]}:{key[1]}")


def _format_keys(variables: Iterable[Named]) -> tuple[str, ...]:
    return tuple([_format_key(key) for key in sorted([var.key for var in variables])[:_KEYS]])


def _describe_contention(event: events.ContentionRefused) -> Facts:
    error = event.error
    # A chain is contended within one process: what travels is never shared.
    facts: Facts = {
        "catena.chain.id": error.chain_id,
        "catena.contention.kind": error.kind,
        "catena.owner.process": os.getpid(),
        "catena.contender.process": os.getpid(),
    }
    owner, contender = underway.find_call(error.chain_id), underway.here()
    known = {
        "catena.owner.thread": error.owner_thread,
        "catena.owner.task": _name_task(error.owner_task),
        "catena.owner.call": owner and owner.call,
        "catena.contender.thread": error.thread,
        "catena.contender.task": _name_task(error.task),
        "catena.contender.call": contender and contender.call,
    }
    return facts | {name: value for name, value in known.items() if value is not None}


def _name_task(task: object) -> str | None:
    if isinstance(task, asyncio.Task):
        return text(task.get_name())
    # An error that came from another process names the task as text.
    return None if task is None else text(task)


def _describe_link(event: events.LinkOpened) -> Facts:
    facts: Facts = {
        "catena.peer.id": text(event.peer),
        "catena.peer.version": text(event.software),
        "catena.protocol.version": text(event.protocol),
        "catena.peer.lacking": tuple(map(text, event.lacking)),
    }
    return {name: value for name, value in facts.items() if value}


def _describe_workers(event: events.WorkerWithoutContext) -> Facts:
    return {
        "catena.queue": text(event.queue),
        "catena.queue.workers": tuple(map(text, event.workers[:_KEYS])),
    }


_FACTS: Mapping[type[Event], Callable[[Any], Facts]] = {
    events.Dispatch: lambda event: describe_begin(event) | describe_answered(event),
    events.Execution: describe_execution,
    events.Mount: describe_mount,
    events.Unmounted: _describe_unmount,
    events.TokenReset: _describe_reset,
    events.ContentionRefused: _describe_contention,
    events.LinkOpened: _describe_link,
    events.WorkerWithoutContext: _describe_workers,
}
"""What finds out more than the fields of an event say."""

_READERS = {
    row.event: [(name, attrgetter(field)) for name, field in row.fields.items()] for row in CATALOG
}
