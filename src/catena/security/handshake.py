"""A TLS handshake of one pair with itself, in memory: the proof that peers would accept it.

It shows what no look at single fields shows: that the whole chain verifies, that the key belongs to
the certificate, and that the certificate may be used for it.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from catena.security.files import CA, CERTIFICATE, KEY

_ROUNDS = 20  # each side speaks two or three times


def shake_hands(folder: Path, *, as_server: bool) -> None:
    """Let the pair of a folder be checked as a peer would check it, as a server's or a client's.

    Raises ssl.SSLError, which says why it is refused. Names are not compared, and as with gRPC an
    authority needs not be a root.
    """
    client, server = _make_context(folder, as_server=False), _make_context(folder, as_server=True)
    checks = client if as_server else server
    checks.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    waiting = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(_ROUNDS):
        waiting = [end for end in waiting if not _go_on(end)]
    if waiting:
        raise ssl.SSLError("the handshake does not end")


def explain_refusal(error: ssl.SSLError) -> str:
    """Return in a few words why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    reason = getattr(error, "reason", None) or str(error)
    return str(reason).replace("_", " ").lower()


def _make_context(folder: Path, *, as_server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if as_server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(folder / CA)
    # Without a password OpenSSL would ask for one on the terminal.
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY, password="")
    return context


def _go_on(end: ssl.SSLObject) -> bool:
    """Do what this end can do now; return whether it is done."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
