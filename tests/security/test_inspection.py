"""What is said of a credentials folder: what it holds, and what is wrong with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from catena.security import handshake
from catena.security.authority import Authority, Pair, write_authority, write_pair
from catena.security.files import Unusable
from catena.security.inspection import inspect_folder
from catena.security.names import name_caller
from tests.security.pairs import CALLER, NOW, WORKER, make_at, make_folder_for

PEM = serialization.Encoding.PEM
W1 = x509.SubjectAlternativeName([x509.DNSName("w1.shop.catena")])
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def named(text: str) -> x509.Name:
    """A subject with a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def as_pem(key: Key, password: bytes = b"") -> bytes:
    """A key as PEM, encrypted where there is a password."""
    kind = serialization.BestAvailableEncryption(password) if password else None
    encryption = kind or serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption)


def certify(
    key: Key, above: Authority | None, *extensions: x509.ExtensionType, ca: bool = False
) -> x509.Certificate:
    """A certificate as other authorities issue it, with these extensions; its own without one."""
    subject = named(f"subject {key.key_size} {ca} {above is None}")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if above is None else above.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    for one in extensions:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(key if above is None else above.key, hashes.SHA256())


def write_foreign(
    folder: Path, above: Authority, *extensions: x509.ExtensionType, ca: Authority | None = None
) -> Path:
    """Write the folder of a pair that another authority issued, which ``ca`` stands above."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = certify(key, above, *extensions)
    authorities = (ca or above).certificate.public_bytes(PEM)
    write_pair(folder, Pair(certificate, authorities, as_pem(key)))
    return folder


def test_a_good_pair_is_shown_with_its_authority(tmp_path: Path) -> None:
    """Whose it is, what for, and who issued it; nothing is wrong."""
    authority = make_at()
    worker = inspect_folder(make_folder_for(WORKER, tmp_path / "w", authority), NOW)
    caller = inspect_folder(make_folder_for(CALLER, tmp_path / "c", authority), NOW)

    assert (worker.names, worker.takes_calls, worker.makes_calls) == (
        ("w1.shop.catena",),
        True,
        True,
    )
    assert (caller.names, caller.takes_calls, caller.makes_calls) == (
        ("caller.shop.catena",),
        False,
        True,
    )
    for found in (worker, caller):
        assert found.authority == authority.certificate
        assert (found.problems, found.warnings) == ((), ())


def delete_key(folder: Path) -> None:
    """No key is there."""
    (folder / "key.pem").unlink()


def delete_authorities(folder: Path) -> None:
    """No ca.pem is there."""
    (folder / "ca.pem").unlink()


def expose_key(folder: Path) -> None:
    """Everybody may read the key."""
    (folder / "key.pem").chmod(0o644)


def exchange_key(folder: Path) -> None:
    """The key is another one."""
    (folder / "key.pem").write_bytes(as_pem(ec.generate_private_key(ec.SECP256R1())))


def encrypt_key(folder: Path) -> None:
    """The key has a password."""
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "key.pem").write_bytes(as_pem(key, b"secret"))


def exchange_authority(folder: Path) -> None:
    """The authority is another one."""
    (folder / "ca.pem").write_bytes(make_at().certificate.public_bytes(PEM))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (delete_key, "has no key.pem"),
        (delete_authorities, "has no ca.pem"),
        (expose_key, "run `chmod 600 "),
        (exchange_key, "the key does not belong to the certificate"),
        (encrypt_key, "is not an unencrypted private key"),
        (exchange_authority, "ca.pem has issued the certificate"),
    ],
)
def test_what_is_wrong_is_a_sentence(
    tmp_path: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    """One thing is wrong, and one sentence says so."""
    make_folder_for(WORKER, tmp_path, make_at())
    damage(tmp_path)

    (problem,) = inspect_folder(tmp_path, NOW).problems
    assert sentence in problem
    assert "secret" not in problem


def test_everything_that_is_wrong_is_said(tmp_path: Path) -> None:
    """Two mistakes are two sentences."""
    make_folder_for(WORKER, tmp_path, make_at())
    exchange_key(tmp_path)
    exchange_authority(tmp_path)

    assert len(inspect_folder(tmp_path, NOW).problems) == 2


def test_times_are_checked_of_pair_and_authority(tmp_path: Path) -> None:
    """A pair that has ended, or not begun; an authority that has ended."""
    folder = make_folder_for(WORKER, tmp_path, make_at(days=60), days=30)

    def problems(days: int) -> list[str]:
        return list(inspect_folder(folder, NOW + timedelta(days=days)).problems)

    assert problems(29) == []
    (ended,) = problems(31)
    assert ended.startswith("the certificate was valid until ")
    assert ended.endswith("; issue it anew")
    both = problems(61)
    assert len(both) == 2
    assert both[0].startswith("the authority Catena development authority ")
    early = problems(-1)
    assert "the certificate is not valid before" in early[1]


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (22.0, None),
        (23.0, "in 7 days"),
        (24.5, "in 5 days"),
        (29.0, "in 1 day, "),
        (29.5, "in less than a day"),
        (31.0, None),
    ],
)
def test_an_end_that_is_near_is_warned_of(tmp_path: Path, days: float, words: str | None) -> None:
    """From seven days before; what has ended is a problem instead."""
    folder = make_folder_for(WORKER, tmp_path, make_at(days=300), days=30)
    found = inspect_folder(folder, NOW + timedelta(days=days))

    assert [words in one for one in found.warnings if words] == ([True] if words else [])
    assert len(found.warnings) == (words is not None)
    assert bool(found.problems) is (days > 30)


def test_an_authority_that_ends_soon_is_warned_of(tmp_path: Path) -> None:
    """A new pair ends with it, so both are named."""
    folder = make_folder_for(WORKER, tmp_path, make_at(days=3))

    certificate, authority = inspect_folder(folder, NOW).warnings
    assert certificate.startswith("the certificate ends in 3 days, at ")
    assert authority.startswith("the authority Catena development authority ")


# ---- pairs of other authorities


def test_a_pair_that_names_no_use_may_do_both(tmp_path: Path) -> None:
    """Without an extended key usage there is no limit; RSA is as good as any other key."""
    found = inspect_folder(write_foreign(tmp_path, make_at(), W1), NOW)

    assert (found.takes_calls, found.makes_calls) == (True, True)
    assert (found.problems, found.warnings) == ((), ())


def test_a_pair_that_may_make_no_calls_is_wrong(tmp_path: Path) -> None:
    """Authorities often issue certificates for servers alone; workers call, too."""
    usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
    found = inspect_folder(write_foreign(tmp_path, make_at(), W1, usage), NOW)

    assert (found.takes_calls, found.makes_calls) == (True, False)
    (problem,) = found.problems
    assert "lacks clientAuth" in problem


@pytest.mark.parametrize("names", [[], ["www.example.org"], ["catena"]])
def test_a_pair_without_a_name_of_ours_is_warned_of(tmp_path: Path, names: list[str]) -> None:
    """It may be good for something, but nobody is named by it here."""
    listed = [x509.SubjectAlternativeName([x509.DNSName(one) for one in names])] if names else []
    found = inspect_folder(write_foreign(tmp_path, make_at(), *listed), NOW)

    assert found.names == tuple(names)
    (warning,) = found.warnings
    assert "no name in a pool" in warning
    assert found.problems == ()


def test_a_pair_with_a_spiffe_id_has_a_name(tmp_path: Path) -> None:
    """That is enough for a caller."""
    holder = name_caller("", spiffe="spiffe://example.org/web")
    found = inspect_folder(make_folder_for(holder, tmp_path, make_at()), NOW)

    assert (found.names, found.warnings, found.problems) == ((holder.spiffe,), (), ())


def make_two() -> tuple[Authority, Authority]:
    """An authority, and one below it that issues pairs."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    root = Authority(certify(keys[0], None, ca=True), keys[0])
    return root, Authority(certify(keys[1], root, ca=True), keys[1])


def test_an_intermediate_authority_stands_in_the_chain(tmp_path: Path) -> None:
    """A pair is good when the authorities between it and the one in ca.pem are in cert.pem."""
    root, middle = make_two()
    write_foreign(tmp_path, middle, W1, ca=root)

    (problem,) = inspect_folder(tmp_path, NOW).problems
    assert "has issued the certificate" in problem

    with (tmp_path / "cert.pem").open("ab") as file:
        file.write(middle.certificate.public_bytes(PEM))
    found = inspect_folder(tmp_path, NOW)
    assert found.problems == ()
    assert found.authority == root.certificate


def test_an_intermediate_authority_may_be_the_one_that_is_trusted(tmp_path: Path) -> None:
    """As with gRPC, the authority in ca.pem needs not be a root."""
    _, middle = make_two()
    found = inspect_folder(write_foreign(tmp_path, middle, W1), NOW)

    assert found.problems == ()
    assert found.authority == middle.certificate


def test_a_handshake_finds_what_no_field_shows(tmp_path: Path) -> None:
    """The key of a pair has signed a pair: each field looks right, and every peer refuses it."""
    key = ec.generate_private_key(ec.SECP256R1())
    no_authority = Authority(certify(key, None, ca=False), key)
    found = inspect_folder(write_foreign(tmp_path, no_authority, W1), NOW)

    assert len(found.problems) == 2
    assert found.problems[0].startswith("workers would refuse the certificate: ")
    assert found.problems[1].startswith("callers would refuse the certificate: ")


# ---- files


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff"])
def test_without_a_certificate_there_is_nothing_to_show(tmp_path: Path, content: bytes) -> None:
    """An empty file, another one, none at all, an authority, and no folder."""
    make_folder_for(WORKER, tmp_path / "w1", make_at())
    (tmp_path / "w1" / "cert.pem").write_bytes(content)

    with pytest.raises(Unusable, match=r"cert\.pem holds no certificate in PEM"):
        inspect_folder(tmp_path / "w1", NOW)
    with pytest.raises(Unusable, match=r"has no cert\.pem"):
        inspect_folder(tmp_path, NOW)
    write_authority(tmp_path / "a", make_at())
    with pytest.raises(Unusable, match="holds an authority and no pair"):
        inspect_folder(tmp_path / "a", NOW)
    shutil.rmtree(tmp_path / "w1")
    with pytest.raises(Unusable, match="there is no folder"):
        inspect_folder(tmp_path / "w1", NOW)


def test_a_handshake_that_does_not_end_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ends that only wait for each other are not waited for."""
    make_folder_for(WORKER, tmp_path, make_at())
    monkeypatch.setattr(handshake, "_ROUNDS", 1)

    assert len(inspect_folder(tmp_path, NOW).problems) == 2
    assert "does not end" in inspect_folder(tmp_path, NOW).problems[0]
