"""The draw of a lottery against its table, and what an auditor can compute with a pencil."""

import hashlib
import hmac
from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from engine import lotteries

SEED = bytes(range(32))
TABLE = (
    ("CAR", "", (1, 500), -1, 0, 900_000),
    ("CUP", "", (1, 30), -1, 0, 900),
    ("PEN", "", (1, 7), -1, 0, 30),
    ("P50", "", (1, 4), -1, 50, 50),
)


def test_draws_follow_the_table():
    """Chi-square with a fixed seed; 18.47 is the 0.1 % bound at four degrees of freedom."""
    count = 50_000
    found = Counter(
        lotteries.drawn(TABLE, lotteries.ticket(SEED, "L", f"M{number % 500}", number // 500))
        for number in range(count)
    )
    odds = {place: Fraction(*prize[2]) for place, prize in enumerate(TABLE)}
    odds[lotteries.NO_PRIZE] = 1 - sum(odds.values())
    chi = sum((found[place] - count * part) ** 2 / (count * part) for place, part in odds.items())
    assert float(chi) < 18.47


def test_a_draw_is_hmac_sha256_below_the_common_denominator():
    """As RULES.md says it, by the standard library alone."""
    for k in range(1, 200):
        digest = hmac.new(SEED, b"L:M1:%d" % k, hashlib.sha256).digest()
        assert lotteries.ticket(SEED, "L", "M1", k) == digest
        place = int.from_bytes(digest, "big") % 10_500
        bounds = [21, 21 + 350, 21 + 350 + 1500, 21 + 350 + 1500 + 2625]
        wanted = next((n for n, bound in enumerate(bounds) if place < bound), -1)
        assert lotteries.drawn(TABLE, digest) == wanted


def test_a_number_beyond_the_last_whole_multiple_is_drawn_anew():
    table = (("A", "", (1, 3), -1, 0, 0),)
    top = bytes([255]) * 32  # 2**256 - 1 is divisible by 3, so it is the one number too many
    assert lotteries.drawn(table, top) == lotteries.drawn(table, hashlib.sha256(top).digest())


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(51, 5000)), min_size=1, max_size=5),
    st.binary(min_size=32, max_size=32),
)
def test_every_ticket_wins_a_prize_of_the_table_or_none(odds, ticket):
    table = tuple((f"P{n}", "", ratio, -1, 0, 7) for n, ratio in enumerate(odds))
    if lotteries.wrong_table(table):
        assert sum(Fraction(*ratio) for ratio in odds) > 1
        return
    assert -1 <= lotteries.drawn(table, ticket) < len(table)
    assert lotteries.expected_cost(table) == 7 * sum(Fraction(*ratio) for ratio in odds)
