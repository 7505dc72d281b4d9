"""Measures the ledger's write path: appends against the raw disk, folds, and both at once.

``python -m benchmarks.journal [FOLDER]`` prints the figures; `measure` returns them. A posting here
changes four rows of 120 bytes of a million-row table, as an accrual does, and carries an entry of
250 bytes.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from ledger import codec, schema
from ledger.book import Book, Limits
from ledger.model import Entry
from ledger.segment import Group
from ledger.tables import Batch, open_environment

ROWS = 1_000_000
ROW = random.Random(1).randbytes(120)
ENTRY = random.Random(2).randbytes(250)
SAMPLES = 300


def _quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1e6, 1)
        for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def _key(number: int) -> bytes:
    return b"\xc8M%08d\x00P01" % number


class Load:
    """Stages postings on random members with as little work of its own as can be."""

    def __init__(self, book: Book, rows: int = ROWS) -> None:
        self._book = book
        self._random = random.Random(7)
        self._rows = rows
        self._entry = Entry(1, 1, 20260101, b"", "earn", (), (), (), ())

    def stage(self) -> None:
        """One posting: three rows of members and a balance."""
        book = self._book
        draw = self._random.random
        rows = self._rows
        keys = [_key(int(draw() * rows)) for _ in range(3)]
        records: dict[bytes, Any] = dict.fromkeys(keys, self._entry)
        packed: dict[bytes, bytes | int | None] = dict.fromkeys(keys, ROW)
        balance = schema.balance("Fund:P01")
        records[balance] = packed[balance] = book.sequence
        book.stage(book.sequence + 1, 1, 20260101, ENTRY, records, packed)


def raw_disk(folder: Path, size: int) -> dict[str, float]:
    """One write and one fdatasync of `size` bytes into zero-filled space, microseconds."""
    path = folder / "raw"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    data = random.Random(3).randbytes(size)
    times = []
    try:
        for offset in range(0, size * SAMPLES, 1 << 20):
            os.pwrite(descriptor, bytes(1 << 20), offset)
        os.fsync(descriptor)
        for number in range(SAMPLES):
            started = time.perf_counter()
            os.pwrite(descriptor, data, number * size)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
        path.unlink()
    return _quantiles(times)


def append(folder: Path, entries: int) -> dict[str, float]:
    """Groups of `entries` postings through the book, microseconds a group."""
    book_folder = folder / "append"
    Book.create(book_folder)
    limits = Limits(segment_bytes_alone=256 << 20, fold_records=1 << 40)
    book = Book.open(book_folder, follower=False, limits=limits)
    load = Load(book)
    times, size = [], 0
    try:
        for _ in range(SAMPLES):
            for _ in range(entries):
                load.stage()
            group = book.seal()
            if group is None:
                raise RuntimeError("nothing was staged")
            started = time.perf_counter()
            book.write(group)
            times.append(time.perf_counter() - started)
            book.settle(group)
            size = group.bytes
    finally:
        book.close(fold=False)
        shutil.rmtree(book_folder)
    raw = raw_disk(folder, size)
    return {"bytes": size, **_quantiles(times), "raw_p50": raw["p50"], "raw_p99": raw["p99"]}


def stage_and_get(folder: Path) -> dict[str, float]:
    """Cost of the calls that the daemon's loop makes, microseconds each."""
    book_folder = folder / "stage"
    Book.create(book_folder)
    book = Book.open(book_folder, follower=False)
    entry = Entry(1, 1, 20260101, b"", "earn", (), (), (), ())
    count = 50_000
    staged = []
    for number in range(count):
        keys = [_key(number * 4 + part) for part in range(4)]
        staged.append((dict.fromkeys(keys, entry), dict.fromkeys(keys, ROW)))
    started = time.perf_counter()
    for number, (records, packed) in enumerate(staged, 1):
        book.stage(number, 1, 20260101, ENTRY, records, packed)
    stage = time.perf_counter() - started
    keys = [_key(number) for number in range(count)]
    started = time.perf_counter()
    for key in keys:
        book.view.get(key)
    get = time.perf_counter() - started
    started = time.perf_counter()
    group = book.seal()
    seal = time.perf_counter() - started
    if group is not None:
        book.write(group)
        book.settle(group)
    book.close(fold=False)
    shutil.rmtree(book_folder)
    return {
        "stage_us": round(stage / count * 1e6, 3),
        "get_overlay_us": round(get / count * 1e6, 3),
        "seal_us_an_entry": round(seal / count * 1e6, 3),
    }


def _fill(folder: Path) -> None:
    environment = open_environment(folder, sync=False)
    with environment.begin(write=True) as transaction:
        transaction.cursor().putmulti((_key(number), ROW) for number in range(ROWS))
    environment.sync(True)
    environment.close()


def fold(folder: Path, changes: int) -> dict[str, float]:
    """One fold of `changes` random rows into a million-row table."""
    book_folder = folder / "fold"
    Book.create(book_folder)
    _fill(book_folder)
    environment = open_environment(book_folder)
    source = random.Random(11)
    batch = Batch()
    groups = []
    per_group = 100
    for number in range(changes // per_group):
        group = Group(0, number * 30 + 1)
        group.entries = [ENTRY] * 30
        group.last = number * 30 + 30
        group.changes = {_key(source.randrange(ROWS)): ROW for _ in range(per_group)}
        packed = codec.pack_value(group.changes)
        groups.append((group, packed))
    started = time.process_time()
    for group, packed in groups:
        group.changes = codec.unpack_value(packed)
        batch.add(group)
    merged = time.process_time()
    wall = time.perf_counter()
    batch.fold(environment)
    done = time.perf_counter()
    cpu = time.process_time() - merged
    environment.close()
    shutil.rmtree(book_folder)
    return {
        "merge_us_a_row": round((merged - started) / changes * 1e6, 3),
        "fold_cpu_us_a_row": round(cpu / changes * 1e6, 3),
        "fold_wall_s": round(done - wall, 3),
    }


class Daemon:
    """The daemon's way of driving a book: a loop that stages and settles, a thread that writes."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._load = Load(book)
        self._sealed, self._written = threading.Event(), threading.Event()
        self._flight: Group | None = None
        self._writer = threading.Thread(target=self._write)
        self.times: list[float] = []
        self.overlay_max = 0
        self.behind_max = 0

    def _write(self) -> None:
        while True:
            self._sealed.wait()
            self._sealed.clear()
            if self._flight is None:
                return
            self._book.write(self._flight)
            self.times.append(self._flight.write_ns / 1e9)
            self._written.set()

    def _settle(self) -> None:
        if self._flight is not None and self._written.is_set():
            self._written.clear()
            self._book.settle(self._flight)
            self._flight = None
            self._book.refresh()
            self.overlay_max = max(self.overlay_max, self._book.overlay_size)

    def run(self, seconds: float, rate: int) -> float:
        """Post `rate` entries a second; returns the seconds that it took."""
        book = self._book
        self._writer.start()
        started = time.perf_counter()
        while (now := time.perf_counter() - started) < seconds:
            due = int(now * rate) - book.sequence
            self.behind_max = max(self.behind_max, due)
            for _ in range(min(due, 64)):
                self._load.stage()
            self._settle()
            if self._flight is None and (group := book.seal()) is not None:
                self._flight = group
                self._sealed.set()
            elif due < 8:
                time.sleep(0.0001)
        while self._flight is not None:
            self._written.wait(1)
            self._settle()
        self._sealed.set()
        self._writer.join()
        return time.perf_counter() - started


def beside_folds(folder: Path, seconds: float, rate: int, limits: Limits) -> dict[str, float]:
    """Group writes while a follower folds the same load into a million rows; microseconds."""
    book_folder = folder / "beside"
    Book.create(book_folder)
    _fill(book_folder)
    book = Book.open(book_folder, limits=limits)
    daemon = Daemon(book)
    elapsed = daemon.run(seconds, rate)
    stats = book.stats
    cpu = 0.0
    if book.follower_id:
        fields = Path(f"/proc/{book.follower_id}/stat").read_text().rsplit(")", 1)[1].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    book.close(fold=False)
    shutil.rmtree(book_folder)
    ordered = sorted(daemon.times)
    return {
        **_quantiles(ordered),
        "p99.9": round(ordered[int(len(ordered) * 0.999)] * 1e6, 1),
        "entries_a_second": round(stats.entries / elapsed),
        "entries_a_group": round(stats.entries / stats.groups, 1),
        "follower_cpu_share": round(cpu / elapsed, 3),
        "overlay_max": daemon.overlay_max,
        "entries_behind_max": daemon.behind_max,
    }


def measure(folder: Path) -> dict[str, Any]:
    """Every figure, on the disk that holds `folder`; takes about a minute."""
    return {
        "calls": stage_and_get(folder),
        "append": {entries: append(folder, entries) for entries in (1, 10, 50, 250)},
        "fold": {changes: fold(folder, changes) for changes in (50_000, 200_000)},
        "beside_folds": beside_folds(folder, 12.0, 30_000, Limits()),
    }


def main() -> None:
    """Print what `measure` finds."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        for name, figures in measure(Path(folder)).items():
            print(name)
            for key, value in figures.items():
                print(f"  {key}: {value}")


if __name__ == "__main__":
    main()
