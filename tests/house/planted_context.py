"""The faults of capture, mount and named states; tests/house/planted.py takes them in."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import count
from typing import Any
from unittest.mock import patch

from catena.context import capture, changes as capturing, mount as mounting
from catena.context.carried import Carried, Known
from catena.context.chain import Binding, Chain, Shelf, State
from catena.context.manifest import Entry, EntryKind
from catena.context.prepared import Prepared
from catena.context.problems import settle
from catena.context.var import ContextVar
from catena.dispatch import contexts
from catena.dispatch.payloads import LENIENT
from catena.wire import codec, manifests as closed
from tests.context.ends import BAD
from tests.laws import chains, test_entries as entries, test_manifests as manifests
from tests.laws.fault import given, keep, returning

__all__ = ["order_of_ledgers"]

a_chain = manifests.test_a_chain_of_calls_goes_as_in_one_process
all_anew = manifests.test_without_deltas_a_chain_of_calls_goes_the_same_way
order_of_sets = manifests.test_the_order_of_sets_leaves_no_trace
order_of_ledgers = manifests.test_the_order_of_ledgers_and_carriers_leaves_no_trace
a_carrier = manifests.test_a_carrier_beside_its_manifest_means_the_same_as_inside
merging = entries.test_merging_states_is_associative_and_idempotent
mounted = entries.test_mounting_is_associative_and_idempotent_and_the_receiver_keeps_its_id
a_bad_one = entries.test_a_bad_entry_harms_no_other
a_lost_one = entries.test_a_value_that_cannot_be_written_harms_no_other

_Changes = capturing.Changes
_bind, _merge, _put = Chain.bind, State.merge, mounting._put
_keep = Carried.keep
_with_shelf, _shelved = Prepared.with_shelf, dict[Prepared, State]()
_encode_chain, _read_manifest = closed._encode_chain, closed.read_manifest
_dumps, _numbers = LENIENT.dumps, count()

# ---- what changed


def _put_without_unbinding(
    manifest: Any, chain: Chain, found: Any, unbound: Any, **options: Any
) -> State:
    return _put(manifest, chain, found, [], **options)


def _put_with_the_senders_id(
    manifest: Any, chain: Chain, found: Any, unbound: Any, **options: Any
) -> State:
    return _put(manifest, chain._replace(id=manifest.chain_id), found, unbound, **options)


def _without_what_was_written(captured: Any) -> Any:
    baseline = captured and captured.baseline._replace(written={})
    return captured and captured._replace(baseline=baseline)


def _bind_as_before(self: Chain, var: Any, binding: Binding) -> Chain:
    return _bind(self, var, self.state.get(var, binding))


keep(
    "a mount does not unbind",
    patch.object(mounting, "_put", _put_without_unbinding),
    a_chain,
    all_anew,
    mounted,
)
keep(
    "a change in place is not seen",
    patch.object(capturing, "is_fixed", lambda _: True),
    a_chain,
    all_anew,
)
keep(
    "what is handed out stays sealed",
    patch.object(Binding, "hand_out", lambda self, var, value: None),
    a_chain,
)
keep(
    "how a value was written is forgotten",
    returning(chains, "capture_drive", _without_what_was_written),
    a_chain,
)
keep("a set keeps the binding", patch.object(Chain, "bind", _bind_as_before), a_chain)
keep(
    "an answer does not tell of resets",
    patch.object(_Changes, "_gone", lambda *_: None),
    a_chain,
    all_anew,
)
keep("forward variables come back", patch.object(ContextVar, "propagate", "both"), a_chain)
keep(
    "what comes by a mount is told back",
    returning(chains, "mount", lambda baseline: baseline and baseline._replace(state=State())),
    a_chain,
)
keep(
    "another chain drives with the baseline of the last",
    patch.object(chains.Baseline, "chain_id", property(lambda _: chains.current.get().id)),  # type: ignore[union-attr]
    a_chain,
)

# ---- named states


def _keep_and_use(self: Carried, *args: Any) -> Known | None:
    known = _keep(self, *args)
    if known is not None:
        self.arrived(known)
    return known


def _without_differences(manifest: Any) -> Any:
    return manifest._replace(entries=b"") if manifest.base else manifest


def _as_a_bare_name(manifest: Any) -> Any:
    return manifest._replace(entries=b"", name=0) if manifest.base else manifest


def _whoever_reads(mounted: Any, _: Any, *, whole: bool) -> bool:
    return chains.current.get() is mounted and not whole


keep(
    "a named state ignores its differences",
    given(contexts, "mount_first", _without_differences),
    a_chain,
)
keep(
    "a bare name ignores what comes with it",
    given(contexts, "mount_named", _as_a_bare_name),
    a_chain,
)
keep(
    "what was mounted by its name counts as untouched",
    patch.object(chains, "untouched", lambda mounted, _, whole: mounted is not None),
    a_chain,
)
keep(
    "what was read of a named state counts as untouched",
    patch.object(chains, "untouched", _whoever_reads),
    a_chain,
)
keep("a state is named before it arrived", patch.object(Carried, "keep", _keep_and_use), a_chain)
keep(
    "a value that can change is opened once for all calls",
    patch.object(type(LENIENT), "loads", staticmethod(lru_cache(64)(LENIENT.loads))),
    a_chain,
)
keep(
    "a named state is told by what is fixed alone",
    patch.object(Prepared, "with_shelf", lambda self, *_: self.state),
    a_chain,
)


def _one_for_all(self: Prepared, values: Any, changed: Any) -> State:
    return _shelved.setdefault(self, _with_shelf(self, values, changed))


keep(
    "all calls that name a state share one shelf",
    patch.object(Prepared, "with_shelf", _one_for_all),
    a_chain,
)
keep(
    "what was seen once is never looked at again",
    patch.object(capture, "as_seen", lambda _, seen, __: seen is not None),
    a_chain,
)
keep(
    "a value has another binding for each who asks",
    patch.object(Shelf, "binding", lambda self, _: Binding(False, self.dumps, self)),
    a_chain,
)


def _as_it_came(self: Binding, var: Any) -> bytes | None:
    return None if self.shelf is None else self.shelf.closed[var].value


keep(
    "what was read, and changed, goes on as the bytes that came",
    patch.object(Binding, "unread", _as_it_came),
    a_chain,
)
keep(
    "each reader decodes a value of its own",
    patch.object(Shelf, "read", lambda self, var: self.loads(self.closed[var].value)),
    a_chain,
)
# ---- bytes

keep(
    "a carrier is read to its first field",
    returning(closed, "_read_carrier", lambda one: dict([*one.items()][:1])),
    a_carrier,
)
keep(
    "a text is read before a carrier",
    patch.object(
        codec,
        "read_manifest",
        lambda frame: (
            _read_manifest(frame).carrying({"traceparent": frame.trace})
            if frame.trace
            else _read_manifest(frame)
        ),
    ),
    a_carrier,
)
keep(
    "a carrier alone does not arrive",
    patch.object(
        codec,
        "read_manifest",
        lambda frame: _read_manifest(frame) if frame.manifest else None,
    ),
    a_carrier,
)
keep(
    "the carrier inside a manifest wins",
    patch.object(
        codec,
        "read_manifest",
        lambda frame: (
            inside
            if frame.manifest and (inside := closed.decode_manifest(frame.manifest)).carrier
            else _read_manifest(frame)
        ),
    ),
    a_carrier,
)
keep(
    "a carrier is written into its manifest",
    patch.object(closed, "_encode_chain", closed.encode_manifest),
    a_carrier,
)
keep(
    "a traced manifest without a chain counts as nothing",
    patch.object(
        codec,
        "write_manifest",
        lambda to, one: None if one.carrier and not one[0] else closed.write_manifest(to, one),
    ),
    a_carrier,
)
keep(
    "a bare manifest is always whole",
    patch.object(
        closed,
        "_encode_chain",
        lambda one: _encode_chain(one if one.entries else one._replace(whole=True)),
    ),
    a_carrier,
)
keep(
    "entries are sorted by their values",
    patch.object(capturing, "_by_key", lambda entry: entry.value),
    order_of_sets,
)
keep(
    "the bytes of a value depend on how many were written before",
    patch.object(type(LENIENT), "dumps", lambda _, one: _dumps(one) + b"%d" % next(_numbers)),
    order_of_sets,
)

# ---- merging


def _merge_in_place(self: State, bound: Iterable[Any], unbound: Iterable[Any]) -> State:
    merged = _merge(self, bound, unbound)
    self.clear()
    self.update(merged)
    return merged


def _merge_what_is_new(self: State, bound: Iterable[Any], unbound: Iterable[Any]) -> State:
    return _merge(self, [one for one in bound if one[0] not in self], unbound)


keep("a merge changes what it starts from", patch.object(State, "merge", _merge_in_place), merging)
keep("a merge keeps what was there", patch.object(State, "merge", _merge_what_is_new), merging)
keep(
    "a merge drops what only the receiver has",
    patch.object(State, "merge", lambda self, bound, unbound: _merge(State(), bound, unbound)),
    merging,
    mounted,
)
keep(
    "the sender's id wins",
    patch.object(mounting, "_put", _put_with_the_senders_id),
    mounted,
)

# ---- bad entries


def _up_to_a_bad_one(some: tuple[Entry, ...]) -> list[Entry]:
    bad = [n for n, one in enumerate(some) if BAD in (one.value, one.default)]
    return list(some[: bad[0] + 1] if bad else some)


def _pack_what_is_not_lost(some: Iterable[Entry]) -> bytes:
    return closed.pack_entries(one for one in some if one.kind is not EntryKind.LOST)


def _settle_leniently(problems: Any, *, strict: bool) -> None:
    settle(problems, strict=False)


keep(
    "strict mode mounts anyway",
    patch.object(mounting, "settle", _settle_leniently),
    a_bad_one,
)
keep(
    "strict mode sends anyway",
    patch.object(capturing, "settle", _settle_leniently),
    a_lost_one,
)
keep(
    "nobody is told what is wrong",
    patch.object(mounting, "settle", lambda *_, **__: None),
    a_bad_one,
)
keep(
    "what follows a bad entry is left out",
    given(mounting, "decode", _up_to_a_bad_one),
    a_bad_one,
)
keep(
    "of a key that occurs twice the last counts",
    given(mounting, "decode", lambda some: some[::-1]),
    a_bad_one,
)
keep(
    "an answer unbinds what was lost",
    given(
        mounting,
        "decode",
        lambda some: [
            one._replace(kind=EntryKind.RESET) if one.kind is EntryKind.LOST else one
            for one in some
        ],
    ),
    a_bad_one,
)
keep(
    "what is lost is left out",
    patch.object(type(LENIENT), "pack", staticmethod(_pack_what_is_not_lost)),
    a_lost_one,
)
