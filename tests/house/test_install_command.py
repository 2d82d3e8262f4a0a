"""There is one install command, and everything that prints or shows one agrees with it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from catena import errors
from tests.house.docs_examples import ROOT, pages

# To the end of the line or of the code span: words after a command must stand outside of it.
COMMAND = re.compile(
    r"(?:(?:python[\d.]*|py)\s+-m\s+)?"
    r"\b(?:pip[x\d.]*|uv(?:\s+(?:pip|tool))?|poetry|pdm|rye|hatch|conda|mamba|pixi|easy_install)"
    r"\s+(?:install|add|inject|run|sync)\b[^`\n]*"
)
DEFINITION = ROOT / "src" / "catena" / "errors.py"


def known() -> set[str]:
    """The command as the constant has it, bare and with each extra; the instrumentation's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    of_catena = {errors.INSTALL, *(errors.install_command(extra) for extra in extras)}
    return of_catena | {"pip install './instrumentation[otlp]'"}


def commands(text: str) -> list[str]:
    """Every install command in a text, whoever's tool it is."""
    return [found.strip() for found in COMMAND.findall(text)]


def strings(path: Path) -> Iterator[str]:
    """The string literals of a module, docstrings and the pieces of f-strings included."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_pages_show_the_one_install_command(page: Path) -> None:
    """A page shows the constant's command, or that of one of the project's extras."""
    assert set(commands(page.read_text("utf-8"))) <= known()


def test_the_readme_shows_the_constant() -> None:
    """Whoever reads the README alone sees the command."""
    assert errors.INSTALL in commands((ROOT / "README.md").read_text("utf-8"))


def test_sources_take_the_command_from_the_constant() -> None:
    """No other module writes an install command: it asks errors.install_command."""
    sources = (path for path in (ROOT / "src").rglob("*.py") if path != DEFINITION)
    found = {path.name: commands(text) for path in sources for text in strings(path)}

    assert {name: written for name, written in found.items() if written} == {}


@pytest.mark.parametrize(
    "text",
    [
        "run `pip install catena`",
        "$ python3 -m pip install catena-dispatch",
        "uv add catena-dispatch",
        "uv pip install .",
        "pipx install catena-dispatch",
        "pip3 install '.[uvloop]' --user",
    ],
)
def test_another_command_would_be_found(text: str) -> None:
    """The search finds the commands of other tools, and ours with anything more."""
    assert set(commands(text)) - known()
