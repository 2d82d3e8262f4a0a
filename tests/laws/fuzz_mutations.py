"""How the fuzzer makes real messages wrong: as messages, frames, manifests, entries and values.

Nearly all of it happens to parsed protobuf messages, so that most of what comes out still parses
and is wrong further in. Values are cut short, get other letters inside their strings, or give way
to other prepared pickles; where bytes change without structure, pickles are left alone.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from catena.wire.v1 import catena_pb2 as pb
from tests.laws.fuzz_corpus import corpus, failing, harmless
from tests.laws.law import Random

__all__ = ["mutated"]

_ODD = (0, 1, 2, 3, 7, 255, 2**31, 2**63, 2**64 - 1)
_MANY = 1500
_TYPED_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES"}


def mutated(random: Random, messages: Sequence[bytes]) -> list[bytes]:
    """Return the messages with one to three things wrong."""
    wrong = list(messages)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        at = random.randrange(len(wrong))
        if random.random() < 0.12:
            wrong[at] = _raw(random, wrong[at])
            continue
        try:
            batch = pb.Batch.FromString(wrong[at])
        except DecodeError:
            continue
        _change(random, batch)
        wrong[at] = batch.SerializeToString()
        if random.random() < 0.03:
            wrong.insert(random.randrange(len(wrong) + 1), random.choice(wrong))
        if random.random() < 0.03:
            random.shuffle(wrong)
    return wrong


def _change(random: Random, batch: Any) -> None:
    frames = [one for one in batch.frames if one.HasField("manifest")]
    if frames and random.random() < 0.75:
        frame = random.choice(frames)
        frame.manifest = _manifest(random, frame.manifest)
    elif batch.frames:
        random.choice(_FRAMES)(random, batch)
    else:
        batch.acks.append(random.choice(_ODD))


# ---- messages as bytes


def _raw(random: Random, data: bytes) -> bytes:
    match random.randrange(4):
        case 0:
            return data[: random.randrange(len(data) + 1)]
        case 1:
            return random.randbytes(random.randrange(80))
        case 2:
            return data + random.randbytes(random.randrange(1, 9))
        case _:
            return _flipped(random, data)


def _flipped(random: Random, data: bytes) -> bytes:
    """Return the bytes with one bit turned."""
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


# ---- frames


def _drop_frame(random: Random, batch: Any) -> None:
    del batch.frames[random.randrange(len(batch.frames))]


def _repeat_frame(random: Random, batch: Any) -> None:
    batch.frames.add().CopyFrom(random.choice(batch.frames))


def _foreign_frame(random: Random, batch: Any) -> None:
    """Put a frame of another conversation beside the others, or in the place of one."""
    other = pb.Batch.FromString(_another_message(random))
    if other.frames:
        target = random.choice([batch.frames.add(), *batch.frames])
        call = target.call
        target.CopyFrom(random.choice(other.frames))
        target.call = random.choice((call, target.call))


def _drop_field(random: Random, batch: Any) -> None:
    frame = random.choice(batch.frames)
    fields = [field.name for field, _ in frame.ListFields()]
    if fields:
        frame.ClearField(random.choice(fields))


def _odd_number(random: Random, batch: Any) -> None:
    frame = random.choice(batch.frames)
    match random.randrange(4):
        case 0:
            frame.call = random.choice((frame.call + 1, *_ODD))
        case 1:
            frame.function = random.choice((0, 1, 2, 3, 2**32 - 1))
        case 2:
            frame.kind = random.randrange(16)
        case _:
            batch.acks.append(random.choice((1, 2, *_ODD)))


def _turn_flag(random: Random, batch: Any) -> None:
    frame = random.choice(batch.frames)
    flag = random.choice(("driven", "more", "after_cancel"))
    setattr(frame, flag, not getattr(frame, flag))


def _other_payload(random: Random, batch: Any) -> None:
    frame = random.choice(batch.frames)
    frame.payload = _value(random, frame.payload)


def _other_task(random: Random, batch: Any) -> None:
    """Change what a Task says, or its proxy."""
    frame = random.choice(batch.frames)
    if frame.HasField("task") and random.random() < 0.7:
        frame.task.callable = _value(random, frame.task.callable)
    else:
        frame.proxy_id = random.choice((b"", b"i" * 15, b"j" * 16))


def _foreign_manifest(random: Random, batch: Any) -> None:
    frame = random.choice(batch.frames)
    frame.manifest = _another_manifest(random).SerializeToString()


def _carrier_beside(random: Random, batch: Any) -> None:
    frame = random.choice(batch.frames)
    header = random.choice(("", "00-zz", "x" * 256, "x" * 3000, "x" * 9000))
    if random.random() < 0.5:
        frame.trace = header
    else:
        frame.carrier.fields["traceparent"] = header


_FRAMES: tuple[Callable[[Random, Any], None], ...] = (
    _drop_frame,
    _repeat_frame,
    _foreign_frame,
    _drop_field,
    _odd_number,
    _turn_flag,
    _other_payload,
    _other_task,
    _foreign_manifest,
    _carrier_beside,
)

# ---- manifests


def _manifest(random: Random, data: bytes) -> bytes:
    if random.random() < 0.06:
        return random.choice((data[: random.randrange(len(data) + 1)], random.randbytes(20), b""))
    try:
        manifest = pb.Manifest.FromString(data)
    except DecodeError:
        return data
    if random.random() < 0.6:
        manifest.entries = _block(random, manifest.entries)
    else:
        random.choice(_MANIFESTS)(random, manifest)
    return manifest.SerializeToString()


def _odd_id(random: Random, manifest: Any) -> None:
    some = (b"", b"x", bytes(16), b"c" * 16, b"l" * 17, random.randbytes(16), b"L" * 5000)
    setattr(manifest, random.choice(("chain_id", "parent_id")), random.choice(some))


def _odd_state(random: Random, manifest: Any) -> None:
    setattr(manifest, random.choice(("base", "name")), random.choice(_ODD))


def _turn_whole(random: Random, manifest: Any) -> None:
    manifest.delta = not manifest.delta


def _odd_ledgers(random: Random, manifest: Any) -> None:
    ledger = random.choice((manifest.ledgers.spent, manifest.ledgers.live))
    for _ in range(random.choice((1, 2, 300))):
        ledger.append(random.choice((b"", b"short", bytes(16), random.randbytes(16))))


def _odd_carrier(random: Random, manifest: Any) -> None:
    manifest.carrier.fields["traceparent"] = random.choice(("", "00-zz", "x" * 3000))


def _spliced(random: Random, manifest: Any) -> None:
    """Take one field from another manifest."""
    other = _another_manifest(random)
    field = random.choice(("chain_id", "parent_id", "entries", "base", "name", "delta"))
    setattr(manifest, field, getattr(other, field))


def _unknown_field(random: Random, manifest: Any) -> None:
    manifest.MergeFromString(b"\xfa\x07" + random.choice((b"\x00", b"\x03new")))


_MANIFESTS: tuple[Callable[[Random, Any], None], ...] = (
    _odd_id,
    _odd_state,
    _turn_whole,
    _odd_ledgers,
    _odd_carrier,
    _spliced,
    _unknown_field,
)

# ---- entries


def _block(random: Random, data: bytes) -> bytes:
    if random.random() < 0.06:
        return random.choice((data[: random.randrange(len(data) + 1)], random.randbytes(12)))
    try:
        block = pb.Entries.FromString(data)
    except DecodeError:
        return data
    if not block.entries or random.random() < 0.15:
        block.MergeFromString(_another_manifest(random).entries)
    if block.entries:
        random.choice(_ENTRIES)(random, block)
    return block.SerializeToString()


def _drop_entry(random: Random, block: Any) -> None:
    del block.entries[random.randrange(len(block.entries))]


def _repeat_key(random: Random, block: Any) -> None:
    one = block.entries.add()
    one.CopyFrom(random.choice(block.entries))
    one.value = _value(random, one.value)


def _reorder(random: Random, block: Any) -> None:
    some = list(block.entries)
    random.shuffle(some)
    shuffled = pb.Entries(entries=some)
    block.CopyFrom(shuffled)


def _other_kind(random: Random, block: Any) -> None:
    random.choice(block.entries).kind = random.randrange(6)


def _other_policy(random: Random, block: Any) -> None:
    random.choice(block.entries).policy = random.choice((0, 1, 2, 99))


def _other_key(random: Random, block: Any) -> None:
    one = random.choice(block.entries)
    setattr(
        one, random.choice(("namespace", "name")), random.choice(("", "fuzz", "color", "é" * 9))
    )


def _other_value(random: Random, block: Any) -> None:
    one = random.choice(block.entries)
    one.value = _value(random, one.value)


def _other_default(random: Random, block: Any) -> None:
    one = random.choice(block.entries)
    one.default = _value(random, one.default)
    one.name = random.choice((one.name, "declared nowhere"))


def _many(random: Random, block: Any) -> None:
    """Bring so many undeclared keys that not all of them are taken; seldom, because it is slow."""
    pattern = random.choice(block.entries)
    for number in range(random.choice((2, 20, 20, 20, 20, _MANY))):
        one = block.entries.add()
        one.CopyFrom(pattern)
        one.name = f"nowhere {number}"


_ENTRIES: tuple[Callable[[Random, Any], None], ...] = (
    _drop_entry,
    _repeat_key,
    _reorder,
    _other_kind,
    _other_policy,
    _other_key,
    _other_value,
    _other_value,
    _other_default,
    _many,
)

# ---- values


def _value(random: Random, data: bytes) -> bytes:
    """Return what stands in the place of a pickle: no pickle, a part of it, or a prepared one."""
    match random.randrange(4):
        case 0:
            return data[: random.randrange(len(data) + 1)]
        case 1:
            return random.choice(failing())
        case 2:
            return _other_letters(random, data)
        case _:
            return random.choice(_values())


def _other_letters(random: Random, data: bytes) -> bytes:
    """Turn a bit inside a string of a pickle that names no class and no function."""
    places: list[tuple[int, int]] = []
    try:
        for code, text, at in pickletools.genops(data):
            if "GLOBAL" in code.name:
                return data
            if code.name in _TYPED_STRINGS and text:
                raw = text.encode() if isinstance(text, str) else text
                start = data.index(raw, at)
                places.append((start, start + len(raw)))
    except Exception:
        return data
    if not places:
        return data
    start, end = random.choice(places)
    return harmless(data[:start] + _flipped(random, data[start:end]) + data[end:], passing=True)


_value_cache: list[bytes] = []


def _values() -> list[bytes]:
    """Return the values of all real manifests."""
    if not _value_cache:
        found = {
            one.value for it in _manifests() for one in pb.Entries.FromString(it.entries).entries
        }
        _value_cache.extend(map(harmless, sorted(found)))
    return _value_cache


# ---- pieces of others


def _another_message(random: Random) -> bytes:
    return random.choice(random.choice(list(corpus().values()))).data


_manifest_cache: list[Any] = []


def _manifests() -> list[Any]:
    """Return all real manifests."""
    if not _manifest_cache:
        _manifest_cache.extend(
            pb.Manifest.FromString(frame.manifest)
            for messages in corpus().values()
            for message in messages
            for frame in pb.Batch.FromString(message.data).frames
            if frame.HasField("manifest")
        )
    return _manifest_cache


def _another_manifest(random: Random) -> Any:
    return random.choice(_manifests())
