"""The count of hostile frames: two real workers, attacked by seeded random peers, in batches.

After each batch good callers are answered, and both workers have announced what they had to, and
nothing else of that kind; nothing was unpickled for a stranger. At the end the numbers of the
metrics are those of the events, and the workers have what they had at the beginning.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import catena
from catena.discovery import MemberRecord
from catena.grpc_loading import aio
from tests.hostile import peer as hands
from tests.hostile.fleet import POOL, Fleet, started
from tests.hostile.insiders import VISITS
from tests.hostile.last_words import ENDINGS, UNKNOWABLE
from tests.hostile.limits import limit
from tests.hostile.peer import Peer, linked
from tests.hostile.routines import Sight, answer, color, count_up, look
from tests.hostile.strangers import STRANGERS
from tests.laws.law import Random

__all__ = ["attack"]

Attack = Callable[[], Awaitable[None]]

AT_A_TIME = 8
"""How many peers attack at the same time."""

BATCH = 200
"""About how many frames make a batch."""

OWN = 28
"""How many of them come on links of their own: a tenth, whatever the others take."""

VISITED = 12
"""At most how many things a peer does on its link before the last one."""

OFTEN = 6
"""So many of each other stranger for one who says nothing: that keeps a place for two seconds."""

FLOODS = 5
"""After so many batches there are more links than the worker serves."""

_FLOOD = 4
"""How many links are refused then, after the first."""

MORE_KIBIBYTES = 32 << 10
"""How much more memory a worker may have in the end than after the first batch: what it keeps for
each pool and each link has limits, which are met only after many frames."""

_LINKS: int = limit("link.server", "LINK_LIMIT")
_HANDSHAKE_SECONDS: float = limit("link.handshakes", "HANDSHAKE_SECONDS")
_HANDSHAKE = "HandshakeFailed"
_UNKNOWABLE = tuple(UNKNOWABLE)
_EXACT = ("PeerAccessRefused", "PeerVersionRefused", "ProtocolBroken", "CallRefused")
"""Of these a worker announces what it has to, and no other."""

_COUNTED = {
    "catena.peer.refusals": "PeerAccessRefused",
    "catena.version.refusals": "PeerVersionRefused",
    "catena.protocol.breaches": "ProtocolBroken",
    "catena.worker.calls.refused": "CallRefused",
    "catena.frames.dropped": "FrameDropped",
    "catena.handshakes.failed": _HANDSHAKE,
}


def attack(
    count: int, seed: int, progress: Callable[[int], object] = lambda _: None
) -> Counter[str]:
    """Send so many hostile frames; return what was met. AssertionError for what must not be."""
    with started() as fleet:
        try:
            with asyncio.Runner() as runner:
                return runner.run(_attack(fleet, count, Random(seed), progress))
        except BaseException as error:
            error.add_note(fleet.read_log())
            raise


async def _attack(
    fleet: Fleet, count: int, random: Random, progress: Callable[[int], object]
) -> Counter[str]:
    async with AsyncExitStack() as stack:
        pools = {
            True: await stack.enter_async_context(_pool_of(fleet, local=True)),
            False: await stack.enter_async_context(_pool_of(fleet, local=False)),
        }
        siege = _Siege(fleet, random, pools)
        await siege.note_beginning()
        await siege.run_batch(siege.list_all())
        await siege.note_memory()
        batches = 0
        while siege.met["frames"] < count:
            progress(siege.met["frames"])
            await siege.run_batch(siege.draw_batch())
            if batches % FLOODS == 0:
                await siege.flood_links(local=bool(batches // FLOODS % 2))
            batches += 1
        await siege.check_end()
        return siege.met


def _pool_of(fleet: Fleet, *, local: bool) -> catena.WorkerPool:
    """Return a good caller's pool, of one of the workers."""
    if local:
        return catena.WorkerPool(discovery=[fleet.local])
    record = MemberRecord("secured", fleet.secured)
    folder = fleet.certs / "alice"
    return catena.WorkerPool(discovery=[record], credentials=folder, name=POOL)


class _Siege:
    """Both workers, what was met, and which events each of them has to have announced."""

    def __init__(self, fleet: Fleet, random: Random, pools: dict[bool, catena.WorkerPool]) -> None:
        self.met: Counter[str] = Counter()
        self._fleet = fleet
        self._random = random
        self._pools = pools
        self._expected: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._first: dict[bool, Sight] = {}
        self._warm: dict[bool, int] = {}
        often = [one for one in STRANGERS if one != "no hello: nothing"]
        self._strangers = [*often * OFTEN, "no hello: nothing"]
        self._calls = 0

    async def note_beginning(self) -> None:
        """Note what the workers have before anybody attacks them."""
        await self._call_all()
        for local in self._pools:
            self._first[local] = await self._look(local)

    async def note_memory(self) -> None:
        """Note how much memory the workers have when they have met everything once."""
        for local in self._pools:
            self._warm[local] = (await self._look(local)).kibibytes

    # ---- who attacks

    def list_all(self) -> list[Attack]:
        """Return an attack of each kind on each worker where there is one."""
        found: list[Attack] = [
            partial(self._be_stranger, title, local=local)
            for title, (_, places) in STRANGERS.items()
            for local in places
        ]
        for local in self._pools:
            plans = [([one], "nothing more") for one in VISITS]
            plans += [([], one) for one in ENDINGS]
            found += [partial(self._be_insider, *one, local=local) for one in plans]
        return found

    def draw_batch(self) -> list[Attack]:
        """Return the attacks of one batch."""
        random = self._random
        found: list[Attack] = []
        for _ in range(OWN):
            title = random.choice(self._strangers)
            found.append(
                partial(self._be_stranger, title, local=random.choice(STRANGERS[title][1]))
            )
        # Most of what is done takes one frame, some of it many.
        frames = OWN
        while frames < BATCH:
            titles = random.choices([*VISITS], k=random.randint(0, VISITED))
            ending = random.choice([*ENDINGS])
            found.append(partial(self._be_insider, titles, ending, local=random.random() < 0.5))
            frames += 4 * len(titles) + 3
        random.shuffle(found)
        return found

    async def run_batch(self, attacks: list[Attack]) -> None:
        """Let some attack at a time; then see that the workers are as they have to be."""
        room = asyncio.Semaphore(AT_A_TIME)

        async def take_place(one: Attack) -> None:
            async with room:
                await one()

        try:
            await asyncio.gather(*map(take_place, attacks))
        except AssertionError:
            # What was unpickled for a stranger is worse than whatever that peer met.
            for local in self._pools:
                await self._look(local)
            raise
        await self._call_all()
        for local in self._pools:
            await self._await_announced(local)

    async def _be_stranger(self, title: str, *, local: bool) -> None:
        expected = await STRANGERS[title][0](self._fleet, local, self._random)
        self._expected[local] += expected
        self.met.update({title: 1, "frames": 1, "links of their own": 1})

    async def _be_insider(self, titles: list[str], ending: str, *, local: bool) -> None:
        async with linked(self._fleet, ending, self._random, local=local) as peer:
            await peer.say_hello()
            for title in titles:
                await VISITS[title](peer)
                await peer.is_served()
            await ENDINGS[ending](peer)
        self._note_peer(peer, local=local)
        self.met.update([*titles, ending, "links"])

    def _note_peer(self, peer: Peer, *, local: bool) -> None:
        self._expected[local] += peer.expected
        self.met["frames"] += peer.frames

    async def flood_links(self, *, local: bool) -> None:
        """Make more links than a worker serves: those beyond are refused, the others are served."""
        await self._await(local, lambda sight: sight.links - 1)
        served = 0
        async with AsyncExitStack() as stack:
            # One of those that have just ended may count still.
            while served < _LINKS and await self._add_link(stack, local=local):
                served += 1
            assert _LINKS - 3 <= served < _LINKS, f"{served} links beside that of a good caller"
            for _ in range(_FLOOD):
                assert not await self._add_link(stack, local=local)
            await self._call_all()
        reason = f"PeerAccessRefused: this worker serves {_LINKS} links already"
        self._expected[local][reason] += 1 + _FLOOD
        self.met.update({"links": served, "a flood of links": 1})
        await self._await_announced(local)

    async def _add_link(self, stack: AsyncExitStack, *, local: bool) -> bool:
        """Make one more link, which stays up; say whether it is served."""
        made = linked(self._fleet, "a flood of links", self._random, local=local)
        peer = await stack.enter_async_context(made)
        self.met.update(["frames", "links of their own"])
        try:
            await peer.say_hello()
        except aio.AioRpcError:
            code, words = await peer.end()
            assert code == "RESOURCE_EXHAUSTED", (code, words)
            return False
        return True

    # ---- what has to hold

    async def _call_all(self) -> None:
        """Have good callers answered, with context there and back, and in a stream."""
        for local, pool in self._pools.items():
            self._calls += 1
            name = "local" if local else "secured"
            async with hands.waiting():
                color.set(f"{self._calls}")
                found = await answer.on(pool)(self._calls)
                assert found == (2 * self._calls, f"{self._calls}", name), found
                assert color.get() == f"{self._calls}, seen"
                assert [one async for one in count_up.on(pool)(3)] == [0, 1, 2]
            self.met["good calls answered"] += 2

    async def _look(self, local: bool) -> Sight:
        async with hands.waiting():
            sight = await look.on(self._pools[local])()
        for seen in (sight.opened, sight.witnessed):
            assert not seen.get("stranger"), f"it was unpickled for a stranger: {seen}"
        return sight

    async def _await_announced(self, local: bool) -> None:
        """Wait until a worker has announced what it has to; it announces nothing else."""
        expected = +self._expected[local]
        await self._await(local, lambda sight: _find_missing(expected, sight))
        sight = await self._look(local)
        for event, many in sight.heard.items():
            if event.startswith(_EXACT) and not event.endswith(_UNKNOWABLE):
                assert expected[event] == many, f"{many} and not {expected[event]}: {event}"

    async def check_end(self) -> None:
        """See that nothing is left of the attacks, and that all of it was counted."""
        await asyncio.sleep(_HANDSHAKE_SECONDS)
        for local in self._pools:
            await self._await(local, lambda sight, local=local: self._left(sight, local))
            sight = await self._look(local)
            failed = sight.heard.get(_HANDSHAKE, 0)
            assert failed == self._expected[local][_HANDSHAKE], f"{failed} handshakes failed"
            for metric, event in _COUNTED.items():
                heard = sum(many for one, many in sight.heard.items() if one.startswith(event))
                assert sight.metrics[metric] == heard, f"{metric}: {sight.metrics[metric]}, {heard}"
            more = sight.kibibytes - self._warm[local]
            assert more < MORE_KIBIBYTES, f"{more} KiB more"
            name = "local" if local else "secured"
            self.met[f"KiB more at the {name} one"] = more
            self.met["unpickled for insiders"] += sight.opened["insider"]
            self.met["events of refusals"] += sum(
                many for one, many in sight.heard.items() if one.startswith((*_EXACT, _HANDSHAKE))
            )

    def _left(self, sight: Sight, local: bool) -> str:
        """Return what is left of the attacks; empty where nothing is."""
        first = self._first[local]
        now = {
            "links": (sight.links, first.links),
            "calls": (sight.sessions, first.sessions),
            "frames in part": (sight.transfers, 0),
            "slots": (sight.slots, 0),
            "tasks": (sight.tasks, min(sight.tasks, first.tasks)),
            _HANDSHAKE: (sight.heard.get(_HANDSHAKE, 0), self._expected[local][_HANDSHAKE]),
        }
        return ", ".join(
            f"{what}: {has} of {had}" for what, (has, had) in now.items() if has != had
        )

    async def _await(self, local: bool, find: Callable[[Sight], Any]) -> None:
        """Wait until nothing is found amiss in what a worker sees of itself."""
        until = asyncio.get_running_loop().time() + hands.seconds
        while found := find(await self._look(local)):
            late = asyncio.get_running_loop().time() - until
            assert late < 0, f"after {hands.seconds:g} s: {found}"
            await asyncio.sleep(0.02)


def _find_missing(expected: Counter[str], sight: Sight) -> str:
    """Return what a worker has not announced yet, except for what takes its time."""
    missing = expected - Counter(sight.heard)
    return ", ".join(
        f"{event}: {many} missing" for event, many in missing.items() if event != _HANDSHAKE
    )
