"""Business days to clear: on a book in memory, and what its fold comes to."""

import shutil
from contextlib import contextmanager

import msgpack

from clearing.settle import Fold
from engine.commands import Pin
from engine.rules import refund
from engine.rules.clearing import PutPayee
from engine.rules.reference import CutOff
from engine.vault import Vault
from ledger.book import Book
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


CONFIGURATION = """\
key = "../book.key"
zone = "Asia/Shanghai"
cutoff = "24:00"
[clearing]
operator = "Hebei Points Alliance"
account_name = "Hebei Points Alliance"
account_number = "110100200300"
bank_code = "102100099996"
"""


@contextmanager
def opened(folder):
    """A house on the book of a data directory, which is made where there is none."""
    if not folder.exists():
        Book.create(folder)
        Vault.create(folder.with_name("book.key"))
        (folder / "counterfoil.toml").write_text(CONFIGURATION, encoding="utf-8")
    book = Book.open(folder, follower=False)
    made = House(book)
    # What a house that is opened again does not know any more.
    made.merchant_of = {f"{n:08}": name for n, name in enumerate(("SHOP", "INN", "SPA"), 1)}
    made.stans = {(till, 1): book.sequence for till in made.merchant_of}
    try:
        yield made
        book.flush()
    finally:
        book.close()


def copied(folder, place):
    """A copy of a book, with its key file."""
    place.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, place / "book")
    shutil.copy(folder.with_name("book.key"), place / "book.key")
    return place / "book"


def two_days(folder):
    """Two business dates of three merchants, the first with a party that owes and one idle."""
    at = moment(20260301, "08:00")
    with opened(folder) as made:
        made.open(20260301, at=at)
        made.institution("HB01", at)
        made.program("P01", at)
        made.program("P02", at, points_per_yuan=30)
        for number, name in enumerate(("SHOP", "INN", "SPA"), 1):
            rows = (terms(), terms(program="P02", since=20260102, earn=(3, 1), funding=(10, 3)))
            made.merchant(name, at, rows if name == "INN" else rows[:1])
            made.terminal(f"{number:08}", name, at)
            made.machine.execute(
                PutPayee(name, "merchant", "", f"{name} Ltd", f"62220{number}", "102100099996"), at
            )
        made.member("M1", at, (("C", "A"),))
        for minute in range(30):
            when = moment(20260301, f"10:{minute:02}")
            made.accrue("00000001", when, CARD, 10_000 + 77 * minute)
            made.accrue("00000002", when, CARD, 3_366)
        made.redeem("00000002", moment(20260301, "11:00"), CARD, 1_500, pin=RIGHT)
        made.redeem("00000002", moment(20260301, "11:01"), CARD, 77, "P02", pin=RIGHT)
        spent = made.redeem("00000001", moment(20260301, "11:02"), CARD, 200, pin=RIGHT)
        later = moment(20260302, "09:00")
        said = {"tokens": (CARD,), "unit": "P01", "amount": 50, "original": spent.sequence}
        made.send(refund.Refund, "00000001", later, **said)
        made.redeem("00000001", later, CARD, 1_000, pin=RIGHT)
        made.machine.execute(CutOff(20260302, automatic=False), moment(20260302, "22:00"))
