"""The overview board: it is made from the catalog, and the file is what is made."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from catena.telemetry.catalog import metrics_of
from dashboards.overview import BOARD, text
from dashboards.queries import level, quantile, rate, series

BOARD_KEPT: dict[str, Any] = json.loads(BOARD.read_text("utf-8"))
PANELS = [one for one in BOARD_KEPT["panels"] if one["type"] != "row"]


def expressions() -> list[str]:
    """Every query of the board."""
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_the_board_is_current() -> None:
    """`python -m dashboards` writes what is there."""
    assert BOARD.read_text("utf-8") == text()


def test_every_metric_of_the_catalog_is_shown() -> None:
    """No metric is told that the board leaves out."""
    shown = " ".join(expressions())
    parts = {
        one.name: series(one.name, "bucket" if one.kind == "histogram" else "")
        for one in metrics_of()
    }

    assert {name: part for name, part in parts.items() if f"{part}{{" not in shown} == {}


def test_panels_say_what_they_show_and_stand_side_by_side() -> None:
    """Each has a title, a description and an id of its own, and none lies over another."""
    taken = [
        (x, y)
        for panel in BOARD_KEPT["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) == 23
    assert len({panel["id"] for panel in BOARD_KEPT["panels"]}) == len(BOARD_KEPT["panels"])
    assert [panel["title"] for panel in PANELS if not panel.get("description")] == []


def test_every_query_adds_up_what_scopes_keep_apart() -> None:
    """No series is shown with the labels of a scope or a version of it, and all can be chosen."""
    for expression in expressions():
        read = re.findall(r"(\w+)\{([^}]*)\}", expression)
        assert read
        assert {chosen[: len('job=~"$job"')] for _, chosen in read} == {'job=~"$job"'}
        assert "sum" in expression
        assert "otel_scope" not in expression


@pytest.mark.parametrize(
    ("name", "part", "found"),
    [
        ("catena.chain.contentions", "", "catena_chain_contentions_total"),
        ("catena.workers", "", "catena_workers"),
        ("catena.frame.size", "bucket", "catena_frame_size_bytes_bucket"),
        ("rpc.server.call.duration", "count", "rpc_server_call_duration_seconds_count"),
    ],
)
def test_names_are_those_of_the_scraped_page(name: str, part: str, found: str) -> None:
    """Suffixes come from the kind and the unit."""
    assert series(name, part) == found


@pytest.mark.parametrize(
    "asked",
    [
        lambda: series("catena.frame.size"),
        lambda: series("catena.chain.forks", "bucket"),
        lambda: level("catena.workers", "catena.nack.code"),
        lambda: quantile("catena.chain.forks", 0.5),
        lambda: rate("catena.task_factory.displacements", "catena.kind"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(asked: Any) -> None:
    """A part or a label that the catalog lacks is found before Grafana shows nothing."""
    with pytest.raises(ValueError, match=r"catena|no part"):
        asked()
