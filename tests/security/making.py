"""Certificates for tests: an authority in memory, and credentials folders that it fills."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "write_folder"]

_DAY = dt.timedelta(days=1)


class Authority:
    """Signs certificates for names; ``pem`` is its own, which peers check against."""

    def __init__(self, name: str = "tests") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._made = _begin(self._name, self._name, self._key.public_key(), days=2)
        basic = x509.BasicConstraints(ca=True, path_length=None)
        made = self._made.add_extension(basic, critical=True).sign(self._key, hashes.SHA256())
        self.pem = made.public_bytes(serialization.Encoding.PEM)

    def sign(self, *names: str, days: float = 1) -> tuple[bytes, bytes]:
        """Return a certificate for DNS names, addresses and URIs, and its key, both as PEM.

        With negative ``days`` it has expired already.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        begun = _begin(self._name, subject, key.public_key(), days=days)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = (
            begun.add_extension(
                x509.SubjectAlternativeName([_general(one) for one in names]), critical=False
            )
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return made.public_bytes(serialization.Encoding.PEM), pem

    def fill(self, folder: Path, *names: str, days: float = 1) -> Path:
        """Make a credentials folder for the names, or replace what it holds; return it."""
        cert, key = self.sign(*names, days=days)
        return write_folder(folder, ca=self.pem, cert=cert, key=key)


def write_folder(folder: Path, **files: bytes) -> Path:
    """Write ``NAME.pem`` for each, the key for the owner alone, each replaced at once."""
    folder.mkdir(exist_ok=True, parents=True)
    for name, pem in files.items():
        new = folder / f".{name}.new"
        new.write_bytes(pem)
        new.chmod(0o600)
        os.replace(new, folder / f"{name}.pem")  # noqa: PTH105 - what rotation does
    return folder


def _begin(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, days: float
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    end = now + _DAY * days
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - _DAY)
        .not_valid_after(end)
    )


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    if name.replace(".", "").isdigit():
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)
