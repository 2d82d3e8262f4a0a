"""What a task knows of the request behind it: values that keep secrets, and variables."""

from __future__ import annotations

import base64
import json
import pickle
import time

import pytest

import catena
from catena.background.persistence import PLAIN, find_expired, persisted
from catena.background.request import (
    AccessToken,
    Headers,
    access_token,
    http_headers,
    origin_request_id,
    read_access_token,
    read_expiry,
    read_http_headers,
    read_origin_request_id,
)
from tests.support import isolated, run

SECRET = "tok-7f3a"


@catena.routine
async def read_request() -> tuple[str, dict[str, str], str | None]:
    """Return what a worker of a pool knows of the request."""
    token = access_token.get()
    return token.text if token else "", dict(http_headers.get()), read_origin_request_id()


@catena.routine
async def replace_token() -> None:
    """Set another token, where it must stay."""
    access_token.set(AccessToken("of the worker"))


def make_jwt(claims: object) -> str:
    """Return a JSON Web Token without a signature."""
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return ".".join(part.rstrip(b"=").decode() for part in encoded) + "."


def test_a_token_is_in_no_representation() -> None:
    """A log line that shows the value, or a structure around it, does not have the token."""
    token = AccessToken(SECRET, 12.5)

    assert SECRET not in f"{token} {token!r} {[token]}"
    assert repr(token) == "AccessToken(expires=12.5)"


def test_cookies_and_credentials_are_never_among_the_headers() -> None:
    """Whoever makes headers by hand cannot store them either."""
    headers = Headers(
        {"Cookie": "a=b", "SET-COOKIE": "a", "Authorization": "x", "Proxy-Authorization": "y"}
    )

    assert dict(headers) == {}
    assert len(headers) == 0


def test_headers_know_no_case_and_join_what_comes_twice() -> None:
    """As HTTP has it."""
    headers = Headers([("Accept", "a"), ("X-Tenant", "acme"), ("accept", "b")])

    assert headers["ACCEPT"] == "a, b"
    assert "x-tenant" in headers
    assert 1 not in headers
    assert list(headers) == ["accept", "x-tenant"]
    assert pickle.loads(pickle.dumps(headers)) == headers == {"accept": "a, b", "x-tenant": "acme"}
    assert hash(headers) == hash(Headers(dict(headers)))


@pytest.mark.parametrize(
    ("token", "end"),
    [
        (make_jwt({"exp": 1_900_000_000}), 1_900_000_000.0),
        (make_jwt({"exp": 1_900_000_000.5}), 1_900_000_000.5),
        (make_jwt({}), None),
        (make_jwt({"exp": "soon"}), None),
        (make_jwt({"exp": True}), None),
        (make_jwt({"exp": 10**400}), None),
        (make_jwt({"exp": float("inf")}), None),
        (make_jwt(["exp"]), None),
        ("a.ü.c", None),
        ("a.%%%%.c", None),
        (f"a.{base64.urlsafe_b64encode(b'[' * 100_000).decode()}.c", None),
        ("opaque", None),
        ("", None),
    ],
)
def test_the_end_of_a_token_is_read_where_it_says_one(token: str, end: float | None) -> None:
    """A JSON Web Token says it in its claim; whatever else comes has no end, and raises nothing."""
    assert read_expiry(token) == end


def test_a_token_is_stored_encrypted_only_and_ends() -> None:
    """The three variables are stored as the page promises."""
    now = time.time()

    assert persisted[access_token.key].persist == "encrypted"
    assert persisted.get(http_headers.key, PLAIN).persist == "plain"
    assert persisted.get(origin_request_id.key, PLAIN).persist == "plain"
    assert find_expired({access_token.key: AccessToken(SECRET, now)}) == {access_token.key}
    for token in (AccessToken(SECRET, now + 3_600), AccessToken(SECRET), None):
        assert find_expired({access_token.key: token, http_headers.key: Headers()}) == frozenset()


@isolated
def test_outside_of_requests_there_is_nothing() -> None:
    """No error: code that runs without a request sees that there is none."""
    assert read_access_token() is None
    assert read_http_headers() == {}
    assert read_origin_request_id() is None


@isolated
def test_the_variables_go_to_workers_and_do_not_come_back() -> None:
    """They are ordinary variables: a call has them, and no worker says who the caller is."""

    async def main() -> None:
        async with catena.WorkerPool(1):
            access_token.set(AccessToken(SECRET))
            http_headers.set(Headers({"X-Tenant": "acme"}))
            origin_request_id.set("r-17")
            assert await read_request() == (SECRET, {"x-tenant": "acme"}, "r-17")
            await replace_token()
            assert access_token.get() == AccessToken(SECRET)

    run(main())
