"""Files of certificates and keys: written so that nobody reads half of one, and no key is exposed.

A *credentials folder* has three files: ``ca.pem`` with the authorities that peers are checked
against, ``cert.pem`` with the certificate of this process and the chain above it, and ``key.pem``
with the private key. An authority's own folder has ``ca.pem`` and ``ca-key.pem``.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from catena.ids import new_id

CA, CERTIFICATE, KEY, CA_KEY = "ca.pem", "cert.pem", "key.pem", "ca-key.pem"
"""The names of the files."""

_FOLDER_MODE = 0o700
_PUBLIC_MODE, _SECRET_MODE = 0o644, 0o600
_SECRETS = (KEY, CA_KEY)


class Unusable(ValueError):
    """A folder or a file cannot be used, or may not be replaced; the text is a sentence."""


class NewFile(NamedTuple):
    """A file that is to be written: its name, and what shall be in it."""

    name: str
    content: bytes


def make_folder(folder: Path) -> None:
    """Make a folder for this user alone, and those above it that are missing.

    One that is there stays as it is. That others may write to it, or that it is something else, is
    Unusable.
    """
    if folder.is_dir():
        if folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Unusable(f"others may write to {folder}; run `chmod go-w {folder}` first")
        return
    if folder.exists():
        raise Unusable(f"{folder} is not a folder")
    if folder.parent != folder and not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(_FOLDER_MODE)


def write_files(folder: Path, files: Sequence[NewFile], *, replace: bool) -> None:
    """Put files into a folder, each of them at once and in the order given.

    All are written under other names first, keys readable by this user alone. Unless ``replace`` is
    true, FileExistsError ends it when one of them is there already, and none is touched.
    """
    for path in (folder / one.name for one in files):
        if not replace and path.exists():
            raise FileExistsError(errno.EEXIST, "there is such a file already", str(path))
    # A hard link is refused where somebody else has taken its name in the meantime.
    place = os.replace if replace else os.link
    written = [folder / f".{one.name}.{new_id().hex()}" for one in files]
    try:
        for path, one in zip(written, files, strict=True):
            _write_file(path, one.content, _SECRET_MODE if one.name in _SECRETS else _PUBLIC_MODE)
        for path, one in zip(written, files, strict=True):
            place(path, folder / one.name)
    finally:
        for path in written:
            path.unlink(missing_ok=True)


def _write_file(path: Path, content: bytes, mode: int) -> None:
    """Write a new file, and wait until it is on the disk: it may take the place of a good one."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_file(folder: Path, name: str) -> bytes:
    """Return what a file of a folder contains; that either is missing is Unusable."""
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        missing = f"{folder} has no {name}" if folder.is_dir() else f"there is no folder {folder}"
        raise Unusable(missing) from None
    except NotADirectoryError:
        raise Unusable(f"{folder} is not a folder") from None


def check_secrecy(path: Path) -> None:
    """Raise Unusable when others than its owner may read or change the file of a key.

    A key of the superuser may be readable by its group: so secrets are mounted into containers.
    """
    status = path.stat()
    if status.st_mode & (0o037 if status.st_uid == 0 else 0o077):
        raise Unusable(
            f"others than its owner may read or change {path}; run `chmod 600 {path}`, and make"
            " another key if somebody may have copied this one"
        )
