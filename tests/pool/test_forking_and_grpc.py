"""gRPC in forks: loaded with what Catena needs, or before by a program that does not know."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from tests.integration.programs import run_source
from tests.pool.forks import FORKS, ROUTINES, SEVEN, ran


def test_where_grpc_was_imported_before_forks_are_refused(tmp_path: Path) -> None:
    """K2: the pool warns once and names the variable; a fork is refused, and crashes nothing."""
    source = (
        "import grpc\n"
        + textwrap.dedent(ROUTINES)
        + textwrap.dedent("""
        import logging
        said = []
        logging.getLogger("catena").setLevel(logging.WARNING)
        logging.getLogger("catena").addFilter(lambda record: said.append(record.getMessage()))

        async def main():
            for _ in range(2):
                async with catena.WorkerPool(spawn=1):
                    for way in WAYS[:2]:
                        try:
                            way()
                        except catena.ForkRefused as error:
                            said.append(error.variable)
                    assert await there(3)
            print(json.dumps(said))

        asyncio.run(main())
    """)
    )
    warning, *refused = json.loads(run_source(source, tmp_path))

    variable = "GRPC_ENABLE_FORK_SUPPORT"
    assert f"Set {variable}=0 in the environment" in warning
    assert refused == [variable] * 4


def test_where_grpc_was_imported_without_its_fork_support(tmp_path: Path) -> None:
    """K2: with the variable set there is nothing to refuse and nothing to warn of."""
    source = (
        "import grpc\n"
        + textwrap.dedent(ROUTINES)
        + textwrap.dedent(f"""
        async def main():
            async with catena.WorkerPool(spawn=1):
                print(json.dumps([fork({FORKS}), await there(2)]))

        asyncio.run(main())
    """)
    )
    off = {"GRPC_ENABLE_FORK_SUPPORT": "0"}
    assert json.loads(run_source(source, tmp_path, env=off)) == [SEVEN] * 2


@pytest.mark.parametrize("theirs", [{}, {"GRPC_VERBOSITY": "INFO"}, {"GRPC_TRACE": "none"}])
def test_the_environment_stays_as_it_was(tmp_path: Path, theirs: dict[str, str]) -> None:
    """L12: gRPC is loaded with other variables than the program and its workers see."""
    source = """
        # What gRPC writes when it is asked to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        NAMES = ("GRPC_VERBOSITY", "GRPC_TRACE", "GRPC_ENABLE_FORK_SUPPORT")

        def mine():
            return {name: os.environ[name] for name in NAMES if name in os.environ}

        @catena.routine
        async def its():
            return mine()

        async def main():
            async with catena.WorkerPool(spawn=1):
                print(json.dumps([mine(), await its()]))

        asyncio.run(main())
    """
    assert ran(source, tmp_path, env=theirs) == [theirs, theirs]
