"""Histories that the state machine once did not get through: model and engine agree on them.

What it finds in hours of its long form is here step by step, so that it is found in a second.
"""

import pytest

from engine.commands import Pin
from tests.properties.coupon_steps import SOLD
from tests.properties.hold_rules import FULL
from tests.properties.test_state_machine import CARD, DAY, HOUR, Counter

TILL, OTHER_TILL = "00000001", "00000003"


@pytest.fixture
def counter():
    made = Counter()
    made.register()
    yield made
    made.teardown()


def agree(counter):
    counter.books_hold()
    counter.members_agree()
    counter.batches_agree()


def test_a_clock_set_back_stops_at_the_last_entry_and_a_repeat_makes_none(counter):
    counter.hold(TILL, (CARD,), "P02", 40, Pin.ABSENT)
    counter.at += HOUR  # the hold's time is over, but for the repeat nobody notices
    counter.send(counter.sent[-1])
    agree(counter)
    counter.at -= HOUR
    counter.accrue(OTHER_TILL, (CARD,), 1_000)
    agree(counter)
    assert len(counter.model.holdings["M1", "P02"].held) == 1


def test_a_step_that_sends_nothing_lets_no_date_pass(counter):
    counter.at += DAY
    counter.forget_who_enrolled(1)
    agree(counter)
    counter.flush()
    counter.crash_and_reopen()
    agree(counter)


def test_a_batch_of_more_than_256_requests_is_forgotten_in_two_entries(counter):
    for amount in range(260):
        counter.accrue(TILL, (CARD,), amount)
    for _ in range(4):
        counter.settle(TILL, right=True, before=False)
    counter.at += 8 * DAY
    before = counter.book.sequence
    counter.sweep_batches()
    agree(counter)
    # Eight cut-offs, the first batch in two stretches, the second in one.
    assert counter.book.sequence == before + 8 + 2 + 1


def test_totals_that_are_wrong_differ_also_where_a_coupon_took_one_fen(counter):
    said = {"name": "CASH", "pin": Pin.ABSENT, "paid": SOLD, "plot": ["use"], "sale": 1}
    counter.tell_of_a_coupon(TILL, (CARD,), **said)
    counter.settle(TILL, right=False, before=False)
    agree(counter)
    assert counter.model.batches[TILL, 1].state == "open"


def test_a_void_of_a_coupons_use_by_the_rrn_of_its_claim_names_another_coupon(counter):
    said = {"name": "CASH", "pin": Pin.ABSENT, "paid": SOLD, "plot": ["use"], "sale": 333}
    counter.tell_of_a_coupon(TILL, (CARD,), **said)
    counter.void(meant=("any", 1), way="rrn", till=None, spoil="rrn")
    assert counter.model.by_sequence[counter.book.sequence].reason == "COUPON_DIFFERS"
    agree(counter)


def test_a_transfer_that_was_completed_late_is_taken_back_from_the_other_too(counter):
    plot = ["void", "the one before", "void", "the one before", "un-void", "void"]
    counter.tell_of_transfers(TILL, (CARD,), FULL, plot)
    agree(counter)
    assert counter.sums["Transit:P02"] == 0
