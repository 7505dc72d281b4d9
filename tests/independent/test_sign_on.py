"""Sign-on, key sets and who is let in: protocol sections 3 and 4."""

import pytest

from . import keys
from .conftest import CLOSED, HOTEL, SERIAL, SHOP
from .messages import by_phone


def test_a_terminal_signs_on_and_works(world, profile, member):
    till = world.terminal(profile)
    reply = till.sign_on()
    assert (reply.code, reply.batch) == ("00", "000001")
    assert reply.has_mac  # of the sign-on key (aes) or of the delivered one (tdes)
    assert till.accrue(member, 12345).code == "00"


def test_before_its_first_sign_on_a_terminal_is_told_to(world, profile, member):
    till, stranger_to_host = world.till(profile), world.terminal(profile)
    stranger_to_host.keys = till.keys
    assert stranger_to_host.accrue(member, 12345).code == "77"
    assert till.balance(member) == member.opening


def test_keys_of_two_terminals_differ(world, profile):
    assert world.till(profile).keys != world.till(profile).keys


@pytest.mark.parametrize("network", ["001", "003", "004", "005"])
def test_the_network_code_changes_neither_keys_nor_their_length(world, profile, network):
    till = world.terminal(profile)
    _, first = till.request_keys()
    request = till.compose("0800", network=network, more={"63": "01 ", "62": "00" * 40})
    key = keys.sign_on_key(till.tmk) if profile == "aes" else None
    reply = till.exchange(till.seal(request, key))
    assert reply.code == "00"
    till.adopt(reply)  # judges length, check values and parity
    assert till.keys == first


@pytest.mark.parametrize("spoil", ["none", "foreign", "session"])
def test_nobody_without_the_master_key_gets_keys_of_an_aes_terminal(world, spoil):
    till = world.till()
    request = till.sign_on_request().request
    if spoil == "none":
        reply = till.ask_without_mac(request)
    elif spoil == "foreign":
        reply = till.ask_under(request, keys.sign_on_key(bytes(16)))
    else:
        reply = till.ask_under(request, till.keys.mac_key)
    assert reply.code == "A0"
    assert "62" not in reply.fields


# --- pending and confirmed sets ------------------------------------------------------------


def test_a_lost_reply_to_a_sign_on_strands_nobody(world, profile, member):
    till = world.till(profile)
    assert till.accrue(member, 100).code == "00"  # confirms the first set
    _, offered = till.request_keys()  # lost on its way
    assert offered != till.keys
    assert till.accrue(member, 100).code == "00"  # the old set still works
    _, offered_again = till.request_keys()
    assert offered_again == offered
    assert till.accrue(member, 100).code == "00"
    assert till.balance(member) == member.opening + 3


def test_the_new_set_is_confirmed_by_its_use_and_the_old_one_lingers(world, profile, member):
    till = world.till(profile)
    assert till.accrue(member, 100).code == "00"
    old = till.keys
    till.sign_on()
    assert till.accrue(member, 100).code == "00"  # confirms the new set
    till.keys, new = old, till.keys
    assert till.accrue(member, 100).code == "00"  # for 60 seconds
    till.keys = new
    assert till.accrue(member, 100).code == "00"
    _, third = till.request_keys()
    assert third not in (old, new)


def test_key_sets_outlive_a_crash(world, daemon, member):
    tills = [world.till("aes"), world.till("tdes-x919"), world.till("tdes-cup")]
    for till in tills:
        assert till.accrue(member, 100).code == "00"
    offered = [till.request_keys()[1] for till in tills]
    daemon.crash_and_restart()
    for till, pending in zip(tills, offered, strict=True):
        till.link = world.link()
        assert till.accrue(member, 100).code == "00"  # no new sign-on is needed
        assert till.request_keys()[1] == pending
        till.keys = pending
        assert till.accrue(member, 100).code == "00"
    assert tills[0].balance(member) == member.opening + 9


def test_a_stranger_who_signs_on_for_a_tdes_terminal_takes_nothing_from_it(world, member):
    till = world.till("tdes-x919")
    assert till.accrue(member, 100).code == "00"
    strangers_line = world.link()
    for _ in range(3):
        assert till.exchange(till.sign_on_request(), strangers_line).code == "00"
    assert till.accrue(member, 100).code == "00"


def test_a_sign_on_changes_neither_batch_nor_identity(world, profile, member):
    till = world.till(profile)
    first = till.accrue(member, 12345)
    assert till.sign_on().batch == "000001"
    repeated = till.ask(first.request)  # under the new key
    assert repeated.business == first.business
    assert till.balance(member) == member.opening + 123


# --- echo, keep-alive, sign-off, download --------------------------------------------------


def test_an_echo_needs_no_keys(world, profile):
    reply = world.terminal(profile).echo()
    assert (reply.code, reply.has_mac) == ("00", False)


def test_a_keep_alive_is_answered_with_one(world):
    link = world.link()
    link.send(b"\x00\x00")
    assert link.receive() == b""
    assert link.is_silent()


def test_after_a_sign_off_the_terminal_still_works(world, profile, member):
    till = world.till(profile)
    reply = till.sign_off()
    assert (reply.code, reply.has_mac) == ("00", True)
    assert till.accrue(member, 12345).code == "00"


def test_a_sign_off_without_mac_is_refused(till):
    request = till.compose("0820", network="002")
    assert till.ask_without_mac(request).code == "A0"


def test_parameters_come_in_numbered_blocks_up_to_the_last(till):
    for number in range(1, 100):
        reply = till.download_block(number)
        assert reply.code == "00"
        block = bytes.fromhex(reply.fields["62"])
        assert block[1:5] == f"{number:04d}".encode()
        assert block[:1] in (b"0", b"1")
        if block[:1] == b"0":
            return
    pytest.fail("the host never says that a block is the last")


# --- who is let in -------------------------------------------------------------------------


def test_an_unknown_terminal_is_told_so(till, member):
    known = till.terminal_id
    till.terminal_id = "99999999"
    assert till.echo().code == "97"
    assert till.exchange(till.sign_on_request()).code == "97"
    assert till.accrue(member, 12345).code == "97"
    till.terminal_id = known
    assert till.balance(member) == member.opening


@pytest.mark.parametrize("foreign", [SHOP, "999999999999999"])
def test_a_terminal_belongs_to_its_merchant(till, member, foreign):
    till.merchant_id = foreign
    assert till.exchange(till.sign_on_request()).code == "03"
    assert till.accrue(member, 12345).code == "03"
    till.merchant_id = HOTEL
    assert till.balance(member) == member.opening


def test_a_cup_terminal_is_served_from_its_networks_only(world):
    elsewhere = world.terminal("tdes-cup", network="10.9.0.0/16")
    reply = elsewhere.exchange(elsewhere.sign_on_request())
    assert reply.code == "58"
    assert "62" not in reply.fields


def test_a_bound_device_must_name_its_serial(world):
    bound = world.terminal(serial=SERIAL)
    for elements in ([], [("1B", "358240051111128")]):
        reply = bound.exchange(bound.sign_on_request(elements))
        assert reply.code == "58"
        assert "62" not in reply.fields
    assert bound.exchange(bound.sign_on_request([("1B", SERIAL)])).code == "00"


def test_without_terms_for_the_date_nothing_is_earned(world, member):
    closed = world.till("aes", CLOSED)
    assert closed.accrue(member, 12345).code == "57"
    assert closed.accrue(by_phone(member.phone), 12345).code == "57"
    assert world.till().balance(member) == member.opening
