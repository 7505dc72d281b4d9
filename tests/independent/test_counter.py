"""Earning, spending, asking, PINs and declines: protocol section 4."""

import pytest

from .conftest import NEXT_EXPIRY, SHOP, phone_number
from .messages import CNY, Named, by_element, by_phone, keyed, swiped

# --- earning and spending ------------------------------------------------------------------


def test_a_sale_earns_a_point_a_yuan(world, profile, member):
    reply = world.till(profile).accrue(member, 12345)
    assert (reply.code, reply.points) == ("00", "+123")
    assert reply.fields["4"] == "000000012345"
    assert reply.batch == "000001"
    assert reply.available() == reply.ledger() == member.opening + 123


def test_points_are_spent(world, profile, member):
    reply = world.till(profile).redeem(member, 1500)
    assert (reply.code, reply.points) == ("00", "-1500")
    assert reply.available() == reply.ledger() == member.opening - 1500


def test_a_value_in_fen_is_paid_in_points(world, profile, member):
    reply = world.till(profile).redeem(member, 1001, CNY)
    assert (reply.code, reply.points) == ("00", "-1001")
    assert reply.fields["4"] == "000000001001"
    assert reply.available() == member.opening - 1001


def test_another_merchant_has_other_terms(world, member):
    tea = world.till("aes", SHOP)
    earned = tea.accrue(member, 12345)  # 3/2 a yuan, rounded down
    assert (earned.points, earned.available("P02")) == ("+185", 185)
    spent = tea.redeem(member, 101, CNY)  # 50 points a yuan: 50.5, rounded up
    assert (spent.points, spent.available("P02")) == ("-51", 134)
    assert tea.balance(member, "P01") == member.opening


def test_a_sale_too_small_for_a_point_is_counted_with_none(till, member):
    reply = till.accrue(member, 99)
    assert (reply.code, reply.points) == ("00", "+0")
    assert till.balance(member) == member.opening


def test_everything_can_be_spent_and_not_a_point_more(till, member):
    assert till.redeem(member, 5001).code == "51"
    assert till.balance(member) == 5000
    assert till.redeem(member, 5000).available() == 0
    assert till.redeem(member, 1).code == "51"


def test_local_time_and_other_ignored_fields_do_not_matter(till, member):
    ignored = {
        "7": "1123030710",
        "12": "235960",
        "13": "9999",
        "23": "001",
        "26": "06",
        "32": "48021000",
        "36": "99" + "1" * 19,
        "53": "2600000000000000",
        "55": "9F260812345678",
        "59": "whatever",
    }
    assert till.accrue(member, 12345, more=ignored).points == "+123"


def test_an_unknown_element_is_skipped_but_not_by_cup(world, member):
    elements = [("ZZ", "whatever")]
    assert world.till("aes").accrue(member, 100, elements=elements).code == "00"
    assert world.till("tdes-x919").accrue(member, 100, elements=elements).code == "00"
    cup = world.till("tdes-cup")
    assert cup.accrue(member, 100, elements=elements).code == "30"
    assert cup.balance(member) == member.opening + 2


def test_an_element_twice_is_a_format_error(till, member):
    elements = [("17", "4711"), ("17", "4712")]
    assert till.accrue(member, 100, elements=elements).code == "30"
    assert till.balance(member) == member.opening


# --- naming the member ---------------------------------------------------------------------


def ways_to_name(member):
    both = Named(keyed(member.card).fields, by_phone(member.phone).elements)
    return {
        "keyed": keyed(member.card),
        "swiped": swiped(member.card),
        "phone": by_phone(member.phone),
        "element": by_element(member.card),
        "card and phone": both,
    }


@pytest.mark.parametrize("way", ["keyed", "swiped", "phone", "element", "card and phone"])
def test_every_way_to_name_a_member_leads_to_the_same_account(world, profile, member, way):
    till = world.till(profile)
    assert till.accrue(ways_to_name(member)[way], 12345).code == "00"
    assert till.balance(member) == member.opening + 123


def test_names_of_two_members_in_one_message_lead_to_nobody(world, till, member):
    other = world.member()
    mixed = Named(keyed(member.card).fields, by_phone(other.phone).elements)
    assert till.accrue(mixed, 12345).code == "14"
    assert (till.balance(member), till.balance(other)) == (5000, 5000)


def test_a_sale_without_member_is_a_format_error(till):
    assert till.accrue(None, 12345).code == "30"
    assert till.redeem(None, 100).code == "30"
    assert till.inquire(None).code == "30"


def test_an_unknown_card_is_declined(world, till):
    stranger = keyed(world.stranger())
    assert till.accrue(stranger, 12345).code == "14"
    assert till.redeem(stranger, 100).code == "14"
    assert till.inquire(stranger).code == "14"


def test_guessing_cards_is_stopped_at_that_terminal_only(world, member):
    guesser, neighbour = world.till(), world.till()
    codes = [guesser.inquire(keyed(world.stranger())).code for _ in range(13)]
    assert codes[:10] == ["14"] * 10
    assert codes[11:] == ["34"] * 2
    assert neighbour.balance(member) == member.opening


def test_a_card_is_enrolled_and_earns(world, profile):
    till, card = world.till(profile), keyed(world.stranger())
    assert till.accrue(card, 12345).code == "14"
    assert till.enrol(card).code == "00"
    assert till.accrue(card, 12345).available() == 123


def test_a_phone_is_enrolled_and_earns(till):
    phone = by_phone(phone_number(99_000_001))
    assert till.enrol(phone).code == "00"
    assert till.accrue(phone, 12345).available() == 123


# --- asking --------------------------------------------------------------------------------


def test_a_balance_inquiry_tells_points_and_their_next_expiry(world, profile, member):
    till = world.till(profile)
    for function in ("310000", "310065"):
        reply = till.inquire(member, function)
        assert reply.code == "00"
        assert (reply.available(), reply.ledger()) == (5000, 5000)
        assert reply.values("32") == [f"{5000:012d}{NEXT_EXPIRY.replace('-', '')}"]
    points_only = till.inquire(member, "310065").balances
    assert {entry.account for entry in points_only} == {"65"}


def test_the_unit_used_last_is_listed_first(world, member):
    hotel, tea = world.till(), world.till("aes", SHOP)
    tea.accrue(member, 10000)
    assert [entry.unit for entry in hotel.inquire(member).balances] == ["P02"] * 2 + ["P01"] * 2
    hotel.accrue(member, 10000)
    assert [entry.unit for entry in hotel.inquire(member).balances] == ["P01"] * 2 + ["P02"] * 2


# --- what cannot be done -------------------------------------------------------------------


def test_nothing_cannot_be_spent(till, member):
    assert till.redeem(member, 0).code == "13"
    assert till.redeem(member, 0, CNY).code == "13"


@pytest.mark.parametrize(
    ("mti", "function"), [("0200", "770000"), ("0100", "550000"), ("0600", "010000")]
)
def test_an_unknown_function_is_an_invalid_transaction(till, member, mti, function):
    more = {"4": f"{100:012d}", "49": "P01"}
    assert till.ask(till.compose(mti, function, member, more=more)).code == "12"
    assert till.balance(member) == member.opening


def test_a_sale_without_amount_is_a_format_error(till, member):
    request = till.accrual(member, 12345)
    assert till.ask(request.but({"4": None})).code == "30"
    assert till.balance(member) == member.opening


# --- PIN -----------------------------------------------------------------------------------


def test_a_phone_alone_earns_but_does_not_spend_without_a_pin(world, profile, member):
    till, phone = world.till(profile), by_phone(member.phone)
    assert till.accrue(phone, 12345).code == "00"
    assert till.redeem(phone, 100).code == "55"
    assert till.redeem(member, 100).code == "00"  # with a card none is asked for
    assert till.balance(member) == member.opening + 23


def test_a_right_pin_beside_the_card_does_no_harm(world, profile, member):
    till = world.till(profile)
    block = {till.pin_field: till.pin_block(member.pin, member.card), "22": "021"}
    assert till.redeem(swiped(member.card), 100, more=block).code == "00"


def test_a_pin_is_changed(world, profile, member):
    till = world.till(profile)
    assert till.change_pin(member, member.pin, "246810").code == "00"
    assert till.change_pin(member, member.pin, "111111").code == "55"
    assert till.change_pin(member, "246810", "111111").code == "00"


def test_a_pin_change_without_the_old_pin_is_told_what_is_missing(world, profile, member):
    till = world.till(profile)
    request = till.pin_change(member, member.pin, "246810").but({till.pin_field: None})
    assert till.ask(request).code == "55"
    assert till.change_pin(member, member.pin, "246810").code == "00"


def test_the_third_wrong_pin_in_a_row_locks(world, profile, member):
    till = world.till(profile)
    assert till.change_pin(member, "000000", "246810").code == "55"
    assert till.change_pin(member, "000001", "246810").code == "55"
    assert till.change_pin(member, "000002", "246810").code == "75"
    assert till.change_pin(member, member.pin, "246810").code == "75"
    assert world.till().change_pin(member, member.pin, "246810").code == "75"


def test_a_repeat_is_not_another_guess_and_a_right_pin_starts_anew(world, profile, member):
    till = world.till(profile)
    for pin in ("000000", "000001"):
        wrong = till.pin_change(member, pin, "246810")
        assert [till.ask(wrong).code for _ in range(3)] == ["55"] * 3
    assert till.change_pin(member, member.pin, "246810").code == "00"
    codes = [till.change_pin(member, "000000", "111111").code for _ in range(3)]
    assert codes == ["55", "55", "75"]


def test_wrong_pins_are_counted_across_a_crash(world, daemon, member):
    till = world.till()
    assert till.change_pin(member, "000000", "246810").code == "55"
    assert till.change_pin(member, "000001", "246810").code == "55"
    daemon.crash_and_restart()
    till.link = world.link()
    assert till.change_pin(member, "000002", "246810").code == "75"


def test_an_undecodable_pin_block_is_not_a_wrong_pin(world, profile, member):
    till = world.till(profile)
    bad = {till.pin_field: till.pin_block(member.pin, member.card, control="9")}
    for _ in range(4):
        request = till.pin_change(member, member.pin, "246810").but(bad)
        assert till.ask(request).code == "99"
    assert till.change_pin(member, member.pin, "246810").code == "00"


def test_the_pin_field_of_another_profile_is_refused(world, profile, member):
    till = world.till(profile)
    right = till.pin_change(member, member.pin, "246810")
    foreign = {"52": "11" * 8} if profile == "aes" else {"110": "11" * 16}
    assert till.ask(right.but({till.pin_field: None, **foreign})).code == "99"
