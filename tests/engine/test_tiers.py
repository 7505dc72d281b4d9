"""Tiers: what months add up to, and whom the sweep brings to a review."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ladder import MONTHS_SPARE, Step, added, end_of, month_of, reached
from engine.reasons import Reason
from engine.rules import tiers
from engine.sweeps import BY_NAME
from ledger import codec, schema
from tests.engine.house import House, moment, token
from tests.engine.memory_book import MemoryBook

START = moment(20260301)
CARD = token("C", "A")
sales = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 500)), max_size=40)


@pytest.fixture
def house():
    made = House(MemoryBook())
    made.open(20260301, at=START)
    made.institution("HB01", START)
    made.program("P01", START)
    made.merchant("HOTEL", START, ((20260101, "P01", (1, 1), (1, 1), (1, 1), 0, 0, 0, 0, False),))
    made.terminal("00000001", "HOTEL", START)
    made.member("M1", START, (("C", "A"), ("P", "B")))
    return made


@given(sales, st.integers(1, 24), st.integers(1, 3000), st.integers(1, 8))
def test_a_step_is_reached_by_what_the_period_holds(history, period, spending, visits):
    """Buckets that are added to in order of time say what a plain sum over all sales says."""
    step = Step("silver", spending, visits, both=True, period_months=period, keep_months=1)
    months = ()
    seen = []
    for month, fen in sorted(history):
        months = added(months, month, fen, 1, (step,))
        seen.append((month, fen))
        within = [sold for at, sold in seen if month - period < at <= month]
        enough = sum(within) >= spending and len(within) >= visits
        assert (reached((step,), months, month) is not None) == enough
        assert len(months) <= period + MONTHS_SPARE
        assert [one[0] for one in months] == sorted({one[0] for one in months})


@given(sales)
def test_what_is_added_and_taken_back_leaves_nothing(history):
    step = Step("silver", 1, 1, both=False, period_months=36, keep_months=1)
    months = ()
    for month, fen in history:
        months = added(months, month, fen, 1, (step,))
    for month, fen in history:
        months = added(months, month, -fen, -1, (step,))
    assert not any(fen or visits for _, fen, visits in months)


@pytest.mark.parametrize(
    ("day", "later", "last"),
    [(20260131, 1, 20260228), (20271130, 3, 20280229), (20261201, 0, 20261231)],
)
def test_a_tier_is_kept_to_the_end_of_a_month(day, later, last):
    assert end_of(month_of(day) + later) == last


def test_the_sweep_finds_who_is_due_and_a_review_is_done_once(house):
    rules = ((20260101, 10_000, 0, False, 1, 1),)
    house.machine.execute(tiers.PutTier("silver", "Silver", 1, rules), START)
    assert house.accrue("00000001", START, CARD, 10_000).approved
    sweep = BY_NAME["tiers"]
    ((key, packed),) = house.book.view.rows(bytes((sweep.table,)))
    row = codec.unpack_row(key, packed)
    assert row.until == 20260430
    assert not list(sweep.candidates(key, row, 20260430, 0))
    (command,) = sweep.candidates(key, row, 20260501, 0)
    later = moment(20260501)
    # Decided by the time of the command, not by the sweep's idea of it.
    assert house.machine.execute(command, START).outcome.reason == Reason.UNCHANGED
    assert house.machine.execute(command, later).approved
    assert house.machine.execute(command, later).outcome.reason == Reason.UNCHANGED
    assert house.book.view.get(schema.named(schema.MEMBER, "M1")).tier == "base"


def test_an_accrual_without_a_ladder_touches_no_standing(house):
    before = house.book.sequence
    assert house.accrue("00000001", START, CARD, 10_000).approved
    assert house.book.sequence == before + 1
    assert not list(house.book.view.rows(bytes((schema.STANDING,))))
