"""The demo watches its own calls, with an SDK or without, and exports them where that is asked."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from catena.cli.demo import command, watching
from catena.cli.demo.trace import Seen
from catena.cli.main import main
from catena.collect import Recording, receiving
from catena.events import Dispatch, Execution
from tests.cli.demo.test_processes import finished, told, tree

__all__ = ["tree"]  # a fixture

NO_SDK = """\
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture
def without_sdk(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started find no SDK, as after a plain install."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(NO_SDK)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.usefixtures("without_sdk")
def test_the_tree_needs_no_sdk(tree: Path) -> None:
    """Every call is in it, below the call that made it, as its caller and its worker saw it."""
    trace = told("--workers", 2, tree)["trace"]
    listing, reading = trace["roots"]
    on_workers = [one for one in reading["children"] if one["name"].startswith("on worker")]
    nested = [one for each in on_workers for one in each["children"]]

    assert (trace["calls"], trace["untold"]) == (1 + 63 + 60, 0)
    assert (listing["name"], listing["calls"]) == ("list_packages", 1)
    assert (reading["name"], reading["calls"]) == ("read_file", 63)
    assert [one["name"] for one in on_workers] == ["on worker 0", "on worker 1"]
    assert sum(one["calls"] for one in on_workers) == 63
    assert {one["name"] for one in nested} == {"measure"}
    assert sum(one["calls"] for one in nested) == 60
    assert sum(one["calls"] for each in nested for one in each["children"]) == 60
    assert reading["children"][-1]["name"].startswith("the longest, ")
    assert reading["children"][-1]["longest"] == reading["longest"]


def test_the_report_shows_the_tree(tree: Path) -> None:
    """It stands in the plain report."""
    code, out, _ = finished("--workers", 1, tree / "pkg0")

    assert code == 0
    assert ": 41 calls, each as its caller and its worker saw it\n  list_packages: " in out
    assert "\n  read_file, 20 calls: half within " in out
    assert "\n      measure, 20 calls: " in out


def test_a_folder_that_vanishes_costs_a_part_of_the_tree_and_a_line(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Bad input: the run is done, the tree has what callers saw, and nobody sees a traceback."""
    home = tmp_path / "temporary"
    home.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    real, removed = command.run, list[Path]()

    async def run(*args: Any, **options: Any) -> Any:
        removed.extend(home.glob("catena-demo-*"))
        shutil.rmtree(removed[0])
        return await real(*args, **options)

    monkeypatch.setattr(command, "run", run)
    code = main(["demo", "--workers", "1", str(tree / "pkg0")])
    out, err = capfd.readouterr()

    assert code == 0
    assert "\n  read_file, 20 calls: half within " in out
    said = [line for line in err.splitlines() if line.startswith("catena demo: what")]
    lost = f"{removed[0]} was removed during the run"
    assert said == [f"catena demo: what workers saw of their calls is lost: {lost}"]
    assert "Traceback" not in err


def test_otlp_sends_one_trace_of_all_processes(tree: Path) -> None:
    """Every call has its two spans, every parent is there, and metrics come from all processes."""
    recording = Recording()
    with receiving(out=recording.add) as receiver:
        code, out, err = finished("--workers", 2, "--otlp", receiver.endpoint, tree)
    ids = {span.span_id for span in recording.spans}
    roots = [span.name for span in recording.spans if not span.parent_span_id]
    kinds = Counter(span.kind for span in recording.spans)

    assert (code, [line for line in err.splitlines() if "catena demo: " not in line]) == (0, [])
    assert "124 calls, each as its caller and its worker saw it" in out
    assert len({span.trace_id for span in recording.spans}) == 1
    assert roots == ["catena demo"]
    assert {one.parent_span_id for one in recording.spans if one.parent_span_id} <= ids
    assert (kinds["CLIENT"], kinds["SERVER"]) == (124, 124)
    assert receiver.counts.points > 0


def test_a_wrong_endpoint_is_told_before_anything_runs(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody listens, or it is no address: one line, and exit code 1."""
    for endpoint in ("http://127.0.0.1:1", "nonsense:x"):
        assert main(["demo", "--otlp", endpoint, str(tree)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"catena demo: failed: nobody takes telemetry at {endpoint}: ")


def test_an_endpoint_that_does_not_answer_is_told(tree: Path) -> None:
    """It takes connections and is silent: the run is done, and ends within its patience."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        code, out, err = finished("--workers", 1, "--otlp", endpoint, tree / "pkg0" / "m0.py")

    assert (code, "Trace of run" in out) == (0, True)
    assert f"catena demo: not everything was sent to {endpoint} within 5 seconds\n" in err


def test_otlp_without_its_extra_names_the_command(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not installed is told with what installs it, and exit code 2."""
    monkeypatch.delitem(sys.modules, "catena.cli.demo.exporting", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    assert main(["demo", "--otlp", "http://127.0.0.1:1", str(tree)]) == 2

    assert capsys.readouterr().err == (
        "catena demo: opentelemetry.sdk.trace is not installed: pip install '.[otel]'\n"
    )


def test_what_a_worker_could_not_write_is_left_out(tmp_path: Path) -> None:
    """A torn line ends what is read of a file; the others are read."""
    whole = '["w.0", "", "dispatch", "r", "w", 1.0, "done", ""]'
    (tmp_path / "a").write_text(f'{whole}\n{whole}\n["w.')
    (tmp_path / "b").write_text(whole)
    (tmp_path / "c").write_text("[1]")

    found = list(watching._left(tmp_path))

    assert found == [Seen("w.0", "", "dispatch", "r", "w", 1.0, "done")] * 3


def test_a_worker_of_another_pool_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the demo's word nothing is subscribed."""
    monkeypatch.delenv(watching.SEEN, raising=False)

    assert watching.begin() is None
    assert (Dispatch.listeners, Execution.listeners) == ((), ())


def test_a_bootstrap_of_the_environment_is_called_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has set one up for all workers gets it for those of the demo."""
    told_to: list[float] = []
    monkeypatch.setenv(watching.SEEN, str(tmp_path))
    monkeypatch.setenv("CATENA_WORKER_BOOTSTRAP", "tests.cli.demo.test_watching:another")
    monkeypatch.setattr(sys.modules[__name__], "another", lambda: told_to.append, raising=False)
    monkeypatch.setattr(watching, "worker_id", lambda: "w-1")

    leave = watching.begin()

    assert leave is not None
    leave(0.5)
    assert told_to == [0.5]
    assert (tmp_path / "w-1").read_text() == ""
    assert (Dispatch.listeners, Execution.listeners) == ((), ())
