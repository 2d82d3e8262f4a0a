"""Importing cryptography, which is an extra: whoever lacks it is given the command to install it.

All modules import it only here.
"""

from __future__ import annotations

from catena.errors import install_command

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed: {install_command('certs')}", name=missing.name
    ) from None

__all__ = [
    "AESGCM",
    "ExtendedKeyUsageOID",
    "InvalidSignature",
    "InvalidTag",
    "NameOID",
    "PrivateKeyTypes",
    "UnsupportedAlgorithm",
    "ec",
    "hashes",
    "serialization",
    "x509",
]
