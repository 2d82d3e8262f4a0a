"""Runs a worker or a caller of any release, and records what it announces, traces and sends.

Variables of the environment ask for more:

- ``SKEW_SENT`` names a file to which each message that leaves is written, a line of hexadecimal;
- ``SKEW_NEWER`` names one for what is sent to peers of protocol 1.0 and is not in its descriptors,
  whose image is the file ``SKEW_IMAGE``;
- ``SKEW_FUTURE`` has each message but a Hello end in what only a later release would send: a frame
  of an unknown kind, and unknown fields;
- ``SKEW_FAULT`` names a fault to plant in a process of this source.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any

FUTURE = bytes.fromhex("0a080800106316027878".replace("16", "1a") + "c03e07ca3e046e657773")
"""A frame of kind 99 with a payload, and the fields 1000 and 1001 of the message."""

_recorded: Any = None
_exporter: Any = None


def prepare() -> None:
    """Record from here on; to be called before anything of Catena runs."""
    _install_sdk()
    _record_events()
    _look_for_newer()
    _change_messages()
    fault = os.environ.get("SKEW_FAULT")
    if fault:
        import skew_faults

        skew_faults.plant(fault)


def serve() -> None:
    """Be a worker."""
    prepare()
    sys.argv = ["worker"]
    sys.exit(_run_worker())


def _run_worker() -> Any:
    return runpy.run_module("catena.pool.worker_main", run_name="__main__", alter_sys=True)


def _install_sdk() -> None:
    global _exporter  # noqa: PLW0603 - the process's own
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    _exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_exporter))
    trace.set_tracer_provider(provider)
    from catena import telemetry

    # There is no pool whose opening would look for the SDK.
    telemetry.install()


def _record_events() -> None:
    global _recorded  # noqa: PLW0603 - the process's own
    from catena.testing import recording

    _recorded = recording()
    _recorded.recorded = _recorded.__enter__()


def _change_messages() -> None:
    path, future = os.environ.get("SKEW_SENT"), os.environ.get("SKEW_FUTURE")
    if not (path or future):
        return
    from catena.wire import codec

    encode = codec.encode_message

    def encode_message(*args: Any) -> bytes:
        data = encode(*args)
        if path:
            with open(path, "a") as file:  # noqa: PTH123 - as short as can be
                file.write(data.hex() + "\n")
        is_hello = any(type(one).__name__ == "Hello" for one in args[0])
        return data + FUTURE if future and not is_hello else data

    codec.encode_message = encode_message


def _look_for_newer() -> None:
    path, image = os.environ.get("SKEW_NEWER"), os.environ.get("SKEW_IMAGE", "")
    if not path:
        return
    import skew_newer

    from catena.link.link import Link
    from catena.wire import codec

    # Before anything is added to what is sent.
    encode, send, batch = codec.encode_message, Link.send, skew_newer.batch_of(image)

    def send_and_look(self: Any, frame: Any) -> None:
        if self.protocol == "1.0" and self.up:
            data = encode([frame])
            unknown = list(skew_newer.find_unknown(batch.FromString(data)))
            if unknown:
                with open(path, "a") as file:  # noqa: PTH123 - as short as can be
                    file.write(f"{type(frame).__name__}: {unknown}\n")
        send(self, frame)

    Link.send = send_and_look


def take_events() -> list[str]:
    """Return the names of what was announced, and forget it.

    That a link was opened says for each capability that the peer lacks ``LinkOpened: capability``.
    """
    recorded = _recorded.recorded
    found: list[str] = []
    for one in recorded.events:
        name = type(one).__name__
        found.append(name)
        found += [f"{name}: {lacking}" for lacking in getattr(one, "lacking", ())]
    recorded.events.clear()
    recorded.outcomes.clear()
    return sorted(set(found))


def take_spans() -> list[Any]:
    """Return of each span its name, its kind, its trace, its id and its parent's."""
    spans = [
        (
            one.name,
            one.kind.name,
            f"{one.context.trace_id:032x}",
            f"{one.context.span_id:016x}",
            f"{one.parent.span_id:016x}" if one.parent else "",
        )
        for one in _exporter.get_finished_spans()
    ]
    _exporter.clear()
    return spans
