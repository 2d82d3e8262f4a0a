"""The resource detector: who tells, in a worker and in any other process."""

from __future__ import annotations

import os
from importlib.metadata import entry_points

import pytest
from opentelemetry.instrumentation.catena.resource import CatenaResourceDetector
from opentelemetry.sdk.resources import Resource

from catena.pool import bootstrap

ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is nobody in particular."""
    monkeypatch.delenv(ATTRIBUTES, raising=False)
    monkeypatch.delenv(bootstrap.WORKER, raising=False)


def test_a_process_that_is_no_worker() -> None:
    """The process id and an instance that stays the same; no worker."""
    one, two = CatenaResourceDetector().detect(), CatenaResourceDetector().detect()

    assert one.attributes["process.pid"] == os.getpid()
    assert one.attributes["service.instance.id"] == two.attributes["service.instance.id"] != ""
    assert "catena.worker.id" not in one.attributes


def test_a_worker_that_has_not_read_its_facts_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK that starts with the interpreter learns who the worker is from its environment."""
    monkeypatch.setenv(bootstrap.WORKER, "w7")
    monkeypatch.setenv(ATTRIBUTES, "service.instance.id=one")
    found = CatenaResourceDetector().detect().attributes

    assert found["catena.worker.id"] == "w7"
    assert found["service.instance.id"] == "one-w7"


def test_what_an_application_names_as_its_instance_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of workers the configured instance is the instance."""
    monkeypatch.setenv(ATTRIBUTES, "service.instance.id=one")

    assert CatenaResourceDetector().detect().attributes["service.instance.id"] == "one"


def test_the_sdk_finds_it_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry point: OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=catena asks it."""
    monkeypatch.setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "catena")
    monkeypatch.setenv(bootstrap.WORKER, "w7")
    (entry,) = entry_points(group="opentelemetry_resource_detector", name="catena")

    assert entry.load() is CatenaResourceDetector
    assert Resource.create().attributes["catena.worker.id"] == "w7"
