"""The book: staging, groups in flight, recovery, failures of the disk at every operation."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from failing import Dying, Failing, Killed, PowerCut
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_load import SMALL, TABLE, Note, bank, crash, note_key, notes, post, stage

from ledger import codec, schema
from ledger.audit import Audit, digest
from ledger.book import Book, BookInUse, JournalDamaged, Limits, OutcomeUnknown
from ledger.journal import DurableMark
from ledger.segment import Group, segments
from ledger.storage import Storage
from ledger.tables import Batch, FoldOutOfOrder, Snapshot, make_room, open_environment


def opened(folder, limits=SMALL, storage=None):
    return Book.open(folder, follower=False, limits=limits, storage=storage)


def test_a_new_book_is_empty_and_its_name_is_taken_once(folder):
    with pytest.raises(FileExistsError, match="is there already"):
        Book.create(folder)
    book = opened(folder)
    assert (book.sequence, book.durable, book.last_at, book.last_date) == (0, 0, 0, 0)
    assert not book.pending
    assert book.seal() is None
    book.close()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_is_staged_is_seen_at_once_and_durable_after_settling(folder):
    book = opened(folder)
    stage(book, {"a": 1})
    assert book.view.get(note_key("a")) == Note("a", 1)
    assert book.view.get(schema.entry(1)).kind == "test"
    assert (book.sequence, book.durable, book.pending) == (1, 0, True)
    group = book.seal()
    stage(book, {"a": None})
    assert book.view.get(note_key("a")) is None
    assert book.seal() is None
    book.write(group)
    book.settle(group)
    assert (book.sequence, book.durable, book.pending) == (2, 1, True)
    book.flush()
    assert (book.durable, book.pending) == (2, False)
    assert (book.last_at, book.last_date) == (20, 20260101)
    assert book.stats.groups == 2
    book.close()


def test_entries_are_staged_in_order_only(folder):
    book = opened(folder)
    stage(book)
    with pytest.raises(ValueError, match="entry 1 was staged after 1"):
        book.stage(1, 1, 20260101, b"", {}, {})
    with pytest.raises(ValueError, match="entry 3"):
        book.stage(3, 1, 20260101, b"", {}, {})
    book.close()


def test_a_key_that_no_table_can_hold_never_reaches_the_journal(folder):
    book = opened(folder)
    stage(book, {"k" * 511: 1})
    with pytest.raises(OutcomeUnknown):
        book.flush()
    book.close()
    book = opened(folder)
    assert book.sequence == 0
    book.close()


@pytest.mark.parametrize("fold", [True, False])
def test_everything_is_there_after_reopening(folder, fold):
    book = opened(folder)
    for number in range(50):
        stage(book, {f"n{number % 20}": number, f"n{number % 7}": None})
        if number % 3 == 0:
            book.flush()
    expected, total = notes(book.view), bank(book)
    book.close(fold=fold)
    book = opened(folder)
    assert book.applied == (50 if fold else 0)
    assert (book.sequence, book.durable) == (50, 50)
    assert (notes(book.view), bank(book)) == (expected, total)
    assert (book.last_at, book.last_date, book.epoch) == (500, 20260101, 2)
    book.close()


def test_a_second_writer_is_refused_in_one_sentence(folder):
    book = opened(folder)
    with pytest.raises(BookInUse, match="is in use by another process; stop that one first"):
        opened(folder)
    book.close()
    opened(folder).close()


def test_a_long_tail_is_folded_with_progress_before_the_book_opens(folder):
    book = opened(folder)
    post(book, 600, a=1)
    book.close(fold=False)
    seen = []
    limits = Limits(segment_bytes_alone=64 << 10, tail_entries=100, fold_records=90)
    book = Book.open(
        folder, follower=False, limits=limits, progress=lambda *told: seen.append(told)
    )
    assert seen[-1] == (600, 600)
    assert seen == sorted(seen)
    assert (book.applied, book.overlay_size) == (600, 0)
    assert bank(book) == 600
    book.close()


def test_without_a_follower_a_grown_overlay_is_folded_on_the_way(folder):
    book = opened(folder, Limits(segment_bytes_alone=64 << 10, fold_records=30))
    post(book, 100, a=1)
    assert book.stats.folds > 1
    assert book.overlay_size <= 34
    assert book.applied > 60
    assert bank(book) == 100
    book.close()


def test_the_book_says_when_it_is_full(folder):
    by_records = opened(folder, Limits(segment_bytes_alone=64 << 10, overlay_records=10))
    post(by_records, 2)
    assert not by_records.overlay_full
    post(by_records, 6)
    assert by_records.overlay_full
    by_records.close()
    by_bytes = opened(folder, Limits(segment_bytes_alone=64 << 10, overlay_bytes=900))
    post(by_bytes, 1)
    assert not by_bytes.overlay_full
    by_bytes.close()


def test_rows_of_reference_tables_stay_right_when_they_leave_the_overlay(folder):
    known = codec._kinds.get(schema.PROGRAM)
    codec._kinds[schema.PROGRAM] = codec._Kind(Note, ())
    try:
        book = opened(folder)
        key = schema.named(schema.PROGRAM, "P01")
        for number in (1, 2, None, 3):
            row = None if number is None else Note("P01", number)
            packed = None if row is None else codec.pack_record(row)
            stage(book)
            book.view.overlay[key] = row
            book._staging.group.changes[key] = packed
            book.flush()
            assert book.view.get(key) == row
            book._fold()
            assert key not in book.view.overlay
            assert book.view.get(key) == row
        book.close()
    finally:
        del codec._kinds[schema.PROGRAM]
        if known:
            codec._kinds[schema.PROGRAM] = known


def test_a_scan_lays_the_overlay_over_the_tables(folder):
    book = opened(folder)
    stage(book, {f"n{number:04}": number for number in range(0, 1500, 2)})
    book.flush()
    book._fold()
    stage(book, {"n0001": -1, "n0002": None, "n0004": 44, "n9999": 9})
    expected = {f"n{number:04}": number for number in range(0, 1500, 2)}
    expected |= {"n0001": -1, "n0004": 44, "n9999": 9}
    del expected["n0002"]
    found = list(book.view.scan(bytes((TABLE,))))
    assert [key for key, _ in found] == [note_key(name) for name in sorted(expected)]
    assert {row.text: row.number for _, row in found} == expected
    assert [row.number for _, row in book.view.scan(note_key("n000"))] == [0, -1, 44, 6, 8]
    book.close()


@pytest.mark.parametrize("operation", ["write", "sync", "short"])
def test_after_the_first_failure_nothing_more_is_promised(folder, operation):
    storage = Failing()
    book = opened(folder, storage=storage)
    post(book, 2)
    stage(book)
    group = book.seal()
    storage.fail = operation
    with pytest.raises(OutcomeUnknown):
        book.write(group)
    storage.fail = None
    for call in (
        lambda: book.write(group),
        lambda: book.settle(group),
        lambda: stage(book),
        book.flush,
    ):
        with pytest.raises(OutcomeUnknown):
            call()
    assert book.durable == 2
    book.close()
    book = opened(folder)
    assert book.sequence == (3 if operation == "sync" else 2)
    assert bank(book) == book.sequence
    book.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_power_cut_after_a_failed_sync_leaves_the_group_whole_or_gone(folder, seed):
    source = random.Random(seed)
    storage = PowerCut()
    book = opened(folder, storage=storage)
    post(book, 5, a=1)
    stage(book, {f"{'long' * 30}{number}": number for number in range(40)})
    group = book.seal()
    storage.fail_sync = True
    with pytest.raises(OutcomeUnknown):
        book.write(group)
    book.close()
    if seed % 2:
        # The next start makes what reads well durable before anything else, the power fails after.
        storage.fail_sync = False
        book = opened(folder, storage=storage)
        assert book.sequence == 6
        crash(book)
        storage.cut(lambda: True)
        expected = {6}
    else:
        storage.cut(lambda: source.random() < 0.3)
        expected = {5, 6}
    book = opened(folder)
    assert book.sequence in expected
    assert bank(book) == book.sequence
    assert len(notes(book.view)) == (1 if book.sequence == 5 else 41)
    book.close()


@pytest.mark.parametrize("before", [True, False])
def test_death_at_any_operation_of_open_roll_and_close_loses_nothing(tmp_path, before):
    limits = Limits(segment_bytes_alone=8192, disk_free_bytes_min=1)
    base = tmp_path / "base"
    Book.create(base)
    book = opened(base, limits)
    post(book, 4, a=1)
    crash(book)

    def live(folder, storage):
        """Open, post until a segment was changed, close; returns what was promised."""
        promised = 4
        book = None
        try:
            book = opened(folder, limits, storage)
            for _ in range(12):
                stage(book, {"b" * 300: 2})
                promised = book.durable
                book.flush()
                promised = book.durable
            book.close(fold=False)
        except (Killed, OutcomeUnknown):
            if book is not None:
                crash(book)
        return promised

    counting = Dying()
    shutil.copytree(base, tmp_path / "counted")
    assert live(tmp_path / "counted", counting) == 16
    assert counting.done.count("rename") >= 3
    for at in range(len(counting.done)):
        folder = tmp_path / "run"
        shutil.copytree(base, folder)
        promised = live(folder, Dying(at, before=before))
        book = opened(folder, limits)
        assert promised <= book.sequence <= promised + 1, (at, counting.done[at])
        assert bank(book) == book.sequence
        post(book, 1)
        book.close()
        with Audit(folder, scratch=tmp_path) as audit:
            assert [found for _, findings in audit.run() for found in findings] == []
        shutil.rmtree(folder)


def test_a_journal_shorter_than_what_was_durable_is_damage(folder):
    book = opened(folder)
    post(book, 3)
    crash(book)
    path = segments(folder)[-1][1]
    data = path.read_bytes()
    path.write_bytes(data[:4450].ljust(len(data), b"\0"))
    with pytest.raises(JournalDamaged, match="were durable and are not here"):
        opened(folder)


def test_tables_of_another_journal_are_refused(folder, tmp_path):
    other = tmp_path / "other"
    Book.create(other)
    for made, changes in ((folder, {"a": 1}), (other, {"a": 2})):
        book = opened(made)
        stage(book, changes)
        book.close()
    shutil.rmtree(folder / "tables")
    shutil.copytree(other / "tables", folder / "tables")
    with pytest.raises(JournalDamaged, match="another journal"):
        opened(folder)


def test_tables_that_were_lost_are_made_again_from_the_journal(folder):
    book = opened(folder)
    post(book, 20, a=1)
    whole = digest(book.view)
    book.close()
    shutil.rmtree(folder / "tables")
    book = opened(folder)
    assert (book.sequence, digest(book.view)) == (20, whole)
    book.close()


def test_a_disk_without_room_is_told_before_it_is_full(folder):
    storage = Failing()
    limits = Limits(segment_bytes_alone=64 << 10, disk_free_bytes_min=1000, disk_check_seconds=0)
    book = opened(folder, limits, storage)
    post(book, 1)
    assert not book.disk_low
    storage.free = (64 << 10) + 999
    post(book, 1)
    assert book.disk_low
    storage.free += 1
    post(book, 1)
    assert not book.disk_low
    storage.free -= 1
    book.refresh()
    assert book.disk_low
    storage.free += 1
    book.refresh()
    assert not book.disk_low
    book.close()


def test_no_room_for_a_new_segment_stops_the_book_and_loses_nothing(folder):
    storage = Failing()
    limits = Limits(segment_bytes_alone=8192, disk_free_bytes_min=1)
    book = opened(folder, limits, storage)
    storage.fail, storage.error = "create", errno.ENOSPC
    with pytest.raises(OutcomeUnknown) as caught:
        post(book, 100)
    assert caught.value.__cause__.errno == errno.ENOSPC
    durable = book.durable
    assert durable > 0
    book.close()
    book = opened(folder, limits)
    assert book.sequence == durable
    book.close()


def test_a_group_larger_than_a_segment_gets_one_of_its_own(folder):
    book = opened(folder, Limits(segment_bytes_alone=8192))
    stage(book, {"x" * 400 + str(number): number for number in range(100)})
    book.flush()
    post(book, 3)
    book.close(fold=False)
    book = opened(folder)
    assert (book.sequence, len(notes(book.view))) == (4, 100)
    book.close()


READ_ONLY = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from ledger_load import notes
from ledger.book import Book
from ledger.tables import Batch, FoldOutOfOrder, Snapshot, open_environment
folder = Path(sys.argv[1])
with Snapshot(folder) as snapshot:
    assert snapshot.sequence == 4, snapshot.sequence
    assert notes(snapshot.view) == {"a": 1}
try:
    Book.open(folder, follower=False)
except PermissionError as error:
    sys.exit(7 if str(folder) in str(error) else 1)
"""


def test_a_folder_that_may_not_be_written_can_be_read(folder):
    book = opened(folder)
    post(book, 2, a=1)
    book.close()
    book = opened(folder)
    post(book, 2)
    crash(book)
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "book"
        shutil.copytree(folder, copy)
        source = Path(place) / "source"
        shutil.copytree(Path(__file__).parents[2] / "ledger", source / "ledger")
        shutil.copy(Path(__file__).with_name("ledger_load.py"), source)
        for path in [Path(place), *Path(place).rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        ordinary = {"user": 65534, "group": 65534} if os.getuid() == 0 else {}
        run = subprocess.run(
            [sys.executable, "-c", READ_ONLY, copy, source, *sys.path],
            cwd="/",
            env={"PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
            capture_output=True,
            **ordinary,
        )
        for path in [Path(place), *Path(place).rglob("*")]:
            path.chmod(0o700)
    assert (run.returncode, run.stderr) == (7, b"")


def test_a_snapshot_has_the_tail_over_the_tables(folder):
    book = opened(folder)
    stage(book, {"a": 1, "b": 1})
    book.close()
    book = opened(folder)
    stage(book, {"a": 2, "b": None, "c": 3})
    book.flush()
    whole = digest(book.view)
    crash(book)
    with Snapshot(folder) as snapshot:
        assert (snapshot.applied, snapshot.sequence) == (1, 2)
        assert notes(snapshot.view) == {"a": 2, "c": 3}
        assert snapshot.view.get(note_key("b")) is None
        assert snapshot.view.get(note_key("a")) == Note("a", 2)
        assert snapshot.view.get(schema.entry(2)).sequence == 2
        assert snapshot.view.get(schema.balance("Bank")) == 2
        assert digest(snapshot) == whole


def test_a_table_is_read_on_from_any_key(folder):
    book = opened(folder)
    stage(book, dict.fromkeys("abdf", 1))
    book.close()
    book = opened(folder)
    stage(book, {"b": None, "c": 2, "f": 3, "g": 4})
    book.flush()
    left = {"a": 1, "c": 2, "d": 1, "f": 3, "g": 4}
    rows = [(note_key(name), Note(name, number)) for name, number in left.items()]
    crash(book)
    with Snapshot(folder) as snapshot:
        table = rows[0][0][0]
        assert list(snapshot.table(table)) == rows
        for place, (key, _) in enumerate(rows):
            assert list(snapshot.table(table, key)) == rows[place + 1 :]
        assert list(snapshot.table(table, note_key("e"))) == rows[3:]
        assert list(snapshot.table(table + 1)) == []


def test_the_digest_does_not_depend_on_groups_epochs_or_folds(tmp_path):
    found = set()
    for way, every in enumerate((1, 3, 7, 100)):
        folder = tmp_path / str(way)
        Book.create(folder)
        book = opened(folder)
        for number in range(40):
            stage(book, {f"n{number % 9}": number})
            if number % every == 0:
                book.flush()
            if number % 10 == way:
                book.close(fold=bool(way % 2))
                book = opened(folder)
        found.add(digest(book.view))
        book.close()
        with Snapshot(folder) as snapshot:
            found.add(digest(snapshot))
    assert len(found) == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("stage"), st.integers(0, 9), st.integers(0, 99) | st.none()),
        st.just("flush"),
        st.just("kill"),
        st.just("power"),
        st.just("fail"),
        st.just("reopen"),
        st.just("leave"),
        st.just("fold"),
    ),
    max_size=30,
)


TIGHT = replace(SMALL, segment_bytes_alone=5200)


class Model:
    """A plain dict beside a book that crashes."""

    def __init__(self, folder, seed):
        self.folder = folder
        self.storage = PowerCut()
        self.random = random.Random(seed)
        self.book = opened(folder, TIGHT, self.storage)
        self.states = [{}]

    def stage(self, name, number):
        stage(self.book, {f"n{name}": number})
        state = dict(self.states[-1])
        state[f"n{name}"] = number
        self.states.append({name: held for name, held in state.items() if held is not None})

    def reopened(self, *allowed):
        self.book = opened(self.folder, TIGHT, self.storage)
        assert self.book.sequence in allowed
        del self.states[self.book.sequence + 1 :]

    def step(self, step):
        book = self.book
        durable, staged = book.durable, book.sequence
        if step == "flush":
            book.flush()
        elif step == "kill":
            crash(book)
            self.reopened(durable)
        elif step == "power":
            crash(book)
            self.storage.cut(lambda: self.random.random() < 0.5)
            self.reopened(durable)
        elif step == "fail":
            self.fail(durable, staged)
        elif step == "fold":
            book.flush()
            if book._settled:
                book._fold()
        elif step in ("reopen", "leave"):
            book.close(fold=step == "reopen")
            self.reopened(staged)
        else:
            self.stage(*step[1:])

    def fail(self, durable, staged):
        self.storage.fail_sync = True
        if self.book.pending:
            with pytest.raises(OutcomeUnknown):
                self.book.flush()
        crash(self.book)
        self.storage.fail_sync = False
        if self.random.random() < 0.5:
            self.storage.cut(lambda: self.random.random() < 0.5)
        self.reopened(durable, staged)

    def check(self):
        assert notes(self.book.view) == self.states[-1]
        assert bank(self.book) == self.book.sequence == len(self.states) - 1


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 2**32))
def test_any_life_of_a_book_agrees_with_a_dict(tmp_path_factory, steps, seed):
    folder = tmp_path_factory.mktemp("life") / "book"
    Book.create(folder)
    model = Model(folder, seed)
    for step in steps:
        model.step(step)
        model.check()
    model.book.close()
    with Audit(folder) as audit:
        assert [found for _, findings in audit.run() for found in findings] == []
        assert audit.sequence == len(model.states) - 1


def test_groups_are_folded_in_order_and_once(folder):
    environment = open_environment(folder)

    def folded(first):
        group = Group(0, first)
        group.entries, group.last = [b"x"], first
        batch = Batch()
        batch.add(group)
        batch.fold(environment)

    folded(1)
    for wrong in (1, 3):
        with pytest.raises(FoldOutOfOrder, match=f"at 1, the groups to fold begin at {wrong}"):
            folded(wrong)
    folded(2)
    environment.close()


def test_a_large_fold_is_one_transaction(folder):
    environment = open_environment(folder)
    batch = Batch()
    group = Group(0, 1)
    group.entries, group.last = [b"x"] * 1000, 1000
    batch.add(group)
    before = environment.info()["last_txnid"]
    batch.fold(environment)
    assert environment.info()["last_txnid"] == before + 1
    assert environment.stat()["entries"] == 1001
    environment.close()


def test_the_file_of_the_tables_grows_ahead_of_need_and_holds_what_it_held(folder):
    environment = open_environment(folder)
    path = folder / "tables" / "data.mdb"

    def folded(first):
        group = Group(0, first)
        group.entries, group.last = [bytes(1000)] * 4000, first + 3999
        batch = Batch()
        batch.add(group)
        batch.fold(environment)

    folded(1)
    before = path.stat().st_size
    added = make_room(folder, environment)
    assert added == before // 8 // 4096 * 4096
    assert path.stat().st_size == before + added
    assert make_room(folder, environment) == 0
    folded(4001)
    environment.close()
    environment = open_environment(folder)
    assert environment.stat()["entries"] == 8001
    environment.close()


def test_the_durable_mark_is_shared_and_never_ahead(folder):
    book = opened(folder)
    mark = DurableMark(folder, writable=False)
    stage(book)
    group = book.seal()
    book.write(group)
    assert mark.get() == 0
    book.settle(group)
    assert mark.get() == 1
    mark.close()
    book.close()


def test_free_space_is_that_of_the_disk(folder):
    state = os.statvfs(folder)
    assert 0 < Storage().free_bytes(folder) <= state.f_blocks * state.f_frsize
