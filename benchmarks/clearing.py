"""A whole run of clearing over a journal of N transactions: seconds by step, and memory.

``python -m benchmarks.clearing [--transactions N] [--merchants M] [--workers W] [--release]
[--folder F] [--keep]`` writes a data directory, under ``var`` unless told otherwise, by the
ledger's own code: three accruals, then a redemption, of merchants of uneven size. The entries are
those of the rules, made by arithmetic, since what is measured is the night and not the day. Then it
clears the date, and prints seconds by step, entries a second, and the largest sum of memory that
this process and its workers had (proportional set size, looked at five times a second).
"""

from __future__ import annotations

import argparse
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Self

from clearing.run import Options, clear, release
from engine.rules import reference
from engine.rules.clearing import PutPayee
from ledger import codec, schema
from ledger.book import Book
from tests.clearing.books import opened, terms
from tests.engine.house import House

DATE = 20260301
AT = 1772323200000
"""Midnight of the date in Asia/Shanghai, ms."""
GROUP = 500


def merchant_id(number: int) -> str:
    """Name a merchant by number: 15 digits."""
    return f"1041{number:011d}"


def register(house: House, merchants: int) -> None:
    """Program, merchants and where they are paid."""
    house.open(DATE, at=AT)
    house.institution("HB01", AT)
    house.program("P01", AT)
    for number in range(merchants):
        party = merchant_id(number)
        house.merchant(party, AT, (terms(),))
        account = f"6217{number:015d}"
        house.machine.execute(
            PutPayee(party, "merchant", "", f"承德第{number}商店", account, "105121000013"), AT
        )


def postings_of(number: int, party: str, member: str) -> tuple[int, tuple[Any, ...]]:
    """The amount of a transaction, and its legs as the rules post them."""
    sale = 10_000 + number * 7919 % 400_000
    points = sale // 100
    lot = (f"Lot:{member}:P01:{party}:20280331", "P01")
    position = f"Pos:{party}:{DATE}"
    fee = (points * 6 + 500) // 1000
    if number % 4 == 3:
        points //= 2
        paid = points * 95 // 100
        fee = (points * 6 + 500) // 1000
        legs: tuple[Any, ...] = (
            (*lot, -points),
            (f"Redeemed:P01:{party}:{party}", "P01", points),
            ("Fund:P01", "156", -points),
            (position, "156", paid),
            ("Margin:P01", "156", points - paid),
        )
        sale, kind = points, "redemption"
    else:
        legs = (
            (*lot, points),
            (f"Issued:P01:{party}", "P01", -points),
            (position, "156", -points),
            ("Fund:P01", "156", points),
        )
        kind = "accrual"
    if fee:
        legs += ((position, "156", -fee), (f"Fee:{kind}", "156", fee))
    return sale, legs


def trade(book: Book, transactions: int, merchants: int) -> None:
    """Write the entries of a day, and the balances that they come to."""
    weights = [1 + 100 // (1 + number % 50) for number in range(merchants)]
    wheel = [number for number, weight in enumerate(weights) for _ in range(weight)]
    balances: dict[str, int] = {}
    token = (("C", bytes(16)),)
    for number in range(transactions):
        shop = wheel[number * 7907 % len(wheel)]
        party, member = merchant_id(shop), f"M{number * 31 % 100_003:07d}"
        sale, legs = postings_of(number, party, member)
        accrual = number % 4 != 3
        kind = "accrual" if accrual else "redemption"
        content = number.to_bytes(16, "big")
        head = (f"{shop:08d}", party, 1, number % 999_999 + 1, content, "220065", token)
        command = (*head, sale) if accrual else (*head, "P01", sale, 0)
        points = legs[0][2]
        counted = (("P01", "C" if points > 0 else "D", abs(points)),)
        shown = (("points", "P01", 1000, 1000),)
        outcome = (0, member, shown, (("moved", f"{points:+}"),), counted)
        sequence, at = book.sequence + 1, AT + 36_000_000 + number // 40
        packed = codec.pack_entry((sequence, at, DATE, b"", kind, command, outcome, legs, (1, 1)))
        for account, _, amount in legs[1:]:
            balances[account] = balances.get(account, 0) + amount
        rows: dict[bytes, Any] = {}
        if number == transactions - 1:
            rows = {schema.balance(account): amount for account, amount in balances.items()}
        book.stage(sequence, at, DATE, packed, rows, dict(rows))
        if not number % GROUP:
            book.flush()
    book.flush()


def make(folder: Path, transactions: int, merchants: int) -> None:
    """Make the data directory."""
    with opened(folder) as house:
        register(house, merchants)
        house.book.flush()
        trade(house.book, transactions, merchants)
    with opened(folder) as house:  # a machine that has seen these entries
        house.machine.execute(reference.CutOff(DATE, automatic=False), AT + 80_000_000)


class Memory:
    """Watches what this process and its children have; `peak` is in MiB."""

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            self.peak = max(self.peak, sum(map(_pss, _family())) // 1024)


def _family() -> list[str]:
    children = Path(f"/proc/self/task/{threading.main_thread().native_id}/children")
    return ["self", *children.read_text(encoding="ascii").split()]


def _pss(process: str) -> int:
    """Proportional set size of private memory, KiB: file pages belong to the system."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return int(lines["Pss_Anon"].split()[0])


def measure(
    base: Path, transactions: int, merchants: int, *, workers: int = 2, then_release: bool = False
) -> dict[str, Any]:
    """Clear a date of so many transactions.

    Args:
        base: folder for the data directory, which is made unless it is there, and the files.
        transactions: of the date.
        merchants: among whom they are divided.
        workers: processes that fold and write.
        then_release: release it as well, outside of the figures.

    Returns:
        ``entries``, ``seconds``, ``rate`` (entries a second), ``cpu_s`` of all processes,
        ``peak_mib``, and ``steps``: name and seconds.
    """
    book = base / "book"
    if not book.exists():
        base.mkdir(parents=True, exist_ok=True)
        make(book, transactions, merchants)
    marks: list[tuple[str, float]] = []

    def note(what: str, _done: int, _whole: int) -> None:
        if not marks or marks[-1][0] != what:
            marks.append((what, time.perf_counter()))

    options = Options(workers=workers, value_date=20260302, progress=note)
    with Memory() as memory:
        began, cpu = time.perf_counter(), _cpu_s()
        results = clear(book, DATE, base / "out", options)
        ended, spent = time.perf_counter(), _cpu_s() - cpu
        if then_release:
            release(book, DATE, options)
    last = time.perf_counter()
    day = results[-1].day
    count = day.last_sequence - day.first_sequence + 1
    steps = [
        (what, after - at)
        for (what, at), after in zip(marks, [at for _, at in marks[1:]] + [last], strict=True)
    ]
    return {
        "entries": count,
        "seconds": ended - began,
        "rate": count / (ended - began),
        "cpu_s": spent,
        "peak_mib": memory.peak,
        "steps": steps,
    }


def _cpu_s() -> float:
    """Processor time of this process and of its children that ended."""
    told = os.times()
    return told.user + told.system + told.children_user + told.children_system


def main() -> None:
    """Make the directory, clear its date, print what it took."""
    said = argparse.ArgumentParser()
    said.add_argument("--transactions", type=int, default=1_000_000)
    said.add_argument("--merchants", type=int, default=5_000)
    said.add_argument("--workers", type=int, default=2)
    said.add_argument("--release", action="store_true")
    said.add_argument("--keep", action="store_true", help="Keep and use again what is there.")
    said.add_argument("--folder", type=Path, default=Path("var/clearing"))
    chosen = said.parse_args()
    base = chosen.folder
    if not chosen.keep:
        shutil.rmtree(base, ignore_errors=True)
    found = measure(
        base,
        chosen.transactions,
        chosen.merchants,
        workers=chosen.workers,
        then_release=chosen.release,
    )
    for what, seconds in found["steps"]:
        print(f"{what:<20} {seconds:7.1f} s")
    print(
        f"{found['entries']:,} entries of {chosen.merchants:,} merchants cleared by"
        f" {chosen.workers} workers in {found['seconds']:.1f} s, {found['rate']:,.0f} entries/s,"
        f" {found['cpu_s']:.1f} s of processors, peak {found['peak_mib']} MiB"
    )
    if not chosen.keep:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
