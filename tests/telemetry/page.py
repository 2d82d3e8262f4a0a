"""The page of the catalog; ``python -m tests.telemetry.page`` writes it, a test compares it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from catena import events
from catena.collect.translate import family_name
from catena.events.bus import Event
from catena.telemetry.attributes import ATTRIBUTES, LABELS
from catena.telemetry.catalog import CATALOG, metrics_of
from catena.telemetry.rows import Log, Metric, Row
from catena.telemetry.sentences import Shown

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md"

EXAMPLES = {
    "catena.attempts": 2,
    "catena.call.end": "caller",
    "catena.call.id": 12,
    "catena.chain.id": "b1f3…",
    "catena.chain.parent_id": "90c2…",
    "catena.contender.task": "Task-7",
    "catena.contention.kind": "task",
    "catena.exit.follows": "another one takes its place",
    "catena.exit.reason": "killed by SIGKILL, perhaps out of memory",
    "catena.frame.kind": "yield",
    "catena.lease.id": "7e41…",
    "catena.log.records": 120,
    "catena.mount.direction": "to_worker",
    "catena.nack.code": "BUSY",
    "catena.outcome": "done",
    "catena.owner.task": "Task-6",
    "catena.peer.id": "k3x9-1",
    "catena.peer.version": "0.2.0",
    "catena.protocol.version": "1.1",
    "catena.proxy.id": "4d20…",
    "catena.proxy.source": "chain",
    "catena.routine.kill_after": 2.0,
    "catena.serialization.direction": "sent",
    "catena.token.id": "c7a5…",
    "catena.var": "shop:basket",
    "catena.vars.set": ("shop:basket", "shop:user"),
    "catena.version.local": "1.1",
    "catena.version.remote": "2.0",
    "catena.wait.calls": 3,
    "catena.wait.cause": "no worker has the tag gpu; the workers of the pool have no tags",
    "catena.wait.seconds": 60.0,
    "catena.worker.cause": "its event loop is blocked",
    "catena.worker.id": "k3x9-1",
    "catena.member.source": "discovery",
    "catena.record.expected": "w1",
    "catena.worker.replacement": "k3x9-4",
    "catena.worker.silence": 2.4,
    "code.function.name": "shop.reports.make",
    "error.type": "catena.errors.SerializationError",
    "catena.queue": "catena",
    "catena.queue.request": "add a task",
    "catena.queue.workers": ("host-1#4711",),
    "catena.snapshot.fault": "missing",
    "catena.snapshot.follows": "the task fails",
    "messaging.destination.name": "shop.tasks.send_invoice",
    "messaging.message.id": "invoice-7",
    "process.pid": 4711,
    "rpc.method": "shop.basket.price",
}
"""What the sentences on the page say."""

OTHERS: Mapping[type[Event], Mapping[str, str]] = {
    events.SerializationFailed: {"catena.serialization.direction": "read"},
    events.LinkClosed: {"error.type": "ConnectionResetError"},
}

HEAD = """\
# Telemetry

<!-- Written by `python -m tests.telemetry.page` from the catalog; edits are lost. -->

Catena records spans and metrics for [OpenTelemetry](https://opentelemetry.io), and log records. It
begins to record spans and metrics as soon as the application has configured an SDK: a pool looks
for one when it opens and about once a second afterwards, a worker likewise. Without an SDK nothing
listens, and each event costs one attribute test. All of this is made from [events](events.md), to
which you can also subscribe directly.

One call makes five spans or more, which a trace view shows from top to bottom:

```text
shop.basket.price            CLIENT    its caller waits, all attempts included
├─ shop.basket.price         SERVER    its worker runs it
│  ├─ catena.proxy.lease               the pool that its nested calls go through
│  ├─ catena.mount           to_worker the variables that came along
│  ├─ catena.token.reset     ok        for each token that the routine reset
│  └─ catena.mount           out       its chain leaves the worker
└─ catena.mount              to_caller the variables that came back, if one changed
```

## Two spans a call, or all of them

`CATENA_TELEMETRY`, or `install(detail=…)`, chooses:

| detail | spans | metrics | logs |
|---|---|---|---|
| `off` | none, and no trace context travels | none | [warnings that nothing else reports](#logs) |
| `dispatch` | two a call, and one for each contention and each refused reset | all | all |
| `full`, the default | of every mount, reset and lease as well | all | all |

```console
$ CATENA_TELEMETRY=dispatch python app.py
```

With `dispatch` a call has the two spans that a call has in any RPC system: one of the kind CLIENT
at its caller, one of the kind SERVER at its worker. Choose it when you make many calls and pay for
spans, or when you read traces only to see who called whom and how long it took. Choose `full` when
a trace has to show what became of context variables: which chain was mounted where, which variables
each mount set, which token was spent. Contentions and refused resets have spans with both, also
outside of any trace. Metrics and log records are the same with both, so alerts do not depend on the
choice.

## Switch it on and off

`catena.telemetry.install()` takes providers, a propagator and options in code, and
`catena.telemetry.uninstall()` ends it:

::: catena.telemetry.install
    options:
      heading_level: 3

::: catena.telemetry.uninstall
    options:
      heading_level: 3

::: catena.telemetry.installed
    options:
      heading_level: 3

`OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=catena` leaves Catena out as `opentelemetry-instrument`
leaves other libraries out: there are no spans and no metrics, unless code asks for them by
`install()` or by `CatenaInstrumentor().instrument()`. Catena's warnings still reach the loggers, as
they do without any telemetry, and after `uninstall()`.

## What it costs

A span that is recorded takes 13 to 27 µs, which is the time that the SDK itself needs. A call has
two spans at `dispatch` and five to seven at `full`: its dispatch, its execution, the lease of the
proxy, the mount on the worker, the unmount there, the mount of the answer if the routine changed a
variable, and one for each reset that the routine makes.

In a trace that is not sampled, the sampler is asked once, where the trace begins. Calls and
executions in that trace do not ask it, because the SDK's parent-based sampler would repeat the
decision of the parent. Any other sampler is asked once at either end of each call. A call that is
not sampled is only counted. Its durations never have exemplars, whatever exemplar filter the SDK
has, because they would name a trace that nobody keeps.

A worker sends the answer first and records the call afterwards: its observers see the end of a call
when the answer has left. Recording is not part of the recorded duration, and a span ends at the
moment at which its call ended, so it lasts as long as the metric says.

[Benchmarks](benchmarks.md#telemetry) compare this with the bare SDK. With one call in flight, a
call took 0.71 ms without an SDK on that machine. Telemetry added 0.07 ms within a trace that is not
sampled, and 0.11 ms where a call begins such a trace; the bare SDK takes as much to drop the trace
and to record two durations. It added 0.30 ms at `dispatch` and 0.51 ms at `full`; the same spans
and records made by hand took 0.31 and 0.48 ms. Under load the share is larger, because a call
without an SDK costs little: a hundred in flight take 2.2 times as long when none of them is
sampled, and 2.5 times when each begins its trace. If you need that throughput, set
`CATENA_TELEMETRY=off`, or configure no SDK in those processes.

The trace context travels beside the manifest of a call, through the propagator that the application
has configured. So does the time of sending, from which the worker computes how long a call waited.
Baggage does not travel unless `install(baggage=True)` or `CATENA_BAGGAGE=1` allows it. When all of
this takes more than 8 KiB, it goes without baggage, and if need be without the `tracestate`; the
parent always arrives. A trace context that arrives malformed or with more than 8 KiB never fails a
call: the call's span begins a trace of its own, and `catena.carrier` says why. All of that is
counted in `catena.telemetry.dropped`.

A text that no exporter can encode, because it holds half a surrogate pair (such as a file name that
is not UTF-8), is recorded with a backslash escape: `caf\\udce9`. Integers beyond 64 bits are
recorded as texts.

Values of variables, arguments, results and credentials are in no signal. Of an error the class is
recorded; its text, which may quote values, only with `install(record_messages=True)` or
`CATENA_RECORD_MESSAGES=1`.

The options given to `install` in code hold for the workers that are started afterwards, too. Hooks,
providers and propagators stay in their process;
[how to instrument workers](../how-to/instrument.md#workers) says how to set them in workers.

## Hooks, handlers and what they raise

Hooks, samplers, span processors, propagators, log handlers and filters run within the code that
they observe, and may read variables there. Reading never causes a contention: also from another
thread or task they see the values. When an execution begins, its chain has not been mounted, so
variables have their defaults; when it ends, they have the values that the routine left. Code that
*sets* a variable there is treated like any other code, and can be refused.

When one of them raises, one signal of one event is lost: that span, that measurement or that
record. The loss is counted in `catena.telemetry.dropped`, with the signal and the reason `raised`,
and logged at most once a minute for each signal; the next event is recorded again. That holds for
any exception, also for SystemExit; only Ctrl-C is passed on to the application.

## Logs

The records go to the standard library's loggers. The sections below name the logger of each. The
message is a sentence, such as those that are shown there. The event's dotted name is the field
`event.name`, the attributes are further fields, `trace_id` and `span_id` name the span. The
sentence is made when a handler asks for it, of these attributes only, with control characters
escaped. Catena itself configures no logging.
[What Catena logs](../how-to/what-catena-logs.md) shows what the lines look like.

Warnings and errors that nothing else reports are written in every process, with
`CATENA_TELEMETRY=off` as well: a worker has died, does not answer or was given up, a routine goes
on when its time is up, log records of workers were dropped. Where nobody has configured logging
they are on standard error. All other
records are written only where a handler is: what goes wrong in a call is raised there.

Applications can have `catena.logging` configure logging:

::: catena.logging.configure_json
    options:
      heading_level: 3

::: catena.logging.configure_console
    options:
      heading_level: 3

::: catena.logging.audit
    options:
      heading_level: 3

`CATENA_AUDIT_LOG=1` turns the logger `catena.audit` on from outside. While it is off, its records
cost nothing. Each of them carries `process.pid` and, in a worker, `catena.worker.id`, so that many
processes can write to one file. In a record that names the worker of a call, as
`catena.call.dispatched` does, `catena.worker.id` is that worker and not the writer. Fields that
other code puts on a record, such as a `trace_id` of its own, are not replaced.

A line of JSON is valid whatever a record holds: keys become texts, numbers that JSON cannot express
become `"NaN"` or `"Infinity"`, an object that contains itself is cut off, and a record whose
arguments do not fit its message says so in `not_rendered`. Records that structlog hands over
through its `ProcessorFormatter` keep their traceback and name the current span.

## Conventions

Names follow version 1.45 of OpenTelemetry's [semantic
conventions](https://github.com/open-telemetry/semantic-conventions/tree/v1.45.0/docs/rpc) where
they have one: `rpc.system.name` is `catena`, `rpc.method` is the routine's full name, and
`rpc.status_code` says how a call ended (up to 1.44 the conventions called it
`rpc.response.status_code`). `server.address` is the path of the worker's socket. It is set when the
span of an execution begins, but only when the span of a dispatch ends, because only then is it
known which worker took the call. All other names, those of labels included, begin with `catena.`.
A label whose values the application decides, such as `rpc.method`, keeps a limited number of them,
and further ones become `_OTHER` ([Labels](#labels) has the limits).

Only Catena's own records have an event name. Records of the application have none, whatever their
text looks like. `exception.type` names the class with its module.

## How numbers are kept

The column "kept" of the [metrics](#metrics) says how a number gets into its metric. Numbers on hot
paths are counted in the process and read when metrics are collected (`plain`). Refusals are
recorded as they happen (`direct`), so that their counters carry exemplars, and so are the durations
of calls, once at either end. Sizes and waiting times are `sampled`: every sixteenth is kept, at
most 1024 between two collections. Durations of calls are held back until there are sixteen of them,
or until metrics are collected, and are then recorded together, each in the context of its own call.
Where the values of a label are a small enumeration, all its series begin at zero, so that the first
contention is an increase. Links, workers, calls under way and leases are counted anew whenever
metrics are collected, so the numbers are right also in a provider that was configured late or a
second time.

The version of a peer that will be refused cannot be known in advance. So `catena.version.refusals`
begins with one series at zero, whose `catena.version.local` is the version here and whose
`catena.version.remote` is empty; Prometheus shows it without that label. The first refusal makes a
series of its own that begins at one. To ask whether there was a refusal, sum over the remote
versions first:

```text
increase((sum without (catena_version_remote) (catena_version_refusals_total))[10m:30s])
```

"""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, "## Events\n\n", *map(_row, CATALOG)]
    parts += ["## Metrics\n\n", _table(_METRIC, map(_metric, metrics_of())), "\n"]
    parts += ["## Attributes\n\n", "On spans and log records; never on metrics.\n\n"]
    parts += [_table(("attribute", "what it says"), _words(ATTRIBUTES.items())), "\n"]
    parts += ["## Labels\n\n", "On metrics: few values each.\n\n"]
    names = {name for metric in metrics_of() for name in metric.labels}
    said = {name: text for name, text in (ATTRIBUTES | LABELS).items() if name in names}
    parts += [_table(("label", "what it says"), _words(said.items()))]
    return "".join(parts)


_METRIC = ("metric, and its name in Prometheus", "kind", "unit", "labels", "kept", "what it counts")


def _row(row: Row) -> str:
    lines = [f"### {row.event.__name__}\n\n", f"{_summary(row.event)}\n\n"]
    if row.span is not None:
        name = f"`{row.span.name}`" if row.span.name else "the routine's full name"
        detail = f", from detail `{row.span.detail}` on"
        lines.append(f"- span: {name}, {row.span.kind}, scope `{row.span.scope}`{detail}\n")
    lines += [f"- metric: `{one.name}`\n" for one in row.metrics]
    lines += [_log(one, row) for one in row.logs]
    if row.attributes:
        lines.append(f"- attributes: {', '.join(f'`{name}`' for name in row.attributes)}\n")
    return "".join([*lines, "\n"])


def _log(log: Log, row: Row) -> str:
    level = logging.getLevelName(log.level)
    if log.unexpected:
        level += f", {logging.getLevelName(log.unexpected)} where it is unexpected"
    # Texts of errors are there on request only.
    names = [name for name in row.attributes if name in EXAMPLES]
    facts = {name: EXAMPLES[name] for name in names} | OTHERS.get(row.event, {})
    text = log.sentence % Shown(facts)
    return f"- log: `{log.name}`, {level}, logger `{log.logger}`: *{text}*\n"


def _summary(event: type[Event]) -> str:
    text = (event.__doc__ or "").partition("\n\n")[0]
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))


def _metric(metric: Metric) -> tuple[str, ...]:
    names = ", ".join(f"`{name}`" for name in metric.labels)
    shown = (metric.kind, metric.unit, names, metric.keeping, metric.description)
    return (f"`{metric.name}`<br>`{_in_prometheus(metric)}`", *shown)


def _in_prometheus(metric: Metric) -> str:
    kind = metric.kind if metric.kind in ("counter", "histogram") else "gauge"
    name = family_name(metric.name, metric.unit, kind)
    return f"{name}_total" if kind == "counter" else name


def _words(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"`{name}`", text) for name, text in sorted(items)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
