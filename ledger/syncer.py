"""A process that writes the journal and waits for the disk in the daemon's stead.

``fdatasync`` blocks for a tenth of a millisecond to many. A thread could wait for it, but a thread
that wakes up in a busy interpreter fights for its lock: measured here, that slowed each command by
a third. Copying a group into the page cache, and zeros into the next segment, is the system's work
and a tenth of the daemon's time; hashing it is another fortieth. So the daemon puts the frame of a
group into memory that it shares with this process, which holds the same open file, hashes it,
writes it with its hash behind it and syncs it, and says how that went; and fills the next segment
at the pace of the one in use.

One request is on its way at a time, with the descriptor of a segment beside it whenever that is
another one than before. The process ends when its parent closes the socket or dies, and holds a
lock until then: a new daemon begins when nobody can write to the journal any more.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import select
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ledger import companion
from ledger.priority import answer_promptly
from ledger.segment import trailer
from ledger.spare import Spare
from ledger.storage import MEBIBYTE, Storage

SHARED_BYTES = 4 * MEBIBYTE
"""Room for a group; a larger one goes in pieces."""

REQUEST = struct.Struct(">cQQ")
"""What is asked for, an offset in the segment, and a length; see the constants below."""

ANSWER = struct.Struct(">i?32s")
"""Error number, 0 for none; whether the next segment could not be prepared; SHA-256 of the frame
that was written last; then the error's text in UTF-8."""

_WRITE = b"w"
"""Write `length` bytes of the shared memory at `offset`: the beginning of a frame."""

_COMMIT = b"c"
"""The same with its end, the frame's trailer behind it, and sync the segment."""

_TAKE = b"t"
"""Have the next segment ready, of `length` bytes at least."""

_RETRY = b"r"
"""Try again to prepare the next segment, the one in use being filled up to `offset`."""

_TEXT_BYTES_MAX = 200


class Syncer:
    """The daemon's end: starts the process and gives it groups.

    Attributes:
        failed: whether the next segment could not be prepared, as last heard.
    """

    def __init__(self, spare: Path, segment_bytes: int, lock: int) -> None:
        """Start the process.

        Args:
            spare: path of the next segment.
            segment_bytes: its size.
            lock: descriptor of a lock for the process to hold as long as it lives.
        """
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memory = os.memfd_create("counterfoil-group")
        os.ftruncate(memory, SHARED_BYTES)
        with theirs:
            self._process = companion.start(
                "ledger.syncer",
                *(str(spare.resolve()), str(segment_bytes), str(memory)),
                stdin=theirs.fileno(),
                keep=(memory, lock),
            )
        self._socket = mine
        self._shared = mmap.mmap(memory, SHARED_BYTES)
        os.close(memory)
        self._spare = spare
        self._segment = -1
        self.failed = False

    def fileno(self) -> int:
        """The descriptor that becomes readable when an answer is there."""
        descriptor: int = self._socket.fileno()
        return descriptor

    @property
    def process_id(self) -> int:
        """The process's number."""
        return self._process.pid

    def request(self, descriptor: int, segment: int, parts: Sequence[bytes], offset: int) -> None:
        """Ask for a frame to be written, and for a sync of the segment.

        Args:
            descriptor: of the open segment.
            segment: a number that no other segment of this book had, since descriptors recur.
            parts: of the frame, but for its trailer, to be written one after another.
            offset: where, in the segment.

        Raises:
            OSError: the process is gone, or could not write the beginning of what is large.
        """
        if sum(map(len, parts)) > SHARED_BYTES:
            whole = b"".join(parts)
            while len(whole) > SHARED_BYTES:
                self._share([whole[:SHARED_BYTES]])
                self._send(descriptor, segment, _WRITE, offset, SHARED_BYTES)
                self.result()
                whole = whole[SHARED_BYTES:]
                offset += SHARED_BYTES
            parts = [whole]
        self._send(descriptor, segment, _COMMIT, offset, self._share(parts))

    def _share(self, parts: Sequence[bytes]) -> int:
        """Put parts one after another into the shared memory; returns how long they are."""
        shared = self._shared
        begin = 0
        for part in parts:
            end = begin + len(part)
            shared[begin:end] = part
            begin = end
        return begin

    def _send(self, descriptor: int, segment: int, kind: bytes, offset: int, length: int) -> None:
        request = REQUEST.pack(kind, offset, length)
        if segment == self._segment:
            self._socket.send(request)
        else:
            socket.send_fds(self._socket, [request], [descriptor])
            self._segment = segment

    def result(self) -> bytes:
        """Take the answer, waiting for it if need be.

        Returns:
            SHA-256 of the frame that was written last.

        Raises:
            OSError: writing or syncing failed, or the process is gone and nobody knows.
        """
        answer = self._received()
        if len(answer) < ANSWER.size:
            raise OSError("the process that writes the journal is gone")
        number: int
        digest: bytes
        number, self.failed, digest = ANSWER.unpack_from(answer)
        if number:
            raise OSError(number, answer[ANSWER.size :].decode("utf-8", "replace"))
        return digest

    def _received(self) -> bytes:
        try:
            return self._socket.recv(ANSWER.size + _TEXT_BYTES_MAX)
        except BlockingIOError:  # an event loop that watches a descriptor makes it non-blocking
            waiting = select.poll()
            waiting.register(self._socket, select.POLLIN)
            waiting.poll()
            return self._socket.recv(ANSWER.size + _TEXT_BYTES_MAX)

    # The next segment, as `ledger.spare.Spare` has it.

    def take(self, size: int) -> Path:
        """A file of at least `size` zero bytes, synced, that nobody else has.

        Raises:
            OSError: it could not be made, or the process is gone.
        """
        self._socket.send(REQUEST.pack(_TAKE, 0, size))
        self.result()
        return self._spare

    def retry(self, used: int) -> None:
        """Begin filling again where it had failed; not while a request is on its way."""
        if self.failed:
            with suppress(OSError):  # that the process is gone is heard by who listens to it
                self._socket.send(REQUEST.pack(_RETRY, used, 0))
                self.result()

    def keep_up(self, used: int) -> None:
        """Nothing: the process knows how far the segment in use is."""

    def stop(self) -> None:
        """End the process."""
        if self._socket.fileno() >= 0:
            self._socket.close()
            self._process.wait()
            self._shared.close()


def main(arguments: list[str]) -> int:
    """Do what is asked for until the parent is gone."""
    spare, segment_bytes, memory = arguments
    companion.die_with_parent()
    answer_promptly()
    with mmap.mmap(int(memory), SHARED_BYTES) as shared:
        desk = _Desk(memoryview(shared), Spare(Path(spare), Storage(), int(segment_bytes)))
        # A parent that was killed with an answer unread leaves a reset, or nobody to answer.
        with suppress(ConnectionError):
            desk.serve(socket.socket(fileno=os.dup(0)))
        desk.close()
    return 0


class _Desk:
    """The process's end."""

    def __init__(self, shared: memoryview, spare: Spare) -> None:
        self._shared = shared
        self._spare = spare
        self._storage = Storage()
        self._descriptor = -1
        self._hashed = hashlib.sha256()
        self._digest = b""

    def serve(self, channel: socket.socket) -> None:
        """Answer requests until there is nobody to ask."""
        while True:
            request, descriptors, _, _ = socket.recv_fds(channel, REQUEST.size, 1)
            if not request:
                return
            if descriptors:
                if self._descriptor >= 0:
                    self._storage.close(self._descriptor)
                self._descriptor = descriptors[0]
            kind, offset, length = REQUEST.unpack(request)
            number, text = 0, ""
            try:
                self._do(kind, offset, length)
            except OSError as error:
                number, text = error.errno or errno.EIO, error.strerror or str(error)
            answer = ANSWER.pack(number, self._spare.failed, self._digest)
            channel.send(answer + text.encode()[:_TEXT_BYTES_MAX])
            if kind == _COMMIT:
                self._spare.keep_up(offset + length)

    def _do(self, kind: bytes, offset: int, length: int) -> None:
        if kind == _TAKE:
            self._spare.take(length)
        elif kind == _RETRY:
            self._spare.retry(offset)
        else:
            parts = [self._shared[:length]]
            self._hashed.update(parts[0])
            if kind == _COMMIT:
                self._digest = self._hashed.digest()
                self._hashed = hashlib.sha256()
                parts.append(memoryview(trailer(self._digest)))
            self._storage.write(self._descriptor, parts, offset)
            if kind == _COMMIT:
                self._storage.sync(self._descriptor)

    def close(self) -> None:
        """Let the shared memory and the next segment go."""
        self._spare.stop()
        self._shared.release()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
