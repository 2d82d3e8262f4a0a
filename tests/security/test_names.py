"""The names of workers and callers: which there are, and which are refused."""

from __future__ import annotations

import pytest

from catena.security.names import Holder, check_spiffe, name_caller, name_worker

GOOD = ["a", "7", "w-1", "a" * 63, "0-0"]
BAD = ["", "W1", "w_1", "w.1", "-w", "w-", "a" * 64, "ä", "w 1", "w\n", "\n", "*", "w1\x1b[2J"]


@pytest.mark.parametrize("label", GOOD)
def test_a_worker_is_named_in_its_pool(label: str) -> None:
    """One worker has its id first; a pair for all of them has the pool alone."""
    assert name_worker("shop", label) == Holder(dns=f"{label}.shop.catena", takes_calls=True)
    assert name_worker(label) == Holder(dns=f"{label}.catena", takes_calls=True)


def test_a_caller_has_a_name_a_spiffe_id_or_both() -> None:
    """A caller in a pool is called `caller` by default; the first of two names is the DNS one."""
    both = name_caller("shop", "web", "spiffe://example.org/web")

    assert name_caller("shop").dns == "caller.shop.catena"
    assert name_caller("", spiffe="spiffe://example.org/web").name == "spiffe://example.org/web"
    assert (both.dns, both.spiffe) == ("web.shop.catena", "spiffe://example.org/web")
    assert both.name == "web.shop.catena"
    assert not both.takes_calls


@pytest.mark.parametrize("label", BAD)
def test_a_wrong_label_is_a_clear_error(label: str) -> None:
    """What is no label of a DNS name is refused by a sentence in printable characters."""
    with pytest.raises(ValueError, match=r"^a pool's name is made of 1 to 63 .* is not$") as raised:
        name_worker(label, "w1")
    assert str(raised.value).isprintable()
    if label:
        with pytest.raises(ValueError, match=r"^a worker's id is made of"):
            name_worker("shop", label)
        with pytest.raises(ValueError, match=r"^a caller's name is made of"):
            name_caller("shop", label)


def test_a_long_label_is_cut_in_the_error() -> None:
    """Whatever somebody pastes there, the error stays a sentence."""
    with pytest.raises(ValueError, match="is not") as raised:
        name_worker("a" * 5_000)
    assert len(str(raised.value)) < 300


def test_a_caller_without_any_name_is_refused() -> None:
    """One of the two has to be there."""
    with pytest.raises(ValueError, match="a pool or a SPIFFE id"):
        name_caller("")


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://example.org/web",
        "spiffe://a_b-c.d/ns/default/sa/Web.1",
        "spiffe://a/" + "b" * 2_037,
    ],
)
def test_spiffe_ids_stay_as_they_are(uri: str) -> None:
    """What the standard allows is allowed, up to 2048 characters."""
    assert check_spiffe(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "example.org/web",
        "https://example.org/web",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe:///web",
        "spiffe://Example.org/web",
        "spiffe://example.org:80/web",
        "spiffe://user@example.org/web",
        "spiffe://example.org/web/",
        "spiffe://example.org//web",
        "spiffe://example.org/../web",
        "spiffe://example.org/./web",
        "spiffe://example.org/web?x=1",
        "spiffe://example.org/web#x",
        "spiffe://example.org/w%20b",
        "spiffe://example.org/web\n",
        "spiffe://a/" + "b" * 2_038,
    ],
)
def test_what_is_no_spiffe_id_is_refused(uri: str) -> None:
    """A SPIFFE id has a trust domain and a path, and nothing else that URIs may have."""
    with pytest.raises(ValueError, match=r"^a SPIFFE id is spiffe://TRUST-DOMAIN/PATH"):
        check_spiffe(uri)
