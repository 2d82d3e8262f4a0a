"""``catena explain``: cause and remedy of an error, without a network and without a browser.

The text is that of the reference page on errors, which is shipped with this module.
"""

from __future__ import annotations

import difflib
import re
from importlib import resources

import click
from rich.console import Console
from rich.markdown import Markdown

from catena.cli.ending import USAGE, CommandEnded

_HEADING = re.compile(r"^## (\w+) \{ #[\w-]+ \}\n", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


@click.command("explain")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Print what causes an error or a warning of Catena, and what to do about it.

    NAME is the error's class, in upper or lower case. Without it, all errors are listed. The text
    is the section with this name on the reference page about errors.
    """
    known = read_sections()
    if name is None:
        width = max(map(len, known))
        for one, text in known.items():
            click.echo(f"{one:<{width}}  {_first_sentence(text)}")
        return
    # People paste what a traceback or an error's text shows, the module before the class included.
    asked = name.rpartition(".")[2].replace("-", "").lower()
    classes = {one.lower(): one for one in known}
    if asked not in classes:
        near = [classes[one] for one in difflib.get_close_matches(asked, classes, n=3)]
        advice = f"did you mean {' or '.join(near)}?" if near else "`catena explain` lists all"
        raise CommandEnded("explain", f"Catena has no error {name!r}; {advice}", USAGE)
    # The pages that links lead to are not at hand here, so only the words of a link are kept.
    section = f"# {classes[asked]}\n\n{known[classes[asked]]}"
    Console().print(Markdown(_LINK.sub(r"\1", section)))


def read_sections() -> dict[str, str]:
    """Return the text of each error's section by the name of its class, in the page's order."""
    page = resources.files("catena.cli").joinpath("errors.md").read_text("utf-8")
    _, *parts = _HEADING.split(page)
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _first_sentence(text: str) -> str:
    cause = " ".join(_LINK.sub(r"\1", text).removeprefix("**Cause.**").split())
    sentence, stop, _ = cause.partition(". ")
    return (sentence + stop).strip()
