"""Aliases that a daemon keeps in memory are those of the tables, and what is newer wins."""

import pytest
from ledger_load import SMALL

from engine.records import Alias
from ledger import codec, schema
from ledger.book import Book
from ledger.model import Entry, values_of

KEYS = [schema.alias("C", bytes((number,)) * 16) for number in range(5)]


def put(book, rows):
    """Stage an entry that changed these rows."""
    sequence = book.sequence + 1
    entry = Entry(sequence, 1, 20260101, b"", "test", (), (0,), (), ())
    packed = {key: None if row is None else codec.pack_record(row) for key, row in rows.items()}
    book.stage(sequence, 1, 20260101, codec.pack_entry(values_of(entry)), rows, packed)


@pytest.fixture
def book(folder):
    made = Book.open(folder, follower=False, limits=SMALL)
    put(made, {key: Alias(f"M{number}", "active", b"") for number, key in enumerate(KEYS)})
    made.close()
    made = Book.open(folder, follower=False, limits=SMALL)
    yield made
    made.close()


def test_all_aliases_are_taken_and_told_as_the_tables_have_them(book):
    assert book.view.keep_aliases(60.0) == len(KEYS)
    for _ in range(2):
        assert [book.view.get(key).member for key in KEYS] == ["M0", "M1", "M2", "M3", "M4"]


def test_a_changed_and_a_removed_alias_are_seen_before_and_after_the_fold(book):
    book.view.keep_aliases(60.0)
    put(book, {KEYS[0]: Alias("M9", "lost", b""), KEYS[1]: None})
    for _ in range(2):
        assert book.view.get(KEYS[0]).state == "lost"
        assert book.view.get(KEYS[1]) is None
        assert book.view.get(KEYS[2]).member == "M2"
        book.flush()
        book._fold()
    assert not book.view.overlay
