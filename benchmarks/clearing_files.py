"""Writing the files of a day: seconds and peak memory for N lines of M merchants.

``python -m benchmarks.clearing_files [--lines N] [--merchants M] [--workers W]`` makes a netted day
from arithmetic alone (no journal, no netting: what is measured is writing), writes its set into a
folder in ``var`` and prints the time, the processor time and the peak resident memory of this
process and of its largest worker. Merchants differ in size as shops do:
some have a hundred times the lines of others.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clearing import model
from clearing.files.writing import write_set
from clearing.model import Amount, Day, Line, Movement, Operator, PartyDay, PointsTotal


def merchant_id(number: int) -> str:
    """Name a merchant by number: 15 digits."""
    return f"1041{number:011d}"


@dataclass(slots=True)
class Generated:
    """A source of lines made by arithmetic; party `i` has ``sizes[i]`` of them."""

    sizes: list[int]

    def lines(self, first: int, end: int) -> Iterator[Line]:
        """Give the lines of a range of parties."""
        start = 1 + sum(self.sizes[:first])
        for number in range(first, end):
            party = merchant_id(number)
            for at in range(self.sizes[number]):
                yield self.line(party, start + at, at)
            start += self.sizes[number]

    @staticmethod
    def line(party: str, sequence: int, at: int) -> Line:
        """Make one line: three accruals, then a redemption."""
        spent = at % 4 == 3
        sale = 1000 + sequence * 7919 % 50000
        points = sale // 100
        if spent:
            money = ((model.REDEEMED, sale * 95 // 100), (model.FEE, -1 - sale // 200))
        else:
            money = ((model.ISSUED, -points), (model.FEE, -1 - points // 100))
        hour = 80000 + at % 12 * 10000 + at % 60 * 100 + at % 59
        return Line(
            party,
            sequence,
            f"{sequence * 104729 % 10**12:012d}",
            20261122_000000 + hour,
            20261122,
            party,
            f"{at % 7 + 1:08d}",
            12,
            at % 10**6,
            "pos",
            "redemption" if spent else "accrual",
            "P01",
            -sale if spent else points,
            sale,
            money,
            "622202*********0018",
            0,
            "",
        )


def sizes_of(lines: int, merchants: int) -> list[int]:
    """Divide lines among merchants unevenly, the same way each time."""
    weights = [1 + 100 // (1 + number % 50) for number in range(merchants)]
    total = sum(weights)
    sizes = [lines * weight // total for weight in weights]
    sizes[0] += lines - sum(sizes)
    return sizes


def day_of(source: Generated) -> Day:
    """Net the generated lines."""
    parties = []
    lines = source.lines(0, len(source.sizes))
    for number, size in enumerate(source.sizes):
        sums: dict[str, list[int]] = {}
        issued = redeemed = 0
        for _ in range(size):
            line = next(lines)
            for heading, fen in line.money:
                row = sums.setdefault(heading, [0, 0, 0])
                row[0] += 1
                row[1 if fen < 0 else 2] += abs(fen)
            issued += max(line.points, 0)
            redeemed -= min(line.points, 0)
        debit = sum(row[1] for row in sums.values())
        credit = sum(row[2] for row in sums.values())
        party = merchant_id(number)
        parties.append(
            PartyDay(
                party,
                f"承德第{number}商店 Shop {number}",
                "merchant",
                "HB01",
                f"Shop {number} Ltd",
                f"6217{number:015d}",
                "105121000013",
                tuple(Amount(heading, *sums[heading]) for heading in sorted(sums)),
                (PointsTotal("P01", issued, redeemed),) if size else (),
                (("points", sums[model.FEE][1]),) if size else (),
                size,
                debit,
                credit,
                credit - debit,
                0,
                max(credit - debit, 0),
                min(credit - debit, 0),
                0,
                0,
            )
        )
    net = sum(party.net for party in parties)
    return Day(
        20261122,
        1,
        0,
        20261123,
        20261122235959,
        1,
        sum(source.sizes),
        sum(source.sizes),
        "0",
        Operator("冀旅联盟", "Asia/Shanghai", "Alliance", "0200001234567890123", "102100099996"),
        tuple(parties),
        (),
        (),
        (),
        (Movement("Fund:P01", -net),),
        (),
        (),
    )


def _processor_seconds() -> float:
    """Processor time of this process and of its workers that have ended."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime for who in whose)


def main() -> None:
    """Write one set and print what it took."""
    options = argparse.ArgumentParser()
    options.add_argument("--lines", type=int, default=1_000_000)
    options.add_argument("--merchants", type=int, default=5_000)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--folder", type=Path, default=Path("var/clearing-files"))
    options.add_argument("--keep", action="store_true")
    chosen = options.parse_args()
    source = Generated(sizes_of(chosen.lines, chosen.merchants))
    day = day_of(source)
    shutil.rmtree(chosen.folder, ignore_errors=True)
    began, spent = time.perf_counter(), _processor_seconds()
    files = write_set(day, source, chosen.folder, workers=chosen.workers)
    taken = time.perf_counter() - began
    size = sum(each.size for each in files)
    spent = _processor_seconds() - spent
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(
        f"{chosen.lines:,} lines of {chosen.merchants:,} merchants, {chosen.workers} workers:"
        f" {taken:.1f} s ({spent:.1f} s of processors), {len(files):,} files, {size / 1e6:,.0f} MB,"
        f" peak {own} MiB here and {worker} MiB in a worker"
    )
    if not chosen.keep:
        shutil.rmtree(chosen.folder)


if __name__ == "__main__":
    main()
