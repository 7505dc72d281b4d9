"""The journal's next segment, filled with zeros ahead of need.

A write into blocks that the file has already costs a sync of data alone; blocks that it has yet to
be given cost the file system's own journal as well.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from ledger.storage import ZEROS_PIECE, Storage, zeros


class Spare:
    """The next segment, filled with zeros ahead of need at the pace of the one in use.

    A thread writes a piece whenever the segment in use has grown, twice as much as was appended,
    so that filling is spread over the segment's life and done in its first half.
    """

    def __init__(self, path: Path, storage: Storage, size: int) -> None:
        self._path = path
        self._storage = storage
        self._size = size
        self._used = 0
        self._hurried = True
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.failed = False

    def keep_up(self, used: int) -> None:
        """Tell how far the segment in use is; starts the filling where it is time."""
        if used - self._used < ZEROS_PIECE // 2 and used >= self._used:
            return
        self._used = used
        filling = self._thread is not None and self._thread.is_alive()
        if not filling and not self._path.exists():
            self._stopping = self._hurried = False
            self._thread = threading.Thread(target=self._fill_ahead, daemon=True)
            self._thread.start()
        self._wake.set()

    def retry(self, used: int) -> None:
        """Begin filling again where it had failed."""
        if self.failed:
            self.failed = False
            self._used = 0
            self.keep_up(max(used, ZEROS_PIECE))

    def take(self, size: int) -> Path:
        """A file of at least `size` zero bytes, synced, that nobody else has.

        Raises:
            OSError: it could not be made.
        """
        self.stop(hurry=True)
        size = max(size, self._size)
        if not self._path.exists() or self._path.stat().st_size < size:
            for _ in self._fill(size):
                pass
        self._used = 0
        return self._path

    def stop(self, *, hurry: bool = False) -> None:
        """End the thread: at once, or after it has filled the file without pauses."""
        thread, self._thread = self._thread, None
        self._hurried = hurry
        if thread is None:
            return
        if hurry:
            self._used = self._size
        else:
            self._stopping = True
        self._wake.set()
        thread.join()

    def _fill_ahead(self) -> None:
        try:
            for filled in self._fill(self._size):
                while filled > 2 * self._used and not self._stopping:
                    self._wake.wait()
                    self._wake.clear()
                if self._stopping:
                    return
            self.failed = False
        except OSError:
            # Nothing of value was in it; the disk counts as low until a spare can be made.
            self.failed = True

    def _fill(self, size: int) -> Iterator[int]:
        """Make the file in pieces under a temporary name; yields bytes filled so far."""
        made = self._path.with_suffix(".tmp")
        descriptor = self._storage.create(made)
        try:
            for offset, piece in zeros(0, size):
                self._storage.write(descriptor, [piece], offset)
                if not self._hurried:
                    # Little by little, so that the one in use never waits for a mountain, and
                    # without a sync, which would hold up that one's.
                    self._storage.pass_on(descriptor, offset, len(piece))
                yield offset + len(piece)
            self._storage.sync(descriptor)
        except (OSError, GeneratorExit):
            # Half of it is of no use, and its room may be what is missing.
            made.unlink(missing_ok=True)
            raise
        finally:
            self._storage.close(descriptor)
        self._storage.rename(made, self._path)
        self._storage.sync_folder(self._path.parent)
