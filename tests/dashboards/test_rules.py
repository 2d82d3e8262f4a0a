"""The rules of Prometheus: checked and tested by promtool, each with its runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.overview import CONTENTIONS
from dashboards.queries import rise
from tests.scraping import DEADLINE, NEEDS_PROMETHEUS

ROOT = Path(__file__).parents[2]
RULES = ROOT / "dashboards" / "prometheus" / "catena.yml"
TESTS = RULES.with_name("catena_test.yml")
ALL: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in ALL if "alert" in rule]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end."""
    return subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False
    )


@NEEDS_PROMETHEUS
def test_promtool_accepts_the_rules() -> None:
    """The file is one that Prometheus loads."""
    done = promtool("check", "rules", RULES)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(ALL)} rules found" in done.stdout


@NEEDS_PROMETHEUS
def test_the_rules_pass_their_tests() -> None:
    """They fire, do not fire, resolve, see a first increment and a counter that begins anew."""
    done = promtool("test", "rules", TESTS)

    assert done.returncode == 0, done.stdout + done.stderr


@NEEDS_PROMETHEUS
@pytest.mark.parametrize(
    ("found", "planted"),
    [
        ("contentions_total[1d] offset 10m", "contentions_total offset 10m"),
        ("contentions_total[1d] offset 10m", "contentions_total[1h] offset 10m"),
        ("last_over_time(catena_chain_contentions_total[1d] offset 10m)", "vector(0)"),
        ("max_over_time(catena_chain_contentions_total[10m])", "catena_chain_contentions_total"),
        ("(increase(", "(0 * increase("),
        ("(increase(", "(delta("),
        (") > 0,", ") >= 0 and vector(1) > 1,"),
        ("max by (job, instance, catena_kind) (\n            sum", "(\n            sum"),
        ("increase10m > 0", "increase10m > 1.5"),
        (
            "(increase(catena_chain_contentions_total[10m]",
            "(increase(catena_chain_contentions_total[60m]",
        ),
        ('catena_state="outlived"', 'catena_state=~".*"'),
        ("for: 2m", "for: 0s"),
        ("for: 2m", "for: 10m"),
        ("(job, instance, catena_source) (catena_proxy", "(job, instance) (catena_proxy"),
    ],
)
def test_a_planted_mistake_fails_the_tests(found: str, planted: str, tmp_path: Path) -> None:
    """The tests notice a rule that misses a beginning, a gap, a restart, an end or a scope."""
    text = RULES.read_text()
    assert found in text
    (tmp_path / RULES.name).write_text(text.replace(found, planted))
    shutil.copy(TESTS, tmp_path)

    done = promtool("test", "rules", tmp_path / TESTS.name)

    assert done.returncode != 0
    assert "FAILED" in done.stdout + done.stderr


def test_the_rule_asks_what_the_board_asks() -> None:
    """One expression, so that a mend of one is a mend of both."""
    (recorded,) = [rule for rule in ALL if "record" in rule]
    asked = rise(CONTENTIONS, "job", "instance", "catena.kind", time="10m")

    assert re.sub(r"\s", "", recorded["expr"]) == re.sub(r"\s", "", asked)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: one["alert"])
def test_every_alert_has_its_runbook_and_its_tests(alert: dict[str, Any]) -> None:
    """The page is there, is in the navigation, and begins with the alert's name."""
    page = ROOT / alert["annotations"]["runbook"]
    tested = {
        one["alertname"]
        for group in yaml.safe_load(TESTS.read_text())["tests"]
        for one in group["alert_rule_test"]
    }

    assert page.read_text("utf-8").startswith(f"# {alert['alert']}\n")
    assert page.relative_to(ROOT / "docs").as_posix() in (ROOT / "mkdocs.yml").read_text()
    assert alert["alert"] in tested
    assert alert["labels"]["severity"] in ("warning", "critical")


def test_rules_add_up_what_scopes_keep_apart() -> None:
    """Whatever reads a metric names the labels that stay."""
    for rule in ALL:
        if re.search(r"\b(catena|rpc)_\w+", rule["expr"].replace("instance_kind:", ":")):
            assert re.search(r"sum by \([a-z_, ]+\)", rule["expr"]) or ":" in rule["expr"]
        assert "otel_scope" not in rule["expr"]
