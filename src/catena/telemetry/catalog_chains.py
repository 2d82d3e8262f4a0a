"""The rows of the catalog about chains: how they move, fork and are contended, and what is lost."""

from __future__ import annotations

from catena import events
from catena.telemetry.rows import (
    CONTEXT,
    ERROR,
    INFO,
    WARNING,
    Log,
    Metric,
    Row,
    Span,
    counter,
    histogram,
    make_row,
)

_ANY, _CHAIN = "catena.errors.SerializationError", "catena.errors.ChainSerializationError"
_SERIALIZATION = (
    *(("sent", _ANY), ("read", _ANY), ("loaded", _ANY)),
    *(("sent", _CHAIN), ("read", _CHAIN)),
)

CHAINS: tuple[Row, ...] = (
    make_row(
        events.Mount,
        Span("catena.context", "catena.mount"),
        counter(
            "catena.chain.mounts",
            "{mount}",
            "Manifests that were mounted; a refused one counts as a serialization failure.",
            {"catena.direction": ("to_worker", "to_caller")},
        ),
        histogram(
            "catena.manifest.size",
            "By",
            "Size of the entries of a mounted manifest; one manifest in sixteen is measured.",
            "catena.direction",
            "catena.kind",
        ),
        Log(
            "catena.chain.mounted",
            "%(chain)s was mounted %(where)s%(changes)s",
        ),
        attributes=(
            *("catena.chain.id", "catena.chain.parent_id"),
            *("catena.mount.direction", "catena.call.id", "catena.frame.kind"),
            *("catena.frame.seq", "catena.manifest.bytes", "catena.manifest.kind"),
            *("catena.vars.set", "catena.vars.reset"),
        ),
    ),
    make_row(
        events.Unmounted,
        Span("catena.context", "catena.mount"),
        counter("catena.chain.unmounts", "{mount}", "Chains that were unmounted."),
        Log(
            "catena.chain.unmounted",
            "%(chain)s was unmounted",
        ),
        attributes=("catena.chain.id", "catena.mount.direction", "catena.call.id"),
    ),
    make_row(
        events.TokenReset,
        Span("catena.context", "catena.token.reset"),
        counter(
            "catena.token.resets",
            "{reset}",
            "Resets that were tried.",
            {"catena.outcome": ("ok", "used", "foreign", "orphan")},
        ),
        Log(
            "catena.token.reset",
            "variable %(catena.var)s %(was_reset)s with token %(catena.token.id)s%(unfit)s",
        ),
        attributes=("catena.token.id", "catena.var", "catena.outcome", "catena.call.id"),
    ),
    make_row(
        events.ChainForked,
        counter("catena.chain.forks", "{fork}", "Chains that were forked."),
        Log(
            "catena.chain.forked",
            "%(chain)s was forked from chain %(catena.chain.parent_id)s",
        ),
        fields={"catena.chain.id": "chain_id", "catena.chain.parent_id": "parent_id"},
    ),
    make_row(
        events.Submission,
        Log(
            "catena.task.submitted",
            "%(code.function.name)s was submitted as a task of another engine%(with_chain)s",
        ),
        fields={"code.function.name": "function", "catena.chain.id": "chain_id"},
    ),
    make_row(
        events.EngineTask,
        Log(
            "catena.task.ran",
            "%(code.function.name)s ran as a task of another engine%(with_chain)s",
        ),
        fields={"code.function.name": "function", "catena.chain.id": "chain_id"},
    ),
    make_row(
        events.ContentionRefused,
        Span("catena.context", "catena.contention", detail="dispatch"),
        counter(
            "catena.chain.contentions",
            "{refusal}",
            "How often a thread or a task was refused a chain because another one runs it.",
            {"catena.kind": ("thread", "task")},
            keeping="direct",
        ),
        Log(
            "catena.chain.contention",
            "%(chain)s was refused to %(contender)s, because %(owner)s runs it",
            WARNING,
            CONTEXT,
        ),
        attributes=(
            *("catena.chain.id", "catena.contention.kind", "error.type"),
            *("exception.message", "catena.owner.process", "catena.owner.thread"),
            *("catena.owner.task", "catena.owner.call", "catena.contender.process"),
            *("catena.contender.thread", "catena.contender.task", "catena.contender.call"),
        ),
    ),
    make_row(
        events.ContentionUnhandled,
        Log(
            "catena.chain.contention_unhandled",
            "the refusal of chain %(catena.chain.id)s to a second %(catena.contention.kind)s ended"
            " call %(catena.call.id)s of routine %(rpc.method)s, on the %(catena.call.end)s's side",
            ERROR,
            CONTEXT,
        ),
        fields={
            "rpc.method": "routine",
            "catena.call.id": "call",
            "catena.call.end": "end",
            "catena.chain.id": "error.chain_id",
            "catena.contention.kind": "error.kind",
        },
    ),
    make_row(
        events.FactoryDisplaced,
        counter(
            "catena.task_factory.displacements",
            "{event}",
            "How often a loop's task factory was found replaced.",
        ),
        Log(
            "catena.task_factory.displaced",
            "the task factory of an event loop was replaced by one that does not call Catena's, so"
            " created tasks get no chain of their own",
            WARNING,
            CONTEXT,
        ),
    ),
    make_row(
        events.EntryLost,
        counter(
            "catena.entries.lost",
            "{entry}",
            "Variables that were left out because they could not be written or read.",
            {"catena.direction": ("sent", "read")},
        ),
        Log(
            "catena.entry.lost",
            "variable %(catena.var)s was left out, because it could not be"
            " %(catena.serialization.direction)s%(message)s",
            INFO,
            CONTEXT,
        ),
        fields={
            "catena.var": "key",
            "catena.serialization.direction": "direction",
            "exception.message": "cause",
        },
    ),
    make_row(
        events.ForwardDropped,
        Log(
            "catena.forward.dropped",
            "a worker sent back variable %(catena.var)s, which only goes forward; it was dropped",
        ),
        fields={"catena.var": "key"},
    ),
    make_row(
        events.KeysUndeclared,
        Log(
            "catena.keys.undeclared",
            "%(chain)s ended on a worker that does not declare %(catena.vars.set)s",
            INFO,
            CONTEXT,
        ),
        fields={"catena.chain.id": "chain_id", "catena.vars.set": "keys"},
    ),
    make_row(
        events.SerializationFailed,
        Metric(
            "catena.serialization.failures",
            "counter",
            "{failure}",
            "Arguments, results, routines and chains that could not be written or read.",
            ("catena.direction", "error.type"),
            keeping="direct",
            zero=_SERIALIZATION,
        ),
        Log(
            "catena.serialization.failed",
            "%(something)s%(of_routine)s could not be %(catena.serialization.direction)s"
            "%(on_worker)s: %(error)s",
            WARNING,
            CONTEXT,
        ),
        fields={
            "rpc.method": "error.routine",
            "catena.worker.id": "error.worker",
            "catena.serialization.direction": "error.doing",
        },
    ),
)
