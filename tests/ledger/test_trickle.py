"""Folds that are written out little by little: what a power cut, a kill and a failed sync leave."""

from __future__ import annotations

import random
import shutil

import lmdb
import pytest
from ledger_load import SMALL, notes, read_groups, stage

from ledger import trickle
from ledger.audit import Audit, digest
from ledger.book import Book
from ledger.storage import Lock, Storage
from ledger.tables import Batch, Snapshot, TablesFailed, open_environment
from ledger.trickle import NAME, Trickle, boot
from ledger.view import position_of

PAGE = 4096
META_PAGES = 2
FOLDS = 12
GROUPS_A_FOLD = 5
ROWS = 400
ANOTHER_BOOT = "00000000-0000-4000-8000-000000000000\n"


@pytest.fixture
def journaled(folder):
    """A book with groups in its journal and none of them in its tables."""
    book = Book.open(folder, follower=False, limits=SMALL)
    chance = random.Random(1)
    for number in range(FOLDS * GROUPS_A_FOLD):
        for _ in range(4):
            stage(book, {f"{chance.randrange(ROWS)} {'x' * 200}": number})
        book.flush()
    book.close(fold=False)
    return folder


def folds_of(folder):
    """Batches of the journal's groups, each some groups."""
    groups = list(read_groups(folder))
    for begin in range(0, len(groups), GROUPS_A_FOLD):
        batch = Batch()
        for group in groups[begin : begin + GROUPS_A_FOLD]:
            batch.add(group)
        yield batch


def pages_of(folder):
    data = (folder / "tables" / "data.mdb").read_bytes()
    return [data[at : at + PAGE] for at in range(0, len(data), PAGE)]


def position_in(environment):
    with environment.begin() as transaction:
        return position_of(transaction)[0]


def cut_off(folder, before, after, reached):
    """Leave of the newest commit those changed pages that `reached` tells, as of another boot."""
    blank = bytes(PAGE)
    whole = before + [blank] * (len(after) - len(before))
    torn = [
        new if old != new and reached(at) else old
        for at, (old, new) in enumerate(zip(whole, after, strict=True))
    ]
    (folder / "tables" / "data.mdb").write_bytes(b"".join(torn))
    (folder / "tables" / NAME).write_text(ANOTHER_BOOT)


def audited(folder):
    """What the book holds after it was opened, folded and audited: notes and digest."""
    book = Book.open(folder, follower=False, limits=SMALL)
    held = notes(book.view)
    book.close()
    with Audit(folder) as audit:
        assert [found for _, findings in audit.run() for found in findings] == []
    with Snapshot(folder) as snapshot:
        return held, digest(snapshot)


@pytest.mark.parametrize("how", ["the newest meta page alone", "no meta page", *range(10)])
def test_a_power_cut_in_the_middle_of_a_fold_leaves_the_one_before(journaled, tmp_path, how):
    environment = open_environment(journaled, sync=False)
    written = Trickle(journaled / "tables", environment)
    cuts = []
    for batch in folds_of(journaled):
        before, last = pages_of(journaled), position_in(environment)
        batch.fold(environment)
        cuts.append((last, before, pages_of(journaled)))
        written.write_out(0.001)
    written.close()
    environment.close()
    whole = audited(journaled)
    chance = random.Random(str(how))
    for number, (last, before, after) in enumerate(cuts[2:]):
        cut = tmp_path / f"cut-{number}"
        shutil.copytree(journaled, cut)
        if isinstance(how, int):
            cut_off(cut, before, after, lambda _: chance.random() < 0.5)
        else:
            only_meta = how == "the newest meta page alone"
            cut_off(cut, before, after, lambda at, only=only_meta: (at < META_PAGES) == only)
        environment = open_environment(cut, readonly=True)
        # The newest fold is not trusted, and where its meta page was not there, nor is the last.
        assert position_in(environment) in {last, cuts[number + 1][0]}
        environment.close()
        assert not (cut / "tables" / NAME).exists()
        assert audited(cut) == whole


def test_what_a_killed_process_committed_is_kept(journaled):
    environment = open_environment(journaled, sync=False)
    Trickle(journaled / "tables", environment)
    for batch in folds_of(journaled):
        batch.fold(environment)
    reached = position_in(environment)
    environment.close()
    assert (journaled / "tables" / NAME).read_text().split() == [boot()]
    environment = open_environment(journaled)
    assert position_in(environment) == reached
    environment.close()
    audited(journaled)


class Refusing:
    """An environment whose next sync fails."""

    def __init__(self, environment):
        self.environment = environment

    def stat(self):
        return self.environment.stat()

    def sync(self, force):
        del force
        raise lmdb.DiskError("an injected failure")


class Counting(Storage):
    """Counts the bytes written to a file, and has it keep what it has."""

    written = 0

    def write(self, descriptor, parts, offset):
        Counting.written += sum(map(len, parts))
        super().write(descriptor, parts, offset)


def test_after_a_sync_that_failed_every_page_is_written_again(journaled, monkeypatch):
    environment = open_environment(journaled, sync=False)
    written = Trickle(journaled / "tables", environment)
    folds = folds_of(journaled)
    next(folds).fold(environment)
    written._environment = Refusing(environment)
    with pytest.raises(OSError, match="the tables were not synced: an injected failure"):
        written.write_out(0)
    environment.close()
    monkeypatch.setattr(trickle, "Storage", Counting)
    environment = open_environment(journaled, sync=False)
    before = pages_of(journaled)
    Trickle(journaled / "tables", environment)
    assert Counting.written == len(before) * PAGE
    assert pages_of(journaled) == before
    assert (journaled / "tables" / NAME).read_text().split() == [boot()]
    for batch in folds:
        batch.fold(environment)
    environment.close()
    audited(journaled)


def test_tables_that_cannot_be_set_back_are_not_opened(journaled, monkeypatch):
    monkeypatch.setattr(trickle, "_LOCK_TRIES", 1)
    (journaled / "tables" / NAME).write_text(ANOTHER_BOOT)
    held = Lock(journaled / "follower.lock")
    assert held.take()
    with pytest.raises(TablesFailed, match=r"set back to the fold before \(another process holds"):
        open_environment(journaled)
    held.release()
    data = journaled / "tables" / "data.mdb"
    kept = data.read_bytes()
    data.write_bytes(b"\xff" * len(kept))
    with pytest.raises(TablesFailed, match=r"they are not of LMDB 0\.9"):
        open_environment(journaled)
    assert data.read_bytes() == b"\xff" * len(kept)
    data.unlink()
    audited(journaled)


def test_a_follower_that_leaves_leaves_no_note(folder):
    book = Book.open(folder, limits=SMALL)
    stage(book, {"a": 1})
    book.flush()
    book.close()
    assert sorted(path.name for path in (folder / "tables").iterdir()) == ["data.mdb", "lock.mdb"]
    assert audited(folder)[0] == {"a": 1}
