"""Storages that fail, and processes that die at them."""

import errno
import os

from ledger.storage import Storage


class Killed(BaseException):
    """The process dies here."""


class Dying(Storage):
    """Dies at the n-th operation, before or after doing it; counts what it did."""

    def __init__(self, at=-1, *, before=True):
        self.at = at
        self.before = before
        self.done = []

    def _operation(self, name, *arguments):
        mine = len(self.done) == self.at
        if mine and self.before:
            self.at = -1
            raise Killed(name)
        self.done.append(name)
        result = getattr(Storage, name)(self, *arguments)
        if mine:
            self.at = -1
            raise Killed(name)
        return result


def _counted(name):
    def call(self, *arguments):
        return self._operation(name, *arguments)

    return call


for _name in ("create", "open", "write", "sync", "truncate", "rename", "remove", "sync_folder"):
    setattr(Dying, _name, _counted(_name))


class Failing(Storage):
    """Fails a chosen kind of operation once it is told to."""

    def __init__(self):
        self.fail = None
        self.error = errno.EIO
        self.free = 1 << 40

    def _maybe(self, name):
        if self.fail == name:
            raise OSError(self.error, os.strerror(self.error))

    def write(self, descriptor, parts, offset):
        if self.fail == "short":
            parts = [b"".join(parts)[:-7]]
            super().write(descriptor, parts, offset)
            raise OSError(errno.EIO, "short write")
        self._maybe("write")
        super().write(descriptor, parts, offset)

    def sync(self, descriptor):
        self._maybe("sync")
        super().sync(descriptor)

    def create(self, path):
        self._maybe("create")
        return super().create(path)

    def free_bytes(self, _folder):
        return self.free


class PowerCut(Storage):
    """Remembers what unsynced writes replaced, and takes back any part of it at `cut`."""

    def __init__(self):
        self._unsynced = {}
        self._renamed = []
        self.fail_sync = False

    def write(self, descriptor, parts, offset):
        data = b"".join(parts)
        old = os.pread(descriptor, len(data), offset).ljust(len(data), b"\0")
        inode = os.fstat(descriptor).st_ino
        kept = self._unsynced.setdefault(inode, (os.dup(descriptor), []))
        kept[1].append((offset, old))
        super().write(descriptor, parts, offset)

    def sync(self, descriptor):
        if self.fail_sync:
            raise OSError(errno.EIO, "the disk did not answer")
        super().sync(descriptor)
        kept = self._unsynced.pop(os.fstat(descriptor).st_ino, None)
        if kept:
            os.close(kept[0])

    def rename(self, old, new):
        replaced = new.read_bytes() if new.exists() else None
        super().rename(old, new)
        self._renamed.append((old, new, replaced))

    def sync_folder(self, folder):
        super().sync_folder(folder)
        self._renamed.clear()

    def cut(self, chance):
        """Lose each unsynced sector, and the last unsynced names, as `chance()` says."""
        for descriptor, writes in self._unsynced.values():
            for offset, old in reversed(writes):
                start = 0
                while start < len(old):
                    stop = min(len(old), start + 512 - (offset + start) % 512)
                    if chance():
                        os.pwrite(descriptor, old[start:stop], offset + start)
                    start = stop
            os.close(descriptor)
        self._unsynced.clear()
        for old, new, replaced in reversed(self._renamed):
            if not chance():
                break
            new.rename(old)
            if replaced is not None:
                new.write_bytes(replaced)
        self._renamed.clear()
