"""The page of the catalog; ``python -m tests.telemetry.page`` writes it, a test compares it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from catena.collect.translate import family_name
from catena.events.bus import Event
from catena.telemetry.attributes import ATTRIBUTES, LABELS
from catena.telemetry.catalog import CATALOG, metrics_of
from catena.telemetry.rows import Metric, Row

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md"

HEAD = """\
# Telemetry

<!-- Written by `python -m tests.telemetry.page` from the catalog; edits are lost. -->

What Catena records of itself, as [OpenTelemetry](https://opentelemetry.io) spans and metrics and as
log records. It is on as soon as the application has configured an SDK: a pool looks for one when it
opens and about once a second afterwards, a worker likewise. Without an SDK nothing listens, and
what happens costs one attribute test each time. The [events](events.md) that all of this is made
from can be had directly, too.

One call is a story of five or six spans, which a trace view shows from top to bottom:

```text
shop.basket.price            CLIENT    its caller waits, all attempts included
├─ shop.basket.price         SERVER    its worker runs it
│  ├─ catena.proxy.lease               the pool that its nested calls would go through
│  ├─ catena.mount           to_worker the variables that came along
│  ├─ catena.token.reset     ok        one that the routine reset, if it did
│  └─ catena.mount           out       its chain leaves the worker
└─ catena.mount              to_caller the variables that came back, if one changed
```

## Two spans a call, or all of them

`CATENA_TELEMETRY`, or `install(detail=…)`, chooses:

| detail | spans | metrics | logs |
|---|---|---|---|
| `off` | none, and no trace context travels | none | none |
| `dispatch` | two a call, and one for each contention and each refused reset | all | all |
| `full`, the default | of every mount, reset and lease as well | all | all |

```console
$ CATENA_TELEMETRY=dispatch python app.py
```

With `dispatch` a call has the two spans that a call has in any RPC system: one of the kind CLIENT
at its caller, one of the kind SERVER at its worker. Choose it where calls are many and spans are
paid for, or where traces are read for who called whom and how long it took. Choose `full` where a
trace has to show what became of context variables: which chain was mounted where, what each mount
set, which token was spent. Contentions and refused resets have their spans either way, also outside
of any trace. Metrics and log records are the same with both, so nothing is lost that an alert
needs.

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
leaves other libraries out: no spans and no metrics, unless code asks for them by `install()` or by
`CatenaInstrumentor().instrument()`. Catena's warnings still reach the loggers, as they do where no
telemetry was ever configured, and after `uninstall()`.

## What it costs

A span that is recorded takes 13 to 27 µs, which is what the SDK itself needs. A call has two at
`dispatch` and five to seven at `full`: its dispatch, its execution, the lease of the proxy, the
mount on the worker, the unmount there, the mount of the answer if that changed anything, and
those of the resets that the routine makes. Where the trace is not sampled, the tracer is asked for
the sampling decision where the trace begins, and for nothing else: calls and executions in a trace
that is not sampled ask nobody, because the SDK's parent-based sampler would repeat what the parent
says. Any other sampler is asked once at either end of each call. A call that is not sampled is
only counted. Its durations have no exemplars that name a trace, whatever filter the SDK has: nobody
keeps that trace.

A worker answers first and records then: its observers see the end of a call when the answer has
left. Durations are those from before that, and a span ends when its call did: it lasts
as long as the metric says.

What that comes to is measured beside the bare SDK in [Benchmarks](benchmarks.md#telemetry). With
one call in flight, which took 0.71 ms without an SDK on that machine, 0.07 ms were added within a
trace that is not sampled, and 0.11 ms where a call begins such a trace: the bare SDK takes as much
to drop it and to record two durations. 0.30 ms were added at `dispatch` and 0.51 ms at `full`; the
same spans and records made by hand took 0.31 and 0.48 ms. Under load the share is larger, because a
call without an SDK costs little: a hundred in flight take 2.2 times as long when none of them is
sampled, and 2.5 times when each begins its trace. Who needs that
throughput sets `CATENA_TELEMETRY=off`, or configures no SDK in those processes.

The trace travels beside the manifest of a call, through the propagator that the application has
configured, and so does the time of sending, which says how long a call waited. Baggage stays
behind unless `install(baggage=True)` or `CATENA_BAGGAGE=1` says otherwise. What is to travel
beyond 8 KiB goes without baggage, and if need be without the `tracestate`; the parent arrives. What
arrives malformed, or beyond 8 KiB, never fails a call: its span begins a trace of its own, and
`catena.carrier` says why. All of that is counted in `catena.telemetry.dropped`.

Texts that no exporter can encode, because they hold half a surrogate pair (such as a file name that
is no UTF-8), arrive with a backslash: `caf\\udce9`. Integers beyond 64 bits arrive as texts.

Values of variables, arguments, results and credentials are in no signal. Errors are recorded by
their class; their texts, which may quote values, only with `install(record_messages=True)` or
`CATENA_RECORD_MESSAGES=1`.

What is given to `install` in code holds for the workers that are started afterwards, too. Hooks,
providers and propagators stay in their process;
[how to instrument workers](../how-to/instrument.md#workers) says where they are given there.

## What observes it

Hooks, samplers, span processors, propagators, log handlers and filters run within the code that
they observe, and may read variables there. They are refused nothing: a reader that is another
thread, or another task, sees the values and makes no contention. When an execution begins its chain
has not been mounted, so variables have their defaults; when it ends, what the routine left in them.
Whoever sets a variable there takes part, and can be refused.

What one of them raises costs one signal of one event: that span, that measurement or that record.
It is counted in `catena.telemetry.dropped`, with the signal and the reason `raised`, and logged at
most once a minute for each signal; the next one is recorded again. That holds for whatever it is,
SystemExit as well; only Ctrl-C goes on to the application.

## Logs

The records go to the standard library's loggers, under the names in the tables: the message is the
event's name, the attributes are extra fields, `trace_id` and `span_id` name the span. Catena
configures no logging. `catena.logging` does it for applications that want that:

::: catena.logging.configure_json
    options:
      heading_level: 3

::: catena.logging.configure_console
    options:
      heading_level: 3

::: catena.logging.audit
    options:
      heading_level: 3

`CATENA_AUDIT_LOG=1` turns the logger `catena.audit` on from outside. While it is off, nobody
listens on its account. Each of its records carries `process.pid` and, in a worker,
`catena.worker.id`, so that many processes can write to one file. In a record that names the worker
of a call, as `catena.call.dispatched` does, the id is that one's. What others put on a record, such
as a `trace_id` of their own, is left alone.

A line of JSON is valid whatever a record holds: keys become texts, numbers that JSON has no word
for become `"NaN"` or `"Infinity"`, what holds itself is cut, and a record whose arguments do not
fit its message says so in `not_rendered`. Records that structlog hands over through its
`ProcessorFormatter` keep their traceback and name the current span.

## Conventions

Names follow version 1.45 of OpenTelemetry's [semantic
conventions](https://github.com/open-telemetry/semantic-conventions/tree/v1.45.0/docs/rpc) where
they have one: `rpc.system.name` is `catena`, `rpc.method` is the routine's full name, and
`rpc.status_code` says how a call ended (up to 1.44 the conventions called it
`rpc.response.status_code`). `server.address` is the path of the worker's socket: known when the
span of an execution begins, and when that of a dispatch ends, because only then it is settled which
worker took the call. Everything else, labels included, lives under `catena.`. Of a name that the
application decides, such as `rpc.method`, so many values are kept, and further ones become
`_OTHER`.

Only Catena's own records have an event name. What an application logs has none, whatever its text
looks like. `exception.type` names the class with its module.

## How numbers are kept

Numbers on hot paths are counted in the process and read when metrics are collected (`plain`).
Refusals are counted as they come (`direct`), so that their counters carry exemplars; of calls the
duration is recorded so, once at either end. Sizes and waiting times are `sampled`: every
sixteenth is kept, at most 1024 between two collections. Durations of calls wait until sixteen have
come, or until metrics are collected, and are recorded together, each in the context of its own
call. Series of a small enumeration begin at zero, so that the first contention is an increase.
Links, workers, calls under way and leases are not added up but looked at when metrics are
collected, so they are right in a provider that comes late, or comes back.

Which version a peer will be refused for is not known before. `catena.version.refusals` begins with
one series at zero, whose `catena.version.local` is the version here and whose
`catena.version.remote` is empty; Prometheus has no label for that. The first refusal makes a series
of its own that begins at one, so whoever asks whether there was one sums over the versions there
first:

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
    parts += [_table(("label", "what it says"), _words(LABELS.items()))]
    return "".join(parts)


_METRIC = ("metric, and its name in Prometheus", "kind", "unit", "labels", "kept", "what it counts")


def _row(row: Row) -> str:
    lines = [f"### {row.event.__name__}\n\n", f"{_summary(row.event)}\n\n"]
    if row.span is not None:
        name = f"`{row.span.name}`" if row.span.name else "the routine's full name"
        detail = f", from detail `{row.span.detail}` on"
        lines.append(f"- span: {name}, {row.span.kind}, scope `{row.span.scope}`{detail}\n")
    lines += [f"- metric: `{one.name}`\n" for one in row.metrics]
    lines += [
        f"- log: `{one.name}`, {logging.getLevelName(one.level)}, logger `{one.logger}`\n"
        for one in row.logs
    ]
    if row.attributes:
        lines.append(f"- attributes: {', '.join(f'`{name}`' for name in row.attributes)}\n")
    return "".join([*lines, "\n"])


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
