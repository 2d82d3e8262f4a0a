"""Manifests as bytes: their entries as one closed block, and the whole as one closed field.

Whoever has written or met the same bytes before need not do so again. Nothing here unpickles.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from types import MappingProxyType

from google.protobuf.message import DecodeError

from catena.context.manifest import ChainManifest, Entry, EntryKind
from catena.errors import ChainSerializationError, ProtocolError
from catena.observe import CARRIER_LIMIT, NO_CARRIER, OVERSIZED, Carrier
from catena.wire.v1 import catena_pb2 as pb

__all__ = ["decode_manifest", "encode_manifest", "pack", "seal", "unpack", "unseal"]

_KEPT = 1024
_KEPT_BYTES = 64
_SHORT = 127
_CARRIER = 0x32
_BYTES = frozenset((0x0A, 0x12, 0x22, 0x2A))
_NUMBERS = frozenset((0x18, 0x38, 0x40))
_ENTRY_KINDS = frozenset(int(kind) for kind in EntryKind)


def encode_manifest(manifest: ChainManifest) -> bytes:
    """Return a manifest alone; the same manifest makes the same bytes in every process."""
    message = pb.Manifest()
    _write_manifest(message, manifest)
    return message.SerializeToString(deterministic=True)


def decode_manifest(data: bytes) -> ChainManifest:
    """Return the manifest. Raises ProtocolError when it is not one."""
    try:
        return _read_manifest(pb.Manifest.FromString(data))
    except DecodeError as error:
        raise ProtocolError(reason=f"a manifest does not parse: {error}") from None


def pack(entries: Iterable[Entry]) -> bytes:
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


def unpack(data: bytes) -> tuple[Entry, ...]:
    """Return the entries of a block. Raises ChainSerializationError when it does not parse."""
    try:
        return tuple(_read_entry(entry) for entry in pb.Entries.FromString(data).entries)
    except DecodeError as error:
        raise ChainSerializationError(cause=f"its entries do not parse: {error}") from None


def _write_manifest(to: pb.Manifest, manifest: ChainManifest) -> None:
    to.chain_id = manifest.chain_id
    to.entries = manifest.entries
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
    if manifest.carrier:
        to.carrier.fields.update(manifest.carrier)


def seal(manifest: ChainManifest) -> bytes:
    """Return an encoded manifest; a chain that is named again and again is encoded once."""
    chain_id, parent_id, entries, whole, base, name, spent, live, carrier, _ = manifest
    if entries or name or spent or live:
        return encode_manifest(manifest)
    bare = _sealed_bare(chain_id, parent_id, whole, base)
    if not carrier:
        return bare
    field = _short_carrier(carrier)
    # The order of fields is free, so what changes with each call can follow what does not.
    return encode_manifest(manifest) if field is None else bare + field


@lru_cache(_KEPT)
def _sealed_bare(chain_id: bytes, parent_id: bytes, whole: bool, base: int) -> bytes:  # noqa: FBT001
    return encode_manifest(ChainManifest(chain_id, parent_id, b"", whole, base))


def unseal(data: bytes) -> ChainManifest:
    """Return a decoded manifest; one that comes again and again is decoded once."""
    at = _carrier_at(data)
    if at < 0:
        return decode_manifest(data) if len(data) > _KEPT_BYTES else _unsealed_short(data)
    carrier = _read_short_carrier(data, at)
    if carrier is None:
        return decode_manifest(data)
    chain_id, parent_id, entries, whole, base, name, spent, live, _, flaw = _unsealed_short(
        data[:at]
    )
    return ChainManifest(
        chain_id, parent_id, entries, whole, base, name, spent, live, carrier, flaw
    )


# What a tracer sends with each call, in the form that it nearly always has: a last field of less
# than 128 bytes. Anything else goes the long way, and means the same.


def _short_carrier(carrier: Carrier) -> bytes | None:
    """Return the field of a carrier, None for a long one."""
    fields = b""
    for name in sorted(carrier) if len(carrier) > 1 else carrier:
        try:
            key, value = name.encode(), carrier[name].encode()
        except (AttributeError, UnicodeError):
            # Not the text that it should be: protobuf decides.
            return None
        if len(key) + len(value) > _SHORT:
            return None
        size = len(key) + len(value) + 4
        fields += b"\n%c\n%c%b\x12%c%b" % (size, len(key), key, len(value), value)
    return b"%c%c%b" % (_CARRIER, len(fields), fields) if len(fields) <= _SHORT else None


def _carrier_at(data: bytes) -> int:
    """Return where the field of a short carrier begins that ends the data, -1 without one."""
    at, size = 0, len(data)
    if size > _KEPT_BYTES + _SHORT:
        return -1
    while at + 1 < size:
        tag = data[at]
        following = at + 2 + data[at + 1]
        if tag == _CARRIER:
            return at if following == size else -1
        if tag in _NUMBERS:
            following = at + 2
        elif tag not in _BYTES:
            return -1
        if data[at + 1] > _SHORT:
            return -1
        at = following
    return -1


def _read_short_carrier(data: bytes, at: int) -> Carrier | None:
    """Return the carrier whose field begins there, None unless it is as we write it."""
    carrier: dict[str, str] = {}
    at, size = at + 2, len(data)
    try:
        while at < size:
            tag, whole, first, key = data[at : at + 4]
            middle = at + 4 + key
            second, value = data[middle : middle + 2]
            end = middle + 2 + value
            if (tag, first, second) != (10, 10, 18) or at + 2 + whole != end or end > size:
                return None
            carrier[data[at + 4 : middle].decode()] = data[middle + 2 : end].decode()
            at = end
    except ValueError:
        return None
    return carrier


def _read_manifest(manifest: pb.Manifest) -> ChainManifest:
    spent: tuple[bytes, ...] = ()
    live: tuple[bytes, ...] = ()
    carrier = NO_CARRIER
    if manifest.HasField("ledgers"):
        ledgers = manifest.ledgers
        spent, live = tuple(ledgers.spent), tuple(ledgers.live)
    if manifest.HasField("carrier"):
        carrier = OVERSIZED
        if manifest.carrier.ByteSize() <= CARRIER_LIMIT:
            # Shared by whoever reads the same bytes again.
            carrier = MappingProxyType(dict(manifest.carrier.fields))
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


_unsealed_short = lru_cache(_KEPT)(decode_manifest)
