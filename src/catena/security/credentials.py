"""Credentials: who this process is to peers on other machines, and who it takes for such a peer.

They are a folder of three files, which are read anew for each use, so that they can be replaced
while processes run. Two files cannot be replaced at the same instant: where certificate and key are
no pair, they are read again for a moment.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import ssl
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from catena.errors import CredentialsError
from catena.events import announced
from catena.security.files import CA, CERTIFICATE as CERT, KEY

PAIR_SECONDS = 1.0
"""How long a certificate and a key that are no pair are read again: somebody is replacing them."""
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """What the files of a credentials folder hold, as PEM; the key is in no representation."""

    ca: bytes
    cert: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A folder with ``ca.pem``, ``cert.pem`` and ``key.pem``.

    They are the certificates of the authorities that peers are checked against; the certificate of
    this process, with those that lead to its authority; and the key of that certificate, without a
    password, which nobody else may read. Two of one folder are equal, whatever is in it.
    """

    folder: Path

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Name the folder; nothing is read yet. Raises ValueError for an empty name."""
        if not os.fspath(folder):
            raise ValueError("a credentials folder needs a name")
        object.__setattr__(self, "folder", Path(folder).absolute())

    def read(self) -> CredentialFiles:
        """Return what the files hold; waits up to a second for a certificate and a key that fit.

        Raises CredentialsError.
        """
        until = time.monotonic() + PAIR_SECONDS
        while (found := self._look_until(until)) is None:
            time.sleep(_PAUSE)
        return found

    async def read_soon(self) -> CredentialFiles:
        """Do as ``read`` does, in a coroutine."""
        until = time.monotonic() + PAIR_SECONDS
        while (found := self._look_until(until)) is None:
            await asyncio.sleep(_PAUSE)
        return found

    def _look_until(self, until: float) -> CredentialFiles | None:
        """Return what the files hold, None where they may fit in a moment.

        Raises CredentialsError, announced; for those that do not fit when that moment is over.
        """
        try:
            found = self.look()
        except CredentialsError as error:
            raise announced(error) from None
        if not isinstance(found, CredentialsError):
            return found
        if time.monotonic() > until:
            raise announced(found)
        return None

    def look(self) -> CredentialFiles | CredentialsError:
        """Return what the files hold, or why certificate and key do not fit at this moment.

        Raises CredentialsError for anything else that is wrong with them. Neither is announced.
        """
        before = self.read_unchecked()
        _check_authorities(self.folder / CA, before.ca)
        cause = _find_misfit(self.folder)
        if before != self.read_unchecked():
            return CredentialsError(where=str(self.folder), cause="its files change all the time")
        if cause:
            return CredentialsError(where=str(self.folder), cause=cause)
        return before

    def read_unchecked(self) -> CredentialFiles:
        """Return what the files hold, whatever it is.

        Raises CredentialsError where one cannot be read, or the key is not for its owner alone.
        """
        ca, cert = _read(self.folder / CA), _read(self.folder / CERT)
        return CredentialFiles(ca, cert, _read(self.folder / KEY, secret=True))


def _read(path: Path, *, secret: bool = False) -> bytes:
    """Return a file's bytes. Raises CredentialsError, also for a secret that others may read."""
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            found = file.read()
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    # A group may read what root put there for it, as mounted secrets are.
    refused = 0o037 if facts.st_uid == 0 else 0o077
    if secret and stat.S_IMODE(facts.st_mode) & refused:
        mode = f"{stat.S_IMODE(facts.st_mode):03o}"
        cause = f"others than its owner may read this key (mode {mode}); run `chmod 600` on it"
        raise _unusable(path, cause)
    if secret and b"ENCRYPTED" in found:
        raise _unusable(path, "the key has a password, which nobody could enter; write it without")
    return found


def _check_authorities(path: Path, pem: bytes) -> None:
    """Raise CredentialsError where there is no certificate in it."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode())
    except (ssl.SSLError, ValueError):
        # It is no UTF-8, or nothing of it is a certificate.
        raise _unusable(path, "it holds no certificate as PEM") from None


def _find_misfit(folder: Path) -> str:
    """Return why certificate and key do not belong together, empty where they do."""
    try:
        # A password that is given is not asked for at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            folder / CERT, folder / KEY, password=""
        )
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{CERT} and {KEY} are not a pair"
        return f"{CERT} and {KEY} are not a certificate and its key as PEM ({error.reason})"
    except OSError as error:
        return f"{CERT} and {KEY} cannot be read ({error.strerror})"
    return ""


def _unusable(path: Path, cause: str) -> CredentialsError:
    return CredentialsError(where=str(path), cause=cause)


scope: contextvars.ContextVar[Credentials | None] = contextvars.ContextVar(
    "catena.credentials", default=None
)
"""Under which credentials calls are made here; None for those of the pool."""


class CredentialsScope:
    """A block of code whose calls are made under some credentials; it may be entered again."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials
        self._tokens: list[contextvars.Token[Credentials | None]] = []

    def __enter__(self) -> None:
        self._tokens.append(scope.set(self._credentials))

    def __exit__(self, *_: object) -> None:
        scope.reset(self._tokens.pop())


def credentials(folder: str | os.PathLike[str] | Credentials | None) -> CredentialsScope:
    """Make calls under the credentials of a folder, in a block: ``with catena.credentials(...):``.

    Workers on other machines are called over links that are made with these; links made with others
    are not used, also when the same pool has some. The tasks and threads that take a copy of the
    context along are inside as well, and what a worker runs is not. ``None`` stands for the pool's
    own credentials. Workers on this machine are reached without any. The files are read when a
    link is made; calls raise CredentialsError where that fails.
    """
    if folder is None or isinstance(folder, Credentials):
        return CredentialsScope(folder)
    return CredentialsScope(Credentials(folder))
