"""What both ends do with the chain of a frame, and with a chain that cannot be read."""

from __future__ import annotations

from catena.errors import ChainSerializationError
from catena.events import announced
from catena.remote_exceptions.native import context_of, set_context
from catena.transfer.baseline import Baseline
from catena.transfer.manifest import ChainManifest, Values
from catena.transfer.mount import mount


def mount_frame(
    manifest: ChainManifest | None,
    values: Values,
    baseline: Baseline | None,
    *,
    to_worker: bool,
) -> Baseline | None:
    """Mount what a frame carries, if it does, and return the call's new baseline.

    Raises ChainSerializationError, ChainContention.
    """
    if manifest is None:
        return baseline
    try:
        return mount(manifest, values, to_worker=to_worker, baseline=baseline)
    except ChainSerializationError as error:
        raise announced(error) from None


def append_context(error: BaseException, last: BaseException) -> None:
    """Put an exception at the tail of another's context; circles are left alone."""
    seen = {id(error)}
    while (context := context_of(error)) is not None and id(context) not in seen:
        error = context
        seen.add(id(error))
    if context is None and error is not last:
        set_context(error, last)
