"""Rows of the catalog: chains, tokens, and what they carry."""

from __future__ import annotations

from catena import events
from catena.telemetry.catalog.common import AUDIT, BYTES, CONTEXT, DEBUG, ERROR, INFO, WARNING
from catena.telemetry.rows import Log, Metric, Row, Span, make_row

_ANY, _CHAIN = "catena.errors.SerializationError", "catena.errors.ChainSerializationError"
_SERIALIZATION = (
    *(("sent", _ANY), ("read", _ANY), ("loaded", _ANY)),
    *(("sent", _CHAIN), ("read", _CHAIN)),
)

CHAINS: tuple[Row, ...] = (
    make_row(
        events.Mount,
        Span("catena.context", "catena.mount"),
        Metric(
            "catena.chain.mounts",
            "counter",
            "{mount}",
            "Manifests that were mounted; a refused one counts as a serialization failure.",
            ("catena.direction",),
            zero=(("to_worker",), ("to_caller",)),
        ),
        Metric(
            "catena.manifest.size",
            "histogram",
            "By",
            "Size of the entries of a mounted manifest; one manifest in sixteen is measured.",
            ("catena.direction", "catena.kind"),
            keeping="sampled",
            boundaries=BYTES,
        ),
        Log("catena.chain.mounted", DEBUG, AUDIT),
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
        Metric(
            "catena.chain.unmounts", "counter", "{mount}", "Chains that were unmounted.", zero=((),)
        ),
        Log("catena.chain.unmounted", DEBUG, AUDIT),
        attributes=("catena.chain.id", "catena.mount.direction", "catena.call.id"),
    ),
    make_row(
        events.TokenReset,
        Span("catena.context", "catena.token.reset"),
        Metric(
            "catena.token.resets",
            "counter",
            "{reset}",
            "Resets that were tried.",
            ("catena.outcome",),
            zero=(("ok",), ("used",), ("foreign",), ("orphan",)),
        ),
        Log("catena.token.reset", DEBUG, AUDIT),
        attributes=(*("catena.token.id", "catena.var", "catena.outcome", "catena.call.id"),),
    ),
    make_row(
        events.ChainForked,
        Metric("catena.chain.forks", "counter", "{fork}", "Chains that were forked.", zero=((),)),
        Log("catena.chain.forked", DEBUG, AUDIT),
        attributes=("catena.chain.id", "catena.chain.parent_id"),
    ),
    make_row(
        events.ContentionRefused,
        Span("catena.context", "catena.contention", detail="dispatch"),
        Metric(
            "catena.chain.contentions",
            "counter",
            "{refusal}",
            "How often a thread or a task was refused a chain because another one runs it.",
            ("catena.kind",),
            keeping="direct",
            zero=(("thread",), ("task",)),
        ),
        Log("catena.chain.contention", WARNING, CONTEXT),
        attributes=(
            *("catena.chain.id", "catena.contention.kind", "error.type"),
            *("exception.message", "catena.owner.process", "catena.owner.thread"),
            *("catena.owner.task", "catena.owner.call", "catena.contender.process"),
            *("catena.contender.thread", "catena.contender.task", "catena.contender.call"),
        ),
    ),
    make_row(
        events.ContentionUnhandled,
        Log("catena.chain.contention_unhandled", ERROR, CONTEXT),
        attributes=(
            *("rpc.method", "catena.call.id", "catena.call.end", "catena.chain.id"),
            *("catena.contention.kind", "error.type", "exception.message"),
        ),
    ),
    make_row(
        events.FactoryDisplaced,
        Metric(
            "catena.task_factory.displacements",
            "counter",
            "{event}",
            "How often a loop's task factory was found replaced.",
            zero=((),),
        ),
        Log("catena.task_factory.displaced", WARNING, CONTEXT),
        attributes=("error.type", "exception.message"),
    ),
    make_row(
        events.EntryLost,
        Metric(
            "catena.entries.lost",
            "counter",
            "{entry}",
            "Variables that were left out because they could not be written or read.",
            ("catena.direction",),
            zero=(("sent",), ("read",)),
        ),
        Log("catena.entry.lost", INFO, CONTEXT),
        attributes=("catena.var", "catena.serialization.direction", "exception.message"),
    ),
    make_row(
        events.ForwardDropped,
        Log("catena.forward.dropped", DEBUG, AUDIT),
        attributes=("catena.var",),
    ),
    make_row(
        events.KeysUndeclared,
        Log("catena.keys.undeclared", INFO, CONTEXT),
        attributes=("catena.chain.id", "catena.vars.set"),
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
        Log("catena.serialization.failed", WARNING, CONTEXT),
        attributes=(
            *("rpc.method", "catena.worker.id", "catena.serialization.direction"),
            *("error.type", "exception.message"),
        ),
    ),
)
