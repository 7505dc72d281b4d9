"""The line and what can go wrong on it: protocol sections 1 to 3.

Every test that sends rubbish ends by asking a bystander's terminal, on a link that was open all
the time, whether the host still serves it and what the member's balance is.
"""

from dataclasses import replace
from itertools import pairwise

import iso8583
import pytest

from . import spec8583
from .client import Link, Terminal, collect

FRAME_LIMIT = 4096

# --- many terminals, many messages ---------------------------------------------------------


def send_together(link, sent):
    """All frames in one write, as a busy line delivers them."""
    link.send(b"".join(each.frame.encode() for _, each in sent))
    return collect(link, sent)


def test_terminals_of_all_profiles_share_a_line(world):
    line, members = world.link(), [world.member() for _ in range(3)]
    tills = [world.terminal("aes", link=line) for _ in range(8)]
    tills += [world.terminal("tdes-x919", link=line) for _ in range(4)]
    tills += [world.terminal("tdes-cup", link=line) for _ in range(4)]

    sign_ons = {till: till.sign_on_request() for till in tills}
    replies = send_together(line, list(sign_ons.items()))
    for till, sent in sign_ons.items():
        till.adopt(replies[sent])

    sales = [(t, t.sealed(t.accrual(m, 10000))) for m in members for t in tills]
    replies = send_together(line, sales)
    assert {reply.code for reply in replies.values()} == {"00"}
    assert len({reply.rrn for reply in replies.values()}) == len(sales)
    for member in members:
        assert tills[0].balance(member) == member.opening + 100 * len(tills)


@pytest.mark.parametrize("count", [64, 400])
def test_one_terminal_does_not_wait_for_its_replies(till, member, count):
    sales = [(till, till.sealed(till.accrual(member, 100))) for _ in range(count)]
    replies = send_together(till.link, sales)
    assert {reply.code for reply in replies.values()} == {"00"}
    assert till.balance(member) == member.opening + count


def test_reference_numbers_cannot_be_guessed_from_the_one_before(till, member):
    numbers = [int(till.accrue(member, 100).rrn) for _ in range(40)]
    assert len(set(numbers)) == 40
    assert not [1 for first, second in pairwise(numbers) if abs(second - first) == 1]


def test_repeats_in_a_pipeline_are_one_sale(till, member):
    sent = till.sealed(till.accrual(member, 10000))
    till.link.send(sent.frame.encode() * 60)
    replies = [till.read(sent, till.link.receive()) for _ in range(60)]
    assert len({reply.rrn for reply in replies}) == 1
    assert till.balance(member) == member.opening + 100


def test_a_terminal_moves_between_connections(world, till, member):
    earned = till.accrue(member, 12345)
    till.link.close()
    till.link = world.link()
    assert till.void(earned).code == "00"
    assert till.balance(member) == member.opening


def test_the_reply_goes_where_the_request_came_from(world, till, member):
    other_line = world.link()
    assert till.ask(till.accrual(member, 100), other_line).code == "00"
    assert till.link.is_silent()


def test_the_first_byte_of_the_tpdu_is_echoed_whatever_it_is(till):
    till.tpdu = b"\x68\x00\x00\xff\xfe"
    assert till.echo().code == "00"


def test_a_frame_may_come_byte_by_byte_and_two_may_come_at_once(till, member):
    sent = till.sealed(till.accrual(member, 100))
    for byte in sent.frame.encode():
        till.link.send(bytes([byte]))
    assert till.read(sent, till.link.receive()).code == "00"
    pair = [(till, till.sealed(till.accrual(member, 100))) for _ in range(2)]
    encoded = b"".join(each.frame.encode() for _, each in pair)
    till.link.send(b"\x00\x00" + encoded[:-5])
    assert till.link.receive() == b""
    till.link.send(encoded[-5:])
    assert {reply.code for reply in collect(till.link, pair).values()} == {"00"}
    assert till.balance(member) == member.opening + 3


# --- frames that are none ------------------------------------------------------------------

# Where the fields of a keyed accrual begin in the message: MTI 0, bitmap 2, then
PAN_LENGTH, PAN, FUNCTION, AMOUNT, STAN, ENTRY_MODE = 10, 11, 21, 24, 30, 33


def put(at: int, *values: int):
    """A damage: these bytes there."""

    def damage(message: bytes) -> bytes:
        return message[:at] + bytes(values) + message[at + len(values) :]

    return damage


DAMAGES = {
    "a letter in the message type": put(0, 0x0A),
    "a letter in the card number": put(PAN + 3, 0x2F),
    "a letter in the function": put(FUNCTION, 0xD2),
    "a letter in the amount": put(AMOUNT + 5, 0x4C),
    "a letter in the STAN": put(STAN, 0xB0),
    "a letter in the entry mode": put(ENTRY_MODE, 0x0E),
    "a card number of 20 digits": put(PAN_LENGTH, 0x20),
    "a card number twice the size": put(PAN_LENGTH, 0x38),
    "a length that is no number": put(PAN_LENGTH, 0x1A),
    "a card number of 99 digits": put(PAN_LENGTH, 0x99),
    "a field that there is none of": put(2, 0x78),
    "a secondary bitmap that there is none of": put(2, 0xF0),
    "all bits": put(2, *[0xFF] * 8),
    "a byte too many": lambda message: message + b"\x00",
    "the message twice": lambda message: message + message,
    "a MAC of seven bytes": lambda message: message[:-1],
    "half a message": lambda message: message[: len(message) // 2],
    "nothing behind the bitmap": lambda message: message[:10],
    "half a bitmap": lambda message: message[:6],
    "a message type and no more": lambda message: message[:2],
    "no message": lambda _: b"",
}


def closes_without_a_word(world, data: bytes) -> bool:
    line = world.link()
    line.send(data)
    return line.was_closed_without_a_word()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_message_that_does_not_decode_ends_the_connection(world, till, member, damage):
    sent = till.sealed(till.accrual(member, 12345))
    spoiled = replace(sent.frame, message=damage(sent.frame.message))
    assert closes_without_a_word(world, spoiled.encode())
    assert till.balance(member) == member.opening
    assert till.exchange(sent).code == "00"


OVERSIZED = {
    "2": "6222020000000000018" * 2,
    "32": "1" * 22,
    "35": "6222020000000000018D30122010000012" * 2,
    "44": "x" * 50,
    "54": "6502P01C000000005000" * 7,
    "55": "9F26" * 128,
    "60": "00000001000" * 2,
    "61": "0000010000011123" * 2,
    "63": "x" * 326,
    "48": "00" * 1998,
    "62": "00" * 1998,
}


@pytest.mark.parametrize("name", OVERSIZED)
def test_a_field_twice_the_size_ends_the_connection(world, till, member, monkeypatch, name):
    request = till.accrual(member, 12345).but({name: OVERSIZED[name]})
    length_bytes = spec8583.FIELDS[name]["len_type"]
    widened = {**spec8583.FIELDS[name], "max_len": 99 if length_bytes == 1 else 9999}
    monkeypatch.setitem(spec8583.FIELDS, name, widened)
    sent = till.sealed(request)
    monkeypatch.undo()
    with pytest.raises(iso8583.DecodeError):
        spec8583.decode_message(sent.frame.message)
    assert closes_without_a_word(world, sent.frame.encode())
    assert till.balance(member) == member.opening


@pytest.mark.parametrize("size", [1, 4, 5, 10, 11, 12, 20])
def test_a_frame_too_short_for_a_message_ends_the_connection(world, till, size):
    whole = till.echo_request().frame.encode()[2:]
    assert closes_without_a_word(world, size.to_bytes(2) + whole[:size])
    assert till.echo().code == "00"


@pytest.mark.parametrize("size", [FRAME_LIMIT + 1, 2 * FRAME_LIMIT, 0xFFFF])
def test_an_oversized_frame_ends_the_connection_before_it_is_there(world, till, size):
    assert closes_without_a_word(world, size.to_bytes(2))
    body = till.echo_request().frame.encode()[2:]
    assert closes_without_a_word(world, size.to_bytes(2) + body)
    assert till.echo().code == "00"


def test_a_frame_that_never_gets_whole_posts_nothing(world, till, member):
    encoded = till.sealed(till.accrual(member, 12345)).frame.encode()
    for length in (1, 2, 13, len(encoded) - 1):
        line = world.link()
        line.send(encoded[:length])
        line.finish_sending()
        assert line.was_closed_without_a_word()
    assert till.balance(member) == member.opening


def test_what_came_before_the_rubbish_is_posted_once(world, till, member):
    sent = till.sealed(till.accrual(member, 12345))
    line = world.link()
    line.send(sent.frame.encode() + (FRAME_LIMIT + 1).to_bytes(2) + b"rubbish")
    repeated = till.exchange(sent)
    assert repeated.code == "00"
    assert till.balance(member) == member.opening + 123


def test_a_reply_sent_to_the_host_is_dropped_in_silence(till, member):
    request = till.accrual(member, 12345)
    for mti in ("0210", "0410", "0810"):
        till.link.send(till.sealed(request.but({"t": mti})).frame.encode())
    assert till.link.is_silent()
    assert till.echo().code == "00"  # the link is as good as before
    assert till.balance(member) == member.opening


# --- MACs ----------------------------------------------------------------------------------


def test_a_damaged_mac_posts_nothing(world, profile, member):
    till = world.till(profile)
    for mask in (0x01, 0x80, 0xFF):
        reply = till.exchange(till.damaged(till.accrual(member, 12345), mask))
        assert (reply.code, reply.has_mac) == ("A0", False)
    assert till.balance(member) == member.opening


def test_a_message_changed_behind_its_mac_posts_nothing(world, profile, member):
    till = world.till(profile)
    sent = till.sealed(till.accrual(member, 12345))
    inflated = put(AMOUNT + 3, 0x99)(sent.frame.message)
    changed = replace(sent, frame=replace(sent.frame, message=inflated), key=None)
    assert till.exchange(changed).code == "A0"
    assert till.balance(member) == member.opening


def test_a_missing_mac_posts_nothing(world, profile, member):
    till = world.till(profile)
    reply = till.ask_without_mac(till.accrual(member, 12345))
    assert (reply.code, reply.has_mac) == ("A0", False)
    assert till.balance(member) == member.opening


def test_the_key_of_another_terminal_posts_nothing(world, profile, member):
    till, thief = world.till(profile), world.till(profile)
    reply = till.ask_under(till.accrual(member, 12345), thief.session.mac_key)
    assert (reply.code, reply.has_mac) == ("A0", False)
    assert till.balance(member) == member.opening


def test_a_truncated_mac_field_is_no_mac(till, member):
    """Eight zero bytes where the MAC belongs."""
    sent = till.sealed(till.accrual(member, 12345))
    zeros = replace(sent.frame, message=sent.frame.message[:-8] + bytes(8))
    assert till.exchange(replace(sent, frame=zeros, key=None)).code == "A0"


def guess_macs(till: Terminal, member, line: Link, count: int) -> list[str]:
    """Codes of the replies to so many damaged messages; stops where silence begins."""
    codes = []
    for _ in range(count):
        sent = till.damaged(till.accrual(member, 12345))
        line.send(sent.frame.encode())
        if len(codes) >= 9 and line.is_silent():
            break
        codes.append(till.read(sent, line.receive()).code)
    return codes


def test_ten_wrong_macs_silence_that_terminal_from_that_address_only(world, member):
    line = world.link()
    victim, neighbour = world.till(link=line), world.till(link=line)
    codes = guess_macs(victim, member, line, 10)
    assert codes in (["A0"] * 9, ["A0"] * 10)

    line.send(victim.sealed(victim.accrual(member, 12345)).frame.encode())
    assert line.is_silent()
    assert neighbour.balance(member) == member.opening
    line.send(victim.sealed(victim.accrual(member, 12345)).frame.encode())
    assert line.is_silent()

    victim.link = world.link(source="127.0.0.2")  # the terminal itself, elsewhere
    assert victim.accrue(member, 12345).available() == member.opening + 123


def test_a_right_mac_starts_the_count_anew(till, member):
    for _ in range(3):
        assert guess_macs(till, member, till.link, 8) == ["A0"] * 8
        assert till.balance(member) == member.opening
