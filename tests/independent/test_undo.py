"""Voids, reversals and refunds: protocol sections 4 and 6, balances to the point."""

import pytest

from .conftest import SHOP
from .messages import CNY, keyed


def other_rrn(rrn: str) -> str:
    """An RRN that is not this one."""
    return rrn[:-1] + str((int(rrn[-1]) + 1) % 10)


# --- void ----------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["rrn", "stan", "stan and date", "both"])
def test_a_void_gives_back_what_was_spent(world, profile, member, by):
    till = world.till(profile)
    spent = till.redeem(member, 1001, CNY)
    voided = till.void(spent, by)
    assert voided.code == "00"
    assert voided.rrn != spent.rrn
    assert voided.available() == voided.ledger() == member.opening


def test_a_void_takes_back_what_was_earned(world, profile, member):
    till = world.till(profile)
    assert till.void(till.accrue(member, 12345)).code == "00"
    assert till.balance(member) == member.opening


def test_rrn_and_stan_of_two_transactions_name_none(till, member):
    first, second = till.accrue(member, 10000), till.accrue(member, 10000)
    assert till.void(first, "both", stan=second.request.stan).code == "25"
    assert till.balance(member) == member.opening + 200


def test_a_void_of_what_never_was(till, member):
    earned = till.accrue(member, 10000)
    assert till.void(earned, rrn=other_rrn(earned.rrn)).code == "25"
    assert till.void(earned, "stan", stan="987654").code == "25"
    assert till.balance(member) == member.opening + 100


def test_a_void_with_another_amount_or_card(world, till, member):
    earned = till.accrue(member, 10000)
    assert till.void(earned, amount=f"{9999:012d}").code == "64"
    assert till.void(earned, card=world.member().card).code == "14"
    assert till.balance(member) == member.opening + 100
    assert till.void(earned).code == "00"


def test_what_is_undone_cannot_be_undone_again(till, member):
    spent = till.redeem(member, 100)
    voided = till.void(spent)
    assert voided.code == "00"
    assert till.void(spent).code == "12"
    assert till.void(spent, "stan").code == "12"
    assert till.void(voided).code == "12"
    assert till.balance(member) == member.opening


def test_a_void_works_at_the_same_terminal_only(world, till, member):
    spent, neighbour = till.redeem(member, 100), world.till()
    assert neighbour.void(spent).code != "00"
    assert till.balance(member) == member.opening - 100


def test_a_reversed_transaction_is_not_there_to_be_voided(till, member):
    spent = till.redeem(member, 100)
    assert till.reverse(spent.request).code == "00"
    assert till.void(spent).code == "12"
    assert till.balance(member) == member.opening


# --- reversal ------------------------------------------------------------------------------


def test_an_accrual_is_reversed(world, profile, member):
    till = world.till(profile)
    earned = till.accrue(member, 12345)
    assert till.reverse(earned.request).code == "00"
    assert till.balance(member) == member.opening
    assert till.reverse(earned.request).code == "00"  # already reversed
    assert till.balance(member) == member.opening


def test_a_redemption_is_reversed(world, profile, member):
    till = world.till(profile)
    spent = till.redeem(member, 1001, CNY)
    assert till.reverse(spent.request).code == "00"
    assert till.balance(member) == member.opening


def test_a_reversal_is_repeated_as_0401(till, member):
    earned = till.accrue(member, 12345)
    reversal = till.reversal(earned.request)
    assert till.ask(reversal).code == "00"
    assert till.ask(reversal.but({"t": "0401"})).code == "00"
    assert till.balance(member) == member.opening


def test_a_reversed_void_leaves_the_original_as_it_was(world, profile, member):
    till = world.till(profile)
    spent = till.redeem(member, 1000)
    voided = till.void(spent)
    assert till.reverse(voided.request).code == "00"
    assert till.balance(member) == member.opening - 1000
    assert till.reverse(voided.request).code == "00"
    assert till.balance(member) == member.opening - 1000
    assert till.void(spent).code == "00"  # it stands again, so it can be voided
    assert till.balance(member) == member.opening


def test_a_reversal_of_a_decline_is_content(till, member):
    declined = till.redeem(member, 5001)
    assert declined.code == "51"
    assert till.reverse(declined.request).code == "00"
    assert till.balance(member) == member.opening


def test_a_reversal_of_a_voided_transaction_lets_the_void_stand(till, member):
    spent = till.redeem(member, 1000)
    assert till.void(spent).code == "00"
    assert till.reverse(spent.request).code == "00"
    assert till.balance(member) == member.opening


def test_a_reversal_that_comes_first_keeps_the_original_out(world, profile, member):
    till = world.till(profile)
    late = till.accrual(member, 12345)
    assert till.reverse(late).code == "25"
    assert till.reverse(late).code == "25"
    assert till.ask(late).code == "22"
    assert till.ask(late).code == "22"
    assert till.reverse(late).code == "25"
    assert till.balance(member) == member.opening
    assert till.accrue(member, 12345).available() == member.opening + 123


def test_the_memory_of_an_early_reversal_outlives_a_crash(world, daemon, till, member):
    late = till.redemption(member, 1000)
    assert till.reverse(late).code == "25"
    daemon.crash_and_restart()
    till.link = world.link()
    assert till.ask(late).code == "22"
    assert till.balance(member) == member.opening


@pytest.mark.parametrize("what", ["amount", "unit", "card"])
def test_a_reversal_with_other_content_undoes_nothing(world, till, member, what):
    spent = till.redeem(member, 1000)
    other = {"amount": f"{999:012d}", "unit": CNY, "card": world.member().card}[what]
    assert till.reverse(spent.request, **{what: other}).code == "94"
    assert till.balance(member) == member.opening - 1000
    assert till.reverse(spent.request).code == "00"
    assert till.balance(member) == member.opening


def test_points_that_were_spent_meanwhile_are_owed(world, till):
    card = world.stranger()
    assert till.enrol(keyed(card)).code == "00"
    earned = till.accrue(keyed(card), 10000)
    assert till.redeem(keyed(card), 100).available() == 0
    assert till.reverse(earned.request).code == "00"
    owing = till.inquire(keyed(card))
    assert owing.ledger() == -100
    assert owing.available() <= 0
    assert till.accrue(keyed(card), 15000).available() == 50


# --- refund --------------------------------------------------------------------------------


def test_an_accrual_is_refunded_in_parts_rounded_over_all_of_them(world, profile, member):
    """123 points of 123.45 yuan: floor 49.8 = 49, then floor 99.6 - 49 = 50, then the rest."""
    till = world.till(profile)
    earned = till.accrue(member, 12345)
    left = []
    for part in (5000, 5000, 2345):
        assert till.refund(earned.rrn, part, CNY).code == "00"
        left.append(till.balance(member) - member.opening)
    assert left == [74, 24, 0]
    assert till.refund(earned.rrn, 1, CNY).code == "64"


def test_a_redemption_by_value_is_refunded_in_parts(world, member):
    """501 points for 10.01 yuan at 50 a yuan: floor 250.2 = 250, then the rest, 251."""
    tea = world.till("aes", SHOP)
    tea.accrue(member, 100_000)
    spent = tea.redeem(member, 1001, CNY)
    assert spent.points == "-501"
    assert tea.refund(spent.rrn, 500, CNY, member).code == "00"
    assert tea.balance(member, "P02") == 999 + 250
    assert tea.refund(spent.rrn, 502, CNY, member).code == "64"
    assert tea.refund(spent.rrn, 501, CNY, member).code == "00"
    assert tea.balance(member, "P02") == 1500


def test_points_are_refunded_in_points(world, profile, member):
    till = world.till(profile)
    spent = till.redeem(member, 1000)
    assert till.refund(spent.rrn, 300, "P01", member).code == "00"
    assert till.balance(member) == 4300
    assert till.refund(spent.rrn, 701, "P01").code == "64"
    assert till.refund(spent.rrn, 700, "P01").code == "00"
    assert till.balance(member) == 5000


def test_a_refund_that_does_not_fit_its_original(world, till, member):
    spent = till.redeem(member, 1000)
    assert till.refund(spent.rrn, 300, CNY).code == "64"
    assert till.refund(other_rrn(spent.rrn), 300, "P01").code == "25"
    assert till.refund(spent.rrn, 300, "P01", world.member()).code == "14"
    assert world.till("aes", SHOP).refund(spent.rrn, 300, "P01").code == "25"
    assert till.balance(member) == 4000


def test_a_refund_may_come_from_another_till_of_the_merchant(world, till, member):
    spent = till.redeem(member, 1000)
    assert world.till("tdes-x919").refund(spent.rrn, 1000, "P01").code == "00"
    assert till.balance(member) == 5000


def test_a_refund_is_final(till, member):
    spent = till.redeem(member, 1000)
    refunded = till.refund(spent.rrn, 300, "P01", member)
    assert till.void(refunded).code == "12"
    assert till.void(spent).code == "12"  # refunded in part
    assert till.reverse(refunded.request).code == "12"
    assert till.balance(member) == 4300


def test_a_refund_repeated_is_one_refund(till, member):
    spent = till.redeem(member, 1000)
    refunded = till.refund(spent.rrn, 300, "P01")
    again = till.ask(refunded.request.but({"t": "0221"}))
    assert again.business == refunded.business
    assert till.balance(member) == 4300
