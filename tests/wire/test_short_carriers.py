"""Short carriers, which are written and read by hand: both ways mean the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from catena.context.manifest import ChainManifest
from catena.errors import CatenaError
from catena.wire.manifests import decode_manifest, seal, unseal

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CARRIERS = [
    {"traceparent": PARENT},
    {"traceparent": PARENT, "catena-sent": "1" * 19},
    {"": ""},
    {"é": "ü"},
    {"a": "x" * 122},
    {"a": "x" * 123},
    {"a": "x" * 8000},
    {str(number): "x" for number in range(16)},
    {str(number): "x" for number in range(17)},
]
CHAINS = [
    ChainManifest(b""),
    ChainManifest(b"c" * 16),
    ChainManifest(b"c" * 16, b"p" * 16, base=1),
    ChainManifest(b"c" * 16, b"p" * 16, base=300),
    ChainManifest(b"c" * 16, b"p" * 16, whole=False),
    ChainManifest(b"c" * 16, b"p" * 16, b"e" * 200, base=300, name=7),
    ChainManifest(b"c" * 16, spent=(b"s" * 16,), live=(b"l" * 16,)),
]


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda one: str(one)[:30])
@pytest.mark.parametrize("chain", CHAINS, ids=range(len(CHAINS)))
def test_what_is_sealed_is_read_by_anybody(chain: ChainManifest, carrier: dict[str, str]) -> None:
    """M9: a manifest comes back whole, here and where the message is read as any other."""
    manifest = chain._replace(carrier=carrier)

    data = seal(manifest)

    assert unseal(data) == decode_manifest(data) == manifest


@pytest.mark.parametrize("chain", CHAINS[:4], ids=range(4))
def test_whatever_came_is_read_as_any_other_message(chain: ChainManifest) -> None:
    """Trust: with each byte changed, or with its end cut off, it says what protobuf reads."""
    data = seal(chain._replace(carrier=CARRIERS[1]))
    odd = (0, 1, 10, 0x12, 0x18, 0x32, 0x3A, 127, 128, 255)
    for at, byte in itertools.product(range(len(data)), odd):
        changed = data[:at] + bytes([byte]) + data[at + 1 :]
        assert _answer(unseal, changed) == _answer(decode_manifest, changed)
    for end in range(len(data)):
        assert _answer(unseal, data[:end]) == _answer(decode_manifest, data[:end])


def _answer(read: Callable[[bytes], ChainManifest], data: bytes) -> Any:
    try:
        return read(data)
    except CatenaError as error:
        return type(error)
