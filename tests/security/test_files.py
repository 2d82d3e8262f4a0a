"""Files of keys and certificates: their modes, and what a reader may find at any moment."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from catena.security.files import (
    NewFile,
    Unusable,
    check_secrecy,
    make_folder,
    read_file,
    write_files,
)

KEY, CERTIFICATE = NewFile("key.pem", b"key"), NewFile("cert.pem", b"certificate")


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def careless() -> Iterator[None]:
    """A process whose umask takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless")
def test_folders_and_keys_are_for_their_user_alone(tmp_path: Path) -> None:
    """Whatever the umask is; a certificate is no secret."""
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    write_files(folder, (KEY, CERTIFICATE), replace=False)

    assert [mode(one) for one in (folder.parent, folder)] == [0o700, 0o700]
    assert (mode(folder / "key.pem"), mode(folder / "cert.pem")) == (0o600, 0o644)


def test_a_key_is_secret_before_anything_is_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mode is that of the file's first moment, not one that is given to it later."""
    opened: list[tuple[int, int]] = []
    real = os.open

    def noting(path: Path, flags: int, mode: int = 0o777) -> int:
        handle = real(path, flags, mode)
        opened.append((stat.S_IMODE(os.fstat(handle).st_mode), os.fstat(handle).st_size))
        return handle

    monkeypatch.setattr(os, "open", noting)
    write_files(tmp_path, (KEY,), replace=True)

    assert opened == [(0o600, 0)]
    assert mode(tmp_path / "key.pem") == 0o600


def test_files_are_replaced_in_the_order_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets its name when all of them have been written."""
    moves: list[tuple[str, int]] = []
    real = os.replace

    def noting(source: Path, target: Path) -> None:
        moves.append((target.name, len(list(tmp_path.iterdir()))))
        real(source, target)

    monkeypatch.setattr(os, "replace", noting)
    write_files(tmp_path, (KEY, CERTIFICATE), replace=True)

    assert moves == [("key.pem", 2), ("cert.pem", 2)]


def test_a_reader_never_finds_half_a_file(tmp_path: Path) -> None:
    """While files are replaced again and again, every read gives one of the whole contents."""
    contents = [bytes([letter]) * 300_000 for letter in b"ab"]
    write_files(tmp_path, (NewFile("cert.pem", contents[0]),), replace=True)
    done = threading.Event()
    read: list[bytes] = []

    def look() -> None:
        while not done.is_set():
            read.append(read_file(tmp_path, "cert.pem"))

    reader = threading.Thread(target=look)
    reader.start()
    for turn in range(200):
        write_files(tmp_path, (NewFile("cert.pem", contents[turn % 2]),), replace=True)
    done.set()
    reader.join()

    assert set(read) <= set(contents)
    assert len(read) > 5
    assert [one.name for one in tmp_path.iterdir()] == ["cert.pem"]


def test_a_failure_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes neither the old files away nor leaves parts of new ones."""
    write_files(tmp_path, (KEY, CERTIFICATE), replace=True)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_files(tmp_path, (NewFile("key.pem", b"new"),), replace=True)

    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {
        "key.pem": b"key",
        "cert.pem": b"certificate",
    }


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    """Where one of the files is there already, none is written."""
    write_files(tmp_path, (CERTIFICATE,), replace=False)

    with pytest.raises(FileExistsError):
        write_files(tmp_path, (KEY, NewFile("cert.pem", b"new")), replace=False)

    assert [one.name for one in tmp_path.iterdir()] == ["cert.pem"]
    assert read_file(tmp_path, "cert.pem") == b"certificate"


def test_of_two_at_the_same_moment_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else writes the file after it was looked for: that one stays."""
    real = os.fsync

    def be_late(handle: int) -> None:
        real(handle)
        (tmp_path / "key.pem").write_bytes(b"theirs")

    monkeypatch.setattr(os, "fsync", be_late)
    with pytest.raises(FileExistsError):
        write_files(tmp_path, (KEY,), replace=False)

    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"key.pem": b"theirs"}


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """They could put their own files there; one that they may only read is fine."""
    tmp_path.chmod(0o755)
    make_folder(tmp_path)
    assert mode(tmp_path) == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="file is not a folder"):
        make_folder(tmp_path / "file")

    tmp_path.chmod(0o775)
    with pytest.raises(Unusable, match=f"others may write to {tmp_path}; run `chmod go-w"):
        make_folder(tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A folder without the file, no folder, and a file where a folder should be."""
    (tmp_path / "file").touch()

    with pytest.raises(Unusable, match=f"^{tmp_path} has no key.pem$"):
        read_file(tmp_path, "key.pem")
    with pytest.raises(Unusable, match=f"^there is no folder {tmp_path}/none$"):
        read_file(tmp_path / "none", "key.pem")
    with pytest.raises(Unusable, match=f"^{tmp_path}/file is not a folder$"):
        read_file(tmp_path / "file", "key.pem")


@pytest.mark.parametrize("permissions", [0o604, 0o620, 0o601, 0o644, 0o777])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, permissions: int) -> None:
    """Nobody else may; the sentence says what to do."""
    path = tmp_path / "key.pem"
    path.touch()
    path.chmod(0o600)
    check_secrecy(path)
    path.chmod(0o400)
    check_secrecy(path)

    path.chmod(permissions)
    with pytest.raises(Unusable, match=f"run `chmod 600 {path}`"):
        check_secrecy(path)


@pytest.mark.parametrize(
    ("owner", "permissions", "right"),
    [
        (0, 0o440, True),
        (0, 0o640, True),
        (0, 0o660, False),
        (0, 0o444, False),
        (1000, 0o600, True),
        (1000, 0o440, False),
    ],
)
def test_a_mounted_key_may_be_readable_by_its_group(
    monkeypatch: pytest.MonkeyPatch, owner: int, permissions: int, right: bool
) -> None:
    """A secret that is mounted into a container belongs to root and to the process's group."""
    status = SimpleNamespace(st_uid=owner, st_mode=stat.S_IFREG | permissions)
    monkeypatch.setattr(Path, "stat", lambda _: status)

    with nullcontext() if right else pytest.raises(Unusable, match="others than its owner"):
        check_secrecy(Path("key.pem"))
