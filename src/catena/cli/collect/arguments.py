"""The arguments of ``catena collect`` and its help, without anything that takes time to import."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from catena.cli.shared import count

HELP = "receive telemetry (OTLP) and write it to a file"

_GRPC, _HTTP = "127.0.0.1:4317", "127.0.0.1:4318"
_ROTATE_BYTES, _KEEP = 100 << 20, 10

_DESCRIPTION = """\
Receives spans, metrics and logs from OpenTelemetry's exporters, over gRPC and HTTP. Each request
becomes one line of JSON, as a collector's file exporter writes it. With --metrics the metrics are
also served at http://ADDRESS/metrics, with exemplars, for Prometheus to scrape. Ctrl-C and SIGTERM
end it when everything that arrived is written.
"""

_EPILOG = f"""\
An ADDRESS is HOST:PORT, where port 0 takes any, or unix:PATH, or "off". Without --out and without
--metrics the lines go to standard output. Applications find it with
OTEL_EXPORTER_OTLP_ENDPOINT=http://{_GRPC}.

exit codes:
  0    stopped by Ctrl-C or SIGTERM, and everything that was acknowledged is written
  1    failed: an address is taken or not allowed, the file cannot be written
  2    the command line is wrong, or what `collect` needs is not installed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What was asked; an address is None when it is off, ``out`` is "-" for standard output."""

    listen: str | None
    listen_http: str | None
    metrics: str | None
    out: str | None
    rotate_bytes: int
    keep: int
    insecure: bool

    @classmethod
    def of(cls, asked: argparse.Namespace) -> Arguments:
        """The arguments that argparse found."""
        metrics = _address(asked.metrics)
        return cls(
            listen=_address(asked.listen),
            listen_http=_address(asked.listen_http),
            metrics=metrics,
            out=asked.out or (None if metrics else "-"),
            rotate_bytes=asked.rotate_bytes,
            keep=asked.keep,
            insecure=asked.insecure,
        )


def fill(collect: argparse.ArgumentParser) -> None:
    """Give the parser of ``collect`` its arguments and its help."""
    collect.description, collect.epilog = _DESCRIPTION, _EPILOG
    collect.formatter_class = argparse.RawDescriptionHelpFormatter
    collect.add_argument(
        "--listen", metavar="ADDRESS", default=_GRPC, help=f"for gRPC (default: {_GRPC})"
    )
    collect.add_argument(
        "--listen-http", metavar="ADDRESS", default=_HTTP, help=f"for HTTP (default: {_HTTP})"
    )
    collect.add_argument(
        "--metrics", metavar="ADDRESS", default="off", help="serve /metrics here (default: off)"
    )
    collect.add_argument(
        "--out", metavar="FILE", help="append the lines to this file; - is standard output"
    )
    collect.add_argument(
        "--rotate-bytes",
        metavar="N",
        type=count,
        default=_ROTATE_BYTES,
        help="begin a new file before this one is larger (default: 100 MiB)",
    )
    collect.add_argument(
        "--keep",
        metavar="N",
        type=count,
        default=_KEEP,
        help=f"how many older files are kept, as FILE.1, FILE.2, … (default: {_KEEP})",
    )
    collect.add_argument(
        "--insecure",
        action="store_true",
        help="allow addresses that other machines can reach; whoever reaches them is believed",
    )


def _address(text: str) -> str | None:
    return None if text == "off" else text
