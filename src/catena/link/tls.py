"""What TLS is made of: gRPC's credentials from those of a folder, at either end of a link.

The server reads the folder at each handshake. Links that are up stay up when the files change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from catena.errors import CredentialsError
from catena.events import CredentialsFailed
from catena.events.bus import announce
from catena.grpc_loading import aio, grpc
from catena.link.service import KEEPALIVE, OPTIONS
from catena.security.credentials import PAIR_SECONDS, CredentialFiles, Credentials


class ServerFiles:
    """The files that a server shows at each handshake, in gRPC's words.

    ``fetch`` is called by threads of gRPC. Where the folder cannot be read, those that were read
    last stay in use, and a log says so once.
    """

    def __init__(self, credentials: Credentials, begun: Callable[[], object]) -> None:
        """Read the files for the first time. Raises CredentialsError."""
        self._credentials = credentials
        self._begun = begun
        self._lock = threading.Lock()
        self._files = credentials.read()
        self._failure = ""
        self._misfit_since = 0.0

    def make_credentials(self) -> Any:
        """Return gRPC's credentials of a server that asks its callers for theirs."""
        return grpc.dynamic_ssl_server_credentials(
            _configure(self._files), self.fetch, require_client_authentication=True
        )

    def fetch(self) -> Any:
        """Return the files where they are others now, None where those in use stay."""
        self._begun()
        with self._lock:
            try:
                if self._credentials.read_unchecked() == self._files:
                    # The common case is quick, also in a flood of connections.
                    self._failure, self._misfit_since = "", 0.0
                    return None
                found = self._credentials.look()
            except CredentialsError as error:
                self._keep(error)
                return None
            if isinstance(found, CredentialsError):
                self._note_misfit(found)
                return None
            self._failure, self._misfit_since = "", 0.0
            self._files = found
            return _configure(found)

    def _note_misfit(self, error: CredentialsError) -> None:
        """Say so when certificate and key do not fit for longer than it takes to replace them."""
        now = monotonic()
        self._misfit_since = self._misfit_since or now
        if now - self._misfit_since > PAIR_SECONDS and self._failure != str(error):
            self._keep(error)

    def _keep(self, error: CredentialsError) -> None:
        """Say that what was read before stays in use, once for each reason."""
        if self._failure != str(error):
            self._failure = str(error)
            if CredentialsFailed.listeners:
                announce(CredentialsFailed(error, kept=True))


def _configure(files: CredentialFiles) -> Any:
    return grpc.ssl_server_certificate_configuration(
        [(files.key, files.cert)], root_certificates=files.ca
    )


async def open_channel(
    target: str, credentials: Credentials, verify: str, leaf: bytes | None
) -> aio.Channel:
    """Return a channel to a worker that has to prove a name, made with credentials as read now.

    ``verify`` is that name; where it is empty, the host in the target. With a ``leaf``, the
    certificate has to be that very one. Raises CredentialsError.
    """
    files = await credentials.read_soon()
    made = grpc.ssl_channel_credentials(leaf or files.ca, files.key, files.cert)
    options = [*OPTIONS, *KEEPALIVE]
    if verify:
        options.append(("grpc.ssl_target_name_override", verify))
    return aio.secure_channel(target, made, options=options)
