"""Backups of a book: whole, in increments, to a point, and what a damaged stream says."""

import io
import os
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_load import SMALL, notes, post

from ledger.audit import Audit, digest
from ledger.backup import BackupRefused, chain_differs, write_backup
from ledger.book import Book
from ledger.journal import chain_at
from ledger.keeping import Keeping, KeepingBusy
from ledger.restore import Point, RestoreRefused, restore
from ledger.segment import segments
from ledger.stream import StreamBroken
from ledger.tables import Snapshot


def grown(folder, count, number):
    """Post into a book, in segments of 64 KiB, and close it."""
    book = Book.open(folder, follower=False, limits=SMALL)
    for each in range(count):
        post(book, 1, **{f"n{each % 40}": number + each}, big=number)
    book.close()


def backup(folder, **options):
    file = io.BytesIO()
    head = write_backup(folder, file, **options)
    return head, file.getvalue()


def restored(streams, folder, point=None):
    sources = [(f"backup {number}", io.BytesIO(data)) for number, data in enumerate(streams)]
    return restore(sources, folder, point)


def content(folder):
    with Snapshot(folder) as snapshot:
        return snapshot.sequence, digest(snapshot), notes(snapshot.view)


@pytest.mark.parametrize("tables", [False, True])
def test_a_restored_book_is_the_same_and_goes_on(folder, tmp_path, tables):
    grown(folder, 400, 0)
    head, stream = backup(folder, tables=tables)
    done = restored([stream], tmp_path / "there")
    assert content(tmp_path / "there") == content(folder)
    assert done.compared
    assert (done.sequence, done.digest) == (head.sequence, head.digest)
    grown(tmp_path / "there", 10, 5)
    with Audit(tmp_path / "there") as audit:
        assert [found for _, found in audit.run() if found] == []


def test_increments_go_on_where_the_backup_before_them_ended(folder, tmp_path):
    streams, since = [], 0
    for turn in range(4):
        grown(folder, 150, turn * 1000)
        head, stream = backup(folder, since=since)
        streams.append(stream)
        since = head.sequence
    assert len(streams[3]) < len(streams[0]) * 3
    restored(streams, tmp_path / "all")
    assert content(tmp_path / "all") == content(folder)
    with pytest.raises(RestoreRefused, match="name the one between them too"):
        restored([streams[0], streams[2]], tmp_path / "gap")
    with pytest.raises(RestoreRefused, match="name the full backup first"):
        restored(streams[1:], tmp_path / "headless")
    with pytest.raises(RestoreRefused, match="in their order"):
        restored([*streams[:3], streams[1]], tmp_path / "disorder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "book"]


@pytest.mark.parametrize("tables", [False, True])
def test_to_a_point_in_time(folder, tmp_path, tables):
    grown(folder, 300, 0)
    middle = content(folder)
    grown(folder, 300, 9000)
    _, stream = backup(folder, tables=tables)
    restored([stream], tmp_path / "by-number", Point(sequence=300))
    assert content(tmp_path / "by-number") == middle
    restored([stream], tmp_path / "by-time", Point(at=3000 + 9))
    assert content(tmp_path / "by-time") == middle
    with pytest.raises(RestoreRefused, match="end with entry 600"):
        restored([stream], tmp_path / "late", Point(sequence=601))
    with pytest.raises(RestoreRefused, match="nothing was there yet"):
        restored([stream], tmp_path / "early", Point(at=1))


def test_an_increment_of_another_history_is_refused(folder, tmp_path):
    grown(folder, 100, 0)
    _, full = backup(folder)
    restored([full], tmp_path / "fork")
    grown(folder, 60, 1)
    _, other = backup(folder, since=100)
    grown(tmp_path / "fork", 60, 2)
    head, mine = backup(tmp_path / "fork", since=100)
    grown(tmp_path / "fork", 60, 3)
    _, more = backup(tmp_path / "fork", since=head.sequence)
    restored([full, mine, more], tmp_path / "good")
    with pytest.raises(Exception, match=r"not of the same journal|does not follow|missing|damaged"):
        restored([full, other, more], tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()


def test_what_cannot_be_taken_is_refused(folder):
    grown(folder, 10, 0)
    with pytest.raises(BackupRefused, match="there is no entry 11 yet"):
        backup(folder, since=11)
    with Keeping(folder), pytest.raises(KeepingBusy, match="is under way"):
        backup(folder)
    backup(folder)


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streamed") / "book"
    Book.create(folder)
    grown(folder, 30, 0)
    return backup(folder)[1]


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_stream_that_was_altered_or_cut_is_refused_and_leaves_nothing(
    stream, tmp_path_factory, data
):
    there = tmp_path_factory.mktemp("there")
    at = data.draw(st.integers(0, len(stream) - 1))
    kind = data.draw(st.sampled_from(("flip", "cut", "more", "lost")))
    if kind == "flip":
        changed = bytes((stream[at] ^ data.draw(st.integers(1, 255)),))
        damaged = stream[:at] + changed + stream[at + 1 :]
    elif kind == "cut":
        damaged = stream[:at]
    elif kind == "more":
        damaged = stream + b"x"
    else:
        damaged = stream[:at] + stream[at + 1 :]
    if damaged == stream:
        return
    with pytest.raises(StreamBroken):
        restored([damaged], there / "book")
    assert list(there.iterdir()) == []


def test_a_damaged_journal_is_not_backed_up(folder):
    grown(folder, 300, 0)
    path = segments(folder)[0][1]
    data = bytearray(path.read_bytes())
    data[20_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match="damaged"):
        backup(folder)


def test_a_cut_or_redone_journal_is_found_by_a_note_of_its_chain(folder, tmp_path):
    grown(folder, 100, 0)
    _, full = backup(folder)
    sequence, chain = chain_at(folder, 100)
    assert chain_differs(folder, sequence, chain) == ""
    grown(folder, 20, 0)
    assert chain_differs(folder, sequence, chain) == ""
    later = chain_at(folder, 120)
    restored([full], tmp_path / "cut")
    assert "ends before entry 120" in chain_differs(tmp_path / "cut", *later)
    grown(tmp_path / "cut", 20, 7)
    assert "another history" in chain_differs(tmp_path / "cut", *later)


def test_a_file_that_does_not_take_the_stream_is_told(folder):
    grown(folder, 10, 0)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe, suppress(BrokenPipeError):
        write_backup(folder, pipe)
        pytest.fail("nobody read it")


def test_a_backup_of_a_newer_format_is_refused(stream, tmp_path, monkeypatch):
    monkeypatch.setattr("ledger.restore.FORMAT", 0)
    with pytest.raises(RestoreRefused, match="has data format 1 and this version knows up to 0"):
        restored([stream], tmp_path / "there")
    assert list(tmp_path.iterdir()) == []
