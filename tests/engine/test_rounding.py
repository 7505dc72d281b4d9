"""The laws of each rounding, and the figures that the documents give."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine import rounding
from engine.records import ASKED_NEVER, Program, Terms

fen = st.integers(0, 10**12)
ratios = st.tuples(st.integers(0, 10**4), st.integers(1, 10**4))
rates = st.integers(1, 10**4)


def program(rate):
    return Program(
        "P01", "", rate, "none", True, "expire", 0, "negative", False, ASKED_NEVER, (0, 1), 1
    )


def terms(earn=(1, 1), funding=(1, 1), settlement=(1, 1), fee=(0, 0, 0)):
    return Terms(20260101, "P01", earn, funding, settlement, *fee, 0, False)


@given(fen, ratios)
def test_points_are_earned_rounded_down(sale, earn):
    exact = Fraction(sale, 100) * Fraction(*earn)
    assert 0 <= exact - rounding.earned(sale, earn) < 1


@given(fen, rates)
def test_a_value_costs_the_fewest_points_that_are_worth_it(value, rate):
    points = rounding.points_for_value(value, program(rate))
    assert Fraction(points * 100, rate) >= value
    assert points == 0 or Fraction((points - 1) * 100, rate) < value


@given(fen, rates)
def test_points_are_worth_whole_fen_rounded_down(points, rate):
    exact = Fraction(points * 100, rate)
    assert 0 <= exact - rounding.value_of_points(points, program(rate)) < 1


@given(fen, rates)
def test_paying_in_points_never_costs_less_than_they_are_worth(value, rate):
    points = rounding.points_for_value(value, program(rate))
    assert rounding.value_of_points(points, program(rate)) >= value


@given(fen, rates, ratios)
def test_fund_and_funding_are_nearest_and_halves_go_up(points, rate, funding):
    half = Fraction(1, 2)
    worth = Fraction(points * 100, rate)
    assert -half < rounding.fund_value(points, program(rate)) - worth <= half
    price = points * Fraction(*funding)
    assert -half < rounding.funding(points, terms(funding=funding)) - price <= half


@given(fen, ratios)
def test_the_merchant_is_paid_rounded_down(value, ratio):
    exact = value * Fraction(*ratio)
    assert 0 <= exact - rounding.settlement(value, terms(settlement=ratio)) < 1


@given(fen, st.integers(1, 1000), st.integers(0, 500), st.integers(0, 500))
def test_a_fee_keeps_its_bounds(value, permille, low, above):
    high = low + above
    fee = rounding.fee(value, terms(fee=(permille, low, high)))
    assert fee >= low
    assert not high or fee <= high
    exact = Fraction(value * permille, 1000)
    if low < exact and (not high or exact + 1 < high):
        assert -Fraction(1, 2) < fee - exact <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (rounding.earned(12345, (1, 1)), 123),
        (rounding.points_for_value(1001, program(100)), 1001),
        (rounding.points_for_value(5, program(70)), 4),
        (rounding.value_of_points(20, program(300)), 6),
        (rounding.fund_value(20, program(300)), 7),
        (rounding.funding(75, terms(funding=(3, 2))), 113),
        (rounding.settlement(1001, terms(settlement=(95, 100))), 950),
        (rounding.fee(250, terms(fee=(6, 0, 0))), 2),
        (rounding.fee(249, terms(fee=(6, 0, 0))), 1),
        (rounding.fee(50, terms(fee=(5, 2, 0))), 2),
        (rounding.fee(150_000, terms(fee=(5, 2, 50))), 50),
        (rounding.fee(150_000, terms(fee=(0, 2, 50))), 0),
    ],
)
def test_figures_worked_out_by_hand(found, wanted):
    assert found == wanted


@given(
    st.integers(-(10**9), 10**9),
    st.lists(st.integers(1, 10**6), min_size=1, max_size=8),
)
def test_parts_of_a_refund_never_run_over_and_end_exact(leg, parts):
    original = sum(parts)
    returned = before = 0
    for part in parts:
        after = before + part
        share = rounding.part(leg, after, original) - rounding.part(leg, before, original)
        assert share >= 0
        returned += share
        assert returned <= Fraction(abs(leg) * after, original)
        before = after
    assert returned == abs(leg)


@given(st.integers(0, 10**9), st.dictionaries(st.text("ABC", min_size=1), st.integers(0, 1000)))
def test_a_share_is_within_one_of_its_part_and_nothing_is_lost(total, weights):
    assume(any(weights.values()))
    parts = rounding.shared(total, weights)
    whole = sum(weights.values())
    assert sum(parts.values()) == total
    for name, weight in weights.items():
        assert 0 <= parts[name] - total * weight // whole <= 1
    # Who got more than the floor has at least the remainder of who did not.
    remainders = {name: total * weight % whole for name, weight in weights.items()}
    raised = [remainders[name] for name in weights if parts[name] * whole > total * weights[name]]
    floored = [remainders[name] for name in weights if parts[name] * whole <= total * weights[name]]
    assert min(raised, default=whole) >= max(floored, default=0)


def test_equal_remainders_go_by_name():
    assert rounding.shared(1, {"B": 1, "A": 1}) == {"B": 0, "A": 1}
