"""Manifests as bytes: their entries as one block, and the whole as one field of its frame.

Both are kept encoded: the same chain makes the same bytes, whoever writes it, and whoever has met
them before need not read them again. Nothing here unpickles.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import DecodeError

from catena.context.proxy import PROXY_KEY
from catena.errors import ChainSerializationError, ProtocolError
from catena.events.carrier import CARRIER_LIMIT, NO_CARRIER, OVERSIZED, Carrier
from catena.transfer.manifest import BARE, NO_CHAIN, ChainManifest, Entry, EntryKind
from catena.wire.v1 import catena_pb2 as pb

_TRACE = "traceparent"
_TRACE_LIMIT = 256
_BARE_HEAD, _BARE_TAIL = NO_CHAIN[:4], NO_CHAIN[5:-2]
PROXY_MARK = bytes((len(PROXY_KEY[0]),)) + PROXY_KEY[0].encode()
"""The namespace of the proxy's key as a block of entries has it, and as other text seldom does."""

_ENTRY_KINDS = frozenset(int(kind) for kind in EntryKind)


def encode_manifest(manifest: ChainManifest) -> bytes:
    """Return a manifest alone; the same manifest makes the same bytes in every process."""
    message = _message_of(manifest)
    if manifest.carrier:
        _write_carrier(message.carrier, manifest.carrier)
    return message.SerializeToString(deterministic=True)


def decode_manifest(data: bytes) -> ChainManifest:
    """Return the manifest. Raises ProtocolError when it is not one."""
    try:
        return _read_manifest(pb.Manifest.FromString(data))
    except DecodeError as error:
        raise ProtocolError(reason=f"a manifest does not parse: {error}") from None


def pack_entries(entries: Iterable[Entry]) -> bytes:
    """Return the block of a manifest's entries; the same entries make the same bytes anywhere."""
    block = pb.Entries()
    for entry in entries:
        one = block.entries.add(
            namespace=entry.key[0],
            name=entry.key[1],
            kind=int(entry.kind),
            value=entry.value,
            policy=pb.Entry.FORWARD if entry.forward else pb.Entry.BOTH,
        )
        if entry.default is not None:
            one.default = entry.default
    return block.SerializeToString(deterministic=True)


def unpack_entries(data: bytes) -> tuple[Entry, ...]:
    """Return the entries of a block. Raises ChainSerializationError when it does not parse."""
    try:
        return tuple(map(_read_entry, pb.Entries.FromString(data).entries))
    except DecodeError as error:
        raise ChainSerializationError(cause=f"its entries do not parse: {error}") from None


def _message_of(manifest: ChainManifest) -> pb.Manifest:
    """Return a manifest without its carrier."""
    to = pb.Manifest(chain_id=manifest.chain_id, entries=manifest.entries)
    if manifest.parent_id:
        to.parent_id = manifest.parent_id
    if not manifest.whole:
        to.delta = True
    if manifest.base:
        to.base = manifest.base
    if manifest.name:
        to.name = manifest.name
    if manifest.spent or manifest.live:
        to.ledgers.spent.extend(sorted(manifest.spent))
        to.ledgers.live.extend(sorted(manifest.live))
    return to


def write_manifest(to: pb.Frame, manifest: ChainManifest) -> None:
    """Write a manifest into the frame that brings it, and its carrier beside it.

    Raises UnicodeEncodeError and TypeError for a carrier that is not text.
    """
    # The calls of a Context without a chain have a base, a carrier and no more; the others are
    # encoded.
    if manifest[:4] == _BARE_HEAD and manifest[5:-2] == _BARE_TAIL:
        to.manifest = b""
        if manifest.base:
            to.base = manifest.base
    else:
        to.manifest = _encode_chain(manifest)
    carrier = manifest.carrier
    if not carrier:
        return
    trace = carrier.get(_TRACE) if len(carrier) == 1 else None
    if trace and len(trace) <= _TRACE_LIMIT:
        to.trace = trace
    else:
        _write_carrier(to.carrier, carrier)


def read_manifest(frame: pb.Frame) -> ChainManifest:
    """Return the manifest of a frame, with the carrier that stands beside it.

    One that does not parse has a ``flaw``: it is the call's business alone, and is raised where the
    chain is mounted. A carrier beyond the limit is OVERSIZED.
    """
    data, trace = frame.manifest, frame.trace
    try:
        manifest = decode_manifest(data) if data else BARE[frame.base]
    except ProtocolError as error:
        manifest = ChainManifest(b"", flaw=error.reason)
    if frame.HasField("carrier"):
        return manifest.carrying(_read_carrier(frame.carrier))
    if not trace:
        return manifest
    return manifest.carrying({_TRACE: trace} if len(trace) <= _TRACE_LIMIT else OVERSIZED)


def _encode_chain(manifest: ChainManifest) -> bytes:
    return _message_of(manifest).SerializeToString(deterministic=True)


def _write_carrier(to: pb.Carrier, carrier: Carrier) -> None:
    fields = to.fields
    # The map's own update is Python code, and most carriers have one field or two.
    for name in carrier:
        fields[name] = carrier[name]


def _read_carrier(message: pb.Carrier) -> Carrier:
    """Return a carrier, OVERSIZED for one that exceeds the limit."""
    if message.ByteSize() > CARRIER_LIMIT:
        return OVERSIZED
    fields = message.fields
    return {name: fields[name] for name in fields}


def _read_manifest(manifest: pb.Manifest) -> ChainManifest:
    spent: tuple[bytes, ...] = ()
    live: tuple[bytes, ...] = ()
    carrier = NO_CARRIER
    if manifest.HasField("ledgers"):
        ledgers = manifest.ledgers
        spent, live = tuple(ledgers.spent), tuple(ledgers.live)
    if manifest.HasField("carrier"):
        carrier = _read_carrier(manifest.carrier)
    return ChainManifest(
        manifest.chain_id,
        manifest.parent_id,
        manifest.entries,
        not manifest.delta,
        manifest.base,
        manifest.name,
        spent,
        live,
        carrier,
    )


def _read_entry(entry: pb.Entry) -> Entry:
    return Entry(
        (entry.namespace, entry.name),
        EntryKind(entry.kind) if entry.kind in _ENTRY_KINDS else EntryKind.LOST,
        entry.value,
        entry.policy == pb.Entry.FORWARD,
        entry.default if entry.HasField("default") else None,
    )
