"""A credentials folder: what is read of it, and what is refused."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

import catena
from catena.errors import CredentialsError
from catena.events import CredentialsFailed
from catena.security import credentials as module
from catena.security.credentials import CredentialFiles, Credentials
from catena.testing import recording
from tests.security.making import Authority, write_folder
from tests.support import run

AUTHORITY = Authority()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as it should be."""
    return AUTHORITY.fill(tmp_path / "certs", "alice.jobs.catena")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misfit is no rotation for long."""
    monkeypatch.setattr(module, "PAIR_SECONDS", 0.05)


def refusal(folder: Path) -> CredentialsError:
    """Return the error that reading a folder raises; it was announced once."""
    with recording(CredentialsFailed) as heard, pytest.raises(CredentialsError) as caught:
        Credentials(folder).read()
    assert [one.error for one in heard.of(CredentialsFailed)] == [caught.value]
    return caught.value


def test_the_files_are_read_as_they_are(folder: Path) -> None:
    """The bytes of all three, in a coroutine as well."""
    found = Credentials(folder).read()

    assert found.ca == AUTHORITY.pem
    assert found.cert == (folder / "cert.pem").read_bytes()
    assert found.key == (folder / "key.pem").read_bytes()
    assert run(Credentials(folder).read_soon()) == found


def test_each_reading_is_anew(folder: Path) -> None:
    """What was replaced is seen by the next reading, with nothing to restart."""
    credentials = Credentials(folder)
    before = credentials.read()
    AUTHORITY.fill(folder, "alice.jobs.catena")

    assert credentials.read().cert != before.cert


def test_a_folder_is_what_credentials_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: links are shared by equal ones: of one folder, also where the process moves away."""
    monkeypatch.chdir(folder.parent)
    here = Credentials("certs")
    monkeypatch.chdir("/")

    assert here == Credentials(folder)
    assert hash(here) == hash(Credentials(folder))
    assert here != Credentials(folder.parent)
    assert pickle.loads(pickle.dumps(here)) == here
    with pytest.raises(ValueError, match="needs a name"):
        Credentials("")


def test_no_representation_shows_the_key(folder: Path) -> None:
    """Whoever prints what was read does not print the key."""
    found = Credentials(folder).read()

    assert "PRIVATE" not in repr(found)
    assert "CERTIFICATE" in repr(found)


@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    """The folder, the file, and what the system says."""
    (folder / name).unlink()

    assert str(folder / name) in refusal(folder).text()
    assert "No such file" in refusal(folder).cause


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602, 0o660])
def test_a_key_that_others_may_read_is_refused(folder: Path, mode: int) -> None:
    """The error says which file, its mode, and the command that mends it."""
    (folder / "key.pem").chmod(mode)

    error = refusal(folder)
    assert error.where == str(folder / "key.pem")
    assert f"mode {mode:03o}" in error.cause
    assert "chmod 600" in error.cause


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of root")
def test_a_group_may_read_what_root_put_there(folder: Path) -> None:
    """Secrets that are mounted for a group are of that kind; those of a user are not."""
    (folder / "key.pem").chmod(0o640)
    assert Credentials(folder).read().key

    os.chown(folder / "key.pem", 1234, -1)
    assert "mode 640" in refusal(folder).cause


def test_authorities_that_are_none_are_refused(folder: Path) -> None:
    """Neither text that is no PEM nor bytes that are no text."""
    for found in (b"", b"no certificate", b"\xff\xfe"):
        write_folder(folder, ca=found)
        assert refusal(folder).where == str(folder / "ca.pem")


@pytest.mark.usefixtures("impatient")
def test_a_key_of_another_certificate_is_refused(folder: Path) -> None:
    """After some patience; the error names the folder and both files."""
    _, key = AUTHORITY.sign("alice.jobs.catena")
    write_folder(folder, key=key)

    error = refusal(folder)
    assert error.where == str(folder)
    assert error.cause == "cert.pem and key.pem are not a pair"
    with pytest.raises(CredentialsError, match="not a pair"):
        run(Credentials(folder).read_soon())


@pytest.mark.usefixtures("impatient")
def test_what_is_no_certificate_is_refused(folder: Path) -> None:
    """An empty file is half of a file that is being written; in the end it is an error."""
    write_folder(folder, cert=b"")

    assert "not a certificate and its key" in refusal(folder).cause


def test_a_key_with_a_password_is_refused(folder: Path) -> None:
    """Nobody is asked at a terminal."""
    pem = (folder / "key.pem").read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    write_folder(folder, key=locked)

    assert "has a password" in refusal(folder).cause


def test_two_files_that_are_replaced_one_after_the_other(folder: Path) -> None:
    """A rotation: who reads between the two waits for the second."""
    cert, key = AUTHORITY.sign("alice.jobs.catena")
    write_folder(folder, cert=cert)
    late = threading.Timer(0.1, write_folder, (folder,), {"key": key})
    late.start()

    assert Credentials(folder).read() == CredentialFiles(AUTHORITY.pem, cert, key)
    late.join()


def test_no_mixture_is_ever_read(folder: Path) -> None:
    """Rotations without end: each reading is one certificate with its own key."""
    pairs = [AUTHORITY.sign("alice.jobs.catena") for _ in range(4)]
    ended = threading.Event()

    def rotate() -> None:
        while not ended.is_set():
            for cert, key in pairs:
                write_folder(folder, cert=cert)
                ended.wait(0.001)
                write_folder(folder, key=key)
                ended.wait(0.02)

    write_folder(folder, cert=pairs[0][0], key=pairs[0][1])
    rotating = threading.Thread(target=rotate)
    rotating.start()
    try:
        found = [Credentials(folder).read() for _ in range(60)]
    finally:
        ended.set()
        rotating.join()
    assert {(one.cert, one.key) for one in found} <= set(pairs)
    assert len({one.cert for one in found}) > 1


def test_the_error_is_an_error_of_values() -> None:
    """Code that knows nothing of Catena catches it as such."""
    assert issubclass(catena.CredentialsError, ValueError)
