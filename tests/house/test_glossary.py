"""The glossary has every public class of the core, and no class that is gone."""

from __future__ import annotations

import ast
import re

from tests.house.imports import modules
from tests.house.measures import DOCS

ROOMS = (
    *("context", "transfer", "events", "wire", "link", "dispatch", "proxy", "pool"),
    *("pickling", "remote_exceptions", "security", "discovery"),
    *("ids", "leases", "members", "engines", "background"),
)
GENERATED = "catena.wire.v1"
GLOSSARY = DOCS / "reference" / "glossary.md"


def public_classes(files: dict[str, str]) -> dict[str, str]:
    """The classes of the core without an underscore, each with the module that defines it."""
    return {
        node.name: module
        for module, text in files.items()
        if module.split(".")[1:2] and module.split(".")[1] in ROOMS
        if not module.startswith(GENERATED)
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


def named_classes(glossary: str) -> set[str]:
    """What a glossary names as code with a capital, as classes are."""
    return set(re.findall(r"`([A-Z]\w*)`", glossary))


def test_every_public_class_of_the_core_is_in_the_glossary() -> None:
    """Whoever meets a class in the source finds the word for it in the glossary."""
    classes = public_classes(modules())

    assert classes
    missing = set(classes) - named_classes(GLOSSARY.read_text())
    assert {name: classes[name] for name in missing} == {}


def test_the_glossary_names_no_class_that_is_gone() -> None:
    """A class that was renamed does not keep its old name here."""
    gone = named_classes(GLOSSARY.read_text()) - set(public_classes(modules()))

    assert sorted(gone) == []


def test_a_class_that_is_missing_is_found() -> None:
    """Bad input: a class of the core that no entry names; one with an underscore needs none."""
    files = {
        "catena.context.planted": "class Planted: ...\nclass _Hidden: ...\nclass Chain: ...\n",
        "catena.demo.planted": "class Elsewhere: ...\n",
    }

    assert set(public_classes(files)) - named_classes("A `Chain` and a `Fork`.") == {"Planted"}
