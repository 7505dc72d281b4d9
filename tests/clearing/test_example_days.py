"""Days computed by hand, played through the rules and cleared to the fen: ``example_days.txt``.

What is compared is read from the files by others' readers (`tests.clearing.readers`).
"""

import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from clearing.run import Options, clear, release
from clearing.validate import validate
from ledger import schema
from ledger.codec import unpack_entry
from ledger.journal import entries
from ledger.tables import Snapshot
from tests.clearing import readers
from tests.clearing.books import opened
from tests.engine.house import moment
from tests.scenarios.stage import Stage, scenarios
from tests.scenarios.words import day
from tests.tools.conftest import must

DAYS = scenarios(Path(__file__).parent)
ALONE = Options(workers=1)
WORDS = {
    "issued": "10",
    "topped-up": "12",
    "redeemed": "20",
    "loaded": "30",
    "spent": "31",
    "honoured": "40",
    "funded": "41",
    "vouchers": "42",
    "recharge": "43",
    "gifts": "50",
    "fees": "60",
    "shared": "70",
    "exchange": "80",
    "adjusted": "90",
}
CARRIED = {
    "brought": "carried in",
    "paid": "payable",
    "left": "carried forward",
    "asked for": "collect",
}
EXCEPTION = r"exception (\S+): here (\S+), there (\S+), (\d+) days, (open|resolved)"
NIGHT = r"night (\S+) (\S+) clears (\S+)"


def said(lines):
    """What the lines below a night say."""
    money = readers.Money()
    for line in lines:
        if found := re.fullmatch(r"fund of (\w+): (-?\d+) points, (-?\d+) fen(.*)", line):
            program, points, fen, rest = found.groups()
            trued_up = int(rest.removeprefix(", trued up ") or 0)
            money.funds[program] = (int(points), int(fen), trued_up)
        elif found := re.fullmatch(EXCEPTION, line):
            money.exceptions[found.groups()] += 1
        elif found := re.fullmatch(r"(\w+) (issued|took) (-?\d+) (P\d\d)", line):
            party, name, points, program = found.groups()
            column = "redeemed" if name == "took" else name
            money.points[party, column, program] += int(points)
        else:
            party, headings, net, carried = re.fullmatch(
                r"(\w+): (.*); net ([+-]?\d+)(.*)", line
            ).groups()
            for name, fen in re.findall(r"([a-z-]+) ([+-]\d+)", headings):
                money.headings[party, WORDS[name]] += int(fen)
            money.carried[party, "net"] += int(net)
            for name, fen in re.findall(r", ([a-z ]+) (-?\d+)", carried):
                money.carried[party, CARRIED[name]] += int(fen)
    return money


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


class Nights(Stage):
    """A scenario on a data directory, whose dates are cleared between its acts."""

    def __init__(self, place, clock):
        self.folder, self.out = place / "book", place / "out"
        self.clock = clock
        self.cleared = []
        with opened(self.folder) as house:
            super().__init__(house.book)

    @contextmanager
    def trading(self):
        """The book, opened: what tills know of their batches goes on."""
        with opened(self.folder) as house:
            house.merchant_of, house.stans = self.house.merchant_of, self.house.stans
            self.book, self.house = house.book, house
            yield

    def entry(self, sequence):
        self.book.flush()
        return unpack_entry(next(entries(self.folder, sequence))[1])

    def configure(self, old, new):
        path = self.folder / "counterfoil.toml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def play(self, lines):
        """Days by day and nights by night."""
        acts = []
        nights = []
        for line in lines:
            if found := re.fullmatch(NIGHT, line):
                nights.append((acts, found.groups(), []))
                acts = []
            elif nights and not acts and line.startswith(" "):
                nights[-1][2].append(line.strip())
            elif line.startswith("collect from "):
                self.configure("[clearing]", f"[clearing]\ncollect_limit_fen = {line.split()[2]}")
            else:
                acts.append(line)
                if line.startswith("open "):
                    self.configure('"24:00"', f'"{line.split()[-1]}"')
        assert not acts, "a scenario ends with a night"
        for trade, (date, clock, closing), expected in nights:
            with self.trading():
                super().play(trade)
            self.clock(moment(day(date), clock))
            self.night(day(closing), said(expected))

    def night(self, date, expected):
        """Clear a date, compare its files with what is said, release it."""
        out = self.out / str(date)
        results = clear(self.folder, date, out, ALONE)
        assert validate(out) == []
        found = readers.in_settlement(out)
        assert found.headings == expected.headings
        assert found.carried == expected.carried
        assert found.points == expected.points
        nets, funds = readers.in_workbook(out)
        assert nets == expected.all("net")
        assert {name: funds[name] for name in expected.funds} == expected.funds
        assert readers.in_details(out) == expected.headings
        assert readers.in_payments(out) == expected.all("payable")
        assert readers.in_collections(out) == expected.all("collect")
        assert not expected.exceptions or readers.in_exceptions(out) == expected.exceptions
        assert readers.set_faults(out) == []
        for result in results:
            release(self.folder, result.begun.date, ALONE)
            self.cleared.append((result.begun.date, files(result.folder)))
        self.settled(date, expected)

    def settled(self, date, expected):
        """The positions of a released date are zero, what is paid or owed on is payable."""
        with Snapshot(self.folder) as snapshot:
            rows = snapshot.view.scan(bytes((schema.BALANCE,)))
            held = {schema.balance_account(key): fen for key, fen in rows if fen}
        assert not [name for name in held if re.fullmatch(rf"Pos:\w+:{date}", name)]
        owed = Counter()
        for (party, name), fen in expected.carried.items():
            if name in {"net", "carried in"}:
                owed[party] += fen
        assert Counter({p: held.get(f"Payable:{p}:{date}-1", 0) for p in owed}) == owed

    def repeated(self):
        """Every date cleared again, after all that came later, gives the same bytes."""
        for date, before in self.cleared:
            clear(self.folder, date, self.out / f"again-{date}", ALONE)
            assert files(self.out / f"again-{date}") == before


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock that commands of the night are given by."""

    def put(at):
        for place in ("engine.submit", "engine.directory"):
            monkeypatch.setattr(f"{place}.wall_ms", lambda: at)

    return put


@pytest.mark.parametrize("lines", [lines for _, lines in DAYS], ids=[title for title, _ in DAYS])
def test_the_files_of_an_example_day_say_what_was_computed_by_hand(lines, tmp_path, clock):
    nights = Nights(tmp_path, clock)
    nights.play(lines)
    nights.repeated()
    assert "failed" not in must("verify", nights.folder)


def test_an_example_day_that_is_wrong_by_a_fen_fails(tmp_path, clock):
    lines = next(lines for title, lines in DAYS if "three funders" in title)
    spoilt = [line.replace("net +667, paid 667", "net +668, paid 668") for line in lines]
    assert spoilt != lines
    with pytest.raises(AssertionError):
        Nights(tmp_path, clock).play(spoilt)
