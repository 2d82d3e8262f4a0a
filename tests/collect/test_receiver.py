"""The receiver with real exporters, over real sockets, in one process."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.rpc.status_pb2 import Status
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from catena.collect import Limits, LineFile, Receiver, Recording, receiving
from catena.collect.otlp import SIGNALS, to_line
from catena.errors import AddressRefused
from tests.collect.exporting import PROTOCOLS, Application
from tests.collect.messages import counter, metrics, traces
from tests.support import run

BYTES, JSON = "application/x-protobuf", "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    kind: str
    body: bytes

    @property
    def code(self) -> int:
        """The code of the google.rpc.Status in the body."""
        if self.kind == BYTES:
            return Status.FromString(self.body).code
        return json.loads(self.body)["code"]


def ask(url: str, body: bytes | None = None, **headers: str) -> Answer:
    """Post a body, or get a page; any status is an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, named), timeout=20) as found:
            return Answer(found.status, found.headers.get_content_type(), found.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.headers.get_content_type(), refused.read())


def call(receiver: Receiver, body: bytes, signal: str = "traces") -> bytes:
    """Call a method over gRPC with these bytes."""
    (service,) = SIGNALS[signal].DESCRIPTOR.file.services_by_name.values()
    with grpc.insecure_channel(receiver.endpoint.removeprefix("http://")) as channel:
        return channel.unary_unary(f"/{service.full_name}/Export")(body, timeout=20)


@pytest.fixture
def recording() -> Recording:
    """What the receiver of the test wrote."""
    return Recording()


@pytest.fixture
def receiver(recording: Recording) -> Iterator[Receiver]:
    """A receiver that takes small messages only."""
    limits = Limits(message_bytes=10_000)
    with receiving(out=recording.add, metrics="127.0.0.1:0", limits=limits) as found:
        yield found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_signal_arrives_by_every_protocol(
    receiver: Receiver, recording: Recording, protocol: str
) -> None:
    """Spans, metrics and logs of the real exporters arrive once, and name each other by hex ids."""
    application = Application.of(receiver, protocol)
    trace = application.work("hello")
    application.shutdown()

    (span,), (record,) = recording.spans, recording.logs
    (counted,) = recording.metric("catena.chain.contentions")
    (timed,) = recording.metric("rpc.server.call.duration")
    assert (span.trace_id, record.trace_id) == (trace, trace)
    assert span.span_id == record.span_id == counted.exemplars[0].span_id
    assert (span.name, record.body, counted.value, timed.sum) == ("hello", "said hello", 1, 0.25)
    assert span.origin.resource["service.instance.id"] == "one"
    assert recording.unread == []
    assert (receiver.counts.spans, receiver.counts.points, receiver.counts.records) == (1, 2, 1)


def test_a_scraper_finds_two_processes_with_exemplars(receiver: Receiver) -> None:
    """The page shows each instance's series, and the exemplar names the span of the counter."""
    found = {}
    for instance in ("one", "two"):
        application = Application.of(receiver, "http", instance)
        found[instance] = application.work("hello")
        application.shutdown()

    page = f"http://{receiver.metrics_address}/metrics"
    answer = ask(page, Accept="application/openmetrics-text; version=1.0.0")
    families = text_string_to_metric_families(answer.body.decode())
    samples = [one for family in families for one in family.samples]
    counted = [one for one in samples if one.name == "catena_chain_contentions_total"]
    assert answer.kind == "application/openmetrics-text"
    assert {
        one.labels["instance"]: one.exemplar.labels["trace_id"] for one in counted if one.exemplar
    } == found
    assert ask(page).kind == "text/plain"


def test_json_is_received(receiver: Receiver, recording: Recording) -> None:
    """A request in JSON, packed or not, is answered in JSON and written as if it were protobuf."""
    body = to_line(traces()).encode()
    url = f"{receiver.http_endpoint}/v1/traces"

    assert ask(url, body, Content_Type=JSON) == Answer(200, JSON, b"{}")
    assert ask(url, gzip.compress(body), Content_Type=JSON, Content_Encoding="gzip").status == 200
    with_charset = "application/json; charset=utf-8"
    assert ask(url, body, Content_Type=with_charset).status == 200
    assert ask(url, traces().SerializeToString(), Content_Type=BYTES) == Answer(200, BYTES, b"")
    assert recording.spans == [recording.spans[0]] * 4


BAD_GZIP = gzip.compress(b"x" * 50)[:-12]
BOMB = gzip.compress(b"\0" * 10_000_000)[:9_000]


@pytest.mark.parametrize(
    ("body", "kind", "packed", "status", "code"),
    [
        (b"\xff", BYTES, "", 400, 3),
        (b"{", JSON, "", 400, 3),
        (b"not gzip", BYTES, "gzip", 400, 3),
        (BAD_GZIP, BYTES, "gzip", 400, 3),
        (b"", "text/plain", "", 415, 3),
        (b"", BYTES, "br", 415, 3),
        (b"x" * 10_001, BYTES, "", 413, 8),
        (gzip.compress(b"x" * 10_001), BYTES, "gzip", 413, 8),
        (gzip.compress(b"") * 2, BYTES, "gzip", 400, 3),
        (BOMB, JSON, "gzip", 413, 8),
    ],
)
def test_what_is_refused_over_http_is_told_as_otlp_says(
    receiver: Receiver, body: bytes, kind: str, packed: str, status: int, code: int
) -> None:
    """The status of HTTP, a google.rpc.Status in the encoding of the request, and it goes on."""
    url = f"{receiver.http_endpoint}/v1/traces"
    headers = {"Content_Encoding": packed} if packed else {}
    answer = ask(url, body, Content_Type=kind, **headers)

    assert (answer.status, answer.kind) == (status, BYTES if kind == BYTES else JSON)
    assert answer.code == code
    assert receiver.counts.malformed + receiver.counts.oversized == 1
    assert ask(url, traces().SerializeToString(), Content_Type=BYTES).status == 200


def test_a_body_that_does_not_come_is_given_up() -> None:
    """Who sends half a body is answered when its time is up, and others are served meanwhile."""
    with receiving(limits=Limits(read=0.2)) as receiver:
        host, _, port = receiver.http_endpoint.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as slow:
            slow.sendall(
                b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            url = f"{receiver.http_endpoint}/v1/traces"
            assert ask(url, b"{}", Content_Type=JSON).status == 200
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_body_without_a_length_is_counted_too(receiver: Receiver) -> None:
    """A body in chunks ends where the limit is."""
    request = urllib.request.Request(
        f"{receiver.http_endpoint}/v1/traces",
        (b"x" * 1000 for _ in range(100)),
        {"Content-Type": BYTES},
    )
    with pytest.raises((urllib.error.HTTPError, OSError)) as refused:
        urllib.request.urlopen(request, timeout=20)

    if isinstance(refused.value, urllib.error.HTTPError):
        refused.value.close()
        assert refused.value.code == 413
    assert receiver.counts.oversized == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"\xff", "INVALID_ARGUMENT"), (b"x" * 10_001, "RESOURCE_EXHAUSTED")],
)
def test_what_is_refused_over_grpc_is_told_as_otlp_says(
    receiver: Receiver, recording: Recording, body: bytes, code: str
) -> None:
    """Neither code makes an exporter send it again; the next request is served."""
    with pytest.raises(grpc.RpcError) as refused:
        call(receiver, body)

    assert refused.value.code().name == code
    assert call(receiver, traces().SerializeToString()) == b""
    assert len(recording.spans) == 1


def test_an_unknown_method_or_path_is_refused(receiver: Receiver) -> None:
    """What nobody serves is unimplemented, or not found."""
    with (
        grpc.insecure_channel(receiver.endpoint.removeprefix("http://")) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary("/opentelemetry.proto.Other/Export")(b"", timeout=20)

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert ask(f"{receiver.http_endpoint}/v1/other", b"").status == 404
    assert ask(f"{receiver.http_endpoint}/v1/traces").status == 405


def test_what_cannot_be_written_is_to_be_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    """The sender hears unavailable by both protocols; nothing is counted; one log line."""
    full = [True]
    lines: list[str] = []

    def sink(text: str) -> None:
        if full[0]:
            raise OSError("no space left")
        lines.append(text)

    body = metrics(counter(1)).SerializeToString()
    with receiving(out=sink) as receiver, caplog.at_level(logging.WARNING, "catena.collect"):
        answer = ask(f"{receiver.http_endpoint}/v1/metrics", body, Content_Type=BYTES)
        with pytest.raises(grpc.RpcError) as refused:
            call(receiver, body, "metrics")
        assert (answer.status, answer.code) == (503, 14)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "contentions" not in receiver.exposition()

        full[0] = False
        assert call(receiver, body, "metrics") == b""
        assert (receiver.counts.points, receiver.counts.unwritten) == (1, 2)

    assert len(lines) == 1
    assert [one.getMessage()[:30] for one in caplog.records] == [
        "nothing can be written: no spa",
        "writing works again",
    ]


def test_what_is_being_served_is_finished(tmp_path: Path) -> None:
    """Leaving the block waits for the request that is being written; its sender is answered."""
    begun, go = threading.Event(), threading.Event()
    file = LineFile(tmp_path / "out.jsonl")

    def slow(text: str) -> None:
        begun.set()
        go.wait(20)
        file.write(text)

    async def main() -> bytes:
        async with Receiver(out=slow) as receiver:
            asked = asyncio.create_task(
                asyncio.to_thread(call, receiver, traces().SerializeToString())
            )
            await asyncio.to_thread(begun.wait, 20)
            asyncio.get_running_loop().call_later(0.1, go.set)
        return await asked

    assert run(main()) == b""
    file.close()
    assert len(Recording.read(tmp_path / "out.jsonl").spans) == 1


def test_a_file_is_written_and_rotated(tmp_path: Path) -> None:
    """``out`` may be a path; what was rotated away is read back in order."""
    path = tmp_path / "out.jsonl"
    with receiving(out=path, rotate_bytes=600, keep=5, listen=None) as receiver:
        for name in ("a", "b", "c"):
            body = traces(name).SerializeToString()
            assert (
                ask(f"{receiver.http_endpoint}/v1/traces", body, Content_Type=BYTES).status == 200
            )

    assert [span.name for span in Recording.read(path).spans] == ["a", "b", "c"]
    assert (tmp_path / "out.jsonl.2").exists()
    assert receiver.endpoint == ""


def test_unix_sockets_are_for_their_owner(tmp_path: Path) -> None:
    """Both protocols listen at sockets that only the user can open, and take them away."""
    paths = [tmp_path / "g.sock", tmp_path / "h.sock"]

    with receiving(listen=f"unix:{paths[0]}", listen_http=f"unix:{paths[1]}") as receiver:
        assert [one.stat().st_mode & 0o777 for one in paths] == [0o600, 0o600]
        assert call(receiver, traces().SerializeToString()) == b""
        with (
            pytest.raises(AddressRefused, match="already in use"),
            receiving(listen=receiver.endpoint),
        ):
            pass
        assert call(receiver, traces().SerializeToString()) == b""

    assert [one for one in paths if one.exists()] == []


@pytest.mark.parametrize("which", ["listen", "listen_http", "metrics"])
def test_an_address_in_use_is_refused(which: str, tmp_path: Path) -> None:
    """The error names the address; what was opened before is closed, and can be opened again."""
    with receiving(metrics="127.0.0.1:0") as first:
        taken = {
            "listen": first.endpoint.removeprefix("http://"),
            "listen_http": first.http_endpoint.removeprefix("http://"),
            "metrics": first.metrics_address,
        }[which]
        with (
            pytest.raises(AddressRefused, match=f"{taken}: address already in use"),
            receiving(out=tmp_path / "out.jsonl", **{which: taken}),
        ):
            pass

    with receiving(out=tmp_path / "out.jsonl", **{which: taken}):
        pass


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0:0",
        "[::]:0",
        "192.0.2.1:4317",
        "example.org:4317",
        ":4317",
        "4317",
        "host",
        "127.0.0.1:70000",
        "127.0.0.1:-1",
        "::1:4317",
        "unix:",
        "",
    ],
)
def test_an_address_that_is_wrong_or_open_is_refused(address: str) -> None:
    """Whatever other machines can reach, and whatever is no address, fails at construction."""
    with pytest.raises(AddressRefused) as refused:
        Receiver(listen=address)

    assert refused.value.address == address


def test_open_addresses_may_be_asked_for() -> None:
    """With ``insecure`` every host is allowed; loopback addresses need no word."""
    Receiver(listen="0.0.0.0:0", insecure=True)
    for loopback in ("localhost:0", "127.1.2.3:0", "[::1]:0"):
        Receiver(listen=loopback)
