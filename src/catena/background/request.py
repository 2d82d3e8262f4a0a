"""What a background task knows of the web request behind it: its token, its headers, its id.

They are ordinary variables, which go along with every call, and to workers only.
``catena.background.asgi.RequestContextMiddleware`` sets them for each connection. The functions
``read_…`` return the same where a variable cannot be read, as in a thread that a plain function
runs in. Its one rule: cookies go nowhere, and a token is written only where it is encrypted, unless
``set_persistence`` says otherwise.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from catena.background.lookup import read_variable
from catena.background.persistence import Persist, set_persistence
from catena.context.var import ContextVar

__all__ = [
    "SECRET_HEADERS",
    "AccessToken",
    "Headers",
    "Persist",
    "access_token",
    "http_headers",
    "origin_request_id",
    "read_access_token",
    "read_expiry",
    "read_http_headers",
    "read_origin_request_id",
    "read_variable",
    "set_persistence",
]

SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})
"""Headers that ``Headers`` never has, in small letters: cookies, and what proves who somebody is.

The access token has a variable of its own, which is stored more carefully.
"""


@dataclass(frozen=True, slots=True, repr=False)
class AccessToken:
    """A token by which a caller has proved who it is, as it came; nobody has checked it here.

    ``text`` is the token itself, ``expires`` its end in seconds since the epoch, None where that is
    not known. The representation has the end alone, so that no log has the token.
    """

    text: str
    expires: float | None = None

    def __repr__(self) -> str:
        return f"AccessToken(expires={self.expires!r})"


class Headers(Mapping[str, str]):
    """Headers of a request that a task may know; they never change.

    Names are compared without regard to case, and are given back in small letters. Several headers
    of one name are one, separated by commas. Those of ``SECRET_HEADERS`` are left out.
    """

    __slots__ = ("_fields",)

    _fields: dict[str, str]

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._fields = {}
        if isinstance(fields, Mapping):
            fields = cast("Mapping[str, str]", fields).items()
        for given, value in fields:
            name = given.lower()
            if name not in SECRET_HEADERS:
                before = self._fields.get(name)
                self._fields[name] = value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __hash__(self) -> int:
        return hash(frozenset(self._fields.items()))

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Headers, (self._fields,)


access_token: ContextVar[AccessToken | None] = ContextVar(
    "access_token", namespace="catena.background", default=None, propagate="forward"
)
"""The token that the request came with; None where there was none, and where it is over."""

http_headers: ContextVar[Headers] = ContextVar(
    "http_headers", namespace="catena.background", default=Headers(), propagate="forward"
)
"""The headers of the request that the middleware was asked to keep."""

origin_request_id: ContextVar[str | None] = ContextVar(
    "origin_request_id", namespace="catena.background", default=None, propagate="forward"
)
"""The id of the request with which everything began; None outside of requests."""


def _find_end(token: object) -> float | None:
    return token.expires if isinstance(token, AccessToken) else None


set_persistence(access_token, "encrypted", expires=_find_end)


def read_access_token() -> AccessToken | None:
    """Return the token of the request, None where there is none, or where it was over at the start.

    Works as ``read_variable`` does, and raises as that does.
    """
    return read_variable(access_token)


def read_http_headers() -> Headers:
    """Return the kept headers of the request. Works, and raises, as ``read_variable`` does."""
    return read_variable(http_headers)


def read_origin_request_id() -> str | None:
    """Return the id of the request, None outside of one. Raises as ``read_variable`` does."""
    return read_variable(origin_request_id)


def read_expiry(token: str) -> float | None:
    """Return when a token says that it ends, in seconds since the epoch; None where it does not.

    Only a JSON Web Token says so, in its claim ``exp``. Its signature is not checked: whoever
    forges an end makes a token that is dropped earlier, or that whoever checks it refuses.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims: object = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, RecursionError):
        return None
    end = cast("dict[str, object]", claims).get("exp") if isinstance(claims, dict) else None
    if not isinstance(end, int | float) or isinstance(end, bool):
        return None
    try:
        seconds = float(end)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None
