"""The follower and the writer as real processes, killed in every order."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_load import SMALL, bank, crash, notes, post, stage

from ledger import book as book_module
from ledger import schema
from ledger.audit import Audit, digest
from ledger.book import Book
from ledger.follower import Follower
from ledger.segment import segments
from ledger.storage import Lock
from ledger.tables import Snapshot, TablesFailed

PATIENCE_SECONDS = 60


def until(true, what):
    """Wait for something that other processes bring about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def running(process_id):
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def settled_clean(folder):
    with Audit(folder) as audit:
        assert [found for _, findings in audit.run() for found in findings] == []
        return audit.sequence


def test_the_follower_folds_and_the_overlay_is_dropped_in_slices(folder):
    book = Book.open(folder, limits=SMALL)
    assert book.follower_alive
    for number in range(300):
        stage(book, {f"n{number}": number, "hot": number})
        if number % 10 == 9:
            book.flush()
    assert book.overlay_size == 300 + 301 + 2
    sizes = []

    def dropped():
        book.refresh(budget=100)
        sizes.append(book.overlay_size)
        return book.overlay_size == 0

    until(dropped, "the overlay was not dropped")
    falls = [before - after for before, after in zip([603, *sizes], sizes, strict=False)]
    assert max(falls) <= 100
    assert book.applied == 300
    assert book.stats.dropped >= 603
    assert notes(book.view) == {f"n{number}": number for number in range(300)} | {"hot": 299}
    assert bank(book) == 300
    book.close()


def test_what_changed_since_the_fold_stays_in_the_overlay(folder):
    book = Book.open(folder, limits=SMALL)
    post(book, 5, a=1, b=1)
    stage(book, {"a": 2})
    group = book.seal()
    book.write(group)
    stage(book, {"b": 3})

    def dropped():
        book.refresh()
        return book.applied == 5

    until(dropped, "nothing was folded")
    assert notes(book.view) == {"a": 2, "b": 3}
    assert schema.entry(5) not in book.view.overlay
    assert bank(book) == 7
    book.settle(group)
    book.close()
    assert settled_clean(folder) == 7


def test_only_durable_groups_are_folded(folder):
    book = Book.open(folder, limits=SMALL)
    post(book, 2)
    stage(book)
    group = book.seal()
    book.write(group)

    def reached():
        book.refresh()
        return book.applied >= 2

    until(reached, "nothing was folded")
    for _ in range(30):
        time.sleep(0.01)
        assert book.view.renew() == 2
    book.settle(group)
    until(lambda: book.view.renew() == 3, "the settled group was not folded")
    book.close()


def test_closing_has_the_follower_fold_the_rest(folder):
    book = Book.open(folder, limits=replace(SMALL, fold_seconds=1000.0))
    post(book, 20, a=1)
    book.close()
    with Snapshot(folder) as snapshot:
        assert (snapshot.applied, snapshot.sequence) == (20, 20)


def test_a_killed_follower_is_replaced_and_nothing_is_lost(folder, monkeypatch):
    monkeypatch.setattr(book_module, "RESTART_SECONDS", 0.0)
    book = Book.open(folder, limits=SMALL)
    source = random.Random(5)
    for round_ in range(4):
        for number in range(40):
            post(book, 1, **{f"n{number}": round_})
        time.sleep(source.random() * 0.2)
        book._follower._process.kill()
        until(lambda: not book.follower_alive, "the follower did not die")
        stage(book)
        book.flush()

    def caught_up():
        book.refresh()
        return book.applied == book.durable

    until(caught_up, "no follower took over")
    assert book.stats.follower_starts >= 2
    book.close()
    assert settled_clean(folder) == 164


@pytest.fixture
def usual_class():
    """This process in the usual class of the system, also where the tests themselves are not."""
    before = os.sched_getscheduler(0)
    if before != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    yield
    if before != os.SCHED_OTHER:
        os.sched_setscheduler(0, before, os.sched_param(0))


@pytest.mark.usefixtures("usual_class")
def test_a_follower_steps_back_once_it_has_caught_up_and_is_replaced_when_it_starves(
    folder, monkeypatch
):
    monkeypatch.setattr(book_module, "RESTART_SECONDS", 0.0)
    monkeypatch.setattr(book_module, "STARVING_SECONDS", 60.0)
    book = Book.open(folder, limits=replace(SMALL, overlay_records=60))
    until(lambda: book._follower.starves, "the follower did not step back")
    starved = book.follower_id
    os.kill(starved, signal.SIGSTOP)
    post(book, 10)
    book.refresh()
    assert book.follower_id == starved  # there is room yet
    post(book, 30)
    book.refresh()
    assert book.follower_id == starved  # it may get on yet
    monkeypatch.setattr(book_module, "STARVING_SECONDS", 3.0)

    def caught_up():
        book.refresh()
        return book.applied == book.durable

    until(caught_up, "nobody took the place of the follower that starved")
    assert book.follower_id != starved
    assert not running(starved)
    book.close()
    assert settled_clean(folder) == 40


def test_a_new_follower_waits_for_the_old_ones_lock(folder):
    book = Book.open(folder, follower=False, limits=SMALL)
    post(book, 3)
    book.close(fold=False)
    old = Lock(folder / "follower.lock")
    assert old.take()
    new = Follower(folder, SMALL)
    for _ in range(40):
        time.sleep(0.01)
        with Snapshot(folder) as snapshot:
            assert snapshot.applied == 0
        assert new.alive
    old.release()

    def folded():
        with Snapshot(folder) as snapshot:
            return snapshot.applied == 3

    until(folded, "the waiting follower did not take over")
    assert new.finish(PATIENCE_SECONDS)


HOLD = """
import sys, time
from pathlib import Path
from ledger.storage import Lock
lock = Lock(Path(sys.argv[1]))
print(lock.take(), flush=True)
time.sleep(0.4)
print("leaving", flush=True)
"""


def test_opening_waits_for_a_follower_that_outlived_its_daemon(folder):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLD,
            str(folder / "follower.lock"),
        ],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdout.readline() == b"True\n"
    book = Book.open(folder, limits=SMALL)
    os.set_blocking(holder.stdout.fileno(), False)
    assert holder.stdout.read() == b"leaving\n"
    holder.wait()
    holder.stdout.close()
    post(book, 1)
    book.close()


def test_a_follower_ends_with_the_pipe_of_its_daemon(folder):
    follower = Follower(folder, SMALL)
    assert follower.alive
    follower._process.stdin.close()
    assert follower._process.wait(PATIENCE_SECONDS) == 0


def test_a_follower_that_meets_damage_says_so_and_is_not_replaced(folder, capfd, monkeypatch):
    monkeypatch.setattr(book_module, "RESTART_SECONDS", 0.0)
    book = Book.open(folder, limits=replace(SMALL, fold_seconds=1000.0))
    post(book, 3)
    book._follower._process.kill()
    until(lambda: not book.follower_alive, "the follower did not die")
    with segments(folder)[0][1].open("r+b") as file:
        file.seek(4300)
        file.write(b"\xff\xfe")
    book.refresh()
    assert book.stats.follower_starts == 2
    until(lambda: not book.follower_alive, "the follower went on")
    for _ in range(3):
        book.refresh()
    assert book.stats.follower_starts == 2
    assert "is damaged at byte 4266, where sequence 2 should stand" in capfd.readouterr().err
    crash(book)


def test_tables_that_cannot_be_opened_are_no_reason_to_give_up(folder, capfd):
    (folder / "tables").rename(folder / "away")
    (folder / "tables").touch()
    follower = Follower(folder, SMALL)
    until(lambda: not follower.alive, "the follower went on")
    assert not follower.gave_up
    follower.stop()
    assert f"the tables in {folder} cannot be opened" in capfd.readouterr().err
    with pytest.raises(TablesFailed, match="cannot be opened"), Snapshot(folder):
        pass


class Writer:
    """A process that posts until it is killed."""

    def __init__(self, folder, how):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ledger_load.py")), str(folder), how],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def read(self, lines):
        for _ in range(lines):
            self.last = int(self.process.stdout.readline())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        told = self.process.stdout.read()
        self.process.wait()
        self.process.stdout.close()
        whole = told[: told.rfind(b"\n") + 1].split()
        return int(whole[-1]) if whole else self.last

    def followers(self):
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == self.process.pid:
                found.append(int(path.parent.name))
        return found


@pytest.mark.parametrize("how", ["alone", "follower"])
def test_a_killed_writer_loses_nothing_that_it_told(folder, how):
    source = random.Random(how)
    for _ in range(4):
        writer = Writer(folder, how)
        writer.read(source.randint(2, 120))
        followers = writer.followers()
        assert len(followers) == (how == "follower")
        told = writer.kill()
        until(lambda alive=followers: not any(map(running, alive)), "the follower outlived it")
        with Snapshot(folder) as snapshot:
            assert snapshot.sequence >= told
            seen = digest(snapshot)
            sequence = snapshot.sequence
        book = Book.open(folder, follower=False, limits=SMALL)
        assert book.sequence == sequence
        assert digest(book.view) == seen
        assert bank(book) == book.sequence
        book.close(fold=bool(source.getrandbits(1)))
    assert settled_clean(folder) == sequence


def test_readers_see_a_consistent_book_beside_a_running_daemon(folder):
    writer = Writer(folder, "follower")
    writer.read(20)
    last = 0
    for _ in range(15):
        with Snapshot(folder) as snapshot:
            assert snapshot.sequence >= max(last, writer.last - 60)
            last = snapshot.sequence
            held = snapshot.view.get(schema.balance("Bank"))
            assert held == snapshot.sequence == snapshot.view.get(schema.entry(last)).sequence
        writer.read(20)
    with Audit(folder) as audit:
        assert [found for _, findings in audit.run() for found in findings] == []
    writer.kill()


def test_killing_the_follower_first_then_the_daemon(folder):
    writer = Writer(folder, "follower")
    writer.read(60)
    for process_id in writer.followers():
        os.kill(process_id, signal.SIGKILL)
    writer.read(60)
    told = writer.kill()
    book = Book.open(folder, limits=SMALL)
    assert book.sequence >= told
    assert bank(book) == book.sequence
    book.close()
    assert settled_clean(folder) >= told


def test_a_crash_in_process_leaves_no_follower(folder):
    book = Book.open(folder, limits=SMALL)
    process_id = book.follower_id
    crash(book)
    assert not running(process_id)
