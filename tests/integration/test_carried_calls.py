"""C17: carried variables in calls between real processes."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from tests.integration.programs import run_source

FIELDS = """
    import asyncio
    import contextvars
    import catena

    rid = contextvars.ContextVar("rid", default="none")
    lang = contextvars.ContextVar("lang", default="en")

    def read():
        return [rid.get(), lang.get()]

    @catena.routine
    async def read_there():
        return read()

    @catena.routine
    async def read_in_task():
        return await asyncio.create_task(read_there.local())

    @catena.routine
    async def relay():
        return await read_there()

    @catena.routine
    async def rebind(value, fail=False):
        lang.set(value)
        rid.set("of a worker")
        if fail:
            raise KeyError(value)

    @catena.routine
    async def read_steps(count):
        for number in range(count):
            yield read()
            lang.set(f"step {number}")
"""

HEADER = """
    import asyncio, contextvars, json, sys
    import catena
    import carried_fields as fields
    from carried_fields import *

    catena.carry(rid)
    catena.carry(lang, propagate="both")

    def report(value):
        print(json.dumps(value), flush=True)
"""


def run_program(source: str, folder: Path, *, header: str = HEADER) -> list[Any]:
    """Run a program beside the module of routines; return what it reports, line by line."""
    (folder / "carried_fields.py").write_text(textwrap.dedent(FIELDS))
    text = textwrap.dedent(header) + textwrap.dedent(source) + "\nasyncio.run(main())\n"
    return [json.loads(line) for line in run_source(text, folder).splitlines()]


def test_values_go_along_and_stay_nowhere(tmp_path: Path) -> None:
    """C17: in the routine, its tasks and its calls, armed or not; gone with the next call."""
    source = """
    color = catena.ContextVar("color")

    async def main():
        async with catena.WorkerPool(2, loop="asyncio"):
            report(await read_there())
            for armed in (False, True):
                if armed:
                    color.set("red")
                token = rid.set("r1")
                for _ in range(3):
                    report([await read_there(), await read_in_task(), await relay()])
                rid.reset(token)
                report(await asyncio.gather(*(read_there() for _ in range(4))))
    """
    none, *rest = run_program(source, tmp_path)

    bound, unbound = [[["r1", "en"]] * 3] * 3, [["none", "en"]] * 4
    assert none == ["none", "en"]
    assert rest == [*bound, unbound, *bound, unbound]


def test_what_is_bound_anew_comes_back(tmp_path: Path) -> None:
    """C17: with a result, an exception and each step, and only for ``both``."""
    source = """
    async def main():
        rid.set("r1")
        async with catena.WorkerPool(1):
            await rebind("de")
            report(read())
            try:
                await rebind("it", fail=True)
            except KeyError as error:
                report([*read(), error.args[0]])
            async for there in read_steps(3):
                report([there, read()])
                rid.set(rid.get() + "+")
            report(read())
    """
    found = run_program(source, tmp_path)

    assert found[:2] == [["r1", "de"], ["r1", "it", "it"]]
    assert found[2:] == [
        [["r1", "it"], ["r1", "it"]],
        [["r1+", "step 0"], ["r1+", "step 0"]],
        [["r1++", "step 1"], ["r1++", "step 1"]],
        ["r1+++", "step 2"],
    ]


def test_a_worker_that_cannot_import_the_module_relays(tmp_path: Path) -> None:
    """C17, V2: the bytes go on to a worker that can."""
    (tmp_path / "carried_hidden.py").write_text(
        textwrap.dedent("""
        import contextvars
        from catena.standing import worker_id

        if worker_id().endswith("-0"):
            raise ImportError("not here")
        hidden = contextvars.ContextVar("hidden", default="none")
    """)
    )
    (tmp_path / "carried_relay.py").write_text(
        textwrap.dedent("""
        import catena
        from catena.standing import worker_id

        @catena.routine
        async def read_hidden():
            from carried_hidden import hidden
            return hidden.get()

        @catena.routine
        async def relay():
            return worker_id()[-1], await read_hidden()
    """)
    )
    source = """
    from carried_hidden import hidden
    from carried_relay import relay
    catena.carry(hidden)

    async def main():
        hidden.set("seen")
        async with catena.WorkerPool(2):
            answers = []
            while "0" not in [worker for worker, _ in answers]:
                try:
                    answers.append(await relay())
                except ImportError:
                    pass  # worker 1 called worker 0, which cannot read it
            report(answers)
    """
    (found,) = run_program(source, tmp_path)

    assert ["0", "seen"] in found


def test_a_variable_of_the_main_module_is_made_on_workers(tmp_path: Path) -> None:
    """C17: code that crosses by value refers to one variable there, with its default."""
    source = """
    own = contextvars.ContextVar("own", default="default")
    catena.carry(own, propagate="both")

    @catena.routine
    async def use(value):
        before = own.get()
        own.set(value)
        return before

    @catena.routine
    async def use_nested(value):
        return [await use(value), own.get()]

    async def main():
        async with catena.WorkerPool(2):
            report([await use("first"), own.get()])
            report([await use("second"), own.get()])
            report([await use_nested("third"), own.get()])
    """
    assert run_program(source, tmp_path) == [
        ["default", "first"],
        ["first", "second"],
        [["second", "third"], "third"],
    ]


def test_a_variable_that_is_not_carried_is_named(tmp_path: Path) -> None:
    """C17: code by value that refers to it is refused, with both remedies."""
    source = """
    own = contextvars.ContextVar("own")

    @catena.routine
    async def use():
        return own.get()

    async def main():
        async with catena.WorkerPool(1):
            try:
                await use()
            except catena.SerializationError as error:
                report(str(error))
    """
    (text,) = run_program(source, tmp_path)

    assert "use" in text
    assert "global 'own'" in text
    assert "catena.carry(own)" in text
    assert "catena.ContextVar('own')" in text


def test_fields_of_structlog_are_in_the_lines_of_workers(tmp_path: Path) -> None:
    """C17: a request id that is bound in a handler; nested calls and other requests as well."""
    (tmp_path / "carried_lines.py").write_text(
        textwrap.dedent("""
        import catena
        import structlog

        structlog.configure(
            [structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()]
        )
        log = structlog.get_logger()

        @catena.routine
        async def speak(text):
            log.info(text)

        @catena.routine
        async def pass_on(text):
            structlog.contextvars.bind_contextvars(hop=1)
            await speak(text)
    """)
    )
    source = """
    from carried_lines import pass_on, speak
    from structlog.contextvars import bind_contextvars, get_contextvars
    catena.carry_structlog()

    async def handle(number):
        bind_contextvars(request=f"r{number}")
        await speak("direct")
        await pass_on("nested")
        assert get_contextvars() == {"request": f"r{number}"}

    async def main():
        async with catena.WorkerPool(2):
            await asyncio.gather(*map(handle, range(3)))
            await speak("outside")
    """
    lines = run_program(source, tmp_path)

    keyed = {(one["event"], one.get("request")): one for one in lines}
    assert len(keyed) == len(lines) == 7
    assert keyed["outside", None] == {"event": "outside"}
    for number in range(3):
        request = f"r{number}"
        assert keyed["direct", request] == {"event": "direct", "request": request}
        assert keyed["nested", request] == {"event": "nested", "request": request, "hop": 1}
