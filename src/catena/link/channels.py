"""Channels of gRPC to a worker: over a Unix socket of this user, or with TLS to another machine."""

from __future__ import annotations

from dataclasses import dataclass

from catena import grpc_loading as loading
from catena.errors import CredentialsError, PeerRefused
from catena.events import announced
from catena.grpc_loading import aio
from catena.link.listener import check_listener
from catena.link.service import KEEPALIVE, OPTIONS
from catena.link.tls import open_channel
from catena.security.credentials import Credentials
from catena.targets import address_of, is_local, split_port

_NEEDED = (
    "a link to another machine needs credentials; call within `with catena.credentials(folder):`,"
    " or give the pool some"
)
_NAMELESS = "it is not known by which name the worker there has to prove itself"
_UNCONNECTED = "Failed to connect to remote host"
"""What stands in gRPC's text where nobody answers, so that nobody has looked at the certificate."""
_UNPROVEN = ("SSL_ERROR_SSL", "Hostname Verification")
"""What stands in gRPC's text where a worker has failed the handshake here, and not this process."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A worker at ``unix:/path`` or ``host:port``, and how both ends prove who they are.

    At ``host:port`` it has to prove the DNS name ``verify``, or that its certificate is the
    ``leaf``, given as PEM; ``credentials`` are read anew for each channel. Without any,
    ``insecure`` has to be true there.
    """

    target: str
    credentials: Credentials | None = None
    verify: str = ""
    leaf: bytes | None = None
    insecure: bool = False

    async def open_channel(self) -> aio.Channel:
        """Return a channel to it; before a Unix socket is used, its listener is asked for its user.

        Raises ConnectionError, PeerRefused, CredentialsError, and ValueError for a target of
        another kind.
        """
        loading.use()
        if is_local(self.target):
            await check_listener(address_of(self.target))
            return aio.insecure_channel(self.target, options=OPTIONS)
        split_port(self.target)
        if self.credentials is None:
            if not self.insecure:
                raise announced(CredentialsError(where=self.target, cause=_NEEDED))
            return aio.insecure_channel(self.target, options=[*OPTIONS, *KEEPALIVE])
        if not self.verify and self.leaf is None:
            raise announced(CredentialsError(where=self.target, cause=_NAMELESS))
        return await open_channel(self.target, self.credentials, self.verify, self.leaf)

    def explain(self, error: ConnectionError) -> Exception:
        """Return what a channel's error means: a worker that proves nothing is refused."""
        if is_local(self.target) or self.credentials is None:
            return error
        if any(one in str(error) for one in _UNPROVEN) and "ALERT" not in str(error):
            proof = f"is {self.verify}" if self.verify else "has the certificate that is demanded"
            reason = f"it did not prove that it {proof} ({error})"
            return announced(PeerRefused(peer=self.target, reason=reason))
        if not str(error).startswith("unavailable") or _UNCONNECTED in str(error):
            return error
        folder = self.credentials.folder
        hint = f"perhaps it refused the certificate in {folder}, as its log would say"
        return ConnectionError(f"{error}; {hint}")
