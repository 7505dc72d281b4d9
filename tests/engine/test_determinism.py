"""The same commands give the same entries and digest: on any hash seed, in any grouping."""

import os
import subprocess
import sys
from pathlib import Path

from engine.commands import Pin
from engine.machine import Machine
from engine.reasons import Reason
from engine.rules import members, refund, terminals, undo
from engine.rules.expiry import ExpirePoints
from ledger import audit, schema
from ledger.book import Book
from tests.engine.house import House, moment, sealed, token
from tests.engine.memory_book import MemoryBook

ROOT = Path(__file__).parents[2]
CARD, PHONE = token("C", "A"), token("P", "B")
DAY = 86_400_000


def business(house, after_each=lambda: None):
    """A few days with each kind of transaction; `after_each` is called between commands."""
    at = moment(20260301, "09:00")
    house.open(20260301, at=at)
    house.institution("HB01", at)
    for name in ("P01", "P02"):
        house.program(name, at)
    terms = tuple(
        (20260101, name, (3, 2), (3, 2), (95, 100), 6, 1, 50, 0, True) for name in ("P01", "P02")
    )
    house.merchant("HOTEL", at, terms)
    house.terminal("00000001", "HOTEL", at)
    house.member("M1", at, (("C", "A"), ("P", "B")))
    house.balance("M1", "P01", 500, at, 20271231)
    till = "00000001"
    for number in range(12):
        at += DAY // 5
        after_each()
        earned = house.accrue(till, at, CARD, 10_000 + number)
        after_each()
        unit = ("P01", "156")[number % 2]
        spent = house.redeem(till, at, PHONE, 30 + number, unit, Pin.RIGHT)
        after_each()
        said = {"tokens": (CARD,), "unit": unit, "amount": 30 + number, "original": spent.sequence}
        if number % 3:
            said["amount"] //= 2
            house.send(refund.Refund, till, at, **said)
        else:
            house.send(undo.Void, till, at, original_batch=0, original_stan=0, **said)
        after_each()
        card = token("C", f"N{number}")
        house.send(
            members.Enrolment, till, at, tokens=(card,), sealed=(sealed("N"),), numbers_valid=True
        )
        house.accrue(till, at, token("C", "nobody"), earned.sequence)
    house.send(terminals.Settlement, till, at, totals=(("P01", 1, 1, 1, 1),))


def journal(book):
    """The packed entries of a book in memory, one text."""
    return b"".join(book.entries).hex()


def test_the_hash_seed_changes_nothing():
    program = (
        "from tests.engine.test_determinism import *\n"
        "book = MemoryBook()\n"
        "business(House(book))\n"
        "print(journal(book), book.digest())\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(told) == 1


def test_the_business_has_approvals_of_each_kind_and_declines():
    book = MemoryBook()
    business(House(book))
    entries = [book.entry(number) for number in range(1, book.sequence + 1)]
    approved = {entry.kind for entry in entries if entry.outcome[0] == Reason.APPROVED}
    assert approved >= {"accrual", "redemption", "void", "refund", "enrolment", "cut-off"}
    declined = {entry.outcome[0] for entry in entries} - {Reason.APPROVED}
    assert declined == {Reason.MEMBER_UNKNOWN, Reason.TOTALS_DIFFER}


def on_disk(folder, every):
    """Entries and digest of a book on disk whose groups end after every so many commands."""
    Book.create(folder)
    book = Book.open(folder, follower=False)
    house = House(book)
    commands = 0

    def after_each():
        nonlocal book, commands
        commands += 1
        if commands % every == 0:
            book.flush()
        if commands % (every * 7) == 0:
            book.close()
            book = Book.open(folder, follower=False)
            house.book, house.machine = book, Machine(book)

    business(house, after_each)
    book.flush()
    entries = b"".join(row for _, row in book.view.rows(bytes((schema.ENTRY,)))).hex()
    digest = audit.digest(book.view)
    book.close()
    return entries, digest


def test_grouping_and_restarts_change_nothing(tmp_path):
    memory = MemoryBook()
    business(House(memory))
    for every in (1, 3):
        assert on_disk(tmp_path / str(every), every) == (journal(memory), memory.digest())


def test_only_a_changed_reference_row_makes_derived_terms_be_looked_at_anew():
    house = House(MemoryBook())
    business(house)
    machine = house.machine
    before = machine.revision
    at = house.book.last_at
    house.member("N1", at, (("C", "new"),))
    house.balance("N1", "P01", 100, at, 20260101)
    assert machine.execute(ExpirePoints("N1", "P01"), at).approved
    assert machine.revision == before
    house.institution("NEW", at)
    assert machine.revision == before + 1
    house.institution("NEW", at)
    assert machine.revision == before + 1
