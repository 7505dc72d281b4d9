"""What the simulated terminal books and counts when an approval moves more than points of one."""

import pytest

from posd.iso8583.tlv import build_tlv
from tests.tools.test_simulate import CARD, Counter, message
from tools import till_requests as requests
from tools.till_books import Presented

OTHER = Presented("M2", card="6222020000000000026")
FIRST = Presented("M1", card=CARD)


@pytest.mark.parametrize(
    ("request_", "elements", "moved", "totals"),
    [
        (
            requests.conversion(FIRST, "P01", 1050, 100),
            [b"-1050"],
            {("M1", "P01"): -1050, ("M1", "156"): 1050},
            {"P01": [1, 1050, 0, 0], "156": [0, 0, 1, 1050]},
        ),
        (
            requests.conversion(FIRST, "P01", 100, 30),
            [b"-100"],
            {("M1", "P01"): -100, ("M1", "156"): 333},
            {"P01": [1, 100, 0, 0], "156": [0, 0, 1, 333]},
        ),
        (
            requests.exchange(FIRST, "P01", 30, "P02"),
            [b"-30", b"+10P02"],
            {("M1", "P01"): -30, ("M1", "P02"): 10},
            {"P01": [1, 30, 0, 0], "P02": [0, 0, 1, 10]},
        ),
        (
            requests.transfer(FIRST, OTHER, "P01", 70),
            [b"-70"],
            {("M1", "P01"): -70, ("M2", "P01"): 70},
            {"P01": [1, 70, 0, 0]},
        ),
        (
            requests.referral(FIRST, OTHER, "REFER", "P01", 40),
            [b"+80P01"],
            {("M1", "P01"): 80, ("M2", "P01"): 40},
            {"P01": [0, 0, 1, 80]},
        ),
    ],
)
def test_what_moves_two_balances_is_booked_counted_and_taken_back(
    request_, elements, moved, totals
):
    """Totals by section 5 of the protocol: a transfer and a referral count for one side."""
    counter = Counter()
    told = {39: "00", 37: "000000000777", 49: request_.body[49], 4: request_.body[4]}
    told[48] = build_tlv([("30", element) for element in elements])
    counter.host.forced.append(told)
    assert counter.ask(counter.terminal.send(request_, 0)).code == "00"
    assert {key: n for key, n in counter.terminal.books.members.items() if n} == moved
    assert {unit: line for unit, line in counter.terminal.totals.items() if any(line)} == totals
    counter.host.forced.append({39: "00", 37: "000000000778"})
    (posted,) = counter.terminal.posted
    assert counter.ask(counter.terminal.void(posted, 0)).code == "00"
    assert not any(counter.terminal.books.members.values())
    assert not any(counter.terminal.books.issued.values())
    assert not any(any(line) for line in counter.terminal.totals.values())


@pytest.mark.parametrize(
    ("unit", "amount", "elements"), [("P01", 0, [("30", b"+500")]), ("156", 500, [])]
)
def test_a_recharge_card_is_a_load_that_nobody_pays_for_at_the_till(unit, amount, elements):
    counter = Counter()
    told = {39: "00", 37: "000000000777", 49: unit, 48: build_tlv(elements)}
    counter.host.forced.append(told)
    code = "90000000000000000017"
    counter.ask(counter.terminal.send(requests.recharge(FIRST, unit, code, amount), 0))
    sent = counter.host.seen[-1].fields
    assert sent[3] == ("210060" if unit == "156" else "210065")
    assert (4 in sent) == bool(amount)
    assert counter.terminal.books.members == {("M1", unit): 500}
    assert counter.terminal.books.issued == ({("P01", "P01"): 500} if unit == "P01" else {})
    assert counter.terminal.totals == {unit: [0, 0, 1, 500]}
    counter.host.forced.append({39: "00", 37: "000000000778"})
    (posted,) = counter.terminal.posted
    counter.ask(counter.terminal.void(posted, 0))
    assert not any(counter.terminal.books.members.values())
    assert not any(any(line) for line in counter.terminal.totals.values())


def test_a_hold_of_value_is_captured_as_value_and_a_refund_of_it_is_value():
    counter = Counter()
    held = {39: "00", 37: "000000000123", 49: "156", 4: "000000000900"}
    counter.host.forced.append(held)
    assert counter.ask(counter.terminal.send(requests.value_hold(FIRST, 900), 0)).code == "00"
    assert not counter.terminal.totals
    counter.host.forced.append(held | {37: "000000000124", 4: "000000000600"})
    counter.ask(counter.terminal.capture(counter.terminal.held.pop(), 600, 0))
    sent = counter.host.seen[-1].fields
    assert (sent[3], sent[37], sent[49]) == ("006000", "000000000123", "156")
    counter.host.forced.append(held | {37: "000000000125", 4: "000000000200"})
    counter.ask(counter.terminal.refund(counter.terminal.posted[-1], 200, 0))
    assert counter.terminal.books.members["M1", "156"] == -400
    assert not any(counter.terminal.books.redeemed.values())
    assert counter.terminal.totals == {"156": [1, 600, 1, 200]}


def test_coupons_are_counted_by_what_they_took_off_and_change_nobodys_balance():
    counter = Counter()
    code = "90000000000000000017"
    claimed = {39: "00", 37: "000000000123", 48: build_tlv([("38", code.encode())])}
    counter.host.forced.append(claimed)
    counter.ask(counter.terminal.send(requests.coupon_claim(FIRST, "SPRING"), 0))
    assert counter.terminal.coupons == [code]
    assert not any(any(line) for line in counter.terminal.totals.values())
    counter.host.forced.append(
        {39: "00", 37: "000000000124", 4: "000000005000", 48: build_tlv([("33", b"000000001000")])}
    )
    counter.ask(counter.terminal.send(requests.coupon_use(code, 6000), 0))
    assert counter.terminal.totals == {"CPN": [1, 1000, 0, 0]}
    assert not any(counter.terminal.books.members.values())
    counter.host.forced.append({39: "00", 37: "000000000125"})
    claim = counter.terminal.posted[0]
    sent = message(counter.terminal.void(claim, 0)).fields
    assert not {4, 49} & sent.keys()


def test_points_of_a_gift_are_spent_at_who_supplies_it_and_come_back_with_a_void():
    counter = Counter()
    told = {39: "00", 37: "000000000123", 48: build_tlv([("30", b"-600P01")])}
    counter.host.forced.append(told)
    counter.ask(counter.terminal.send(requests.gift(FIRST, "MUG", "SUPPLIER", 2), 0))
    assert counter.terminal.books.redeemed["SUPPLIER", "P01"] == 600
    assert counter.terminal.totals == {"P01": [1, 600, 0, 0]}
    counter.host.forced.append({39: "00", 37: "000000000124"})
    counter.ask(counter.terminal.void(counter.terminal.posted[-1], 0))
    assert not any(counter.terminal.books.redeemed.values())


def test_a_draw_costs_points_and_may_win_some_which_no_total_counts():
    counter = Counter()
    elements = [("30", b"-100P01"), ("30", b"+500P01"), ("39", b"P500")]
    told = {39: "00", 37: "000000000123", 48: build_tlv(elements)}
    draw = requests.lottery_draw(FIRST, "SPIN")
    counter.host.forced.append(told)
    counter.ask(counter.terminal.send(draw, 0))
    assert counter.terminal.books.members["M1", "P01"] == 400
    assert counter.terminal.books.redeemed["SPIN", "P01"] == 100
    assert counter.terminal.books.issued["SPIN", "P01"] == 500
    assert counter.terminal.totals == {"P01": [1, 100, 0, 0]}
    assert not counter.terminal.posted


def test_the_repeat_of_a_pin_change_brings_the_same_block():
    """Field 62 is content: another random filling would be another message."""
    counter = Counter("aes")
    one = Presented("M1", card=CARD, pin="123456")
    first = message(counter.terminal.send(requests.pin_change(one), 0)).fields
    counter.terminal.give_up()
    again = message(counter.terminal.due(0))
    assert again.mti == "0601"
    assert again.fields[62] == first[62]
    assert again.fields[110] != first[110]
