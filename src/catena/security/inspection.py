"""What a credentials folder holds, and what is wrong with it.

Its one rule: every problem is a sentence, and the files are read as those who use them read them.
Where single fields show nothing wrong, a handshake in memory has the last word.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from catena.security.authority import (
    check_validity,
    read_certificates,
    read_key,
    show_name,
    show_time,
)
from catena.security.cryptography_loading import ExtendedKeyUsageOID, InvalidSignature, x509
from catena.security.files import CA, CA_KEY, CERTIFICATE, KEY, Unusable
from catena.security.handshake import explain_refusal, shake_hands
from catena.security.names import DOMAIN

SOON = timedelta(days=7)
"""A certificate that ends within this time is warned of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found in a folder.

    ``authority`` is the certificate in ca.pem that stands above the pair, None where none does.
    ``takes_calls`` and ``makes_calls`` say what the certificate may be used for.
    """

    names: tuple[str, ...]
    certificate: x509.Certificate
    authority: x509.Certificate | None
    takes_calls: bool
    makes_calls: bool
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def inspect_folder(folder: Path, now: datetime) -> Inspection:
    """Read a credentials folder and check it; raises Unusable when it has no certificate."""
    if (folder / CA_KEY).exists():
        raise Unusable(f"{folder} holds an authority and no pair")
    chain = read_certificates(folder, CERTIFICATE)
    certificate = chain[0]
    takes_calls, makes_calls = _list_uses(certificate)
    names = tuple(_list_names(certificate))
    authority, problems = _find_authority(folder, chain, now)
    problems += _problem_of(check_validity, certificate, now, "the certificate", "issue it anew")
    problems += _problem_of(_check_key, folder, certificate)
    if not makes_calls:
        problems.append(
            "the certificate may not be used to make calls, as callers and workers do: its extended"
            " key usage lacks clientAuth"
        )
    return Inspection(
        names=names,
        certificate=certificate,
        authority=authority,
        takes_calls=takes_calls,
        makes_calls=makes_calls,
        problems=tuple(problems or _try_handshakes(folder, takes_calls=takes_calls)),
        warnings=tuple(_find_warnings(certificate, authority, names, now)),
    )


def _find_authority(
    folder: Path, chain: list[x509.Certificate], now: datetime
) -> tuple[x509.Certificate | None, list[str]]:
    """Return the authority that stands above a chain, and what is wrong with it."""
    try:
        authorities = read_certificates(folder, CA)
    except Unusable as problem:
        return None, [str(problem)]
    for certificate in chain:
        for authority in authorities:
            if _has_issued(authority, certificate):
                what = f"the authority {show_name(authority.subject)}"
                return authority, _problem_of(check_validity, authority, now, what)
    return None, [f"no authority in {folder / CA} has issued the certificate"]


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _problem_of(check: Callable[..., None], *arguments: object) -> list[str]:
    try:
        check(*arguments)
    except Unusable as problem:
        return [str(problem)]
    return []


def _check_key(folder: Path, certificate: x509.Certificate) -> None:
    if read_key(folder, KEY).public_key() != certificate.public_key():
        raise Unusable("the key does not belong to the certificate; issue both anew")


def _try_handshakes(folder: Path, *, takes_calls: bool) -> Iterator[str]:
    for as_server in (False, True) if takes_calls else (False,):
        try:
            shake_hands(folder, as_server=as_server)
        except ssl.SSLError as error:
            peers = "callers" if as_server else "workers"
            yield f"{peers} would refuse the certificate: {explain_refusal(error)}"


def _list_names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    names = extension.value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return [*names.get_values_for_type(x509.DNSName), *uris]


def _list_uses(certificate: x509.Certificate) -> tuple[bool, bool]:
    """Return whether a certificate may take and make calls; one that names no use may do both."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True, True
    return ExtendedKeyUsageOID.SERVER_AUTH in usage, ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _find_warnings(
    certificate: x509.Certificate,
    authority: x509.Certificate | None,
    names: tuple[str, ...],
    now: datetime,
) -> Iterator[str]:
    if not any(name.endswith(f".{DOMAIN}") or name.startswith("spiffe://") for name in names):
        yield f"the certificate has no name in a pool (NAME.POOL.{DOMAIN}) and no SPIFFE id"
    ends = [("the certificate", certificate)]
    if authority is not None:
        ends.append((f"the authority {show_name(authority.subject)}", authority))
    for what, one in ends:
        end = one.not_valid_after_utc
        if timedelta() <= end - now <= SOON:
            yield f"{what} ends {_show_days(end - now)}, at {show_time(end)}"


def _show_days(left: timedelta) -> str:
    if left.days < 1:
        return "in less than a day"
    return f"in {left.days} day{'' if left.days == 1 else 's'}"
