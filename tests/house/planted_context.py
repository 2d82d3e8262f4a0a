"""The faults of capture, mount and named states; tests/house/planted.py takes them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import count
from typing import Any
from unittest.mock import patch

from catena.context.binding import Binding, LazyValues
from catena.context.carried import CarriedVariable
from catena.context.chain import Chain, State
from catena.context.var import ContextVar
from catena.dispatch.payloads import LENIENT
from catena.transfer import carried, decode, diff, mount as mounting
from catena.transfer.diff import ManifestDiff
from catena.transfer.manifest import Entry, EntryKind
from catena.transfer.problems import warn_or_raise
from catena.transfer.states import sent
from catena.transfer.states.kept import KeptState, KeptStates
from catena.transfer.states.sent import SentState, SentStates
from catena.wire import codec, manifests as closed
from tests.dispatch.test_named_states import (
    test_a_state_is_named_when_it_is_sent_again as sent_again,
    test_one_large_value_is_named_at_once as a_large_value,
    test_one_of_many_that_is_set_before_each_call_goes_alone as one_of_many,
    test_what_is_set_before_each_call_is_never_named as set_then_call,
)
from tests.laws import (
    chains,
    test_carried as carrying,
    test_entries as entries,
    test_manifests as manifests,
)
from tests.laws.fault import given, keep, returning
from tests.transfer.ends import BAD, ID

__all__ = ["order_of_ledgers"]

a_chain = manifests.test_a_chain_of_calls_goes_as_in_one_process
all_anew = manifests.test_without_deltas_a_chain_of_calls_goes_the_same_way
order_of_sets = manifests.test_the_order_of_sets_leaves_no_trace
order_of_ledgers = manifests.test_the_order_of_ledgers_and_carriers_leaves_no_trace
a_carried_one = carrying.test_a_worker_sees_what_a_local_call_would
a_carrier = manifests.test_a_carrier_beside_its_manifest_means_the_same_as_inside
merging = entries.test_merging_states_is_associative_and_idempotent
mounted = entries.test_mounting_is_associative_and_idempotent_and_the_receiver_keeps_its_id
a_bad_one = entries.test_a_bad_entry_harms_no_other
a_lost_one = entries.test_a_value_that_cannot_be_written_harms_no_other

_bind, _merge, _apply = Chain.bind, State.merge, mounting._apply_entries
_keep_state, _enter = SentStates.keep_state, KeptStates.enter
_state_of_call, _shared = KeptState.state_of_call, dict[KeptState, State]()
_encode_chain, _read_manifest = closed._encode_chain, closed.read_manifest
_dumps, _numbers = LENIENT.dumps, count()

# ---- what changed


def _apply_without_unbinding(before: State, found: Any, unbound: Any) -> State:
    return _apply(before, found, [])


def _without_what_was_written(captured: Any) -> Any:
    baseline = captured and captured.baseline._replace(written={})
    return captured and captured._replace(baseline=baseline)


def _bind_as_before(self: Chain, var: Any, binding: Binding) -> Chain:
    return _bind(self, var, self.state.get(var, binding))


keep(
    "a mount does not unbind",
    patch.object(mounting, "_apply_entries", _apply_without_unbinding),
    a_chain,
    all_anew,
    mounted,
)
keep(
    "a change in place is not seen",
    patch.object(diff, "is_fixed", lambda _: True),
    a_chain,
)
keep(
    "what is exposed counts as unexposed",
    patch.object(Binding, "expose", lambda self, var, value: None),
    a_chain,
)
keep(
    "how a value was written is forgotten",
    returning(chains, "capture_drive", _without_what_was_written),
    a_chain,
)
keep("a set keeps the binding", patch.object(Chain, "bind", _bind_as_before), a_chain)
keep(
    "an answer does not name resets",
    patch.object(ManifestDiff, "_add_resets", lambda *_: None),
    a_chain,
    all_anew,
)
keep("forward variables come back", patch.object(ContextVar, "propagate", "both"), a_chain)
keep(
    "what comes by a mount is sent back",
    returning(chains, "mount", lambda baseline: baseline and baseline._replace(state=State())),
    a_chain,
)
keep(
    "another chain drives with the baseline of the last",
    patch.object(chains.Baseline, "chain_id", property(lambda _: chains.current.get().id)),  # type: ignore[union-attr]
    a_chain,
)

# ---- named states


def _keep_and_confirm(self: SentStates, *args: Any) -> SentState | None:
    known = _keep_state(self, *args)
    if known is not None:
        self.confirm(known.number)
    return known


def _entering(change: Any) -> Any:
    return patch.object(
        KeptStates,
        "enter",
        lambda self, manifest, base, task=None: _enter(self, change(manifest), base, task),
    )


def _without_differences(manifest: Any) -> Any:
    return manifest._replace(entries=b"") if manifest and manifest.base else manifest


def _as_a_bare_name(manifest: Any) -> Any:
    return manifest._replace(entries=b"", name=0) if manifest and manifest.base else manifest


def _pass_over(self: ManifestDiff, state: State, written: Any) -> None:
    self.written = written


keep("a named state ignores its differences", _entering(_without_differences), a_chain)
keep("a bare name ignores what comes with it", _entering(_as_a_bare_name), a_chain)
keep(
    "an answer brings nothing back",
    returning(chains, "capture_answer", lambda answer: (None, answer[1])),
    a_chain,
)
keep(
    "what was changed in place of a named state is not looked at",
    patch.object(ManifestDiff, "add_changes_in_place", _pass_over),
    a_chain,
)
keep(
    "a state is named before it arrived",
    patch.object(SentStates, "keep_state", _keep_and_confirm),
    a_chain,
)
keep(
    "every state is named when it is first sent",
    patch.object(SentStates, "_is_worth_a_name", lambda *_: True),
    set_then_call,
    one_of_many,
    sent_again,
    a_large_value,
)
keep(
    "a new state passes for one that was sent before",
    patch.object(State, "was_sent", True),
    set_then_call,
)
keep(
    "no state is ever named",
    patch.object(SentStates, "_is_worth_a_name", lambda *_: False),
    sent_again,
    a_large_value,
    one_of_many,
)
keep(
    "a value that can change is opened once for all calls",
    patch.object(type(LENIENT), "loads", staticmethod(lru_cache(64)(LENIENT.loads))),
    a_chain,
)
keep(
    "of a named state only what is fixed is mounted",
    patch.object(KeptState, "state_of_call", lambda self, *_: self.state),
    a_chain,
)


def _one_for_all(self: KeptState, values: Any, changed: Any) -> State:
    return _shared.setdefault(self, _state_of_call(self, values, changed))


keep(
    "all calls that name a state share what they read",
    patch.object(KeptState, "state_of_call", _one_for_all),
    a_chain,
)
keep(
    "what was seen once is never looked at again",
    patch.object(sent, "matches", lambda _, snapshot, __: snapshot is not None),
    a_chain,
)
keep(
    "a value has another binding for each who asks",
    patch.object(LazyValues, "binding_of", lambda self, _: Binding(False, self.dumps, self)),
    a_chain,
)


def _as_it_came(self: Binding, var: Any) -> bytes | None:
    return None if self.lazy is None else self.lazy.encoded[var]


keep(
    "what was read, and changed, goes on as the bytes that came",
    patch.object(Binding, "unread_bytes", _as_it_came),
    a_chain,
)
keep(
    "each reader decodes a value of its own",
    patch.object(LazyValues, "read_value", lambda self, var: self.loads(self.encoded[var])),
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
    patch.object(diff, "_KEY", lambda entry: entry.value),
    order_of_sets,
)
keep(
    "the bytes of a value depend on how many were written before",
    patch.object(type(LENIENT), "dumps", lambda _, one: _dumps(one) + b"%d" % next(_numbers)),
    order_of_sets,
)

# ---- merging


def _merge_in_place(self: State, bound: Mapping[Any, Any], unbound: Iterable[Any]) -> State:
    merged = _merge(self, bound, unbound)
    self.clear()
    self.update(merged)
    return merged


def _merge_what_is_new(self: State, bound: Mapping[Any, Any], unbound: Iterable[Any]) -> State:
    return _merge(self, {var: bound[var] for var in bound if var not in self}, unbound)


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
    given(mounting, "admit", lambda chain: chain._replace(id=ID)),
    mounted,
)

# ---- bad entries


def _up_to_a_bad_one(some: tuple[Entry, ...]) -> list[Entry]:
    bad = [n for n, one in enumerate(some) if BAD in (one.value, one.default)]
    return list(some[: bad[0] + 1] if bad else some)


def _pack_what_is_not_lost(some: Iterable[Entry]) -> bytes:
    return closed.pack_entries(one for one in some if one.kind is not EntryKind.LOST)


def _warn_leniently(problems: Any, *, strict: bool) -> None:
    warn_or_raise(problems, strict=False)


keep(
    "strict mode mounts anyway",
    patch.object(mounting, "warn_or_raise", _warn_leniently),
    a_bad_one,
)
keep(
    "strict mode sends anyway",
    patch.object(diff, "warn_or_raise", _warn_leniently),
    a_lost_one,
)
keep(
    "nobody is warned of what is wrong",
    patch.object(mounting, "warn_or_raise", lambda *_, **__: None),
    a_bad_one,
)
keep(
    "what follows a bad entry is left out",
    given(mounting, "decode_entries", _up_to_a_bad_one),
    a_bad_one,
)
keep(
    "an undeclared variable's default is lost on the way",
    patch.object(decode, "keep_default", lambda *_: None),
    a_bad_one,
)
keep(
    "of a key that occurs twice the last counts",
    given(mounting, "decode_entries", lambda some: some[::-1]),
    a_bad_one,
)
keep(
    "an answer unbinds what was lost",
    given(
        mounting,
        "decode_entries",
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

# ---- carried variables


def _bound_alone(self: Any, since: Any, values: Any, *, to_worker: bool, whole: bool) -> Any:
    self.unbound.clear()
    return _bind_carried(self, since, values, to_worker=to_worker, whole=whole)


_bind_carried = carried.DecodedCarried.bind
keep(
    "a change in place of a carried variable is not seen",
    patch.object(carried, "is_fixed", lambda _: True),
    a_carried_one,
)
keep(
    "a carried variable is never unbound",
    patch.object(carried.DecodedCarried, "bind", _bound_alone),
    a_carried_one,
)
keep(
    "a named state forgets its carried variables",
    patch.object(KeptState, "add_carried", lambda _, entries: entries),
    a_carried_one,
)
keep(
    "forward variables that are carried come back",
    patch.object(
        CarriedVariable, "propagate", property(lambda _: "both", lambda *_: None), create=True
    ),
    a_carried_one,
)
