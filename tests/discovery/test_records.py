"""Records as values and as JSON: what can be right passes, everything else says what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from catena.discovery.records import (
    RECORD_LIMIT,
    Announced,
    ProcessMark,
    check_record,
    check_target,
    decode_record,
    encode_record,
    join_address,
    split_address,
)
from catena.ids import MemberRecord
from tests.discovery.reading import member

LEAF = b"-----BEGIN CERTIFICATE-----\nAAECAwQ=\n-----END CERTIFICATE-----\n"
FULL = member(1, name="workers.example", tags=frozenset({"gpu", "größer"}), leaf=LEAF)
MARK = ProcessMark(4711, 8731042, "boot pid:[1]")


@pytest.mark.parametrize("announced", [Announced(member(1)), Announced(FULL, MARK)])
def test_a_record_comes_back(announced: Announced) -> None:
    """What was written is read again, with all of its fields or the fewest."""
    assert decode_record(encode_record(announced)) == announced


def test_the_fewest_fields_are_id_and_target() -> None:
    """Whoever writes records in another language need not know the rest; new fields do no harm."""
    data = b'{"id": "w1", "target": "10.0.0.1:7800", "colour": {"new": [1]}, "name": null}'

    assert decode_record(data) == Announced(member(1))


@pytest.mark.parametrize(
    "target",
    [
        *("host:1", "a.b-c.example:65535", "10.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80"),
        *("unix:/run/w.sock", "unix:/run/a%20b.sock", "host_1:80", "example.:80"),
    ],
)
def test_targets_of_both_forms_pass(target: str) -> None:
    """A host or an address with a port, and the path of a socket."""
    assert check_target(target) == target


@pytest.mark.parametrize(
    "target",
    [
        *("", ":80", "host", "host:", "host:0", "host:65536", "host:080", "host:8 0", "host:-1"),
        *("dns:host:80", "dns://1.1.1.1/host:80", "ipv4:10.0.0.1:80", "http://host:80", "xds:///a"),
        *("unix:", "unix:run/w.sock", "unix:///run/w.sock", "unix://host/w", "unix-abstract:w"),
        *("unix:/a,unix:/b", "unix:/a?b", "unix:/a b", f"unix:/{'a' * 108}", "unix:/a\n"),
        *("ho st:80", "-host:80", "host-:80", "a..b:80", f"{'a.' * 130}b:80", "host\n:80"),
        *("::1:80", "[::1:80", "[10.0.0.1]:80", "[]:80", "hóst:80", "host:8٠", "user@host:80"),
    ],
)
def test_other_targets_are_refused(target: str) -> None:
    """Of these gRPC would take some, and not always for what they look like."""
    with pytest.raises(ValueError, match="neither unix:/path nor host:port"):
        check_target(target)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"id": "../x"}, "the id '../x' is not made of"),
        ({"id": ".x"}, "the id"),
        ({"id": "x" * 64}, "the id"),
        ({"name": "a b"}, "'a b' is not a DNS name"),
        ({"tags": frozenset({""})}, "the tag '' is not made of 1 to 64"),
        ({"tags": frozenset({"a\nb"})}, r"the tag 'a\\nb' is not"),
        ({"tags": frozenset({"\ud800"})}, r"the tag '\\ud800' is not"),
        ({"tags": frozenset(map(str, range(65)))}, "65 tags are too many; 64 are the most"),
        ({"leaf": b""}, "its leaf is not one certificate"),
        ({"leaf": LEAF + LEAF}, "its leaf is not one certificate"),
        ({"leaf": LEAF.replace(b"=", b"")}, "its leaf is not one certificate"),
        ({"leaf": b"-----BEGIN PRIVATE KEY-----"}, "its leaf is not one certificate"),
    ],
)
def test_fields_that_cannot_be_right_are_named(wrong: dict[str, Any], text: str) -> None:
    """A record is refused with the field and its value, printable."""
    with pytest.raises(ValueError, match=text):
        check_record(member(1)._replace(**wrong))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * RECORD_LIMIT, "it is not JSON"),
        (b'{"id": ' + b"9" * 9000 + b"}", "it is not JSON|its id is not a text"),
        (b"[1]", "it is not a JSON object"),
        (b"null", "it is not a JSON object"),
        (b" " * (RECORD_LIMIT + 1), "it has more than 16384 bytes"),
        (b'{"id": 7, "target": "host:80"}', "its id is not a text"),
        (b'{"id": "a", "target": ["host:80"]}', "its target is not a text"),
        (b'{"id": "a"}', "the target '' is neither"),
        (b'{"id": "a", "target": "host:80", "tags": "gpu"}', "its tags are not a list"),
        (b'{"id": "a", "target": "host:80", "tags": [1]}', "its tags are not a list"),
        (b'{"id": "a", "target": "host:80", "tags": ["\\ud800"]}', "the tag"),
        (b'{"id": "a", "target": "host:80", "leaf": "\\ud800"}', "its leaf is not"),
    ],
)
def test_what_is_no_record_says_why(data: bytes, text: str) -> None:
    """Whatever a file holds, reading it ends in a record or in a ValueError."""
    with pytest.raises(ValueError, match=text):
        decode_record(data)


@pytest.mark.parametrize(
    "process",
    [
        *(None, 1, "x", [], {}, {"pid": 1}),
        *({"pid": pid, "started": 1, "place": "here"} for pid in (0, -1, True, 2**40, 1.5, "1")),
        {"pid": 1, "started": None, "place": "here"},
        {"pid": 1, "started": 1, "place": 1},
    ],
)
def test_a_mark_that_cannot_be_read_is_none(process: Any) -> None:
    """The process only helps to clean up: without a mark of it the record counts."""
    data = json.dumps({"id": "w1", "target": "10.0.0.1:7800", "process": process}).encode()

    assert decode_record(data) == Announced(member(1))


def test_a_record_that_is_too_long_is_not_written() -> None:
    """What nobody would read is refused where it is made."""
    body = b"A" * 4 * RECORD_LIMIT
    leaf = b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"
    with pytest.raises(ValueError, match=r"the record has \d+ bytes; 16384 are the most"):
        encode_record(Announced(member(1, leaf=leaf)))


def test_addresses_are_split_and_joined() -> None:
    """Addresses of IPv6 have brackets in a target, and none alone."""
    for target, parts in (("host:80", ("host", 80)), ("[::1]:80", ("::1", 80))):
        assert split_address(target) == parts
        assert join_address(*parts) == target
    with pytest.raises(ValueError, match=r"'unix:/a' is not host:port"):
        split_address("unix:/a")


def test_a_record_is_a_value() -> None:
    """Records are compared and kept in sets; of all fields only id and target have to be given."""
    assert MemberRecord("w1", "10.0.0.1:7800") == member(1)
    assert len({member(1), member(1), FULL}) == 2
