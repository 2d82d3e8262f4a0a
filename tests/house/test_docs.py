"""The pages: what they show runs, what is public is on them, and what they point at is there."""

from __future__ import annotations

import html
import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import catena
from catena import errors
from catena.cli.main import catena as catena_command
from tests.house.docs_examples import (
    EXCERPTS,
    ROOT,
    Block,
    Example,
    blocks,
    commands,
    examples,
    is_cut_out,
    pages,
    run_program,
    run_prompt,
)


def read(path: Path) -> str:
    """The text of a file of ours."""
    return path.read_text(encoding="utf-8")


REFERENCE = ROOT / "docs" / "reference"
PROGRAMS = [example for page in pages() for example in examples(page)]
PROMPTS = [block for page in pages() for block in blocks(page) if block.language == "pycon"]
KINDS = {"python", "pycon", "text", "console", *EXCERPTS}
SOURCES = [read(path) for path in sorted((ROOT / "docs" / "examples").rglob("*")) if path.is_file()]
CUT_OUT = [block for page in pages() for block in blocks(page) if block.language in EXCERPTS]
COMMANDS = [(page, line) for page in pages() for line in commands(read(page))]
ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, (errors.CatenaError, errors.CatenaWarning))
]
API = set(re.findall(r"^::: catena\.(\w+)$", read(REFERENCE / "api.md"), re.MULTILINE))


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda example: example.block.name)
def test_a_pasted_program_prints_what_the_page_says(example: Example, tmp_path: Path) -> None:
    """A program of a page, pasted into a file and run, prints its output block and no complaint."""
    ran = run_program(example.block.text, tmp_path)

    assert (ran.stderr, ran.returncode) == ("", 0)
    assert ran.stdout == example.output


@pytest.mark.parametrize("block", PROMPTS, ids=lambda block: block.name)
def test_a_typed_block_answers_what_the_page_says(block: Block, tmp_path: Path) -> None:
    """A block with prompts, typed line by line, gives the answers that stand below the lines."""
    ran = run_prompt(block.text, tmp_path)

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    """No code escapes the runner under another name for Python, or under none."""
    strange = {block.name: block.info for block in blocks(page) if block.language not in KINDS}

    assert strange == {}


@pytest.mark.parametrize("block", CUT_OUT, ids=lambda block: block.name)
def test_an_excerpt_stands_in_its_file(block: Block) -> None:
    """What a page shows of a file of the examples is what the file has."""
    assert is_cut_out(block, SOURCES)


def test_an_excerpt_that_is_changed_is_found() -> None:
    """Bad input: a line that is another, and lines that do not follow each other."""
    source = "a: 1\n  b: 2\n  c: 3\n"
    shown = {"b: 2\nc: 3\n": True, "  b: 2\n": True, "b: 4\n": False, "a: 1\nc: 3\n": False}

    found = {text: is_cut_out(Block(ROOT, 1, "yaml", text, False), [source]) for text in shown}
    assert found == shown


@pytest.mark.parametrize(
    ("page", "line"), COMMANDS, ids=[f"{page.name}:{line}" for page, line in COMMANDS]
)
def test_a_command_line_is_one_that_catena_takes(page: Path, line: str) -> None:
    """Its commands and options are those that there are, with values that they take."""
    read_command(catena_command, shlex.split(line))


def read_command(command: click.Command, words: list[str]) -> None:
    """Let click read a command line, down to its last command. Raises click.ClickException."""
    if isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            raise click.UsageError(f"there is no command {words[0]}")
        read_command(found, words[1:])
    else:
        with command.make_context("catena", words):
            pass


def test_a_wrong_command_line_is_found() -> None:
    """Bad input: an option that does not exist, and a command, in the forms that pages have."""
    text = "$ catena worker --lisen x\n    catena lost\n$ for n in 1; do catena demo; done\n"

    assert commands(text) == ["worker --lisen x", "lost", "demo"]
    for line in commands(text)[:2]:
        with pytest.raises(click.ClickException):
            read_command(catena_command, shlex.split(line))


def test_the_runner_finds_programs_and_their_output(tmp_path: Path) -> None:
    """A program owns the output block right after it, and prints nothing where there is none."""
    page = tmp_path / "page.md"
    page.write_text(
        '```python\nprint(1)\n```\n\n```text title="output"\n1\n```\n```python\npass\n```\n'
    )

    assert [(found.block.text, found.output) for found in examples(page)] == [
        ("print(1)\n", "1\n"),
        ("pass\n", ""),
    ]


@pytest.mark.parametrize(
    "text", ['```text title="output"\n1\n```\n', "```python\npass\n"], ids=["orphan", "open"]
)
def test_the_runner_refuses_a_page_that_it_cannot_read(text: str, tmp_path: Path) -> None:
    """Output without a program, and a fence without its end, are mistakes and not skipped."""
    page = tmp_path / "page.md"
    page.write_text(text)

    with pytest.raises(ValueError, match=r"page\.md:1"):
        list(examples(page))


@pytest.mark.parametrize("name", sorted(catena.__all__))
def test_a_public_name_is_documented(name: str) -> None:
    """What `import catena` offers has a docstring of its own and stands on a reference page."""
    value = getattr(catena, name)
    if value in ERRORS:
        assert f"## {name} {{ #{slug(name)} }}" in read(REFERENCE / "errors.md")
    elif name != "__version__":
        assert name in API
    if inspect.isclass(value):
        assert has_own_docstring(value)
    elif inspect.isroutine(value):
        assert inspect.getdoc(value)


def slug(name: str) -> str:
    """A heading's anchor: the class's name in small letters with hyphens."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def has_own_docstring(kind: type) -> bool:
    """Whether a class has a docstring that somebody wrote (a dataclass makes one up)."""
    text = vars(kind).get("__doc__") or ""
    return bool(text) and not text.startswith(f"{kind.__name__}(")


def test_the_api_page_names_what_exists() -> None:
    """What the page of the API shows is public."""
    assert set(catena.__all__) >= API


def unpromised(signatures: str) -> list[str]:
    """What a reader of the API cannot use: private names, and constants without their value.

    The two markers of "no value" have none to show.
    """
    return re.findall(
        r"(?<![.\w])_[a-zA-Z]\w*|= (?!MISSING\b|NOT_GIVEN\b)_?[A-Z][A-Z_]+\b",
        signatures,
    )


def test_the_api_page_shows_what_is_promised_and_nothing_else(tmp_path: Path) -> None:
    """The built page has signatures with their defaults, and no method that only Catena calls."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=True)
    page = read(tmp_path / "reference" / "api.html")
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    names = {found.rpartition(".")[2] for found in re.findall(r' id="catena\.([\w.]+)"', page)}

    assert {"cancel_grace: float = 1.5", "stop_timeout: float = 2.5"} <= set(
        re.findall(r"\w+: float = [\d.]+", text)
    )
    assert {"reset", "old_value", "workers", "local"} <= names
    assert not names & {"mint", "spend", "left", "suppose", "used", "opens_here"}
    assert unpromised(text) == []


def test_what_is_not_promised_is_found() -> None:
    """Bad input: a private class, and a constant instead of its value."""
    text = "f(a: float = GRACE, *, b: str = _ANY, c: Any = MISSING) -> _Decorator"

    assert unpromised(text) == ["= GRACE", "= _ANY", "_Decorator"]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_has_its_slug_its_cause_and_its_remedy(kind: type[errors.CatenaError]) -> None:
    """Each class has a section under its slug, the class's name in small letters with hyphens."""
    page = read(REFERENCE / "errors.md")
    heading = f"## {kind.__name__} {{ #{slug(kind.__name__)} }}"
    section = page.partition(heading)[2].partition("\n## ")[0]

    assert "**Cause.**" in section
    assert "**Remedy.**" in section


def test_the_page_of_errors_names_what_exists() -> None:
    """No section tells of a class that is gone."""
    headings = re.findall(r"^## (\w+)", read(REFERENCE / "errors.md"), re.MULTILINE)

    assert sorted(headings) == sorted(kind.__name__ for kind in ERRORS)


def test_environment_variables_are_documented() -> None:
    """The variables that the source names and those of the page are the same."""
    name = re.compile(r"\bCATENA_[A-Z][A-Z_]*\b")
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "instrumentation").rglob("*.py")]
    in_source = {found for path in sources for found in name.findall(read(path))}
    on_page = re.findall(r"^\| `(CATENA_\w+)`", read(REFERENCE / "environment.md"), re.MULTILINE)

    assert sorted(in_source) == sorted(on_page)


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_of_the_top_level_lead_somewhere(page: Path) -> None:
    """The pages that mkdocs does not check point at files that are there."""
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(page))
    local = [link for link in links if "://" not in link]

    assert [link for link in local if not (page.parent / link).exists()] == []


def test_make_targets_that_the_pages_name_exist() -> None:
    """A `make` command on a page is one that the Makefile has."""
    phony = re.search(r"^\.PHONY: (.+)$", read(ROOT / "Makefile"), re.MULTILINE)
    shown = re.compile(r"(?:`|^    |\$ )make ([a-z][a-z-]*)", re.MULTILINE)

    assert phony
    assert {name for page in pages() for name in shown.findall(read(page))} <= set(phony[1].split())


def test_mistakes_in_the_pages_fail_the_build(tmp_path: Path) -> None:
    """The command of `make docs` refuses a dead link, a dead anchor and a page out of reach."""
    recipe = re.search(r"^\t@\$\(py\) (-m mkdocs .+)$", read(ROOT / "Makefile"), re.MULTILINE)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    with (tmp_path / "docs" / "index.md").open("a") as page:
        page.write("\n[one](gone.md) [two](tutorial.md#gone)\n")
    (tmp_path / "docs" / "lonely.md").write_text("# Lonely\n")

    assert recipe
    command = [sys.executable, *shlex.split(recipe[1])]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.returncode == 1
    assert [word for word in ("gone.md", "#gone", "lonely.md") if word not in ran.stderr] == []
