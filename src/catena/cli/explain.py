"""``catena explain``: cause and remedy of an error, without a network and without a browser.

The text is that of the reference page on errors, which is shipped with this module.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from importlib import resources

__all__ = ["HELP", "explain", "fill", "sections"]

HELP = "print cause and remedy of an error, such as NoPool"

_DESCRIPTION = """\
Prints what causes an error or a warning of Catena, and what to do about it: the section of the
reference page that has its name. Without a name it lists all of them.
"""

_HEADING = re.compile(r"^## (\w+) \{ #[\w-]+ \}\n", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
FOUND, UNKNOWN = 0, 2


def fill(parser: argparse.ArgumentParser) -> None:
    """Give a parser the arguments of this command."""
    parser.description = _DESCRIPTION
    parser.add_argument("name", nargs="?", metavar="NAME", help="the error's class, in any case")


def sections() -> dict[str, str]:
    """Return the text of each error's section by the name of its class, in the page's order."""
    page = resources.files("catena.cli").joinpath("errors.md").read_text("utf-8")
    _, *parts = _HEADING.split(page)
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def explain(name: str | None) -> int:
    """Print one section, or a line for each where no name is given; return the exit code.

    A name that is not known is 2, and the most similar ones are printed.
    """
    known = sections()
    if name is None:
        width = max(map(len, known))
        for one, text in known.items():
            sys.stdout.write(f"{one:<{width}}  {_first_sentence(text)}\n")
        return FOUND
    # Whatever an error's text or a traceback shows may be pasted: the module before it, too.
    asked = name.rpartition(".")[2].replace("-", "").lower()
    found = {one.lower(): one for one in known}
    if asked in found:
        _print_markdown(f"# {found[asked]}\n\n{known[found[asked]]}")
        return FOUND
    near = difflib.get_close_matches(asked, found, n=3)
    advice = (
        f"did you mean {' or '.join(found[one] for one in near)}?"
        if near
        else ("`catena explain` lists the errors there are")
    )
    sys.stderr.write(f"catena explain: Catena has no error {name!r}; {advice}\n")
    return UNKNOWN


def _first_sentence(text: str) -> str:
    cause = " ".join(_LINK.sub(r"\1", text).removeprefix("**Cause.**").split())
    sentence, stop, _ = cause.partition(". ")
    return (sentence + stop).strip()


def _print_markdown(text: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - only this branch needs it
    from rich.markdown import Markdown  # noqa: PLC0415

    # The pages that links lead to are not at hand here; what they are called is.
    Console().print(Markdown(_LINK.sub(r"\1", text)))
