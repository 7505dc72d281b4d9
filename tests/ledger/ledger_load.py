"""Postings for tests of the ledger, storages that fail, and a writer to be killed.

Run as a program it opens the book of its first argument and posts until it is killed, telling each
durable sequence number on a line of its own.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ledger import codec, schema
from ledger.book import Book, Limits
from ledger.model import Entry, values_of
from ledger.storage import Storage

TABLE = 200
SMALL = Limits(
    segment_bytes=64 << 10,
    segment_bytes_alone=64 << 10,
    fold_seconds=0.1,
    disk_free_bytes_min=1,
)


@dataclass(slots=True)
class Note:
    """A row of a table that only these tests have."""

    text: str
    number: int


codec.register(TABLE, Note)


def note_key(name):
    return bytes((TABLE,)) + name.encode()


def stage(book, changes=None, amount=1, at=None):
    """Post `amount` from Rounding to Bank, and change notes: name to number, None to remove."""
    sequence = book.sequence + 1
    at = max(book.last_at, sequence * 10) if at is None else at
    postings = (("Bank", "156", amount), ("Rounding", "156", -amount))
    entry = Entry(sequence, at, 20260101, b"", "test", (sequence,), (0,), postings, ())
    records, packed = {}, {}
    for account, _, moved in postings:
        key = schema.balance(account)
        records[key] = packed[key] = (book.view.get(key) or 0) + moved
    for name, number in (changes or {}).items():
        key = note_key(name)
        records[key] = None if number is None else Note(name, number)
        packed[key] = None if number is None else codec.pack_record(records[key])
    book.stage(sequence, entry.at, entry.date, codec.pack_entry(values_of(entry)), records, packed)
    return sequence


def post(book, count, **changes):
    """Post `count` entries, each a group of its own."""
    for _ in range(count):
        stage(book, changes)
        book.flush()


def notes(source):
    return {key[1:].decode(): row.number for key, row in source.scan(bytes((TABLE,)))}


def bank(book):
    return book.view.get(schema.balance("Bank")) or 0


def crash(book):
    """Let a book go as a killed process would: nothing is flushed, cut or folded."""
    book._abandon()


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


def main(folder, how):
    book = Book.open(Path(folder), follower=how == "follower", limits=SMALL)
    sys.stdout.write(f"{book.durable}\n")
    number = 0
    while True:
        for _ in range(number % 7 + 1):
            number += 1
            stage(book, {f"n{number % 50}": number})
        book.flush()
        book.refresh()
        sys.stdout.write(f"{book.durable}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
