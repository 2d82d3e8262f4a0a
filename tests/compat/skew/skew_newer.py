"""What a message holds that a release does not know, found with the image of its descriptors.

Imports nothing of Catena, so processes may look at what they send themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet

OPEN = frozenset({"Hello"})
"""The first frame each way leaves before the peer is known: it says all that there is to say."""


@functools.cache
def batch_of(image: str) -> Any:
    """Return the class of messages as a release knew them; ``image`` is its file."""
    with open(image, "rb") as file:  # noqa: PTH123 - as short as can be
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read()).file
    pool = descriptor_pool.DescriptorPool()
    for one in files:
        pool.Add(one)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("catena.v1.Batch"))


def find_unknown(message: Any) -> Iterator[str]:
    """Yield what a release does not know, the Hello aside: fields by number, and values."""
    name = message.DESCRIPTOR.name
    if name in OPEN:
        return
    for one in UnknownFieldSet(message):
        yield f"{name}.{one.field_number}"
    for field, value in message.ListFields():
        if field.enum_type is not None:
            if value not in field.enum_type.values_by_number:
                yield f"{name}.{field.name} = {value}"
        elif field.message_type is not None:
            some = value if isinstance(value, Iterable) and not hasattr(value, "keys") else [value]
            for inner in some:
                if hasattr(inner, "DESCRIPTOR"):
                    yield from find_unknown(inner)
