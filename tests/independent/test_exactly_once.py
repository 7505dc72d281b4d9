"""Repeats, identities and batches: protocol section 6."""

import pytest

from . import spec8583
from .messages import CNY, by_phone, keyed, swiped, total_line

# --- the same message again ----------------------------------------------------------------


def test_a_repeat_gets_the_same_reply_and_posts_nothing(world, profile, member):
    till = world.till(profile)
    for first in (till.accrue(member, 12345), till.redeem(member, 1000)):
        for again in (first.request, first.request.but({"t": "0201"}), first.request):
            reply = till.ask(again)
            assert reply.business == first.business
            assert reply.batch == first.batch
    assert till.balance(member) == member.opening + 123 - 1000


@pytest.mark.parametrize(
    "change",
    [
        {"12": "010203"},
        {"13": "0102"},
        {"14": "3012"},
        {"22": "032"},
        {"25": "65"},
        {"53": "2600000000000000"},
        {"60": "22000001000"},
        {"63": "01 "},
    ],
    ids=lambda change: "field " + "".join(change),
)
def test_what_does_not_make_another_message(till, member, change):
    first = till.accrue(member, 12345)
    assert till.ask(first.request.but(change)).business == first.business
    assert till.balance(member) == member.opening + 123


@pytest.mark.parametrize("change", ["amount", "unit", "function", "element", "name"])
def test_the_same_identity_with_other_content_is_refused(world, till, member, change):
    changes = {
        "amount": {"4": f"{1001:012d}"},
        "unit": {"49": CNY},
        "function": {"3": "220065", "49": CNY},
        "element": {"48": spec8583.encode_elements([("17", "4711")])},
        "name": {"2": world.member().card},
    }
    first = till.redeem(member, 1000)
    reply = till.ask(first.request.but(changes[change]))
    assert reply.code == "94"
    assert "37" not in reply.fields
    assert till.ask(first.request).business == first.business
    assert till.balance(member) == member.opening - 1000


def test_track_2_counts_as_the_card_number_on_it(till, member):
    first = till.accrue(member, 12345)
    track = swiped(member.card).fields
    assert till.ask(first.request.but({"2": None, **track})).business == first.business
    second = till.accrue(swiped(member.card), 12345)
    typed = keyed(member.card).fields
    assert till.ask(second.request.but({"35": None, **typed})).business == second.business
    assert till.balance(member) == member.opening + 246


def test_a_repeat_by_phone_is_one_sale(till, member):
    first = till.accrue(by_phone(member.phone), 12345)
    assert till.ask(first.request).business == first.business
    assert till.balance(member) == member.opening + 123


def test_a_decline_is_kept_though_it_would_now_be_approved(till, member):
    declined = till.redeem(member, 5100)
    assert declined.code == "51"
    till.accrue(member, 10000)
    assert till.ask(declined.request).business == declined.business
    assert till.redeem(member, 5100).code == "00"


def test_an_identity_stays_free_after_a_fault_of_form(till, member):
    request = till.accrual(member, 12345)
    assert till.ask(request.but({"2": None})).code == "30"
    assert till.ask(request.but({"3": "770000"})).code == "12"
    assert till.exchange(till.damaged(request)).code == "A0"
    assert till.ask(request).code == "00"
    assert till.balance(member) == member.opening + 123


def test_a_reply_outlives_a_crash(world, daemon, profile, member):
    till = world.till(profile)
    earned, spent = till.accrue(member, 12345), till.redeem(member, 1000)
    declined = till.redeem(member, 9999)
    daemon.crash_and_restart()
    till.link = world.link()
    for first in (earned, spent, declined):
        assert till.ask(first.request).business == first.business
    assert till.ask(earned.request.but({"4": f"{1:012d}"})).code == "94"
    assert till.balance(member) == member.opening + 123 - 1000


def test_the_same_message_on_two_connections_at_once_is_one_sale(world, profile, member):
    till = world.till(profile)
    links = [world.link() for _ in range(4)]
    for number in range(1, 11):
        sent = till.sealed(till.accrual(member, 10000))
        for link in links:
            link.send(sent.frame.encode())
        replies = [till.read(sent, link.receive()) for link in links]
        assert {reply.code for reply in replies} == {"00"}
        assert len({reply.rrn for reply in replies}) == 1
        assert till.balance(member) == member.opening + 100 * number


# --- batches -------------------------------------------------------------------------------


def test_another_batch_than_the_one_in_force_is_refused(till, member):
    reply = till.accrue(member, 12345, batch="000009")
    assert (reply.code, reply.batch) == ("77", "000001")
    assert till.balance(member) == member.opening


def a_morning(world, till):
    """A few sales, not all of which count; returns them and the totals that they make."""
    member, other = world.member(), world.member()
    earned = [till.accrue(member, 12345), till.accrue(other, 5000)]
    spent = [till.redeem(member, 300), till.redeem(other, 1001, CNY)]
    assert till.refund(spent[0].rrn, 100, "P01").code == "00"
    assert till.void(till.accrue(member, 70000)).code == "00"
    assert till.reverse(till.redeem(member, 200).request).code == "00"
    assert till.redeem(member, 999_999).code == "51"
    assert till.accrue(member, 12345, batch="000009").code == "77"
    totals = {"P01": (2, 300 + 1001, 3, 123 + 50 + 100)}
    return earned, spent, totals, member


def test_equal_totals_close_the_batch(world, profile):
    till = world.till(profile)
    earned, spent, totals, member = a_morning(world, till)
    before = till.balance(member)
    settled = till.settle(totals)
    assert (settled.code, settled.batch) == ("00", "000002")
    repeated = till.ask(settled.request)
    assert (repeated.code, repeated.batch) == ("00", "000002")
    assert till.accrue(member, 100).code == "77"  # still under the old batch

    till.batch, till.next_stan = settled.batch, 1
    fresh = till.accrue(member, 100)  # an old STAN under a new batch is a new identity
    assert (fresh.code, fresh.batch, fresh.available()) == ("00", "000002", before + 1)
    assert till.sign_on().batch == "000002"

    till.next_stan = 500
    assert till.reverse(earned[0].request).code == "25"
    assert till.void(earned[0]).code == "25"
    assert till.void(earned[0], "stan").code == "25"
    assert till.ask(earned[0].request).business == earned[0].business
    assert till.balance(member) == before + 1
    assert till.refund(spent[0].rrn, 200, "P01").code == "00"  # a refund is the way
    assert till.balance(member) == before + 201


def test_an_early_reversal_of_a_settled_batch_leaves_no_memory(till, member):
    assert till.settle({}).code == "00"
    never_sent = till.accrual(member, 12345)
    assert till.reverse(never_sent).code == "25"
    assert till.ask(never_sent).code == "77"  # with a memory it would be 22
    assert till.balance(member) == member.opening


def test_an_empty_batch_is_settled(world, profile):
    till = world.till(profile)
    settled = till.settle({})
    assert (settled.code, settled.batch) == ("00", "000002")
    till.batch = "000002"
    settled = till.settle({"P01": (0, 0, 0, 0)})
    assert (settled.code, settled.batch) == ("00", "000003")


def test_other_totals_are_answered_with_the_hosts_and_the_batch_is_uploaded(world, profile):
    till = world.till(profile)
    earned, spent, totals, member = a_morning(world, till)
    debits, debited, credits_, credited = totals["P01"]
    differing = till.settle({"P01": (debits, debited, credits_, credited + 1)})
    assert (differing.code, differing.batch) == ("95", "000001")
    assert differing.values("50") == [total_line("P01", *totals["P01"])]
    assert till.ask(differing.request).business == differing.business

    *items, last = [*earned, *spent]
    for item in items:
        uploaded = till.upload(item)
        assert (uploaded.code, uploaded.batch) == ("00", "000001")
    closed = till.upload(last, last=True)
    assert (closed.code, closed.batch) == ("00", "000002")

    assert till.accrue(member, 100).code == "77"
    till.batch = "000002"
    assert till.accrue(member, 100).code == "00"
    assert till.void(earned[0]).code == "25"
    assert till.reverse(spent[0].request).code == "25"


def test_totals_missing_from_the_request_count_as_zero(till, member):
    till.accrue(member, 12345)
    differing = till.settle({})
    assert differing.code == "95"
    assert differing.values("50") == [total_line("P01", 0, 0, 1, 123)]


def test_a_batch_number_outlives_a_crash(world, daemon, till, member):
    assert till.settle({}).code == "00"
    daemon.crash_and_restart()
    till.link = world.link()
    assert till.accrue(member, 100).code == "77"
    till.batch = "000002"
    assert till.accrue(member, 100).code == "00"
