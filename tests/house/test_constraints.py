"""What is installed for development is pinned, down to what its packages need."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.docs_examples import ROOT

# What .ci/setup names beside the groups of pyproject.toml.
ALONGSIDE = ["pip", "hatchling", "opentelemetry-instrumentation-catena[otlp]"]
OURS = {"catena-dispatch", "opentelemetry-instrumentation-catena"}

Needs = Callable[[str], Iterable[str]]


def find_all(wanted: Iterable[str], needs: Needs) -> set[str]:
    """Return the names of all packages that are needed for some, as pip finds them."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(one) for one in wanted]
    while waiting:
        one = waiting.pop()
        key = canonicalize_name(one.name), frozenset(one.extras)
        if key in found:
            continue
        found.add(key)
        for text in needs(one.name):
            needed = Requirement(text)
            extras = key[1] or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(needed)
    return {name for name, _ in found}


def read_needs(name: str) -> list[str]:
    """Return what an installed package needs; one that is not here is needed elsewhere only."""
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def find_pinned() -> set[str]:
    """Return the names in the file of constraints."""
    text = (ROOT / "constraints.txt").read_text("utf-8")
    return {canonicalize_name(one) for one in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def test_what_is_installed_is_pinned() -> None:
    """Two checkouts of one commit are tested with the same packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [*project["dependency-groups"]["dev"], *ALONGSIDE, "catena-dispatch[uvloop]"]

    found = find_all(wanted, read_needs)
    assert "ast-serialize" in found  # it comes with a package that comes with mypy
    assert found - find_pinned() - OURS == set()


def test_a_package_without_a_pin_is_found() -> None:
    """Bad input: needed by what is needed, by an extra that is wanted, or by one that is not."""
    needs = {
        "a": ["b[x]", "other; extra == 'y'"],
        "b": ["c; extra == 'x'", "old; python_version < '3'"],
        "c": ["a"],
    }

    assert find_all(["a"], lambda name: needs.get(name, [])) == {"a", "b", "c"}
