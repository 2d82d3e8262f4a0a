"""Errors of who speaks to whom; ``catena.errors``, where they are known by, re-exports them."""

from __future__ import annotations

from dataclasses import dataclass

from catena.escape import printable
from catena.facts import OURS, CatenaError, numbers_of

_REFUSED = " was refused: "
_STRANGER = "it does not know this pool's secret, so it was not started by this pool"
_TEXT_LIMIT = 1000


@dataclass(kw_only=True, eq=False, repr=False)
class PeerRefused(CatenaError):
    """One end of a link refused the other, ``peer``, and ``reason`` says why.

    A peer is called by the names in its certificate, or else by the name or address that it has
    given; ``pid`` is the process id that it has given, 0 without one. Where there is no reason, it
    does not know the pool's secret. Both ends raise or announce it, where the peer can learn of it.
    """

    __module__ = OURS

    peer: str
    pid: int = 0
    reason: str = ""

    @property
    def cause(self) -> str:
        """Why it was refused, in words."""
        return self.reason or _STRANGER

    def text(self) -> str:
        """The sentence that the facts make."""
        process = f" (process {self.pid})" if self.pid else ""
        return f"{self.peer!r}{process}{_REFUSED}{self.cause}"


@dataclass(kw_only=True, eq=False, repr=False)
class CredentialsError(CatenaError, ValueError):
    """Credentials, or a list of who may call, cannot be used, or are needed and were not given.

    ``where`` is the folder, the file or the address, ``cause`` says what is wrong with it.
    """

    __module__ = OURS

    where: str
    cause: str

    def text(self) -> str:
        """The sentence that the facts make."""
        return f"{self.where}: {self.cause}"


def refusal_from(text: str, here: str) -> PeerRefused:
    """Return the error of the process ``here``, which a peer has refused with the text of its own.

    The peer has put there who was refused, by the names that it knows, and why.
    """
    peer, found, reason = printable(text, _TEXT_LIMIT).partition(_REFUSED)
    who = peer.strip("'") if found else here
    return PeerRefused(peer=who, reason=reason if found else peer)


@dataclass(kw_only=True, eq=False, repr=False)
class VersionRefused(CatenaError):
    """The peer speaks another major version of the protocol; both versions are attributes."""

    __module__ = OURS

    local: str
    remote: str

    def text(self) -> str:
        """The sentence that the facts make."""
        side = "remote" if numbers_of(self.remote) < numbers_of(self.local) else "local"
        both = f"protocol {self.local} here and {self.remote} there"
        return f"{both} do not work together; upgrade the {side} side"


@dataclass(kw_only=True, eq=False, repr=False)
class AddressRefused(CatenaError):
    """The receiver cannot, or should not, listen at ``address``; ``cause`` says why."""

    __module__ = OURS

    address: str
    cause: str

    def text(self) -> str:
        """The sentence that the facts make."""
        return f"cannot listen at {self.address}: {self.cause}"
