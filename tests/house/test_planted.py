"""Every check over random examples finds the faults kept for it, and counts what it met."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.house.planted import FAULTS
from tests.laws.fault import Fault
from tests.laws.law import Law, Seen, law, reached

TESTS = Path(__file__).parents[1]

# Who may draw at random: the laws' own file; those that only name the module or shuffle benchmarks.
DRAWING = {"laws/law.py", "benchmarks/plan.py", "benchmarks/command.py"}

LAWS = sorted(
    {fault.check.law for fault in FAULTS if hasattr(fault.check, "law")},
    key=lambda one: one.name,
)


def _id(fault: Fault) -> str:
    return f"{_check(fault)}: {fault.name}"


def _check(fault: Fault) -> str:
    return fault.check.__name__


def attempt(fault: Fault, examples: int | None = None) -> None:
    """Run a fault's check, but stop at the first failure; its examples are those of its law."""
    its: Law | None = getattr(fault.check, "law", None)
    if its is None:
        fault.check(*fault.kinds)
    else:
        its.check(examples=examples, shrink=False)


@pytest.mark.parametrize("fault", FAULTS, ids=_id)
def test_the_check_finds_the_fault(fault: Fault) -> None:
    """A check that would pass whatever the source does is no check."""
    with fault.planted:
        try:
            attempt(fault)
        except fault.by:
            return
    pytest.fail(f"{fault.check.__name__} does not find that {fault.name}")


@pytest.mark.parametrize("check", {fault.check: fault for fault in FAULTS}.values(), ids=_check)
def test_without_a_fault_the_check_holds(check: Fault) -> None:
    """It was the fault that the check found, and nothing of it is left."""
    attempt(check, examples=20)


@pytest.mark.parametrize("its", LAWS, ids=lambda one: one.name)
def test_a_law_that_has_hardly_looked_fails(its: Law) -> None:
    """A law fails below its floors, and says what it met too seldom; without faults it holds."""
    assert its.floors
    seen = its.check(examples=1)

    with pytest.raises(AssertionError, match="met too seldom: ") as short:
        reached(seen, its.floors)

    few = [what for what, floor in its.floors.items() if seen[what] < floor]
    assert few
    assert all(f"{what}: {seen[what]} of " in str(short.value) for what in few)


def test_every_law_has_faults_of_its_own() -> None:
    """Each law has two faults at least, and no fault is kept for a check that is gone."""
    kept = Counter(fault.check.__name__ for fault in FAULTS)
    laws = {name for path in _files() for name in _laws(path.read_text("utf-8"))}

    assert laws == {its.name for its in LAWS}
    assert {name: count for name, count in kept.items() if count < 2} == {}
    assert len(set(map(_id, FAULTS))) == len(FAULTS)


def test_nobody_draws_at_random_but_laws() -> None:
    """What is random is a law: it has floors, a fixed seed, and faults that it finds."""
    drawing = {
        path.relative_to(TESTS).as_posix() for path in _files() if _draws(path.read_text("utf-8"))
    }
    assert drawing == DRAWING


@pytest.mark.parametrize(
    "text",
    [
        "import random",
        "from random import shuffle",
        "import secrets",
        "from hypothesis import given, strategies as st",
        "import hypothesis",
        "from hypothesis.stateful import RuleBasedStateMachine",
        "def test():\n    import random\n",
    ],
)
def test_whoever_draws_at_random_is_found(text: str) -> None:
    """The search sees each way to draw, and does not mind strategies."""
    assert _draws(text)
    assert not _draws("from hypothesis import strategies as st\n'import random'\nfrom x import y")


def test_a_law_that_is_broken_says_with_what() -> None:
    """A law passes on what its body raises, and meets the same examples in every run."""
    from hypothesis import strategies as st

    met: list[int] = []

    @law(st.integers(0, 1000), examples=30, floors={"large": 5}, first=((3,), (7,)))
    def small(seen: Seen, number: int) -> None:
        met.append(number)
        seen["large"] += number > 10
        assert number < 2000

    small()
    once, met[:] = list(met), []
    small()
    assert once == met
    assert once[:2] == [3, 7]

    its: Any = small
    met.clear()
    its.law.check(seed=1)
    assert met != once
    with pytest.raises(AssertionError, match="large: 0 of 5"):
        reached(Seen(), its.law.floors)


def test_what_a_law_meets_does_not_depend_on_what_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Constants of modules that happen to be imported are no examples."""
    from hypothesis import strategies as st

    met: list[int] = []

    @law(st.integers(), examples=200, floors={})
    def anything(_: Seen, number: int) -> None:
        met.append(number)

    anything()
    once, met[:] = list(met), []
    (tmp_path / "full_of_numbers.py").write_text("NUMBERS = (123_457, 765_431, 987_653)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "full_of_numbers", import_module("full_of_numbers"))
    anything()

    assert met == once


def _files() -> Iterator[Path]:
    return (path for path in sorted(TESTS.rglob("*.py")) if path != Path(__file__))


def _laws(text: str) -> list[str]:
    """Return the names of a module's laws."""
    return [
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(one).startswith("law(") for one in node.decorator_list)
    ]


def _draws(text: str) -> bool:
    """Say whether a module can draw at random by itself."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found = {one.name.partition(".")[0] for one in names}
            case ast.ImportFrom(module=str(module), names=names):
                found = {module.partition(".")[0]}
                if module == "hypothesis":
                    found = {"hypothesis"} & {
                        "hypothesis" for one in names if one.name != "strategies"
                    }
            case _:
                continue
        if found & {"random", "secrets", "hypothesis"}:
            return True
    return False
