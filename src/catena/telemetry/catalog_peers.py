"""The rows of the catalog about peers that are refused, and about credentials."""

from __future__ import annotations

from catena import events
from catena.telemetry.rows import INFO, LINK, WARNING, Log, Row, counter, make_row

PROTOCOL = "1.1"
"""Of catena.wire.versions, which stands higher: a test compares."""

REFUSED: tuple[Row, ...] = (
    make_row(
        events.PeerVersionRefused,
        counter(
            "catena.version.refusals",
            "{refusal}",
            "Peers of another major version that were turned away.",
            {"catena.version.local": (PROTOCOL,), "catena.version.remote": ("",)},
            keeping="direct",
        ),
        Log(
            "catena.version.refused",
            "a peer of protocol %(catena.version.remote)s was refused; protocol"
            " %(catena.version.local)s is spoken here",
            WARNING,
            LINK,
        ),
        fields={"catena.version.local": "error.local", "catena.version.remote": "error.remote"},
    ),
    make_row(
        events.PeerAccessRefused,
        counter(
            "catena.peer.refusals",
            "{refusal}",
            "Peers that were refused, here or there, before anything that they sent was unpickled.",
            keeping="direct",
        ),
        Log(
            "catena.peer.refused",
            "the peer %(catena.peer.id)s was refused%(refusal)s",
            WARNING,
            LINK,
        ),
        fields={
            "catena.peer.id": "error.peer",
            "process.pid": "error.pid",
            "catena.refusal.reason": "error.reason",
        },
    ),
    make_row(
        events.ProtocolBroken,
        counter(
            "catena.protocol.breaches",
            "{breach}",
            "Calls and links that were ended because the peer sent what it may not send.",
            {"catena.kind": ("call", "link")},
            keeping="direct",
        ),
        Log(
            "catena.protocol.broken",
            "the peer %(catena.peer.id)s has broken the rules of the protocol, which has ended its"
            " %(catena.breach.ended)s",
            WARNING,
            LINK,
        ),
        fields={
            "catena.peer.id": "peer",
            "catena.breach.ended": "ended",
            "catena.call.id": "call",
        },
    ),
    make_row(
        events.CredentialsFailed,
        counter(
            "catena.credentials.failures",
            "{failure}",
            "How often credentials, or a list of who may call, could not be used.",
            keeping="direct",
        ),
        Log(
            "catena.credentials.failed",
            "%(catena.credentials.source)s cannot be used for links to other machines:"
            " %(catena.credentials.cause)s%(kept)s",
            INFO,
            LINK,
            unexpected=WARNING,
            always=True,
        ),
        fields={
            "catena.credentials.source": "error.where",
            "catena.credentials.cause": "error.cause",
            "catena.credentials.follows": "follows",
        },
    ),
    make_row(
        events.HandshakeFailed,
        counter(
            "catena.handshakes.failed",
            "{connection}",
            "Connections to an address with TLS that brought no call.",
        ),
        Log(
            "catena.handshake.failed",
            "a connection to %(server.address)s has brought no call, probably because its TLS"
            " handshake failed",
            WARNING,
            LINK,
        ),
        fields={"server.address": "address"},
    ),
)
