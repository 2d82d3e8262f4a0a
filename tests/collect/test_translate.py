"""Names and labels, compared with what Prometheus' own translator is tested with."""

from __future__ import annotations

import pytest

from catena.collect.translate import family_name, label_name, make_labels, to_text
from tests.collect.messages import any_value, attributes


@pytest.mark.parametrize(
    ("name", "unit", "kind", "family"),
    [
        # Counters stand here without the _total that their samples have.
        ("catena.chain.contentions", "{contention}", "counter", "catena_chain_contentions"),
        ("system.io", "foo/bar", "counter", "system_io_foo_per_bar"),
        ("system.network.dropped", "{packets}", "counter", "system_network_dropped"),
        ("total.requests.total", "", "counter", "requests"),
        ("catena.frame.size", "By", "histogram", "catena_frame_size_bytes"),
        ("rpc.server.call.duration", "s", "histogram", "rpc_server_call_duration_seconds"),
        ("memory_bytes", "By", "gauge", "memory_bytes"),
        ("system.cpu.utilization", "1", "gauge", "system_cpu_utilization_ratio"),
        ("system.cpu.ratio.utilization", "1", "gauge", "system_cpu_utilization_ratio"),
        ("catena.worker.calls.active", "1", "updown", "catena_worker_calls_active"),
        ("hits", "1", "counter", "hits"),
        ("speed", "m/s", "gauge", "speed_meters_per_second"),
        ("broken.disks", "{disk}/s", "gauge", "broken_disks_per_second"),
        ("temperature", "Cel", "gauge", "temperature_celsius"),
        ("usage", "%", "gauge", "usage_percent"),
        ("1st.metric", "", "gauge", "_1st_metric"),
        ("a..b__c-d", "", "gauge", "a_b_c_d"),
        ("keep:colon", "", "gauge", "keep:colon"),
        ("dur", "km²", "gauge", "dur_km"),
        ("é", "", "gauge", ""),
        ("total", "", "counter", ""),
    ],
)
def test_a_name_gets_the_suffixes_of_its_unit(name: str, unit: str, kind: str, family: str) -> None:
    """Dots become underscores, units suffixes, annotations nothing."""
    assert family_name(name, unit, kind) == family


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("rpc.method", "rpc_method"),
        ("1st", "key_1st"),
        ("_private", "key_private"),
        ("__name__", ""),
        ("é", ""),
        ("", ""),
    ],
)
def test_a_key_becomes_a_label(key: str, name: str) -> None:
    """Prometheus' own labels cannot be set from outside."""
    assert label_name(key) == name


def test_keys_that_become_one_label_share_it() -> None:
    """Nothing is lost: the values are joined in the order of the keys."""
    found = make_labels(
        attributes(a_b="2", a__b="1", job="mine", le="3", empty=""), {"job": "ours"}, "le"
    )

    assert found == (("a_b", "1;2"), ("job", "ours"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("word", "word"),
        (True, "true"),
        (7, "7"),
        (1.5, "1.5"),
        (b"\xff\x00", "/wA="),
        (["a", 1], '["a",1]'),
        ({"k": "v"}, '{"k":"v"}'),
    ],
)
def test_a_value_becomes_text(value: object, shown: str) -> None:
    """Labels are text, whatever the attribute was."""
    assert to_text(any_value(value)) == shown
