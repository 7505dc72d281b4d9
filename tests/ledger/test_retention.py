"""Segments compressed and pruned: what is left reads on, is verified from its base, backed up."""

import io
import os
import shutil
from pathlib import Path

import pytest
from ledger_load import SMALL, notes, post, read_groups

from ledger.audit import Audit, digest
from ledger.backup import write_backup
from ledger.base import find_base
from ledger.book import Book
from ledger.restore import Point, RestoreRefused, restore
from ledger.retention import keep_house, plan
from ledger.segment import JournalDamaged, segments
from ledger.tables import Snapshot


@pytest.fixture
def several(folder):
    """A book of several segments."""
    for turn in range(5):
        grow(folder, turn * 1000)
    return folder


def grow(folder, number, count=90):
    book = Book.open(folder, follower=False, limits=SMALL)
    for each in range(count):
        post(book, 1, **{f"n{each % 40}": number + each})
    book.close()


def state(folder):
    with Snapshot(folder) as snapshot:
        return snapshot.applied, digest(snapshot), notes(snapshot.view)


def found(folder):
    """What an audit finds: failures, and what it only reports."""
    with Audit(folder) as audit:
        told = [finding for _, findings in audit.run() for finding in findings]
    return [one.text for one in told if one.failure], [one.text for one in told if not one.failure]


def firsts(folder):
    return [first for first, _ in segments(folder)]


def prune(folder, bound):
    return keep_house(folder, state(folder)[0], bound)


def test_a_pruned_book_is_as_it_was_and_goes_on(several):
    before, starts = state(several), firsts(several)
    done = prune(several, starts[2] - 1)
    assert firsts(several) == starts[2:]
    assert done.base == starts[2] - 1
    assert state(several) == before
    failures, reported = found(several)
    assert failures == []
    assert any(f"up to entry {starts[2] - 1} is taken from the base" in text for text in reported)
    grow(several, 7000)
    prune(several, starts[3] - 1)
    assert len(list((several / "base").iterdir())) == 1
    assert found(several)[0] == []


def test_only_whole_segments_below_every_bound_go(several):
    starts = firsts(several)
    assert plan(several, 10_000, starts[1] - 2).removed == []
    assert len(plan(several, starts[1] - 1, 10_000).removed) == 1
    # The newest closed segment stays, whatever the bounds allow.
    assert len(plan(several, 10_000, 10_000).removed) == len(starts) - 2
    done = prune(several, 0)
    assert done.removed == []
    assert not (several / "base").exists()
    assert len(list((several / "journal").glob("*.xz"))) == len(starts) - 2


def test_a_changed_base_or_row_is_found(several, tmp_path):
    starts = firsts(several)
    prune(several, starts[2] - 1)
    base = find_base(several).path
    other = base.with_name(base.name[:21] + "0" * 64)
    shutil.copytree(several, tmp_path / "copy")
    base.rename(other)
    assert any("was changed since" in text for text in found(several)[0])
    shutil.rmtree(other)
    assert any("are missing" in text for text in found(several)[0])
    (tmp_path / "copy" / "journal" / f"{starts[2]:020d}.seg.xz").unlink()
    with pytest.raises(JournalDamaged):
        list(read_groups(tmp_path / "copy"))
    assert found(tmp_path / "copy")[0]


def test_damage_is_not_pruned_away(several):
    starts = firsts(several)
    path = segments(several)[1][1]
    data = bytearray(path.read_bytes())
    data[9000] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalDamaged):
        prune(several, starts[3] - 1)
    assert firsts(several) == starts


@pytest.mark.parametrize("after", range(3))
def test_a_crash_while_pruning_leaves_a_book_that_can_be_pruned(several, monkeypatch, after):
    before, starts = state(several), firsts(several)
    prune(several, starts[1] - 1)
    calls = []

    def dies(path, *arguments, real, **options):
        if path.suffix != ".mdb":
            calls.append(path)
        if len(calls) > after:
            raise KeyboardInterrupt
        return real(path, *arguments, **options)

    for name in ("rename", "unlink"):
        real = getattr(Path, name)
        monkeypatch.setattr(
            Path,
            name,
            lambda path, *arguments, real=real, **options: dies(
                path, *arguments, real=real, **options
            ),
        )
    with pytest.raises(KeyboardInterrupt):
        prune(several, starts[3] - 1)
    monkeypatch.undo()
    assert state(several) == before
    assert found(several)[0] == []
    prune(several, starts[3] - 1)
    assert firsts(several)[0] == starts[3]
    assert found(several)[0] == []


def test_a_pruned_book_is_backed_up_and_restored(several, tmp_path):
    starts = firsts(several)
    prune(several, starts[2] - 1)
    stream = io.BytesIO()
    head = write_backup(several, stream)
    assert head.applied > 0
    grow(several, 9000)
    more = io.BytesIO()
    last = write_backup(several, more, since=head.sequence)

    def again(name, point=None):
        for file in (stream, more):
            file.seek(os.SEEK_SET)
        return restore([("full", stream), ("more", more)], tmp_path / name, point)

    assert again("there").digest == last.digest
    assert found(tmp_path / "there")[0] == []
    assert again("to", Point(sequence=head.sequence)).digest == head.digest
    with pytest.raises(RestoreRefused, match="name a later point"):
        again("early", Point(sequence=head.applied - 1))
