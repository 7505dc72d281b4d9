"""The disk under the journal: it loses what was not synced, fails, and the machine dies on it."""

import errno
import os

from ledger.storage import Storage
from tests.ledger.failing import Killed, PowerCut

MEBIBYTE = 1 << 20


class _Unsynced(Storage):
    """Waiting for the real disk would prove nothing: what a cut takes is kept track of instead."""

    def sync(self, descriptor):
        pass

    def sync_folder(self, folder):
        pass


class Disk(PowerCut, _Unsynced):
    """Counts its operations, and has one of them go wrong.

    Attributes:
        fate: how the operation goes wrong whose turn it is: ``dies before``, ``dies after``,
            ``fails`` or ``is short``; None for not at all.
        left: operations until then.
        low: True while there is no room for a further segment.
        happened: what went wrong so far.
    """

    def __init__(self):
        super().__init__()
        self.fate = None
        self.left = 0
        self.low = False
        self.happened = []

    def plan(self, fate, operations):
        """Have an operation go wrong, so many from now."""
        self.fate, self.left = fate, operations

    def free_bytes(self, _folder):
        return 0 if self.low else 1024 * MEBIBYTE

    def create(self, path):
        return self._operation("create", path)

    def open(self, path):
        return self._operation("open", path)

    def write(self, descriptor, parts, offset):
        if self._is_turn("is short"):
            whole = b"".join(parts)
            super().write(descriptor, [whole[: len(whole) // 2]], offset)
            self._happens()
            raise OSError(errno.EIO, "only a part of it was written; the disk may be full")
        self._operation("write", descriptor, parts, offset)

    def sync(self, descriptor):
        self._operation("sync", descriptor)

    def truncate(self, descriptor, length):
        self._operation("truncate", descriptor, length)

    def rename(self, old, new):
        self._operation("rename", old, new)

    def remove(self, path):
        self._operation("remove", path)

    def sync_folder(self, folder):
        self._operation("sync_folder", folder)

    def _is_turn(self, fate):
        return self.left == 1 and self.fate == fate

    def _happens(self):
        self.happened.append(self.fate)
        self.fate, self.left = None, 0

    def _operation(self, name, *arguments):
        if self._is_turn("dies before"):
            self._happens()
            raise Killed(name)
        if self._is_turn("fails") or self._is_turn("is short"):
            self._happens()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done = getattr(super(), name)(*arguments)
        if self._is_turn("dies after"):
            self._happens()
            raise Killed(name)
        if self.left:
            self.left -= 1
        return done


class LyingDisk(Disk):
    """Says that it has synced, and has not: the next cut takes that too."""

    def sync(self, descriptor):
        unsynced, self._unsynced = self._unsynced, {}
        super().sync(descriptor)
        self._unsynced = unsynced
