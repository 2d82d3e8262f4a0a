"""``catena explain``: what an error's text names can be read offline."""

from __future__ import annotations

import pytest

from catena import errors
from catena.cli.explain import read_sections
from catena.cli.main import main


@pytest.mark.parametrize("asked", ["NoPool", "nopool", "no-pool", "catena.errors.NoPool"])
def test_cause_and_remedy_are_printed(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """C16: the name may be typed as the text, a traceback or the page has it."""
    assert main(["explain", asked]) == 0

    printed = capsys.readouterr().out
    assert "NoPool" in printed
    assert "Cause." in printed
    assert "Remedy." in printed
    assert "ChainContention" not in printed


def test_every_error_is_explained() -> None:
    """C16: the command knows each class that ends its text with it."""
    kinds = {
        name
        for name in errors.__all__
        if isinstance(getattr(errors, name), type)
        and issubclass(getattr(errors, name), errors.CatenaError | errors.CatenaWarning)
    }

    assert set(read_sections()) == kinds
    assert all(text.startswith("**Cause.**") for text in read_sections().values())


def test_without_a_name_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, with the first sentence of its cause."""
    assert main(["explain"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(read_sections())
    assert all(line.endswith((".", ":")) and len(line.split()) > 3 for line in lines)


def test_a_wrong_name_is_answered_with_similar_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing mistake costs one more look, not a search."""
    assert main(["explain", "WorkerLoss"]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "WorkerLost" in printed.err
    assert main(["explain", "zzz"]) == 2
    assert "lists all" in capsys.readouterr().err
