"""The authority for development: what is in its certificates, and in its files."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from catena.security.authority import (
    issue_pair,
    make_authority,
    read_authority,
    read_certificates,
    read_key,
    write_authority,
    write_pair,
)
from catena.security.files import Unusable
from catena.security.names import Holder, name_caller, name_worker
from tests.security.pairs import CALLER, NOW, WORKER, make_at, make_folder_for

LONG = name_worker("p" * 63, "w" * 63)
SPIFFE = name_caller("", spiffe="spiffe://example.org/web")
BOTH = name_caller("shop", "web", "spiffe://example.org/web")
SHARED = name_worker("shop")


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> tuple[object, bool]:
    """An extension, and whether it is critical."""
    found = certificate.extensions.get_extension_for_class(kind)
    return found.value, found.critical


def common_name(name: x509.Name) -> str:
    """The only attribute of a subject, as text."""
    return name.rfc4514_string().removeprefix("CN=")


# ---- what is in them


def test_an_authority_signs_pairs_and_no_other_authority() -> None:
    """EC P-256, a name of its own, and for as long as was said; it may sign and nothing else."""
    authority = make_authority(NOW, 3_650)
    certificate = authority.certificate
    usage, usage_is_critical = extension(certificate, x509.KeyUsage)
    identifier, _ = extension(certificate, x509.SubjectKeyIdentifier)

    assert isinstance(authority.key.curve, ec.SECP256R1)
    assert certificate.public_key() == authority.key.public_key()
    assert extension(certificate, x509.BasicConstraints) == (x509.BasicConstraints(True, 0), True)
    assert isinstance(usage, x509.KeyUsage)
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    assert usage_is_critical
    assert identifier == x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key())
    assert certificate.issuer == certificate.subject
    assert certificate.subject != make_at().certificate.subject
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=3_650)


@pytest.mark.parametrize(
    ("holder", "names"),
    [
        (WORKER, ["w1.shop.catena"]),
        (SHARED, ["shop.catena"]),
        (CALLER, ["caller.shop.catena"]),
        (SPIFFE, ["spiffe://example.org/web"]),
        (BOTH, ["web.shop.catena", "spiffe://example.org/web"]),
    ],
)
def test_a_certificate_names_its_holder(holder: Holder, names: list[str]) -> None:
    """The alternative names are those of the holder; the first is the common name, too."""
    certificate = issue_pair(make_at(), holder, NOW, 10).certificate
    found, critical = extension(certificate, x509.SubjectAlternativeName)

    assert isinstance(found, x509.SubjectAlternativeName)
    assert [one.value for one in found] == names
    assert [type(one) for one in found] == [
        x509.UniformResourceIdentifier if "://" in name else x509.DNSName for name in names
    ]
    assert not critical
    assert common_name(certificate.subject) == names[0]


def test_a_name_that_is_too_long_for_a_subject_is_a_critical_alternative_name() -> None:
    """A common name ends at 64 characters; without a subject the other names have to count."""
    certificate = issue_pair(make_at(), LONG, NOW, 10).certificate
    names, critical = extension(certificate, x509.SubjectAlternativeName)

    assert names == x509.SubjectAlternativeName([x509.DNSName(LONG.dns)])
    assert critical
    assert certificate.subject == x509.Name([])


def test_a_pair_is_for_its_use_and_no_other() -> None:
    """A worker is a server and a client, a caller a client; neither signs certificates."""
    authority = make_at()
    worker = issue_pair(authority, WORKER, NOW, 10).certificate
    caller = issue_pair(authority, CALLER, NOW, 10).certificate
    both = x509.ExtendedKeyUsage([Usage.SERVER_AUTH, Usage.CLIENT_AUTH])

    assert extension(worker, x509.ExtendedKeyUsage) == (both, False)
    only_client = x509.ExtendedKeyUsage([Usage.CLIENT_AUTH])
    assert extension(caller, x509.ExtendedKeyUsage) == (only_client, False)
    for one in (worker, caller):
        usage, critical = extension(one, x509.KeyUsage)
        assert isinstance(usage, x509.KeyUsage)
        assert (usage.digital_signature, usage.key_cert_sign, critical) == (True, False, True)
        none = x509.BasicConstraints(ca=False, path_length=None)
        assert extension(one, x509.BasicConstraints) == (none, True)


def test_a_pair_has_a_key_and_a_number_of_its_own() -> None:
    """It says which authority's key signed it; serial numbers are random and never the same."""
    authority = make_at()
    pairs = [issue_pair(authority, WORKER, NOW, 10) for _ in range(20)]
    own, _ = extension(authority.certificate, x509.SubjectKeyIdentifier)

    assert len({one.certificate.serial_number for one in pairs}) == 20
    assert len({one.key for one in pairs}) == 20
    assert min(one.certificate.serial_number for one in pairs) > 1 << 64
    for one in pairs:
        above, _ = extension(one.certificate, x509.AuthorityKeyIdentifier)
        assert isinstance(own, x509.SubjectKeyIdentifier)
        assert isinstance(above, x509.AuthorityKeyIdentifier)
        assert above.key_identifier == own.digest
        assert one.certificate.issuer == authority.certificate.subject
        one.certificate.verify_directly_issued_by(authority.certificate)


def test_a_pair_begins_a_little_earlier_and_ends_with_its_authority() -> None:
    """Clocks of machines differ; and nobody would accept a pair whose authority has ended."""
    authority = make_at(days=5)
    short = issue_pair(authority, WORKER, NOW, 3).certificate
    long = issue_pair(authority, WORKER, NOW, 90).certificate

    assert short.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert short.not_valid_after_utc == NOW + timedelta(days=3)
    assert long.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_an_authority_that_is_not_valid_issues_nothing() -> None:
    """Before its time, the clock may be wrong; after it, another one is needed."""
    with pytest.raises(Unusable, match=r"was valid until .* UTC; make another one, and issue"):
        issue_pair(make_at(days_ago=10, days=5), WORKER, NOW, 3)
    with pytest.raises(Unusable, match=r"is not valid before .* UTC; is the clock right\?"):
        issue_pair(make_at(days_ago=-10), WORKER, NOW, 3)


def test_no_key_is_in_a_representation() -> None:
    """What somebody prints or logs gives no key away."""
    authority = make_at()
    pair = issue_pair(authority, WORKER, NOW, 3)

    assert "key" not in repr(authority)
    assert "PRIVATE" not in repr(pair)


# ---- their files


def test_an_authority_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Its certificate and its key, and no others."""
    written = make_at()
    write_authority(tmp_path, written)
    read = read_authority(tmp_path)

    assert (read.certificate, read.others) == (written.certificate, ())
    assert read.key.private_numbers() == written.key.private_numbers()


def test_an_authority_is_replaced_on_request_only(tmp_path: Path) -> None:
    """The first one stays, whatever is missing of it; on request another one takes its place."""
    write_authority(tmp_path, make_at())
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}

    with pytest.raises(FileExistsError):
        write_authority(tmp_path, make_at())
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before
    (tmp_path / "ca-key.pem").unlink()
    with pytest.raises(FileExistsError):
        write_authority(tmp_path, make_at())
    assert [one.name for one in tmp_path.iterdir()] == ["ca.pem"]

    another = make_at()
    write_authority(tmp_path, another, replace=True)
    assert read_authority(tmp_path).certificate == another.certificate


def test_more_authorities_go_into_every_pair(tmp_path: Path) -> None:
    """What follows the first certificate in an authority's file is accepted by its pairs, too."""
    old, new = make_at(), make_at()
    write_authority(tmp_path / "old", old)
    write_authority(tmp_path / "new", new)
    with (tmp_path / "new" / "ca.pem").open("ab") as file:
        file.write((tmp_path / "old" / "ca.pem").read_bytes())
    read = read_authority(tmp_path / "new")
    folder = make_folder_for(WORKER, tmp_path / "w1", read)

    assert read.others == (old.certificate,)
    assert read_certificates(folder, "ca.pem") == [new.certificate, old.certificate]
    assert len(read_certificates(folder, "cert.pem")) == 1


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("ca.pem", b"", "ca.pem holds no certificate in PEM"),
        ("ca.pem", b"\xff\x00", "ca.pem holds no certificate in PEM"),
        ("ca-key.pem", b"", "ca-key.pem is not an unencrypted private key in PEM"),
        ("ca-key.pem", b"another", "ca-key.pem is not the key of the first certificate in ca.pem"),
        ("ca.pem", b"pair", "the first certificate in .*ca.pem is not that of an authority"),
    ],
)
def test_an_authority_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    """No certificate, no key, another key, or the certificate of a pair in its place."""
    write_authority(tmp_path / "a", make_at())
    if content == b"another":
        write_authority(tmp_path / "b", make_at())
        content = (tmp_path / "b" / name).read_bytes()
    if content == b"pair":
        pair = make_folder_for(WORKER, tmp_path / "w1", make_at())
        content = (pair / "cert.pem").read_bytes()
    (tmp_path / "a" / name).write_bytes(content)

    with pytest.raises(Unusable, match=sentence):
        read_authority(tmp_path / "a")


def test_a_key_of_an_authority_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """It may have been copied, so nothing is issued with it."""
    write_authority(tmp_path, make_at())
    (tmp_path / "ca-key.pem").chmod(0o644)

    with pytest.raises(Unusable, match="others than its owner may read"):
        read_authority(tmp_path)


def test_a_pair_does_not_go_into_the_folder_of_an_authority(tmp_path: Path) -> None:
    """That folder stays where it is; those of pairs are copied to other machines."""
    authority = make_at()
    write_authority(tmp_path, authority)

    with pytest.raises(Unusable, match="a pair needs a folder of its own"):
        write_pair(tmp_path, issue_pair(authority, WORKER, NOW, 3))


def test_a_certificate_is_replaced_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sees a new certificate finds the key and the authorities that belong to it."""
    replaced: list[str] = []
    real = os.replace

    def noting(source: Path, target: Path) -> None:
        replaced.append(target.name)
        real(source, target)

    monkeypatch.setattr(os, "replace", noting)
    make_folder_for(WORKER, tmp_path, make_at())

    assert replaced == ["ca.pem", "key.pem", "cert.pem"]


def test_while_a_pair_is_renewed_a_reader_finds_whole_files(tmp_path: Path) -> None:
    """Each file can be read at any moment, and key and certificate belong together soon after."""
    authority = make_at()
    make_folder_for(WORKER, tmp_path, authority)
    done = threading.Event()
    found: list[bool] = []
    failures: list[Exception] = []

    def look() -> None:
        try:
            while not done.is_set():
                certificate = read_certificates(tmp_path, "cert.pem")[0]
                key = read_key(tmp_path, "key.pem")
                read_certificates(tmp_path, "ca.pem")
                found.append(key.public_key() == certificate.public_key())
        except Exception as error:
            failures.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(100):
        make_folder_for(WORKER, tmp_path, authority)
    done.set()
    reader.join()

    assert failures == []
    assert len(found) > 10
    assert any(found)
    key, certificate = read_key(tmp_path, "key.pem"), read_certificates(tmp_path, "cert.pem")[0]
    assert key.public_key() == certificate.public_key()
