"""The proxy as a variable: it goes along on the chain, forward only, and is restored once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import catena
from catena.context.chain import current
from catena.context.proxy import PROXY_KEY, proxy
from catena.context.registry import find
from catena.dispatch.caller import connection as connecting
from catena.dispatch.dispatcher import dispatcher
from catena.dispatch.open_pools import find_dispatcher
from catena.errors import (
    ChainContention,
    ContextVarCollision,
    SerializationError,
    VersionRefused,
)
from catena.events import ForwardDropped, Lease
from catena.pickling import pickler
from catena.proxy.table import ProxyTable
from catena.remote_exceptions.pickled import unpickle_exception
from catena.testing import recording
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.wire import codec
from catena.wire.frames import Ack, ExceptionFrame, Next, Result, Task
from catena.wire.manifests import pack_entries
from catena.wire.v1 import catena_pb2 as pb
from catena.wire.versions import PROXY as ON_CHAIN
from tests.dispatch.ends import PROXY, Through, caller_and_hand, hand_and_sessions, opening
from tests.dispatch.tapped import bytes_of, changed, tapped
from tests.support import isolated, run

color: catena.ContextVar[str] = catena.ContextVar("color", namespace="tests.on_chain", default="-")

POOL = b"the pool's id..."
MEMBERS = [codec.MemberFacts("w1", "unix:/w1")]
GOOD = codec.encode_proxy(POOL, MEMBERS)


@catena.routine
async def look() -> str:
    """Return the color."""
    return color.get()


@catena.routine
async def nest() -> str:
    """Make a call through whatever is bound."""
    return await look()


@catena.routine
async def name_pool() -> str:
    """Return what is bound."""
    return repr(proxy.get())


@catena.routine
async def count_up(to: int) -> Any:
    """Yield numbers, and what is bound at each step."""
    for number in range(to):
        yield number, repr(proxy.get())


@catena.routine
async def is_armed() -> bool:
    """Say whether there is a chain."""
    return current.get() is not None


def entry_of(value: bytes, kind: EntryKind = EntryKind.VALUE) -> bytes:
    """Return a block of entries with that of a proxy."""
    return pack_entries([Entry(PROXY_KEY, kind, value, forward=True)])


# ---- the variable


def test_its_key_is_taken() -> None:
    """P1: nobody else can declare it, and it goes forward only."""
    assert find(PROXY_KEY) is proxy
    assert proxy.propagate == "forward"
    with pytest.raises(ContextVarCollision):
        catena.ContextVar("proxy", namespace="catena")


@isolated
def test_to_bind_it_arms_nothing() -> None:
    """P1: neither at the caller nor on the worker; what is bound is read all the same."""

    async def main() -> None:
        async with tapped() as ends:
            assert not await is_armed()
            assert current.get() is None
            assert proxy.get() is dispatcher.get(None) is not None
            assert {one.chain_id for one in ends.manifests} == {b""}

    run(main())
    assert proxy.get() is None


@isolated
def test_internal_reads_pass_the_guard() -> None:
    """P7: a thread that must not touch the chain finds the pool."""

    async def main() -> None:
        async with tapped():
            color.set("red")
            with pytest.raises(ChainContention):
                await asyncio.to_thread(color.get)
            assert await asyncio.to_thread(find_dispatcher) is dispatcher.get(None)

    run(main())


# ---- what travels


@isolated
def test_the_first_call_brings_it_and_later_ones_name_it() -> None:
    """P1: without a chain under an empty id, with one among its entries; never in fields."""

    async def main() -> None:
        async with tapped() as ends:
            for _ in range(3):
                assert await look() == "-"
            color.set("red")
            for _ in range(4):
                assert await look() == "red"
            brought = [
                [entry.key for entry in changed(one) if entry.key == PROXY_KEY]
                for one in ends.manifests
            ]
            assert brought == [[PROXY_KEY], *[[]] * 6]
            assert all(one.base for one in ends.manifests)
            tasks = [one for one in ends.sent if isinstance(one, Task)]
            assert {(one.proxy, one.proxy_id) for one in tasks} == {(b"", b"")}

    run(main())


@isolated
@pytest.mark.parametrize("armed", [False, True], ids=["unarmed", "armed"])
def test_it_takes_fewer_bytes_than_the_fields(armed: bool) -> None:
    """Budget: a later call is no longer than one that has the proxy's id in a field."""

    async def measure(*lacking: str) -> list[int]:
        async with tapped(lacking=lacking) as ends:
            if armed:
                color.set("red")
            for number in range(6):
                if armed and number > 3:
                    color.set(f"{number}")
                await look()
            return [bytes_of(one) for one in ends.sent if isinstance(one, Task)]

    async def main() -> None:
        fields = await asyncio.create_task(measure(ON_CHAIN))
        chain = await asyncio.create_task(measure())
        assert all(few <= many for few, many in zip(chain[1:], fields[1:], strict=True))
        assert sum(chain[1:]) < sum(fields[1:])

    run(main())


@isolated
def test_an_old_peer_gets_the_fields() -> None:
    """P3: a peer that does not read it from the chain; nothing of it is in a manifest."""

    async def main() -> None:
        async with tapped(lacking=(ON_CHAIN,)) as ends:
            color.set("red")
            assert [await look() for _ in range(3)] == ["red"] * 3
            tasks = [one for one in ends.sent if isinstance(one, Task)]
            assert [one.proxy for one in tasks] == [PROXY[1], b"", b""]
            assert {one.proxy_id for one in tasks} == {PROXY[0]}
            assert ends.manifests == ends.told
            assert await nest() == "red"

    run(main())


@isolated
def test_a_stream_keeps_it_whoever_drives_it() -> None:
    """P1: a generator that another chain goes on with finds the pool of its call."""

    async def main() -> None:
        async with tapped():
            color.set("red")
            stream = count_up(4)
            seen = [await anext(stream)]
            seen += [await asyncio.create_task(anext(stream)) for _ in range(2)]
            seen.append(await anext(stream))
            assert len({name for _, name in seen}) == 1
            assert "Through" in seen[0][1]

    run(main())


@isolated
def test_a_worker_that_has_forgotten_is_sent_it_anew() -> None:
    """D7: the call is refused before it begins, and made again with the proxy."""

    async def main() -> None:
        async with tapped() as ends:
            assert await nest() == "-"
            ends.sessions._states.clear()
            ends.forget()
            assert await nest() == "-"
            refused, again, *_ = ends.manifests
            assert (refused.entries, bool(again.entries)) == (b"", True)
            assert again.base != refused.base

    run(main())


# ---- answers


@isolated
def test_what_an_old_worker_echoes_changes_nothing() -> None:
    """P1: an answer that has the key is mounted without it, whatever policy it names."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            through = dispatcher.get(None)
            for call, forward in enumerate((True, False), start=1):
                work = asyncio.create_task(look())
                await hand.symbols(2)
                entries = [Entry(PROXY_KEY, EntryKind.VALUE, GOOD, forward=forward)]
                entries.append(Entry(color.key, EntryKind.VALUE, pickler.dumps("blue")))
                echo = ChainManifest(b"c" * 16, entries=pack_entries(entries))
                with recording(ForwardDropped) as dropped:
                    await hand.send(Ack(call), Result(call, pickler.dumps("-"), echo))
                    assert await work == "-"
                assert dropped.events == [ForwardDropped(PROXY_KEY)]
                assert dispatcher.get(None) is through

    run(main())


# ---- restoring


class Found:
    """A table that counts how often it is asked."""

    def __init__(self) -> None:
        self.through = Through()
        self.asked: list[tuple[bytes, bytes]] = []

    def find(self, encoded: bytes, id: bytes) -> Through | None:
        """Return the one proxy that there is."""
        self.asked.append((encoded, id))
        codec.decode_proxy(encoded)
        return self.through


async def ask(hand: Any, task: Task, drive: Any) -> Any:
    """Make a call by hand; return its value, or the error that it raises."""
    await hand.send(task._replace(drive=drive))
    assert await hand.symbols(1) == ["ack"]
    answer = await hand.frame()
    if isinstance(answer, ExceptionFrame):
        return unpickle_exception(answer.payload)
    return pickler.loads(answer.payload)


@isolated
@pytest.mark.parametrize("chain_id", [b"", b"c" * 16], ids=["unarmed", "armed"])
def test_both_paths_are_one_acquisition(chain_id: bytes) -> None:
    """P3: the chain's entry counts, the fields are not even read, and there is one lease."""
    found = Found()

    async def main() -> None:
        async with hand_and_sessions(proxies=found.find) as (hand, _):
            manifests = [
                ChainManifest(chain_id, entries=entry_of(GOOD), base=7),
                ChainManifest(chain_id, base=7),
            ]
            with recording(Lease) as leases:
                for call, manifest in enumerate(manifests, start=1):
                    task, drive = opening(call, name_pool, manifest=manifest)
                    both = task._replace(proxy=b"never read", proxy_id=b"n" * 16)
                    assert "Through" in await ask(hand, both, drive)
            assert found.asked == [(GOOD, b"")]
            assert [one.source for one in leases.of(Lease)] == ["chain", "chain"]
            assert [one.cached for one in leases.of(Lease)] == [False, True]
            assert not found.through.leases

    run(main())


@isolated
def test_without_an_entry_the_fields_count() -> None:
    """P3: an old caller has nothing on its chain."""
    found = Found()

    async def main() -> None:
        async with hand_and_sessions(proxies=found.find) as (hand, _):
            task, drive = opening(1, name_pool, manifest=ChainManifest(b"c" * 16))
            with recording(Lease) as leases:
                fields = task._replace(proxy=GOOD, proxy_id=POOL)
                assert "Through" in await ask(hand, fields, drive)
            assert found.asked == [(GOOD, POOL)]
            assert [one.source for one in leases.of(Lease)] == ["fields"]

    run(main())


_AHEAD = pb.Proxy(id=POOL, major=2).SerializeToString()

BAD: dict[str, tuple[bytes, type[Exception], str]] = {
    "no proxy at all": (b"\xff\xff", SerializationError, "does not parse"),
    "a forged id": (codec.encode_proxy(b"short", MEMBERS), SerializationError, "16 bytes"),
    "no id": (codec.encode_proxy(b"", MEMBERS), SerializationError, "16 bytes"),
    "too long": (b"x" * ((1 << 20) + 1), SerializationError, "the limit is"),
    "a major version ahead": (_AHEAD, VersionRefused, "do not work together"),
}


@isolated
@pytest.mark.parametrize("chain_id", [b"", b"c" * 16], ids=["unarmed", "armed"])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_cannot_be_restored_fails_the_calls_through_it(
    bad: tuple[bytes, type[Exception], str], chain_id: bytes
) -> None:
    """P6: a routine that makes none does not fail; good fields are no way out."""
    value, kind, text = bad

    async def main() -> None:
        table = ProxyTable("w1")
        async with hand_and_sessions(proxies=table.get) as (hand, _):
            manifest = ChainManifest(chain_id, entries=entry_of(value), base=3)
            for call, routine in ((1, look), (2, nest)):
                task, drive = opening(call, routine, manifest=manifest)
                found = await ask(hand, task._replace(proxy=GOOD, proxy_id=POOL), drive)
                if routine is look:
                    assert found == "-"
                else:
                    assert type(found) is kind
                    assert text in str(found)
        await table.close()

    run(main())


@isolated
def test_what_its_process_could_not_write_is_lost() -> None:
    """P6: an entry without a value fails the calls through it, and a reset means none."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            lost = ChainManifest(b"", entries=entry_of(b"", EntryKind.LOST), base=3)
            task, drive = opening(1, nest, manifest=lost)
            error = await ask(hand, task, drive)
            assert isinstance(error, SerializationError)
            assert "could not write it" in str(error)
            reset = ChainManifest(b"", entries=entry_of(b"", EntryKind.RESET), base=4)
            task, drive = opening(2, nest, manifest=reset)
            assert isinstance(await ask(hand, task, drive), catena.NoPool)

    run(main())


@isolated
@pytest.mark.parametrize("how", ["awaited", "handed over"])
@pytest.mark.parametrize("lacking", [(), (ON_CHAIN,)], ids=["chain", "fields"])
def test_one_that_cannot_be_sent_fails_at_the_caller(
    how: str, lacking: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P6: loudly, before anything leaves."""
    monkeypatch.setattr(connecting, "PROXY_LIMIT", len(PROXY[1]) - 1)

    async def main() -> None:
        async with tapped(lacking=lacking) as ends:
            called = look() if how == "awaited" else asyncio.to_thread(look.blocking)
            with pytest.raises(SerializationError, match=r"the proxy of routine .* the limit is"):
                await called
            assert not any(isinstance(one, Task) for one in ends.sent)
            assert ends.caller.open_calls == 0

    run(main())


@isolated
@pytest.mark.parametrize("kind", [EntryKind.VALUE, EntryKind.RESET])
def test_a_later_frame_of_a_stream_brings_no_other_one(kind: EntryKind) -> None:
    """P4: the proxy of a call stays, whatever entries come when it runs."""
    found = Found()

    async def main() -> None:
        async with hand_and_sessions(proxies=found.find) as (hand, _):
            first = ChainManifest(b"c" * 16, entries=entry_of(GOOD), base=1)
            task, drive = opening(1, count_up, 3, manifest=first)
            seen = [await ask(hand, task, drive)]
            other = entry_of(codec.encode_proxy(b"x" * 16, MEMBERS), kind)
            await hand.send(Next(1, ChainManifest(b"c" * 16, entries=other, whole=False)))
            answer: Any = await hand.frame()
            seen.append(pickler.loads(answer.payload))
            assert [number for number, _ in seen] == [0, 1]
            assert len({name for _, name in seen}) == 1
            assert len(found.asked) == 1

    run(main())
