"""Random days of every kind of transaction that moves points or money, told as scenarios are.

Stories of a few acts each, with random amounts, are mixed into three business dates, with sweeps
and what staff does at their end. Whatever came of it, each date is cleared to the ledger's
positions, beancount has the ledger's balances, and everybody's together are nothing. All kinds of
the accounting rules come up: a test says so.

``COUNTERFOIL_LONG=1`` plays many more days.
"""

import os
import random

import pytest

from tests.clearing.whole_books import SETTLING, clear_every_date, compare_with_beancount
from tests.scenarios.accounting import ROWS
from tests.scenarios.stage import Stage

DAYS = range(400 if os.environ.get("COUNTERFOIL_LONG") == "1" else 24)
"""Seeds of the days."""

STORIES_A_DAY = 60
TILLS = ("00000001", "00000001", "00000001", "00000002", "00000002", "00000003", "00000004")
MINUTES_A_DAY = 24 * 60

ALLIANCE = """\
program P01 rate 100 expiry rolling:0m breakage-share 1/3
program P02 rate 300 expiry rolling:0m reissue 3 zero
program P05 rate 100 expiry none private
merchant HOTEL from 2026-01-01 P02 earn 2/1 funding 2/5 settlement 9/10 margin-share HB01=1/1
merchant HOTEL from 2026-01-01 P05 earn 1/1 fee 20
merchant HOTEL from 2026-01-02 P01 earn 1/1 funding 3/2 settlement 95/100 fee 6 min 1 max 40 \
refund-fee top-up 4/3 margin-share HB01=1/4,issuer=1/2 fee-share HB01=1/3,HOTEL=1/7
merchant SHOP from 2026-01-01 P02 earn 1/1 funding 1/3 settlement 1/1
merchant SHOP from 2026-01-02 P01 earn 3/2 funding 1/1 settlement 9/10 fee 5 fee-fixed 2
merchant INN from 2026-01-01 P02 earn 2/1 funding 1/2 settlement 9/10 fee 9
merchant KIOSK from 2026-01-01 P05 earn 1/1
terminal 00000001 at HOTEL
terminal 00000002 at SHOP
terminal 00000003 at INN
terminal 00000004 at KIOSK
member M1 card A phone B
member M2 card C
member M3 card D
member M4 card E
balance M1 P01 60000 until 2027-12-31
balance M1 P01 1234 until 2026-03-02
balance M1 P02 50000
balance M1 P05 5000
balance M2 P02 777 until 2026-03-01
balance M2 156 9000 until 2026-03-01
balance M3 P01 4321
balance M3 156 700
rate P01 P02 from 2026-01-01 2/1
rate P05 P02 from 2026-01-01 1/10 owner SHOP
earn-rule DOUBLE P01 times 2/1 merchant HOTEL paid-by HB01
earn-rule OURS P01 times 3/2 merchant SHOP paid-by operator
reason SIGNIN P01 points 10
reason FRIEND P01 points 10 other 30 paid-by HB01
gift MUG of SHOP for P01 from 2026-01-01 100 pays 60
lottery L1 for P01 cost 100 from 2026-03-01 to 2026-03-31 live prize POINTS 1/2 points 50
at 2026-03-01 00:00 payee BREWERY sponsor 6222003 102100099996
at 2026-03-01 00:00 load campaign FREE amount_off face 10.01 funders SHOP=1/3,BREWERY=1/3
at 2026-03-01 00:00 load campaign EXTRA amount_off face 1.00 program P01 bonus 31 \
funders BREWERY=1/2
at 2026-03-01 00:00 load campaign CASH voucher face 100.00 sold 80.00 funders SHOP=1/2 refund parts
at 2026-03-01 00:00 load campaign BACK voucher face 9.99 sold 3.33 funders SHOP=1/2 \
forfeit funders valid-days 1
at 2026-03-01 00:00 load campaign SPRING points face 3.00 points 500 program P01 valid-days 1
at 2026-03-01 00:00 load campaign DEAR points face 7.77 points 500 program P01 funders SHOP=1/3
at 2026-03-01 00:01 recharge-batch R1 count 90 of P01 333 until 2026-03-02
at 2026-03-01 00:01 recharge-batch R2 count 90 of 156 500 until 2026-12-31
at 2026-03-01 00:02 recharge-cards R1 1 90 sold HOTEL 400
at 2026-03-01 00:02 recharge-cards R2 1 90 sold SHOP 490
at 2026-03-01 00:03 recharge-cards R1 1 80 active
at 2026-03-01 00:03 recharge-cards R2 1 80 active
"""

STORIES = """\
accrual {sale} card A as {name}; refund {name} {part}; refund {name} {part}
accrual {sale} phone B as {name}; void {name} as {name}V; reversal {name}V
accrual {sale} card C as {name}; reversal {name}
accrual 50.00 yuan card E as {name}; redemption 75 P01 card E; void {name}
accrual 50.00 yuan card E as {name}; redemption 100 P02 card E; refund {name} 33.33 yuan
offline {sale} card A sold 2026-03-01 00:00
reward SIGNIN card A as {name}; void {name}
reward FRIEND card A with card C as {name}; reversal {name}
redemption {points} P01 card A as {name}; refund {name} {few} P01; refund {name} {few} P01
redemption {part} card A as {name}; void {name} as {name}V; reversal {name}V
redemption {points} P02 card A as {name}; refund {name} {few} P02
redemption {points} P05 card A as {name}
hold {points} P01 card A as {name}; capture {name} {few} P01 as {name}C; refund {name}C {few} P01
hold {points} P02 card A as {name}; release {name}
hold {points} P01 card A
value-hold {part} card A as {name}; value-capture {name} {part}
top-up {sale} card A as {name}; purchase {part} card A as {name}P; refund {name}P {part}
top-up {sale} card A as {name}; void {name}
top-up {points} P01 card A as {name}; reversal {name}
top-up {points} P02 card C
conversion {points} P02 card A as {name}; void {name}
exchange {points} P01 into P02 card A as {name}; void {name}
exchange {points} P05 into P02 card A
transfer {points} P01 card A to card C as {name}; void {name} as {name}V; reversal {name}V
gift-exchange MUG 2 card A as {name}; gift-order {name} cancelled
gift-exchange MUG card A as {name}; void {name} as {name}V; reversal {name}V
draw L1 card A as {name}; reversal {name}
draw L1 card A; draw L1 card A
claim FREE card A as {name}; use {name} {sale} as {name}U; refund {name}U {part}
claim EXTRA card A as {name}; use {name} {sale} card A as {name}U; refund {name}U {part}
claim CASH card A 80.00 yuan as {name}; use {name} {sale} as {name}U; refund {name}U {part}
claim CASH card A 80.00 yuan as {name}; use {name} {part} as {name}U; void {name}U
claim BACK card A 3.33 yuan as {name}
claim SPRING card A as {name}; use {name} {sale} as {name}U; refund {name}U {part}
claim SPRING card A as {name}; hand-over {name} card C as {name}H
claim DEAR card A as {name}; use {name} {sale} as {name}U; refund {name}U {part}
recharge 1.{number} 333 P01 card A as {name}; void {name}
recharge 1.{number} 333 P01 card A
recharge 2.{number} 5.00 yuan card A as {name}
propose {name} give {points} P01 M1 by ANNA; confirm {name} by BOB
propose {name} take {few} P02 M1 by ANNA; confirm {name} by BOB
propose {name} write-off 1 P01 M4 by ANNA; confirm {name} by BOB
propose {name} give {part} M1 by ANNA; confirm {name} by BOB
discrepancy {name} amount more there; resolve {name} SHOP {few} because the slip was found
""".splitlines()

ENDING = """\
2026-03-03 23:00 sweep holds
2026-04-01 09:00 accrual 1.00 yuan card A
2026-04-01 09:00 sweep points
2026-04-01 09:00 sweep value
2026-04-01 09:00 sweep coupons
2026-04-01 09:00 sweep recharge
2026-04-01 09:01 close M3 forfeit
2026-04-01 09:02 propose INCOME to-income 12.34 yuan M2 by ANNA
2026-04-01 09:03 confirm INCOME by BOB
2026-04-01 09:04 reactivation M2 until 2027-12-31
2026-04-01 09:05 purchase 2.00 yuan card C
"""


def told(seed):
    """Acts of a scenario: stories, told piece by piece among each other."""
    chance = random.Random(seed)
    acts = []
    for number in range(STORIES_A_DAY):
        sale, points = chance.randint(1, 60_000), chance.randint(1, 700)
        said = {
            "name": f"N{number}",
            "sale": f"{sale // 100}.{sale % 100:02} yuan",
            "part": f"{sale // 300}.{sale // 3 % 100:02} yuan",
            "points": points,
            "few": points // 3 + 1,
            "number": chance.randint(1, 90),
        }
        till = chance.choice(TILLS)
        first = chance.randrange(10, 3 * MINUTES_A_DAY - 90)
        # Close together, or days apart.
        last = chance.choice((first + 20, 3 * MINUTES_A_DAY - 70))
        minutes = [first, *sorted(chance.sample(range(first + 1, last), 2))]
        for minute, act in zip(minutes, chance.choice(STORIES).split("; "), strict=False):
            acts.append((minute, number, f"terminal {till} {act.format(**said)}"))
    lines = []
    for minute, _, act in sorted(acts):
        day, rest = divmod(minute, MINUTES_A_DAY)
        lines.append(f"at 2026-03-{day + 1:02} {rest // 60:02}:{rest % 60:02} {act}")
    return lines + [f"at {line}" for line in ENDING.splitlines()]


@pytest.fixture(scope="module")
def played():
    """Books of days by their seeds, as they are asked for."""
    books: dict = {}

    def play(seed):
        if seed not in books:
            stage = Stage()
            for line in ALLIANCE.splitlines():
                stage.play([line])
                assert stage.answer.approved, line
            stage.play(told(seed))
            books[seed] = stage.book
        return books[seed]

    return play


@pytest.mark.parametrize("seed", DAYS)
def test_a_random_day_is_cleared_and_beancount_has_its_balances(played, seed):
    book = played(seed)
    clear_every_date(book.view, book.sequence)
    assert compare_with_beancount(book.view, book.sequence) > STORIES_A_DAY


def test_all_kinds_of_the_accounting_rules_come_up(played):
    posted = set()
    for seed in DAYS:
        book = played(seed)
        entries = (book.entry(number) for number in range(1, book.sequence + 1))
        posted |= {entry.kind for entry in entries if entry.postings}
    wanted = {kind for row in ROWS for kind in row.commands.split(", ")}
    assert wanted - SETTLING <= posted
