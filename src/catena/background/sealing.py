"""Sealing: the MAC of a stored text, and the encryption of a part of it.

Both keys are derived from one secret, so an application keeps one. Whatever cannot be verified or
decrypted is refused; nothing is ever read the other way instead.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from typing import Any

SECRET_BYTES = 32
"""The fewest bytes of a secret."""

_NONCE = 12
_MAC = b"catena snapshot: authentication"
_ENCRYPTION = b"catena snapshot: encryption"


class Unsealable(Exception):
    """None of the secrets opens what was sealed."""


class Secrets:
    """The secrets of a queue: the first one seals, and each of them opens.

    Raises TypeError for what is no secret, and ValueError for one that is too short, and where
    there is none.
    """

    __slots__ = ("_secrets",)

    def __init__(self, secrets: bytes | Sequence[bytes]) -> None:
        given = (secrets,) if isinstance(secrets, bytes) else tuple(secrets)
        if not given:
            raise ValueError("a sequence of secrets needs at least one")
        for one in given:
            if not isinstance(one, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"a secret is bytes, not {type(one).__name__}")
            if len(one) < SECRET_BYTES:
                raise ValueError(f"a secret has at least {SECRET_BYTES} bytes, not {len(one)}")
        self._secrets = given

    def sign(self, text: bytes) -> str:
        """Return the MAC of a text, in hexadecimal digits."""
        return _sign(self._secrets[0], text)

    def verify(self, text: bytes, mac: str) -> bool:
        """Say whether a MAC is that of the text, under any of the secrets."""
        found = mac.encode()
        # Each of them is compared, so the time says nothing about which one fits.
        fits = [hmac.compare_digest(_sign(one, text).encode(), found) for one in self._secrets]
        return any(fits)

    def encrypt(self, data: bytes, beside: bytes) -> bytes:
        """Return data encrypted; what stands ``beside`` it is needed unchanged to decrypt it.

        Raises ModuleNotFoundError where cryptography is not installed.
        """
        nonce = os.urandom(_NONCE)
        sealed: bytes = _cipher(self._secrets[0]).encrypt(nonce, data, beside)
        return nonce + sealed

    def decrypt(self, data: bytes, beside: bytes) -> bytes:
        """Return data decrypted. Raises Unsealable, and ModuleNotFoundError as ``encrypt``."""
        from catena.security.cryptography_loading import InvalidTag  # noqa: PLC0415 - an extra

        for one in self._secrets:
            try:
                opened: bytes = _cipher(one).decrypt(data[:_NONCE], data[_NONCE:], beside)
            except (InvalidTag, ValueError):
                # Another secret may fit; ValueError says that it is too short for anything.
                continue
            return opened
        raise Unsealable

    def __repr__(self) -> str:
        return f"<Secrets {len(self._secrets)}>"


def _sign(secret: bytes, text: bytes) -> str:
    return hmac.new(_derive(secret, _MAC), text, hashlib.sha256).hexdigest()


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return hmac.new(secret, purpose, hashlib.sha256).digest()


def _cipher(secret: bytes) -> Any:
    from catena.security.cryptography_loading import AESGCM  # noqa: PLC0415 - an extra

    return AESGCM(_derive(secret, _ENCRYPTION))
