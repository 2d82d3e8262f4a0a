"""What the pages show as code, found and run as a reader would.

A block of ``python`` is a whole program. It is pasted into a file, run by a process of its own, and
prints exactly what the block of ``text title="output"`` right after it says, or nothing where there
is none. A block of ``pycon`` is typed at a prompt (doctest). What is cut out of a file of
``docs/examples`` stands there line by line, and ``catena`` takes the command lines that are shown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUTPUT = 'text title="output"'
DEADLINE = 60  # seconds for one program

EXCERPTS = {"yaml", "ini", "sh"}
"""The languages of blocks that are cut out of a file of ``docs/examples``."""

_COMMAND = re.compile(r"^(?:\$ |    )(?:.*\bdo |ExecStart=\S*/)?catena ([^;\n]+)", re.MULTILINE)
_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<ticks>`{3,})(?P<info>[^`]*)$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it starts, what it says it is, its text, and its neighbour."""

    page: Path
    line: int
    info: str
    text: str
    follows: bool  # nothing but blank lines stands between the block before and this one

    @property
    def language(self) -> str:
        """The first word after the fence."""
        return self.info.partition(" ")[0]

    @property
    def name(self) -> str:
        """Page and line, as an editor opens them."""
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True, slots=True)
class Example:
    """A program and what it prints."""

    block: Block
    output: str


def pages() -> list[Path]:
    """Every page that a reader sees: those of the top level and of docs/."""
    return sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in their order; a fence that is not closed is a ValueError."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    start, text, between = 0, list[str](), ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence is None:
            between += line.strip()
        elif opened is None:
            opened, start, text = fence, number, []
        elif fence and not fence["info"].strip() and len(fence["ticks"]) >= len(opened["ticks"]):
            body = "".join(f"{part.removeprefix(opened['indent'])}\n" for part in text)
            follows = bool(found) and not between
            found.append(Block(page, start, opened["info"].strip(), body, follows))
            opened, between = None, ""
        else:
            text.append(line)
    if opened is not None:
        msg = f"{page.name}:{start}: this fence is not closed"
        raise ValueError(msg)
    return found


def examples(page: Path) -> Iterator[Example]:
    """The programs of a page with their output; an output without a program is a ValueError."""
    before: Block | None = None
    waiting: Block | None = None
    for block in blocks(page):
        if block.info == OUTPUT:
            if before is None or before.language != "python" or not block.follows:
                msg = f"{block.name}: no program stands right before this output"
                raise ValueError(msg)
            yield Example(before, block.text)
            waiting = None
        elif waiting is not None:
            yield Example(waiting, "")
            waiting = None
        if block.language == "python":
            waiting = block
        before = block
    if waiting is not None:
        yield Example(waiting, "")


def commands(text: str) -> list[str]:
    """The command lines of ``catena`` in a page, each without that word; variables are 1."""
    found = _COMMAND.findall(text.replace("\\\n", " "))
    return [re.sub(r"\$\w+", "1", line).strip() for line in found]


def is_cut_out(block: Block, sources: list[str]) -> bool:
    """Whether the lines of a block follow each other in one of the texts, however far indented."""
    wanted = _flatten(block.text)
    return any(f"\n{wanted}\n" in f"\n{_flatten(source)}\n" for source in sources)


def _flatten(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def run_program(source: str, where: Path) -> subprocess.CompletedProcess[str]:
    """Run a pasted program as ``python script.py`` in a directory of its own."""
    (where / "script.py").write_text(source, encoding="utf-8")
    return _python("script.py", where=where)


def run_prompt(source: str, where: Path) -> subprocess.CompletedProcess[str]:
    """Type a block at a prompt: exit code 0 when every answer was as shown, else a report."""
    (where / "prompt.txt").write_text(source, encoding="utf-8")
    return _python("-m", "doctest", "prompt.txt", where=where)


def _python(*arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=where,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
