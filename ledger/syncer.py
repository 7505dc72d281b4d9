"""A process that waits for the disk in the daemon's stead.

``fdatasync`` blocks for a tenth of a millisecond to many. A thread could wait for it, but a thread
that wakes up in a busy interpreter fights for its lock: measured here, that slowed each command by
a third. So the daemon writes a group into the page cache itself, which is quick, and this process,
which holds the same open file, syncs it and says how that went.

One request is on its way at a time: a byte, with the descriptor of a segment beside it whenever
that is another one than before; the answer is the error number, 0 for none. The process ends when
its parent closes the socket or dies.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ANSWER = struct.Struct(">i")
_REQUEST = b"s"


class Syncer:
    """The daemon's end: starts the process and asks it to sync."""

    def __init__(self) -> None:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        source = str(Path(__file__).resolve().parent.parent)
        known = os.environ.get("PYTHONPATH")
        environment = dict(os.environ)
        environment["PYTHONPATH"] = f"{source}{os.pathsep}{known}" if known else source
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ledger.syncer"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
            )
        self._socket = mine
        self._segment = -1

    def fileno(self) -> int:
        """The descriptor that becomes readable when an answer is there."""
        descriptor: int = self._socket.fileno()
        return descriptor

    @property
    def process_id(self) -> int:
        """The process's number."""
        return self._process.pid

    def request(self, descriptor: int, segment: int) -> None:
        """Ask for a sync of a segment.

        Args:
            descriptor: of the open segment.
            segment: a number that no other segment of this book had, since descriptors recur.

        Raises:
            OSError: the process is gone.
        """
        if segment == self._segment:
            self._socket.send(_REQUEST)
        else:
            socket.send_fds(self._socket, [_REQUEST], [descriptor])
            self._segment = segment

    def result(self) -> None:
        """Take the answer, waiting for it if need be.

        Raises:
            OSError: syncing failed, or the process is gone and nobody knows.
        """
        answer = self._socket.recv(ANSWER.size)
        if len(answer) != ANSWER.size:
            raise OSError("the process that syncs the journal is gone")
        (number,) = ANSWER.unpack(answer)
        if number:
            raise OSError(number, os.strerror(number))

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait()


def main() -> int:
    """Sync what is asked for until the parent is gone."""
    from ledger.follower import die_with_parent  # noqa: PLC0415 - the parent needs none of it

    die_with_parent()
    # A parent that was killed with an answer unread leaves a reset, or nobody to answer.
    with suppress(ConnectionError):
        _serve(socket.socket(fileno=os.dup(0)))
    return 0


def _serve(channel: socket.socket) -> None:
    descriptor = -1
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, len(_REQUEST), 1)
        if not request:
            return
        if descriptors:
            if descriptor >= 0:
                os.close(descriptor)
            descriptor = descriptors[0]
        number = 0
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            number = error.errno or -1
        channel.send(ANSWER.pack(number))


if __name__ == "__main__":
    raise SystemExit(main())
