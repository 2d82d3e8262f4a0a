"""A folder with one worker's credentials, which is gone when nobody needs it any more.

Whoever made it takes it away. Where that process is killed, a shell does so that waits for the
end of the last process that holds the folder's *lifeline*, the writing end of a pipe. Engines kill
what their own processes have started, so that shell is nobody's child. Where all of them end at
once, the next pool of this user on the machine removes the folder, as it does with those of
sockets.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from catena.pool.held import hold_descriptor, let_go
from catena.pool.socket_dir import SocketDirectory
from catena.security.credentials import CredentialFiles
from catena.security.files import CA, CERTIFICATE, KEY, NewFile, write_files

_CLEANER = """\
exec 3<&0 </dev/null >/dev/null 2>&1
cd /
(trap '' HUP INT TERM; while read -r line <&3; do :; done; rm -rf -- "$1") &
"""


class PrivateFolder:
    """A new folder for this user alone, with the files of credentials.

    ``lifeline`` is a descriptor for those processes that need the folder. Raises OSError when none
    can be made.
    """

    def __init__(self, files: CredentialFiles) -> None:
        self._directory = SocketDirectory()
        self.path: Path = self._directory.path
        self.lifeline = -1
        try:
            reading, writing = os.pipe()
            self.lifeline = hold_descriptor(writing)
            try:
                _start_cleaner(self.path, reading)
            finally:
                os.close(reading)
            written = ((CA, files.ca), (KEY, files.key), (CERTIFICATE, files.cert))
            write_files(self.path, [NewFile(*one) for one in written], replace=False)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Take the folder away; doing it twice is fine."""
        self._directory.remove()
        lifeline, self.lifeline = self.lifeline, -1
        if lifeline >= 0:
            with contextlib.suppress(OSError):
                let_go(lifeline)


def _start_cleaner(path: Path, lifeline: int) -> None:
    subprocess.run(  # noqa: S603 - our own command
        ["/bin/sh", "-c", _CLEANER, "catena-cleaner", str(path)],
        stdin=lifeline,
        start_new_session=True,
        check=True,
    )
