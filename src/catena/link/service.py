"""What client and server agree on: the method's name and the options; gRPC moves bytes.

The names are read from the proto's own descriptor; generic handlers take the place of stubs.
"""

from __future__ import annotations

from typing import Any

from catena.grpc_loading import aio
from catena.wire.v1 import catena_pb2 as pb

EOF: Any = getattr(aio, "EOF")  # noqa: B009 - unknown to gRPC's stubs
"""What gRPC reads at the end of a stream."""

_service: Any = pb.DESCRIPTOR.services_by_name["Worker"]
SERVICE: str = _service.full_name
METHOD: str = f"/{SERVICE}/{_service.methods_by_name['Link'].name}"

LINK_LIMIT = 512
"""The most links that a worker serves at a time."""

OPTIONS: list[tuple[str, Any]] = [
    # Messages are cut at half a MiB; whatever is much longer is not ours.
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 4 << 20),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]

SERVING: list[tuple[str, Any]] = [
    *OPTIONS,
    # A connection that does not speak HTTP/2, or opens no stream, has as long as one without Hello.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 10_000),
    ("grpc.max_concurrent_streams", 8),
]
