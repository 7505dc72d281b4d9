"""Business days to clear: on a book in memory, and what its fold comes to."""

import msgpack

from clearing.settle import Fold
from engine.commands import Pin
from tests.engine.house import House, moment, token
from tests.engine.memory_book import MemoryBook

CARD = token("C", "A")
RIGHT = Pin.RIGHT
TERMS = (20260101, "P01", (1, 1), (1, 1), (95, 100), 6, 0, 0, 0, False)


def terms(**said):
    """Terms of P01: earn, funding, settlement, fee, min, max, refund_days, refund_fee."""
    names = ("since", "program", "earn", "funding", "settlement", "fee", "min", "max")
    usual = dict(zip((*names, "refund_days", "refund_fee"), TERMS, strict=True))
    return tuple((usual | said).values())


def house(*merchants, open_date=20260301, **programs):
    """A house with P01 and the merchants (name, terms…), each with a till, and member M1."""
    made = House(MemoryBook())
    at = moment(20260101, "00:00")
    made.open(open_date, at=at)
    made.institution("HB01", at)
    made.program("P01", at, **programs)
    for number, (name, *rows) in enumerate(merchants, 1):
        made.merchant(name, at, tuple(rows) or (TERMS,))
        made.terminal(f"{number:08}", name, at)
    made.member("M1", at, (("C", "A"),))
    return made


def fold(made, date, parties=("SHOP", "INN", "SPA")):
    """Totals and lines of a date, of a book in memory."""
    lines = []
    folded = Fold(date, frozenset(parties), "Asia/Shanghai", lines.append)
    for packed in made.book.entries:
        fields = msgpack.unpackb(packed, use_list=False, strict_map_key=False)[1:]
        if fields[2] == date:
            folded.add(fields)
    return folded.totals, lines


def entry(sequence, postings, kind="accrual", *, date=20260301, counted=(), facts=()):
    """The fields of an entry that posts these legs."""
    command = ("00000001", "SHOP", 1, sequence, b"", "", (), 0)
    outcome = (0, "", (), facts, counted)
    return (sequence, 1772330400000, date, b"", kind, command, outcome, postings, ())
