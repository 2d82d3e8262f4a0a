"""The interpreter of the token oracle: runs a script's steps and notes what it sees.

It serves both sides. What differs is a ``Side``: the variables, and what is awaited for a call.
With the stdlib that is a coroutine or an async generator of this process, with Catena a routine,
whose worker runs the same interpreter again. Tokens cross by what a script says and by nothing
else: a frame has a table of those it holds.

What is noted must not depend on who runs: values and errors, tokens by their slots, and how many
times each has crossed. An exception takes the notes of its frame along.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from tests.laws.oracle_cargo import Box, Errand, Failing, Note, Parcel, Place, Side
from tests.laws.oracle_scripts import (
    Body,
    Call,
    Drive,
    Drop,
    Fail,
    Far,
    Fork,
    Gather,
    Get,
    Inside,
    Look,
    Mint,
    Near,
    Open,
    Passing,
    Put,
    Reset,
    Set,
    Take,
)
from tests.parity.run import normalise

__all__ = ["Frame"]

_TEXTS = {
    "already been used once": "used",
    "by a different ContextVar": "other variable",
    "in a different Context": "other context",
}


class Frame:
    """Runs steps, with a table of the tokens it holds and how often each has crossed."""

    def __init__(self, side: Side, place: Place) -> None:
        self.side = side
        self.notes: list[Note] = []
        self._place = place
        self._table: dict[int, Any] = {}
        self._hops: dict[int, int] = {}
        self._streams: dict[int, Any] = {}
        self._contexts: dict[object, contextvars.Context] = {}
        self._entered: set[int] = set()
        self._calls = 0

    async def run(self, body: Body) -> None:
        """Run steps, one after the other."""
        for step in body:
            match step:
                case Call() | Mint() | Fork() | Gather() | Open() | Drive():
                    await self._far(step)
                case _:
                    self._near(step)

    def begin(self, errand: Errand, tokens: tuple[Any, ...], box: Box, named: Any) -> None:
        """Take what a routine was given, and look around."""
        arrived = [("argument", *one) for one in zip(errand.slots, tokens, strict=True)]
        arrived += [("keyword", int(name[1:]), token) for name, token in named.items()]
        arrived += [("container", *one) for one in box.get("deep", [])]
        for carrier, slot, token in arrived:
            self._arrived(carrier, slot, token, errand.hops[slot])
        self.look_around()

    def take(self, parcel: Parcel) -> None:
        """Take what came back, or was sent."""
        self.notes += parcel.notes
        if parcel.token is not None:
            slot = parcel.slot
            self._arrived(parcel.carrier, slot, parcel.token, parcel.hops[slot])
        for slot, token in parcel.box.get("deep", []):
            self._arrived("container", slot, token, parcel.hops[slot])

    def catch(self, error: Failing) -> None:
        """Take what an exception brought."""
        self.notes += error.notes
        error.notes = []
        for slot, token in error.tokens.items():
            self._arrived("exception", slot, token, error.hops[slot])
        error.hops = {slot: hops + 1 for slot, hops in error.hops.items()}

    def parcel(self, carrier: str, passing: Passing) -> Parcel:
        """Return the notes, which begin anew, and what a script lets out."""
        slot, direct, box = -1, None, list[tuple[int, Any]]()
        for which, kind in passing:
            found = self._slot(which)
            if found is None:
                continue
            if kind == carrier and direct is None:
                slot, direct = found, self._table[found]
            else:
                box.append((found, self._table[found]))
        notes, self.notes = self.notes, []
        return Parcel(notes, dict(self._hops), carrier, slot, direct, {"deep": box} if box else {})

    def failing(self, text: str, which: tuple[int, ...]) -> Failing:
        """Return an exception with tokens."""
        error = Failing(text)
        slots = [slot for one in which if (slot := self._slot(one)) is not None]
        error.tokens = {slot: self._table[slot] for slot in slots}
        error.hops = {slot: self._hops[slot] for slot in slots}
        return error

    async def close(self) -> None:
        """Close the streams that were made here."""
        for number in range(len(self._streams)):
            await self._drive(Drive(number, "close"))

    def look_around(self, *, closely: bool = False) -> None:
        """Note what the variables hold, and how the tokens are."""
        self.notes.append(("values", *map(self._value, range(len(self.side.variables)))))
        if closely:
            for number in range(len(self._table)):
                self._near(Look(number))

    def _near(self, step: Near) -> None:
        match step:
            case Get(var):
                self.notes.append(("get", var, self._value(var)))
            case Set(var, value, slot):
                self._hold(slot, self.side.variables[var].set(value))
            case Put(var, which, slot):
                self._put(var, self._slot(which), slot)
            case Take(var):
                self._take_held(self.side.variables[var].get(None))
            case Reset(which, other):
                self._reset(self._slot(which), other)
            case Look(which):
                self._look(self._slot(which))
            case Drop(which):
                self._table.pop(self._slot(which), None)  # type: ignore[arg-type]
            case Inside(body, number):
                # Of this task: were it to be another's, two tasks would run one chain.
                self._context((asyncio.current_task(), number)).run(self._all_near, body)
            case Fail(which):
                raise self.failing("as the script says", which)

    def _all_near(self, body: Body) -> None:
        for step in body:
            self._near(step)

    async def _far(self, step: Far) -> None:
        match step:
            case Mint(var, value, slot):
                self._arrived("result", slot, await self.side.mint(var, value), 0)
            case Call():
                await self._call(step)
            case Fork(body, number, before):
                await self._fork(body, number, before)
            case Open():
                if step.stream in self._streams:
                    await self._drive(Drive(sorted(self._streams).index(step.stream), "close"))
                errand, tokens, box, named = self._errand(step)
                made = self.side.stream(errand, *tokens, box=box, **named)
                self._streams[step.stream] = made
            case Gather(branches):
                await self._gather(branches)
            case Drive():
                await self._drive(step)

    async def _call(self, step: Call) -> None:
        errand, tokens, box, named = self._errand(step)
        try:
            self.take(await self.side.call(errand, *tokens, box=box, **named))
        except Failing as error:
            self.catch(error)
            self.notes.append(("call failed", str(error)))
            if step.lets:
                raise

    async def _fork(self, body: Body, number: int | None, before: Body) -> None:
        if before:
            # Armed first: a chain that begins in the copy would be that of two tasks.
            self.side.variables[0].reset(self.side.variables[0].set("armed"))
            context = contextvars.copy_context()
            context.run(self._all_near, before)
            await asyncio.create_task(self.run(body), context=context)
            return
        if number is None or number in self._entered:
            await asyncio.create_task(self.run(body))
            return
        self._entered.add(number)
        try:
            await asyncio.create_task(self.run(body), context=self._context(number))
        finally:
            self._entered.discard(number)

    def _context(self, name: object) -> contextvars.Context:
        if name not in self._contexts:
            self._contexts[name] = contextvars.copy_context()
        return self._contexts[name]

    async def _gather(self, branches: tuple[Body, ...]) -> None:
        """Run branches with tables of their own: what one does is not to depend on the other."""
        frames = [self._branch(number) for number in range(len(branches))]
        both = zip(frames, branches, strict=True)
        running = [asyncio.create_task(frame.alone(body)) for frame, body in both]
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        for frame, outcome in zip(frames, outcomes, strict=True):
            self.notes += frame.notes
            self._table |= frame._table
            self._hops |= frame._hops
            if isinstance(outcome, Failing):
                self.catch(outcome)
            elif outcome is not None:
                raise outcome

    def _branch(self, number: int) -> Frame:
        frame = Frame(self.side, (*self._place, -1 - number))
        frame._table, frame._hops = dict(self._table), dict(self._hops)
        return frame

    async def alone(self, body: Body) -> None:
        """Run steps, and close what they opened."""
        try:
            await self.run(body)
        finally:
            await self.close()

    async def _drive(self, step: Drive) -> None:
        if not self._streams:
            return
        numbers = sorted(self._streams)
        stream = self._streams[numbers[step.stream % len(numbers)]]
        try:
            match step.how:
                case "send":
                    sent = self.parcel("send", step.takes)
                    self.notes = list(sent.notes)
                    self.take(await stream.asend(sent._replace(notes=[])))
                case "throw":
                    error = self.failing("thrown in", tuple(one for one, _ in step.takes))
                    back = await stream.athrow(error)
                    # CPython's answer to a throw into a generator that has ended.
                    self.notes.append(("thrown", back is None))
                    if back is not None:
                        self.take(back)
                case "close":
                    await stream.aclose()
                    self.notes.append(("closed",))
                case _:
                    self.take(await anext(stream))
        except Failing as raised:
            self.catch(raised)
            self.notes.append(("stream failed", str(raised)))
        except (StopAsyncIteration, TypeError) as raised:
            self.notes.append((type(raised).__name__, str(raised)))

    def _errand(self, step: Call | Open) -> tuple[Errand, list[Any], Box, dict[str, Any]]:
        """Return what a routine is called with."""
        slots, tokens, named, box = list[int](), list[Any](), dict[str, Any](), list[Any]()
        for which, carrier in step.takes:
            slot = self._slot(which)
            if slot is None:
                continue
            match carrier:
                case "argument":
                    slots.append(slot)
                    tokens.append(self._table[slot])
                case "keyword":
                    named[f"s{slot}"] = self._table[slot]
                case _:
                    box.append((slot, self._table[slot]))
        self._calls += 1
        opening = isinstance(step, Open)
        errand = Errand(
            step.parts if opening else step.body,
            step.gives,
            (*self._place, self._calls),
            dict(self._hops),
            tuple(slots),
            step.closing if opening else (),
        )
        return errand, tokens, {"deep": box} if box else {}, named

    def _slot(self, which: int) -> int | None:
        """Return the slot of the token that is meant, None when there is no token."""
        slots = sorted(self._table)
        return slots[which % len(slots)] if slots else None

    def _hold(self, slot: int, token: Any, hops: int = 0) -> None:
        self._table[slot], self._hops[slot] = token, hops

    def _arrived(self, carrier: str, slot: int, token: Any, hops: int) -> None:
        self._hold(slot, token, hops + 1)
        self.notes.append(("arrived", carrier, slot))

    def _put(self, var: int, held: int | None, slot: int) -> None:
        if held is not None:
            value = ["held", held, self._hops[held], self._place, self._table[held]]
            self._hold(slot, self.side.variables[var].set(value))

    def _take_held(self, value: Any) -> None:
        if _holds(value):
            _, slot, hops, place, token = value
            crossed = _apart(place, self._place)
            self._hold(slot, token, hops + crossed)
            self.notes.append(("arrived", "propagated value" if crossed else "value", slot))

    def _reset(self, slot: int | None, other: int) -> None:
        if slot is None:
            return
        token, variables = self._table[slot], self.side.variables
        var = (variables.index(token.var) + other) % len(variables)
        try:
            variables[var].reset(token)
        except (RuntimeError, ValueError) as error:
            text = normalise(str(error))
            kind = next((kind for end, kind in _TEXTS.items() if text.endswith(end)), "strange")
            outcome = (kind, type(error).__name__, text)
        else:
            outcome = ("ok", "", "")
        hops, depth = self._hops[slot], len(self._place)
        self.notes.append(("reset", slot, *outcome, hops, depth, self._value(var)))

    def _look(self, slot: int | None) -> None:
        if slot is not None:
            token = self._table[slot]
            self.notes.append(("look", slot, normalise(repr(token)), _shown(token.old_value)))

    def _value(self, var: int) -> str:
        try:
            return _shown(self.side.variables[var].get())
        except LookupError:
            return "nothing"


def _holds(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 5


def _shown(value: Any) -> str:
    return f"holds {value[1]}" if _holds(value) else normalise(repr(value))


def _apart(one: Place, other: Place) -> int:
    """Return how many crossings there are at least between two frames."""
    common = 0
    for mine, yours in zip(one, other, strict=False):
        if mine != yours:
            break
        common += 1
    return len(one) + len(other) - 2 * common
