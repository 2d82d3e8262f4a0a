"""An authority for development, and the pairs of certificate and key that it issues.

Its one rule: a key is made here, written once, and stands in no error, log line or representation.
Nothing reads a clock: what is issued is valid from five minutes before the ``now`` that is given,
because the clocks of machines differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from catena.escape import printable
from catena.security.cryptography_loading import (
    ExtendedKeyUsageOID,
    NameOID,
    PrivateKeyTypes,
    UnsupportedAlgorithm,
    ec,
    hashes,
    serialization,
    x509,
)
from catena.security.files import (
    CA,
    CA_KEY,
    CERTIFICATE,
    KEY,
    NewFile,
    Unusable,
    check_secrecy,
    make_folder,
    read_file,
    write_files,
)
from catena.security.names import Holder

_EARLIER = timedelta(minutes=5)
_MOST_COMMON_NAME = 64  # characters, by X.520
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that issues others, with its key.

    ``others`` are more authorities of its file, whose certificates its holders accept as well.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    others: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM, with the authorities that its holder checks others by."""

    certificate: x509.Certificate
    authorities: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(_PEM)


def make_authority(now: datetime, days: int) -> Authority:
    """Make an authority whose certificate is valid for so many days; it signs no other authority.

    Its name has a part of its own, so that two authorities in one file have different names.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _common_name(f"Catena development authority {own.digest.hex()[:8]}")
    builder = _begin_certificate(name, key.public_key(), now, now + timedelta(days=days))
    builder = builder.issuer_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def issue_pair(authority: Authority, holder: Holder, now: datetime, days: int) -> Pair:
    """Make a key and its certificate, valid for so many days, but not longer than the authority.

    Raises Unusable when the authority is not valid ``now``.
    """
    issuer = authority.certificate
    remedy = "make another one, and issue every pair anew"
    check_validity(issuer, now, f"the authority {show_name(issuer.subject)}", remedy)
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + timedelta(days=days), issuer.not_valid_after_utc)
    fits = len(holder.name) <= _MOST_COMMON_NAME
    subject = _common_name(holder.name) if fits else x509.Name([])
    builder = _begin_certificate(subject, key.public_key(), now, end)
    builder = builder.issuer_name(issuer.subject)
    for extension, critical in _list_extensions(holder, issuer, has_subject=fits):
        builder = builder.add_extension(extension, critical=critical)
    authorities = b"".join(one.public_bytes(_PEM) for one in (issuer, *authority.others))
    certificate = builder.sign(authority.key, hashes.SHA256())
    return Pair(certificate, authorities, _key_as_pem(key))


def write_authority(folder: Path, authority: Authority, *, replace: bool = False) -> None:
    """Write an authority into a folder of its own.

    Where one is there already, it is replaced, or FileExistsError says so.
    """
    make_folder(folder)
    certificate = NewFile(CA, authority.certificate.public_bytes(_PEM))
    key = NewFile(CA_KEY, _key_as_pem(authority.key))
    # The key is first, so that nobody finds a new authority without it.
    write_files(folder, (key, certificate), replace=replace)


def read_authority(folder: Path) -> Authority:
    """Return the authority that a folder holds.

    Raises Unusable when there is none, when others may read its key, or when key and certificate do
    not belong together.
    """
    certificates = read_certificates(folder, CA)
    key = read_key(folder, CA_KEY)
    first, *others = certificates
    if not _is_authority(first):
        raise Unusable(f"the first certificate in {folder / CA} is not that of an authority")
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != first.public_key():
        raise Unusable(f"{folder / CA_KEY} is not the key of the first certificate in {CA}")
    return Authority(first, key, tuple(others))


def write_pair(folder: Path, pair: Pair) -> None:
    """Write a credentials folder, or replace its three files.

    Authorities come first, then the key, then the certificate: who sees a new certificate finds
    everything that belongs to it. Who reads between two of them finds a key that does not belong to
    the certificate, and has to read again.
    """
    if (folder / CA_KEY).exists():
        raise Unusable(f"{folder} holds an authority; a pair needs a folder of its own")
    make_folder(folder)
    certificate = NewFile(CERTIFICATE, pair.pem)
    files = (NewFile(CA, pair.authorities), NewFile(KEY, pair.key), certificate)
    write_files(folder, files, replace=True)


def read_certificates(folder: Path, name: str) -> list[x509.Certificate]:
    """Return the certificates in a file, at least one; that there are none is Unusable."""
    content = read_file(folder, name)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise Unusable(f"{folder / name} holds no certificate in PEM that can be read") from None


def read_key(folder: Path, name: str) -> PrivateKeyTypes:
    """Return the key in a file; that others may read it, or that it is none, is Unusable."""
    content = read_file(folder, name)
    check_secrecy(folder / name)
    try:
        return serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unusable(f"{folder / name} is not an unencrypted private key in PEM") from None


def check_validity(
    certificate: x509.Certificate, now: datetime, what: str, remedy: str = ""
) -> None:
    """Raise Unusable when a certificate, which ``what`` names, is not valid at that time.

    ``remedy`` says what to do where it has ended.
    """
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        ended = f"{what} was valid until {show_time(end)}"
        raise Unusable(f"{ended}; {remedy}" if remedy else ended)
    if now < begin:
        raise Unusable(f"{what} is not valid before {show_time(begin)}; is the clock right?")


def show_time(time: datetime) -> str:
    """Return a time in UTC, to the minute."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def show_name(name: x509.Name) -> str:
    """Return the common name of a subject, or all of it where it has none; it may be empty."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return printable(str(common[0].value) if common else name.rfc4514_string())


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return False
    return constraints.value.ca


def _begin_certificate(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _list_extensions(
    holder: Holder, issuer: x509.Certificate, *, has_subject: bool
) -> list[tuple[x509.ExtensionType, bool]]:
    """Return the extensions of a pair's certificate, and which of them are critical."""
    names: list[x509.GeneralName] = [x509.DNSName(holder.dns)] if holder.dns else []
    if holder.spiffe:
        names.append(x509.UniformResourceIdentifier(holder.spiffe))
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([_SERVER, _CLIENT] if holder.takes_calls else [_CLIENT]), False),
        # RFC 5280: where the subject is empty, the alternative names have to be critical.
        (x509.SubjectAlternativeName(names), not has_subject),
        (authority, False),
    ]


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_as_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, plain)
