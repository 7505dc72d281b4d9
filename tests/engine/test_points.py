"""A purse of any size against a plain dict, through the records that it stores."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.points import LOTS_MAX, Purse
from engine.records import NEVER, Chunk
from ledger import codec, schema

MEMBER, PROGRAM = "M1", "P01"
TODAY = 20260301
ISSUERS = [f"SHOP{number:02}" for number in range(40)]
DAYS = [20260200 + day for day in range(1, 29)] + [20260300 + day for day in range(1, 31)] + [NEVER]

issuers = st.sampled_from(ISSUERS)
days = st.sampled_from(DAYS)
amounts = st.integers(1, 500)
moves = st.one_of(
    st.tuples(st.just("put"), issuers, days, amounts),
    st.tuples(st.just("many"), st.integers(0, 600), st.integers(1, 300), amounts),
    st.tuples(st.just("earn"), issuers, days, amounts),
    st.tuples(st.just("take"), st.integers(1, 40_000)),
    st.tuples(st.just("claw_back"), issuers, days, st.integers(1, 3000), st.booleans()),
    st.tuples(st.just("put_and_expire"), issuers, days, amounts),
    st.tuples(st.just("settle_debt"), issuers, amounts),
    st.tuples(st.just("lapse"), st.integers(1, 300)),
)


class Naive:
    """The same points in two dicts."""

    def __init__(self):
        self.lots = defaultdict(int)
        self.debts = defaultdict(int)

    def available(self):
        return sum(a for (day, _), a in self.lots.items() if day >= TODAY) - self.owed()

    def owed(self):
        return sum(self.debts.values())

    def put(self, issuer, day, amount):
        self.lots[day, issuer] += amount

    def earn(self, issuer, day, amount):
        for creditor in sorted(self.debts):
            part = min(amount, self.debts[creditor])
            self.debts[creditor] -= part
            amount -= part
        self.put(issuer, day, amount)

    def take(self, amount, *, first=(), since=TODAY):
        for lot in [*first, *sorted(self.lots)]:
            if lot[0] >= since:
                part = min(amount, self.lots[lot])
                self.lots[lot] -= part
                amount -= part
        return amount

    def claw_back(self, issuer, day, amount, *, owe):
        left = self.take(amount, first=[(day, issuer)], since=0)
        if owe:
            self.debts[issuer] += left
        return amount - (0 if owe else left)

    def lapse(self, lots_max):
        lots = sorted(lot for lot, amount in self.lots.items() if amount and lot[0] < TODAY)
        return [(*lot, self.lots.pop(lot)) for lot in lots[:lots_max]]

    def settle_debt(self, issuer, amount):
        part = min(amount, self.debts[issuer])
        self.debts[issuer] -= part
        self.put(issuer, NEVER, amount - part)

    def next_expiry(self):
        good = {lot: amount for lot, amount in self.lots.items() if amount and lot[0] >= TODAY}
        if not good:
            return None
        day = min(good)[0]
        return sum(amount for lot, amount in good.items() if lot[0] == day), day


class Stored:
    """Rows as the book would keep them, through the codec."""

    def __init__(self):
        self.rows = {}

    def read(self, key):
        return self.rows.get(key)

    def keep(self, changes):
        for key, row in changes.items():
            if row is None:
                self.rows.pop(key, None)  # a chunk may come and go within one command
            else:
                self.rows[key] = codec.unpack_row(key, codec.pack_record(row))

    def check(self):
        """Order, bounds and sums of the record and its chunks; returns all lots."""
        row = self.rows[schema.points(MEMBER, PROGRAM)]
        assert len(row.lots) <= LOTS_MAX
        lots = list(row.lots)
        numbers = set()
        for day, issuer, number, total in row.chunks:
            chunk = self.rows[schema.lots(MEMBER, PROGRAM, number)].lots
            assert 0 < len(chunk) <= LOTS_MAX
            assert (day, issuer) == chunk[0][:2]
            assert total == sum(lot[2] for lot in chunk)
            lots += chunk
            numbers.add(number)
        assert len([row for row in self.rows.values() if isinstance(row, Chunk)]) == len(numbers)
        assert lots == sorted(lots)
        assert len({lot[:2] for lot in lots}) == len(lots)
        assert all(lot[2] > 0 for lot in lots)
        return lots, row.debts


def play(purse, naive, move):
    kind, *said = move
    if kind == "put":
        purse.put(*said)
        naive.put(*said)
    elif kind == "many":
        start, count, amount = said
        for number in range(start, start + count):
            issuer, day = ISSUERS[number % 40], DAYS[number // 40 * 3 % len(DAYS)]
            purse.put(issuer, day, amount)
            naive.put(issuer, day, amount)
    elif kind == "earn":
        purse.earn(*said)
        naive.earn(*said)
    elif kind == "take":
        enough = naive.available() >= said[0]
        taken = purse.take(said[0], TODAY)
        assert (taken is not None) == enough
        if taken is not None:
            assert sum(lot[2] for lot in taken) == said[0]
            assert taken == sorted(taken)
            assert naive.take(said[0]) == 0
    elif kind == "claw_back":
        *lot, amount, owe = said
        assert purse.claw_back(*lot, amount, owe=owe) == naive.claw_back(*lot, amount, owe=owe)
    elif kind == "put_and_expire":
        purse.put(*said)
        purse.expire(*said)
    elif kind == "lapse":
        assert purse.lapse(TODAY, *said) == naive.lapse(*said)
    else:
        purse.settle_debt(*said)
        naive.settle_debt(*said)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(moves, min_size=1, max_size=4), min_size=1, max_size=10))
def test_a_purse_is_what_a_plain_dict_says(commands):
    stored, naive = Stored(), Naive()
    sums = defaultdict(int)
    for at, command in enumerate(commands, 1):
        purse = Purse(stored.read, MEMBER, PROGRAM)
        for move in command:
            play(purse, naive, move)
        assert purse.available(TODAY) == naive.available()
        assert purse.ledger() == sum(naive.lots.values()) - naive.owed()
        assert purse.next_expiry(TODAY) == naive.next_expiry()
        for account, _, amount in purse.postings:
            sums[account] += amount
        stored.keep(purse.changes(at, at))
        lots, debts = stored.check()
        assert {lot[:2]: lot[2] for lot in lots} == {k: v for k, v in naive.lots.items() if v}
        assert dict(debts) == {k: v for k, v in naive.debts.items() if v}
        held = {f"Lot:M1:P01:{issuer}:{day}": amount for day, issuer, amount in lots}
        held |= {f"Debt:M1:P01:{issuer}": -amount for issuer, amount in debts}
        assert held == {account: amount for account, amount in sums.items() if amount}


def filled(lots):
    """A stored purse of one point in each of many lots."""
    stored = Stored()
    purse = Purse(stored.read, MEMBER, PROGRAM)
    for number in range(lots):
        purse.put(f"S{number:05}", 20270101, 1)
    stored.keep(purse.changes(1, 1))
    return stored


def test_a_purse_of_thousands_of_lots_touches_few_of_them():
    stored = filled(5000)
    reads = []
    purse = Purse(lambda key: reads.append(key) or stored.read(key), MEMBER, PROGRAM)
    assert purse.take(3, TODAY) == [(20270101, f"S{number:05}", 1) for number in range(3)]
    purse.put("S04999", 20270101, 5)
    changes = purse.changes(2, 2)
    assert len(reads) <= 2
    assert len(changes) <= 2


def test_a_lot_beyond_the_record_is_expired_and_no_other():
    stored = filled(600)
    purse = Purse(stored.read, MEMBER, PROGRAM)
    purse.put("S00590", 20270101, 7)
    purse.expire("S00590", 20270101, 7)
    stored.keep(purse.changes(2, 2))
    lots, _ = stored.check()
    assert lots == [(20270101, f"S{number:05}", 1) for number in range(600)]


def test_the_next_expiry_counts_lots_beyond_the_record():
    stored = filled(600)
    assert Purse(stored.read, MEMBER, PROGRAM).next_expiry(TODAY) == (600, 20270101)
    assert Purse(stored.read, MEMBER, PROGRAM).next_expiry(20270102) is None


def test_earning_repays_debts_by_the_name_of_the_creditor():
    stored = Stored()
    purse = Purse(stored.read, MEMBER, PROGRAM)
    for issuer, owed in (("C", 10), ("A", 20), ("B", 30)):
        purse.owe(issuer, owed)
    stored.keep(purse.changes(1, 1))
    purse = Purse(stored.read, MEMBER, PROGRAM)
    purse.earn("SHOP", 20280331, 55)
    assert purse.postings == [
        ("Debt:M1:P01:A", "P01", 20),
        ("Debt:M1:P01:B", "P01", 30),
        ("Debt:M1:P01:C", "P01", 5),
    ]
    purse.earn("SHOP", 20280331, 7)
    assert purse.postings[3:] == [
        ("Debt:M1:P01:C", "P01", 5),
        ("Lot:M1:P01:SHOP:20280331", "P01", 2),
    ]
    stored.keep(purse.changes(2, 2))
    assert stored.check() == ([(20280331, "SHOP", 2)], ())


def test_a_debt_stands_beside_lots_and_lessens_what_can_be_spent():
    purse = Purse(Stored().read, MEMBER, PROGRAM)
    purse.owe("A", 20)
    purse.put("SHOP", 20280331, 50)
    assert purse.available(TODAY) == 30
    assert purse.take(31, TODAY) is None
    assert purse.take(30, TODAY) == [(20280331, "SHOP", 30)]
    assert (purse.available(TODAY), purse.ledger()) == (0, 0)
