"""Who may call a worker: the names in a caller's certificate, held against a list.

An authority vouches for the names, and the list says which of them may call. It may be a file that
is looked at for each new call, so that a name that was taken out begins no other one.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from catena.errors import CredentialsError
from catena.escape import printable
from catena.events import CredentialsFailed, announced
from catena.events.bus import announce
from catena.security.names import LABEL, check_label, dns_name

Names = Iterable[str] | os.PathLike[str]
"""Names from code, or the file that has one on each line; what follows a ``#`` is a comment."""

OPERATOR = "operator"
"""The label by which a certificate names an operator of a pool, where no list says who is one."""

_DNS = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})*")
_URI = re.compile(r"[a-z][a-z0-9+.-]*://[^\s*]+")
_SHOWN = 8
_SETTLED_NS = 100_000_000
"""A file that changed less long ago may change once more and look the same."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The names in a peer's certificate: DNS names in lower case, and URIs, such as SPIFFE ids."""

    dns: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()

    @classmethod
    def read(cls, facts: Mapping[str, Iterable[bytes]]) -> Identity:
        """Return the identity that gRPC knows of a peer; a wildcard is nobody's name."""
        dns = [_decode(one).lower() for one in facts.get("peer_dns", ())]
        uris = [_decode(one) for one in facts.get("peer_uri", ())]
        return cls(tuple(one for one in dns if one and "*" not in one), tuple(filter(None, uris)))

    def __str__(self) -> str:
        names = (*self.dns, *self.uris)[:_SHOWN]
        return ", ".join(map(printable, names)) or "a caller without a name"


class NameList:
    """Names, and patterns such as ``*.jobs.catena``, whose ``*`` stands for one label.

    ``version`` grows whenever the names have become others.
    """

    def __init__(self, names: Names) -> None:
        """Take the names, or read the file.

        Raises CredentialsError for a file that cannot be read, or one of whose lines is no name,
        and ValueError for such a name from code.
        """
        if isinstance(names, str):
            raise TypeError("names are given as a list of names, or as a Path to a file of them")
        self.version = 1
        self._path: Path | None = None
        # How the file was when it was read, or refused; None while it may change unseen.
        self._seen: tuple[int, ...] | None = None
        self._failure = ""
        if isinstance(names, os.PathLike):
            self._path = Path(names).absolute()
            try:
                self.names = self._read_file(self._path)
            except CredentialsError as error:
                raise announced(error) from None
        else:
            self.names = tuple(map(check_name, names))

    def refresh(self) -> None:
        """Read the file again if it has changed; where that fails, a log says so and names stay."""
        if self._path is None or _sign(self._path) == self._seen:
            return
        try:
            names = self._read_file(self._path)
        except CredentialsError as error:
            if self._failure != str(error):
                self._failure = str(error)
                if CredentialsFailed.listeners:
                    announce(CredentialsFailed(error, kept=True))
            return
        self._failure = ""
        if names != self.names:
            self.names = names
            self.version += 1

    def _read_file(self, path: Path) -> tuple[str, ...]:
        signature = _sign(path)
        is_settled = not signature or time.time_ns() - signature[0] > _SETTLED_NS
        self._seen = signature if is_settled else None
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            stripped = (line.partition("#")[0].strip() for line in lines)
            return tuple(check_name(one) for one in stripped if one)
        except (OSError, ValueError) as error:
            raise CredentialsError(where=str(path), cause=str(error)) from None

    def has(self, identity: Identity) -> bool:
        """Say whether one of the names, or patterns, is one of the peer's."""
        parents = {one.partition(".")[2] for one in identity.dns}
        for name in self.names:
            if name.startswith("*."):
                found = name[2:] in parents
            else:
                # The text of an id that stands where DNS names do is not that id.
                found = name in (identity.uris if "://" in name else identity.dns)
            if found:
                return True
        return False

    def __str__(self) -> str:
        more = len(self.names) - _SHOWN
        shown = ", ".join(self.names[:_SHOWN]) or "nobody"
        return f"{shown} and {more} others" if more > 0 else shown


class Authorisation:
    """Who may do what with the workers of a ``pool``.

    ``callers`` may dispatch to them. Without that list, all may whose names end in the name of the
    pool, ``<pool>.catena``, and nobody else. ``operators`` may stop them and ask for their status:
    where there is no list, who is named ``operator.<pool>.catena``.
    """

    def __init__(
        self, pool: str, callers: Names | None = None, operators: Names | None = None
    ) -> None:
        """Take the lists. Raises as NameList, and ValueError for a pool that is no DNS label."""
        self.pool = check_label(pool, "the name of a pool")
        self.callers = None if callers is None else NameList(callers)
        named = [dns_name(pool, OPERATOR)]
        self.operators = NameList(named if operators is None else operators)

    def find_caller_refusal(self, identity: Identity) -> str:
        """Return why a peer may not call, in words; empty where it may."""
        own, callers = dns_name(self.pool), self.callers
        if callers is not None:
            callers.refresh()
            may = callers.has(identity)
            allowed = str(callers)
        else:
            may = any(one == own or one.endswith(f".{own}") for one in identity.dns)
            allowed = f"{own} and the names under it"
        return "" if may else f"those who may call the workers of pool {self.pool} are {allowed}"

    def find_operator_refusal(self, identity: Identity) -> str:
        """Return why a peer may not stop workers or ask for their status; empty where it may."""
        self.operators.refresh()
        if self.operators.has(identity):
            return ""
        return f"those who may operate the workers of pool {self.pool} are {self.operators}"

    def permit(self, identity: Identity) -> Permit:
        """Return what says, from now on, whether a peer may call."""
        return Permit(self, identity)


class Permit:
    """Whether one peer may call, asked for each call; judged anew only when the list is another."""

    def __init__(self, authorisation: Authorisation, identity: Identity) -> None:
        self.identity = identity
        self._authorisation = authorisation
        self._version = 0
        self._refusal = ""

    def find_refusal(self) -> str:
        """Return why the peer may not begin another call, in words; empty where it may."""
        callers = self._authorisation.callers
        if callers is not None:
            callers.refresh()
        version = 1 if callers is None else callers.version
        if version != self._version:
            self._version = version
            self._refusal = self._authorisation.find_caller_refusal(self.identity)
        return self._refusal


def check_name(name: str) -> str:
    """Return a name as it is compared. Raises ValueError where it is none."""
    if _URI.fullmatch(name):
        return name
    if _DNS.fullmatch(name.lower()):
        return name.lower()
    raise ValueError(
        f"{printable(name)!r} is no name of a caller: write a DNS name such as alice.jobs.catena, a"
        " pattern such as *.jobs.catena, or a SPIFFE id such as spiffe://jobs/alice"
    )


def _decode(name: bytes) -> str:
    """Return a name of a certificate; one that is no ASCII is left out."""
    return name.decode() if name.isascii() else ""


def _sign(path: Path) -> tuple[int, ...]:
    """Return what changes with a file, nothing without one."""
    try:
        facts = path.stat()
    except OSError:
        # Reading it says why.
        return ()
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino
