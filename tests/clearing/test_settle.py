"""Days computed by hand, and the headings of every kind of legs that accounting.md has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing import model
from clearing.settle import Fold, LocalTimes, masked
from clearing.totals import Totals
from engine.records import Terms
from engine.rules import adjustments, refund, undo, value
from ledger.model import values_of
from tests.clearing.books import CARD, RIGHT, entry, fold, house, terms
from tests.engine.house import moment

NINE = moment(20260301, "09:00")
NEXT = moment(20260302, "09:00")


def amounts(totals, party):
    return {key: tuple(row) for key, row in totals.parties[party].amounts.items()}


def test_a_day_of_one_merchant_by_hand():
    made = house(("SHOP", terms(funding=(3, 2), fee=6)))
    made.accrue("00000001", NINE, CARD, 12_345)  # 123 points: F = 185 (184.5), V = 123, fee 1
    made.accrue("00000001", NINE, CARD, 100_000)  # 1000 points: F = 1500, V = 1000, fee 6
    made.redeem("00000001", NINE, CARD, 500, pin=RIGHT)  # W = 500, S = 475, fee 3
    totals, lines = fold(made, 20260301)
    assert amounts(totals, "SHOP") == {
        model.ISSUED: (2, 1685, 0),
        model.REDEEMED: (1, 0, 475),
        model.FEE: (3, 10, 0),
    }
    assert totals.parties["SHOP"].net == -1685 + 475 - 10
    assert totals.parties["SHOP"].points == {"P01": [1123, 500]}
    assert totals.parties["SHOP"].fees == {"accrual": 7, "redemption": 3}
    assert totals.programs["P01"][:5] == [1123, 500, 0, 623, 623]
    assert totals.matrix == {("P01", "SHOP", "SHOP"): 500}
    assert totals.movements == {
        "Fund:P01": 623,
        "Margin:P01": 62 + 500 + 25,
        "Fee:accrual": 7,
        "Fee:redemption": 3,
    }
    assert [line[12:15] for line in lines] == [
        (123, 12_345, (("10", -185), ("60", -1))),
        (1000, 100_000, (("10", -1500), ("60", -6))),
        (-500, 0, (("20", 475), ("60", -3))),
    ]
    assert lines[0][3] == 20260301090000


def test_what_others_get_of_margin_and_fee_is_a_heading_of_its_own():
    shares = (("HB01", (1, 4)),)
    row = Terms(*terms(funding=(3, 2), fee=100), margin_share=shares, fee_share=shares)
    made = house(("SHOP", values_of(row)))
    earned = made.accrue("00000001", NINE, CARD, 10_100)  # F = 152, V = 101, fee 10: 12 and 2
    assert amounts(fold(made, 20260301)[0], "HB01") == {model.REVENUE_SHARE: (1, 0, 14)}
    said = {"tokens": (CARD,), "unit": "156", "amount": 10_100, "original": earned.sequence}
    made.send(refund.Refund, "00000001", NEXT, **said)
    # The fee stays, and what was given of it.
    assert amounts(fold(made, 20260302)[0], "HB01") == {model.REVENUE_SHARE: (1, 12, 0)}
    assert amounts(fold(made, 20260302)[0], "SHOP") == {model.ISSUED: (1, 0, 152)}


def test_value_that_ran_out_and_becomes_income_moves_the_operators_accounts_alone():
    made = house(("SHOP", terms()))
    made.balance("M1", "156", 5000, NINE, 20260301)
    made.execute(value.ExpireValue("M1"), NEXT)  # 5,000 run out on 2 March, 3,000 are income
    said = ("T1", "breakage", "M1", "156", 3000, 0, "year end")
    assert made.execute(adjustments.Propose(*said, "teller"), NEXT).approved
    assert made.execute(adjustments.Confirm("T1", "supervisor"), NEXT).approved
    totals, lines = fold(made, 20260302)
    assert totals.movements == {"Value": -5000, "ValueExpired": 5000 - 3000, "Breakage:value": 3000}
    assert not totals.parties
    assert not lines


def test_fees_have_a_minimum_and_a_maximum():
    made = house(("SHOP", terms(fee=6, min=5, max=20)))
    for sale in (1_000, 200_000, 1_000_000):  # points 10, 2000, 10000: 0.06, 12, 60 fen
        made.accrue("00000001", NINE, CARD, sale)
    totals, _ = fold(made, 20260301)
    assert amounts(totals, "SHOP")[model.FEE] == (3, 5 + 12 + 20, 0)


def test_a_ratio_that_changes_at_midnight_changes_with_the_calendar_day():
    made = house(("SHOP", terms(fee=0), terms(since=20260302, fee=0, settlement=(90, 100))))
    made.accrue("00000001", NINE, CARD, 200_000)
    made.redeem("00000001", moment(20260301, "23:59"), CARD, 1000, pin=RIGHT)
    made.redeem("00000001", moment(20260302, "00:00"), CARD, 1000, pin=RIGHT)
    assert amounts(fold(made, 20260301)[0], "SHOP")[model.REDEEMED] == (1, 0, 950)
    assert amounts(fold(made, 20260302)[0], "SHOP")[model.REDEEMED] == (1, 0, 900)


def test_the_refund_of_a_sale_of_last_week_settles_today_under_its_old_terms():
    made = house(("SHOP", terms(fee=0), terms(since=20260305, fee=0, settlement=(50, 100))))
    made.accrue("00000001", NINE, CARD, 200_000)
    spent = made.redeem("00000001", NINE, CARD, 1000, pin=RIGHT)
    later = moment(20260308, "10:00")
    said = {"tokens": (CARD,), "unit": "P01", "amount": 400, "original": spent.sequence}
    made.send(refund.Refund, "00000001", later, **said)
    totals, lines = fold(made, 20260308)
    assert amounts(totals, "SHOP") == {model.REDEEMED: (1, 380, 0)}
    assert totals.parties["SHOP"].points == {"P01": [0, -400]}
    assert totals.matrix == {("P01", "SHOP", "SHOP"): -400}
    assert lines[0][12] == 400
    assert lines[0][16] == spent.sequence


def test_what_is_voided_the_same_day_leaves_nothing_under_its_headings():
    made = house(("SHOP", terms(fee=6)))
    earned = made.accrue("00000001", NINE, CARD, 200_000)
    said = {"tokens": (CARD,), "unit": "156", "amount": 200_000}
    said |= {"original": earned.sequence, "original_batch": 0, "original_stan": 0}
    made.send(undo.Void, "00000001", NINE, **said)
    totals, lines = fold(made, 20260301)
    assert amounts(totals, "SHOP") == {model.ISSUED: (2, 2000, 2000), model.FEE: (2, 12, 12)}
    assert totals.parties["SHOP"].net == 0
    assert totals.parties["SHOP"].fees == {"accrual": 0}
    assert set(totals.movements.values()) == {0}
    assert lines[1][16] == earned.sequence


def test_points_of_one_merchant_spent_at_another_stand_in_the_matrix():
    made = house(("SHOP", terms(fee=0)), ("INN", terms(fee=0, settlement=(9, 10))))
    made.accrue("00000001", NINE, CARD, 50_000)
    made.accrue("00000002", NINE, CARD, 10_000)
    made.redeem("00000002", NINE, CARD, 550, pin=RIGHT)
    totals, _ = fold(made, 20260301)
    # Lots of equal expiry are spent in the order of their issuers' names.
    assert totals.matrix == {("P01", "INN", "INN"): 100, ("P01", "SHOP", "INN"): 450}
    assert totals.parties["SHOP"].net == -500
    assert totals.parties["INN"].net == -100 + 495


def pos(party, amount):
    return (f"Pos:{party}:20260301", "156", amount)


SHAPES = {
    "revenue share out of the fee": (
        (pos("SHOP", -10), ("Fee:x", "156", 10), ("Fee:x", "156", -4), pos("LEAD", 4)),
        {("SHOP", "60"): -10, ("LEAD", "70"): 4},
    ),
    "revenue share out of the margin": (
        (("Margin:P01", "156", -4), pos("LEAD", 4)),
        {("LEAD", "70"): 4},
    ),
    "points top-up": (
        (
            ("Lot:M:P01:P01:20271231", "P01", 9),
            ("Issued:P01:P01", "P01", -9),
            pos("SHOP", -10),
            ("Fund:P01", "156", 9),
            ("Margin:P01", "156", 1),
        ),
        {("SHOP", "12"): -10},
    ),
    "value top-up": ((pos("SHOP", -50), ("Value:M", "156", 50)), {("SHOP", "30"): -50}),
    "value purchase": ((("Value:M", "156", -50), pos("SHOP", 50)), {("SHOP", "31"): 50}),
    "coupon with three funders": (
        (pos("SHOP", 1000), pos("F1", -334), pos("F2", -333), ("Promo:C", "156", -333)),
        {("SHOP", "40"): 1000, ("F1", "41"): -334, ("F2", "41"): -333},
    ),
    "voucher sold": ((pos("SHOP", -80), ("Voucher:C", "156", 80)), {("SHOP", "42"): -80}),
    "voucher used": (
        (("Voucher:C", "156", -80), pos("F1", -20), pos("SHOP", 100)),
        {("SHOP", "40"): 100, ("F1", "41"): -20},
    ),
    "recharge cards": (
        (pos("SHOP", -95), ("CardStock:B", "156", 100), ("Margin:P01", "156", -5)),
        {("SHOP", "43"): -95},
    ),
    "breakage share": ((("Breakage:p", "156", -3), pos("SHOP", 3)), {("SHOP", "71"): 3}),
    "adjustment": ((pos("SHOP", 7), ("Suspense", "156", -7)), {("SHOP", "90"): 7}),
    "exchange": (
        (
            ("Lot:M:P01:P01:20271231", "P01", -5),
            ("Converted:P01", "P01", 5),
            ("Lot:M:P02:exchange:20271231", "P02", 4),
            ("Converted:P02", "P02", -4),
            ("Pos:SHOP:20260301", "156", -4),
            ("Fund:P02", "156", 4),
        ),
        {("SHOP", "80"): -4},
    ),
}


@pytest.mark.parametrize("undone", [False, True], ids=["done", "undone"])
@pytest.mark.parametrize("name", SHAPES)
def test_legs_tell_their_heading_done_or_undone(name, undone):
    legs, expected = SHAPES[name]
    sign, counted = 1, (("156", "C", 1),)
    if undone:
        legs = tuple((account, unit, -amount) for account, unit, amount in reversed(legs))
        sign, counted = -1, (("156", "-C", 1),)
    lines = []
    folded = Fold(20260301, frozenset(), "Asia/Shanghai", lines.append)
    folded.add(entry(1, legs, counted=counted))
    assert not folded.totals.faults
    found = {
        (party, heading): row[2] - row[1]
        for party, totals in folded.totals.parties.items()
        for heading, row in totals.amounts.items()
    }
    assert found == {key: sign * fen for key, fen in expected.items()}
    assert {(line[0], code): fen for line in lines for code, fen in line[14]} == found


@pytest.mark.parametrize(
    "legs",
    [
        ((("Payable:SHOP:20260228-1", "156", 5)), ("Pos:SHOP:20260228", "156", -5)),
        ((("Payable:SHOP:20260228-1", "156", -5)), ("Bank", "156", 5)),
        ((("Fund:P01", "156", -1)), ("Rounding", "156", 1)),
    ],
)
def test_post_backs_are_outside_the_fold(legs):
    folded = Fold(20260301, frozenset({"SHOP"}), "Asia/Shanghai")
    folded.add(entry(1, legs, "post-back"))
    assert folded.totals == Totals()


@pytest.mark.parametrize(
    ("legs", "told"),
    [
        ((pos("SHOP", 5), ("Fee:x", "156", -4)), "sum to +1"),
        ((pos("SHOP", 5), ("Purse:x", "156", -5)), "Purse:x is not of the chart"),
        ((("Pos:SHOP:20260228", "156", 5), ("Fee:x", "156", -5)), "position of SHOP of 20260228"),
    ],
)
def test_an_entry_that_cannot_be_settled_is_named(legs, told):
    folded = Fold(20260301, frozenset(), "Asia/Shanghai")
    folded.add(entry(77, legs))
    assert len(folded.totals.faults) == 1
    assert "entry 77" in folded.totals.faults[0]
    assert told in folded.totals.faults[0]
    assert not folded.totals.parties


@given(
    st.lists(st.sampled_from(sorted(SHAPES)), max_size=30), st.integers(0, 30), st.integers(1, 9)
)
def test_parts_add_up_to_the_whole_and_parties_to_minus_the_operator(names, cut, times):
    entries = [
        entry(number, tuple((a, u, n * times) for a, u, n in SHAPES[name][0]))
        for number, name in enumerate(names, 1)
    ]
    whole, *halves = (Fold(20260301, frozenset({"SHOP"}), "UTC") for _ in range(3))
    for one in entries:
        whole.add(one)
    for half, some in zip(halves, (entries[:cut], entries[cut:]), strict=True):
        for one in some:
            half.add(one)
    halves[0].totals.merge(halves[1].totals)
    assert halves[0].totals == whole.totals
    nets = sum(party.net for party in whole.totals.parties.values())
    assert nets == -sum(whole.totals.movements.values())


def test_local_times_are_those_of_the_zone_also_across_a_change_of_the_clock():
    local = LocalTimes("Europe/Berlin")
    # 2026-03-29 01:59:59 and 03:00:00 local are one second apart.
    assert local(1774745999000) == 20260329015959
    assert local(1774746000000) == 20260329030000


def test_a_member_is_masked():
    assert masked("M0000001") == "M****001"
    assert masked("M1") == "**"
