"""Which entries a business date has, found in a book on disk."""

import os

import pytest

from clearing.day import NotCut, find_extent, first_date, read_entries
from engine.rules.reference import CutOff
from ledger.book import Book
from ledger.tables import Snapshot
from ledger.workers import spread
from tests.clearing.books import CARD, TERMS
from tests.engine.house import House, moment


@pytest.fixture
def folder(tmp_path):
    """Three dates: one with sales, an empty one, and one still open."""
    path = tmp_path / "book"
    Book.create(path)
    book = Book.open(path, follower=False)
    made = House(book)
    at = moment(20260301, "08:00")
    made.institution("HB01", at)  # before the calendar has a date
    made.open(20260301, at=at)
    made.program("P01", at)
    made.merchant("SHOP", at, (TERMS,))
    made.terminal("00000001", "SHOP", at)
    made.member("M1", at, (("C", "A"),))
    for clock in ("09:00", "10:00"):
        made.accrue("00000001", moment(20260301, clock), CARD, 10_000)
    made.machine.execute(CutOff(20260301, automatic=False), moment(20260301, "20:00"))
    made.accrue("00000001", moment(20260303, "00:30"), CARD, 10_000)
    book.flush()
    book.close()
    return path


def kinds(folder, extent):
    return [fields[4] for fields in read_entries(folder, extent.first, extent.last)]


def test_a_date_is_from_behind_the_cut_off_before_it_to_its_own(folder):
    with Snapshot(folder) as snapshot:
        assert first_date(snapshot) == 20260301
        first, second = (find_extent(snapshot, date) for date in (20260301, 20260302))
    assert first.first == 1
    assert kinds(folder, first)[-3:] == ["accrual", "accrual", "cut-off"]
    assert first.closed_at == moment(20260301, "20:00")
    assert second.first == second.last == first.last + 1
    assert kinds(folder, second) == ["cut-off"]


@pytest.mark.parametrize(
    ("date", "why"),
    [
        (20260303, "2026-03-03 is still open"),
        (20260304, "lies ahead"),
        (20260228, "before the first business date"),
    ],
)
def test_a_date_that_was_not_cut_is_refused(folder, date, why):
    with Snapshot(folder) as snapshot, pytest.raises(NotCut, match=why):
        find_extent(snapshot, date)


def _whoami(number):
    return number, os.getpid(), os.nice(0)


def test_work_is_spread_over_processes_that_yield_and_comes_back_in_order():
    results = list(spread(_whoami, [(1,), (2,), (3,)], workers=2))
    assert [result[0] for result in results] == [1, 2, 3]
    assert os.getpid() not in {result[1] for result in results}
    assert {result[2] for result in results} == {19}
