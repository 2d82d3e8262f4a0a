"""The names that certificates give to workers and to callers.

A worker is named ``ID.POOL.catena``, workers that share one certificate ``POOL.catena``. A caller
is named ``NAME.POOL.catena``, or has a SPIFFE id, or both. A wrong name is a ValueError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from catena.escape import printable

DOMAIN = "catena"
"""The last label of every DNS name here; no public domain ends with it."""

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""A label of a DNS name, as a pattern: what ids, pools, and each part of a caller's name are."""

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_SPIFFE = "spiffe://"
_MOST_SPIFFE = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whom a certificate is for: a DNS name, a SPIFFE id, and whether it also takes calls.

    One of the two names may be empty. A caller's certificate is for making calls only; a worker's
    is for both, since routines call other routines.
    """

    dns: str = ""
    spiffe: str = ""
    takes_calls: bool

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.dns or self.spiffe


def name_worker(pool: str, worker: str = "") -> Holder:
    """Return the holder that is one worker of a pool, or any worker of it where none is named."""
    return Holder(dns=_join(pool, worker, "a worker's id"), takes_calls=True)


def name_caller(pool: str, name: str = "", spiffe: str = "") -> Holder:
    """Return the holder that calls a pool, under a name in it, under a SPIFFE id, or under both.

    Without a pool there is only the SPIFFE id; one of the two has to be there.
    """
    if not pool and not spiffe:
        raise ValueError("a caller needs a pool or a SPIFFE id to be named by")
    dns = _join(pool, name or "caller", "a caller's name") if pool else ""
    return Holder(dns=dns, spiffe=spiffe and check_spiffe(spiffe), takes_calls=False)


def check_label(text: str, what: str) -> str:
    """Return a label of a DNS name as it is; ``what`` says in the error what was to be named."""
    if not re.fullmatch(LABEL, text):
        raise ValueError(
            f"{what} is made of 1 to 63 lower-case letters, digits and hyphens, with no hyphen at"
            f' either end; "{printable(text, 80)}" is not'
        )
    return text


def check_spiffe(uri: str) -> str:
    """Return a SPIFFE id with a path, ``spiffe://trust-domain/path``, as it is."""
    domain, slash, path = uri.removeprefix(_SPIFFE).partition("/")
    segments = path.split("/")
    right = (
        uri.startswith(_SPIFFE)
        and slash
        and len(uri) <= _MOST_SPIFFE
        and _TRUST_DOMAIN.fullmatch(domain)
        and all(_SEGMENT.fullmatch(one) and one not in (".", "..") for one in segments)
    )
    if not right:
        raise ValueError(
            "a SPIFFE id is spiffe://TRUST-DOMAIN/PATH, with a trust domain in lower case and at"
            " most 2048 characters of letters, digits, dots, hyphens, underscores and single"
            f' slashes; "{printable(uri, 80)}" is not'
        )
    return uri


def dns_name(pool: str, label: str = "") -> str:
    """Return the DNS name of a pool, or of one of its workers or callers; nothing is checked."""
    return ".".join([label, pool, DOMAIN] if label else [pool, DOMAIN])


def _join(pool: str, label: str, what: str) -> str:
    return dns_name(check_label(pool, "a pool's name"), label and check_label(label, what))
