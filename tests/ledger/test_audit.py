"""Each check finds what it is there for, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from ledger_load import SMALL, note_key, post, stage

from ledger import codec, schema
from ledger.audit import CHECKS, Audit, digest
from ledger.book import Book
from ledger.model import Entry, values_of
from ledger.segment import segments
from ledger.tables import POSITION_KEY, Snapshot, open_environment

HOLDER = 201


@dataclass(slots=True)
class Holder:
    """A member as far as these tests need one."""

    account: str
    unit: str
    amount: int


codec.register(HOLDER, Holder)


def holdings(_, row):
    yield row.account, row.unit, row.amount


def findings(folder):
    with Audit(folder, holdings=holdings, tables=[HOLDER]) as audit:
        return {name: found for name, found in audit.run() if found}


def put(book, postings, rows, at=None, claimed=None):
    """Post what is given, right or wrong."""
    sequence = book.sequence + 1
    entry = Entry(
        claimed or sequence, at or sequence, 20260101, b"", "test", (), (0,), postings, ()
    )
    packed = {
        key: value if isinstance(value, int) else codec.pack_record(value)
        for key, value in rows.items()
    }
    book.stage(sequence, entry.at, entry.date, codec.pack_entry(values_of(entry)), rows, packed)


LOT = "Lot:M1:P01:I1:20271231"
ISSUED = "Issued:P01:I1"
EARNED = ((LOT, "P01", 7), (ISSUED, "P01", -7))
RIGHT = {
    schema.balance(ISSUED): -7,
    bytes((HOLDER,)) + b"M1": Holder(LOT, "P01", 7),
}


@pytest.fixture
def book(folder):
    made = Book.open(folder, follower=False, limits=SMALL)
    yield made
    made.close()


def closed(book):
    book.close()
    return findings(book._folder)


def test_a_right_book_passes_every_check(book):
    put(book, EARNED, RIGHT)
    book.flush()
    post(book, 5, a=1)
    stage(book, {"a": None})
    assert closed(book) == {}
    assert len({name for name, _ in CHECKS}) == len(CHECKS) == 9


def test_a_journal_that_was_changed_is_found(book):
    put(book, EARNED, RIGHT)
    post(book, 3)
    book.close()
    path = segments(book._folder)[0][1]
    data = bytearray(path.read_bytes())
    data[4250] ^= 1
    path.write_bytes(data)
    found = findings(book._folder)
    assert "is damaged at byte 4096" in found["journal chain"][0].text
    assert all(finding.failure for finding in found["journal chain"])


def test_an_entry_with_another_number_is_found(book):
    put(book, EARNED, RIGHT, claimed=9)
    found = closed(book)
    assert found["sequence without gaps"][0].text == "the entry at sequence 1 says 9"


def test_time_that_goes_back_is_found(book):
    put(book, EARNED, RIGHT, at=500)
    put(book, (), {}, at=499)
    assert closed(book)["time never decreasing"][0].text == "entry 2 is 1 ms before the one before"


@pytest.mark.parametrize(
    ("postings", "text"),
    [
        (((LOT, "P01", 7), (ISSUED, "P01", -6)), "differ from zero by 1 in unit P01"),
        (((LOT, "P02", 7), (ISSUED, "P02", -7)), "is not kept in unit P02"),
        ((("Pocket:M1", "156", 7), ("Bank", "156", -7)), "not in the chart"),
    ],
)
def test_postings_that_are_wrong_are_found(book, postings, text):
    put(book, postings, {})
    assert text in closed(book)["entries balanced"][0].text


def test_a_balance_that_is_not_the_sum_of_its_postings_is_found(book):
    put(book, EARNED, {**RIGHT, schema.balance(ISSUED): -8})
    found = closed(book)
    assert [finding.text for finding in found.pop("balances")] == [
        "Issued:P01:I1 holds -8, its postings sum to -7"
    ]
    assert found == {}


def test_a_balance_that_is_missing_is_found(book):
    rows = dict(RIGHT)
    del rows[schema.balance(ISSUED)]
    put(book, EARNED, rows)
    assert "holds 0, its postings sum to -7" in closed(book)["balances"][0].text


def test_a_members_record_that_is_not_the_sum_of_its_postings_is_found(book):
    put(book, EARNED, {**RIGHT, bytes((HOLDER,)) + b"M1": Holder(LOT, "P01", 9)})
    found = closed(book)
    assert "hold +2 on Lot:M1:P01:I1:20271231 beyond" in found.pop("aggregates")[0].text
    assert found == {}


def test_a_member_below_zero_is_reported_and_no_failure(book):
    debt = "Debt:M1:P01:I1"
    rows = {schema.balance(ISSUED): 4, bytes((HOLDER,)) + b"M1": Holder(debt, "P01", -4)}
    put(book, ((debt, "P01", -4), (ISSUED, "P01", 4)), rows)
    found = closed(book)["signs"]
    assert [(finding.failure, finding.text[:20]) for finding in found] == [
        (True, "Issued:P01:I1 is 4, "),
        (False, "Debt:M1:P01:I1 is -4"),
    ]


@pytest.mark.parametrize("what", ["changed", "lost", "added"])
def test_tables_that_are_not_the_journal_are_found(book, what):
    put(book, EARNED, RIGHT)
    stage(book, {"a": 1, "b": 2})
    book.close()
    environment = open_environment(book._folder)
    with environment.begin(write=True) as transaction:
        if what == "changed":
            transaction.put(note_key("a"), codec.pack_value((1, "a", 2)))
        elif what == "lost":
            transaction.delete(note_key("a"))
        else:
            transaction.put(note_key("c"), codec.pack_value((1, "c", 2)))
    environment.close()
    found = findings(book._folder)
    text = {"changed": "differs", "lost": "is missing", "added": "should not be"}[what]
    assert [text in finding.text for finding in found.pop("tables rebuilt from the journal")] == [
        True
    ]
    assert found == {}


def test_tables_ahead_of_their_journal_are_found(book):
    post(book, 2)
    book.close()
    environment = open_environment(book._folder)
    with environment.begin(write=True) as transaction:
        packed = transaction.get(POSITION_KEY)
        transaction.put(POSITION_KEY, (5).to_bytes(8, "big") + packed[8:])
    environment.close()
    assert "entries up to 5 are missing" in findings(book._folder)["journal chain"][0].text


def test_the_digest_changes_with_any_row_and_not_with_ciphertext(book, monkeypatch):
    put(book, EARNED, RIGHT)
    first = digest(book.view)
    stage(book, {"a": 1})
    assert digest(book.view) != first
    book.flush()
    monkeypatch.setitem(codec._kinds, HOLDER, codec._Kind(Holder, ("account",)))
    sealed = digest(book.view)
    key = bytes((HOLDER,)) + b"M1"
    book.view.overlay[key] = Holder("sealed anew", "P01", 7)
    assert digest(book.view) == sealed
    book.view.overlay[key] = Holder("sealed anew", "P01", 8)
    assert digest(book.view) != sealed


def test_many_findings_of_one_kind_are_counted(book):
    for _ in range(50):
        put(book, ((LOT, "P01", 1),), {})
    found = closed(book)["entries balanced"]
    assert len(found) == 21
    assert found[-1].text == "and 30 more of the kind"


def test_the_audit_is_of_the_snapshot_it_opened(book):
    put(book, EARNED, RIGHT)
    book.flush()
    book.close()
    with Audit(book._folder, holdings=holdings, tables=[HOLDER]) as audit:
        assert audit.sequence == 1
        with_audit = audit.digest()
    with Snapshot(book._folder) as snapshot:
        assert digest(snapshot) == with_audit
