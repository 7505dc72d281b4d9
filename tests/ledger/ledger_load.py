"""Postings for tests of the ledger, and a writer to be killed.

Run as a program it opens the book of its first argument and posts until it is killed, telling each
durable sequence number on a line of its own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from ledger import codec, schema
from ledger.book import Book, Limits
from ledger.journal import Reader, durable_end
from ledger.model import Entry, values_of

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


def read_groups(folder, after=0):
    """The groups behind a sequence number, to the durable end."""
    with Reader(folder, after) as reader:
        yield from reader.groups(durable_end(folder))
