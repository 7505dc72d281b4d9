"""Segments and frames: what is read back, what is cut, what is called damage."""

from __future__ import annotations

import errno
import os
import random
import shutil
import time
from itertools import pairwise

import pytest
from failing import Failing
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_load import SMALL, Note, crash, note_key, post, read_groups, stage

from ledger import codec
from ledger.book import Book
from ledger.journal import Journal, archive_closed, entries
from ledger.model import Entry, values_of
from ledger.segment import (
    FRAME_BYTES_OVER,
    HEADER_BYTES,
    Group,
    JournalDamaged,
    digest_of,
    frame_parts,
    segment_name,
    segments,
    trailer,
)
from ledger.storage import Storage


@pytest.fixture
def three(folder):
    """A book that crashed after groups of one, two and one entries; offsets of its frames."""
    book = Book.open(folder, follower=False, limits=SMALL)
    offsets = [HEADER_BYTES]
    for count in (1, 2, 1):
        for _ in range(count):
            stage(book, {"a": count})
        group = book.seal()
        book.write(group)
        book.settle(group)
        offsets.append(offsets[-1] + group.bytes)
    crash(book)
    return folder, folder / "journal" / segment_name(1), offsets


def read(folder):
    return [
        (group.first, group.last, group.entries, group.changes) for group in read_groups(folder)
    ]


def test_groups_come_back_as_they_were_written(three):
    folder, _, offsets = three
    groups = list(read_groups(folder))
    assert [(group.first, group.last, group.count) for group in groups] == [
        (1, 1, 1),
        (2, 3, 2),
        (4, 4, 1),
    ]
    assert [group.bytes for group in groups] == [
        after - before for before, after in pairwise(offsets)
    ]
    assert codec.unpack_entry(groups[1].entries[1]).sequence == 3
    assert min(group.bytes for group in groups) > FRAME_BYTES_OVER


def test_a_range_of_entries_is_read_from_any_place(three):
    folder = three[0]
    for first in range(1, 6):
        for last in (*range(first, 5), None):
            found = [sequence for sequence, _ in entries(folder, first, last)]
            assert found == list(range(first, min(last or 4, 4) + 1))


def test_reading_from_the_middle_of_a_group_is_refused(three):
    with pytest.raises(JournalDamaged, match="no group ends at sequence 2"):
        list(read_groups(three[0], 2))


def test_a_last_frame_torn_at_any_byte_is_cut(three):
    folder, path, offsets = three
    whole = path.read_bytes()
    expected = read(folder)[:2]
    for cut in range(offsets[2], offsets[3]):
        path.write_bytes(whole[:cut].ljust(len(whole), b"\0"))
        assert read(folder) == expected, f"zeros from byte {cut - offsets[2]} of the frame"
        path.write_bytes(whole[:cut])
        assert read(folder) == expected, f"file ends at byte {cut - offsets[2]} of the frame"


def test_a_single_flipped_bit_is_damage_or_loses_nothing(three):
    folder, path, offsets = three
    whole = bytearray(path.read_bytes())
    expected = read(folder)
    headers = list(range(160))
    for byte in [*headers, *range(offsets[0], offsets[3] + 40)]:
        for bit in range(8):
            whole[byte] ^= 1 << bit
            path.write_bytes(whole)
            whole[byte] ^= 1 << bit
            if 112 <= byte < HEADER_BYTES or byte >= offsets[3]:
                assert read(folder) == expected
                continue
            with pytest.raises(JournalDamaged, match=path.name):
                read(folder)


def test_damage_in_a_middle_frame_names_the_place(three):
    folder, path, offsets = three
    data = bytearray(path.read_bytes())
    data[offsets[1] + 80 : offsets[2]] = bytes(offsets[2] - offsets[1] - 80)
    path.write_bytes(data)
    with pytest.raises(JournalDamaged) as caught:
        read(folder)
    assert (caught.value.offset, caught.value.sequence) == (offsets[1], 2)
    with pytest.raises(JournalDamaged):
        Book.open(folder, follower=False, limits=SMALL)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(0, 3000))
def test_sectors_missing_from_the_last_frame_are_a_tear(tmp_path_factory, seed, size):
    folder = tmp_path_factory.mktemp("sectors") / "book"
    Book.create(folder)
    book = Book.open(folder, follower=False, limits=SMALL)
    post(book, 1)
    stage(book, {"x" * 50 + str(number): number for number in range(size // 80)})
    start, group = HEADER_BYTES + book.stats.bytes, book.seal()
    book.write(group)
    crash(book)
    path = folder / "journal" / segment_name(1)
    data = bytearray(path.read_bytes())
    end = start + group.bytes
    sectors = list(range(start // 512, (end - 1) // 512 + 1))
    source = random.Random(seed)
    for sector in source.sample(sectors, source.randint(1, len(sectors))):
        low, high = max(start, sector * 512), min(end, sector * 512 + 512)
        data[low:high] = bytes(high - low)
    path.write_bytes(data)
    assert [group.last for group in read_groups(folder)] == [1]
    reopened = Book.open(folder, follower=False, limits=SMALL)
    assert reopened.sequence == 1
    reopened.close()


def test_garbage_behind_a_torn_frame_is_not_taken_for_frames(three, tmp_path):
    folder, path, offsets = three
    other = tmp_path / "other"
    Book.create(other)
    book = Book.open(other, follower=False, limits=SMALL)
    post(book, 6)
    crash(book)
    foreign = (other / "journal" / segment_name(1)).read_bytes()
    whole = bytearray(path.read_bytes())
    whole[offsets[3] - 20 :] = bytes(len(whole) - offsets[3] + 20)
    expected = read(folder)[:2]
    for seed in range(20):
        data = bytearray(whole)
        source = random.Random(seed)
        data[offsets[3] + 64 : offsets[3] + 4096] = source.randbytes(4032)
        data[offsets[3] + 8192 : offsets[3] + 12288] = foreign[HEADER_BYTES : HEADER_BYTES + 4096]
        path.write_bytes(data)
        assert read(folder) == expected


def test_text_in_an_entry_that_looks_like_a_frame_stays_text(three):
    folder, path, offsets = three
    frame = path.read_bytes()[offsets[0] : offsets[1]]
    book = Book.open(folder, follower=False, limits=SMALL)
    note = Note(frame, 1)
    stage(book, {"a": 1})
    book._staging.group.changes[note_key("frame")] = codec.pack_record(note)
    book.view.overlay[note_key("frame")] = note
    group = book.seal()
    book.write(group)
    crash(book)
    last = segments(folder)[-1][1]
    data = bytearray(last.read_bytes())
    data[HEADER_BYTES : HEADER_BYTES + 8] = bytes(8)
    last.write_bytes(data)
    assert [group.last for group in read_groups(folder)] == [1, 3, 4]


def test_a_sound_frame_that_follows_from_another_is_damage(three):
    folder, path, offsets = three
    data = bytearray(path.read_bytes())
    mark = bytes(data[HEADER_BYTES : HEADER_BYTES + 8])
    made = Group(0, 5)
    made.count = 1
    parts = frame_parts(mark, made, bytes(32), codec.pack_value([b""]), codec.pack_value({}))
    frame = b"".join(parts) + trailer(digest_of(parts))
    data[offsets[3] : offsets[3] + len(frame)] = frame
    path.write_bytes(data)
    with pytest.raises(JournalDamaged, match="does not follow from the one before it"):
        read(folder)


@pytest.fixture
def several(folder):
    """A book closed in order, with more than four segments."""
    book = Book.open(folder, follower=False, limits=SMALL)
    while len(segments(folder)) < 5:
        stage(book, {"padding" * 60 + str(number): number for number in range(40)})
        book.flush()
    book.close()
    return folder


def test_groups_run_on_across_segments(several):
    groups = read(several)
    assert [first for first, *_ in groups] == list(range(1, len(groups) + 1))
    for after in (0, 3, len(groups) - 1, len(groups)):
        assert [g.first for g in read_groups(several, after)] == list(
            range(after + 1, len(groups) + 1)
        )


def test_a_missing_segment_is_damage(several):
    known = segments(several)
    for first, path in known[:-1]:
        away = several / "away"
        path.rename(away)
        with pytest.raises(JournalDamaged, match="missing"):
            read(several)
        away.rename(path)
        assert first
    assert read(several)


def test_a_segment_of_another_journal_is_damage(several, tmp_path):
    second = segments(several)[1]
    other = tmp_path / "other"
    Book.create(other)
    book = Book.open(other, follower=False, limits=SMALL)
    post(book, second[0] - 1)
    book.close()
    Book.open(other, follower=False, limits=SMALL).close()
    shutil.copy(segments(other)[-1][1], second[1])
    assert segments(other)[-1][0] == second[0]
    with pytest.raises(JournalDamaged, match="does not follow"):
        read(several)


def test_a_cut_closed_segment_is_damage(several):
    path = segments(several)[1][1]
    os.truncate(path, len(path.read_bytes().rstrip(b"\0")) - 5)
    with pytest.raises(JournalDamaged):
        read(several)


def test_archived_segments_read_the_same_and_are_smaller(several):
    before = read(several)
    size = sum(path.stat().st_size for _, path in segments(several))
    applied = before[-1][1]
    made = archive_closed(several, applied)
    assert made
    assert all(path.name.endswith(".seg.xz") for path in made)
    assert read(several) == before
    assert [s for s, _ in entries(several, 2, 5)] == [2, 3, 4, 5]
    assert sum(path.stat().st_size for _, path in segments(several)) < size
    assert archive_closed(several, applied) == []
    book = Book.open(several, follower=False, limits=SMALL)
    post(book, 3)
    book.close()
    assert read(several)[: len(before)] == before


def test_nothing_beyond_the_tables_is_archived(several):
    assert archive_closed(several, segments(several)[1][0] - 2) == []
    assert len(archive_closed(several, segments(several)[1][0] - 1)) == 1


def test_a_flipped_bit_in_an_archived_segment_is_damage(several):
    before = read(several)
    made = archive_closed(several, before[-1][1])[1]
    data = bytearray(made.read_bytes())
    for place in range(20, len(data) - 10, max(1, len(data) // 60)):
        data[place] ^= 4
        made.write_bytes(data)
        data[place] ^= 4
        with pytest.raises(JournalDamaged):
            read(several)


def test_readers_beside_a_writer_stop_at_what_is_durable(folder):
    book = Book.open(folder, follower=False, limits=SMALL)
    post(book, 3)
    stage(book)
    group = book.seal()
    book.write(group)
    assert [g.last for g in read_groups(folder)] == [1, 2, 3]
    book.settle(group)
    assert [g.last for g in read_groups(folder)] == [1, 2, 3, 4]
    book.close()


def group_of(journal, size):
    made = Group(1, journal.last + 1)
    padding = bytes(size)
    entry = Entry(made.first, 1, 20260101, padding, "test", (), (0,), (), ())
    made.entries = [codec.pack_entry(values_of(entry))]
    made.count, made.last = 1, made.first
    return made


def waited_for(true):
    deadline = time.monotonic() + 60
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


def test_the_next_segment_is_filled_ahead_of_need(folder):
    journal = Journal(folder, Storage(), segment_bytes=4 << 20, ahead=True)
    journal.recover()
    journal.begin()
    spare = folder / "journal" / "spare"
    while journal.last < 8:
        journal.append(group_of(journal, 300_000))
    assert waited_for(spare.exists)
    assert spare.stat().st_size == 4 << 20
    assert not spare.read_bytes().strip(b"\0")
    made = spare.stat().st_ino
    while len(segments(folder)) == 1:
        journal.append(group_of(journal, 300_000))
    assert segments(folder)[1][1].stat().st_ino == made
    journal.close(sound=True)
    assert [group.last for group in read_groups(folder)] == list(range(1, journal.last + 1))


def test_a_disk_that_is_full_ahead_of_need_is_told_and_tried_again(folder):
    storage = Failing()
    journal = Journal(folder, storage, segment_bytes=4 << 20, ahead=True)
    journal.begin()
    storage.fail, storage.error = "create", errno.ENOSPC
    while journal.last < 4:
        journal.append(group_of(journal, 300_000))
    assert waited_for(lambda: journal.spare_failed)
    storage.fail = None
    journal.prepare_spare()
    assert not journal.spare_failed
    while journal.last < 8:
        journal.append(group_of(journal, 300_000))
    assert waited_for((folder / "journal" / "spare").exists)
    assert not journal.spare_failed
    journal.close(sound=True)
    assert len(list(read_groups(folder))) == journal.last


def test_a_piece_that_the_disk_does_not_take_ahead_of_need_is_told(folder):
    class Unwilling(Failing):
        def pass_on(self, descriptor, offset, length):
            self._maybe("pass_on")
            super().pass_on(descriptor, offset, length)

    storage = Unwilling()
    journal = Journal(folder, storage, segment_bytes=4 << 20, ahead=True)
    journal.begin()
    storage.fail, storage.error = "pass_on", errno.ENOSPC
    journal.append(group_of(journal, 300_000))
    assert waited_for(lambda: journal.spare_failed)
    assert not list((folder / "journal").glob("spare*"))
    journal.close(sound=True)


def test_a_disk_that_refuses_a_piece_is_heard(tmp_path):
    storage = Storage()
    descriptor = storage.create(tmp_path / "piece")
    storage.write(descriptor, [bytes(4096)], 0)
    storage.pass_on(descriptor, 0, 4096)
    storage.close(descriptor)
    with pytest.raises(OSError, match="descriptor"):
        storage.pass_on(descriptor, 0, 4096)


def test_a_journal_closed_while_it_fills_ahead_leaves_nothing_half_made(folder):
    journal = Journal(folder, Storage(), segment_bytes=64 << 20, ahead=True)
    journal.begin()
    while journal.last < 4:
        journal.append(group_of(journal, 300_000))
    journal.close(sound=True)
    assert [path.name for path in (folder / "journal").iterdir()] == [segment_name(1)]
    book = Book.open(folder, follower=False, limits=SMALL)
    assert book.sequence == 4
    assert sorted(path.suffix for path in (folder / "journal").iterdir()) == [".seg", ".seg"]
    book.close()


def test_a_segment_in_use_is_never_as_long_as_its_frames(tmp_path):
    sizes = set()
    for size in range(3956, 3986):
        folder = tmp_path / str(size)
        Book.create(folder)
        journal = Journal(folder, Storage(), segment_bytes=8192, ahead=False)
        journal.begin()
        made = group_of(journal, size)
        journal.append(made)
        journal.close(sound=False)
        path = segments(folder)[-1][1]
        assert path.stat().st_size > HEADER_BYTES + made.bytes
        sizes.add(HEADER_BYTES + made.bytes)
    assert {8191, 8192, 8193} <= sizes
