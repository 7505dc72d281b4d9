"""Links: frames in whatever pieces, keep-alives, back-pressure, and the end of a link."""

import pytest

from posd.framing import Frame, frame
from posd.link import Limits, Link, Links
from posd.session import UNANSWERED_MAX
from tests.posd.conversation import HEADER, TPDU, Conversation

ACCRUAL = "0200 3=220065 2={card} 4=000000012345 49=156"
UNDECODABLE = frame(TPDU, HEADER, bytes.fromhex("0200") + b"\x00" * 7 + b"\x10")


@pytest.fixture
def talk(stranger):
    return stranger


def test_a_sale_and_its_points_however_the_bytes_arrive(talk):
    talk.play("""
        >> 0800 code=001 mac=master
        .. sign-on APPROVED
        << 0810 39=00 62=* 64=*
        >> 0200 3=220065 2={card} 4=000000012345 49=156
        .. keys confirmed APPROVED
        .. accrual APPROVED
        << 0210 39=00 4=000000012345 15=0302 37=* 38=* 48=30:+123 49=156 54=* 64=*
        """)
    assert talk.reply.fields[54] == "6502P01C0000000051236501P01C000000005123"
    assert (talk.reply.fields[12], talk.reply.fields[13]) == ("120000", "0302")


def test_a_reply_swaps_the_addresses_and_echoes_the_header(talk):
    talk.play(">> 0820 code=301\n<< 0830 39=00")
    assert talk.frame[2:13].hex() == "6000011234" + "603100311234"
    talk.play(">> 0100 3=310000 2={card}\n<< 0110 39=77 44=*")
    assert talk.frame[7:13].hex() == "603103311234"  # only the digit that asks for a sign-on


def test_a_keep_alive_is_answered_with_one(talk):
    assert [r for byte in (b"\0", b"\0", b"\0\0") for r in talk.feed(byte)] == [b"\0\0"] * 2
    assert talk.meter.counted("keep_alives") == 2


@pytest.mark.parametrize("mti", ["0210", "0510", "0830", "0290"])
def test_the_reply_form_of_a_message_is_dropped(talk, mti):
    talk.sign_on()
    talk.play(f">> {mti} 3=220065 2={{card}} 4=000000012345 49=156\n<< silence")
    talk.play(">> 0820 code=301\n<< 0830 39=00")
    assert talk.meter.counted("dropped_reply_form") == 1


@pytest.mark.parametrize("mti", ["0900", "1200", "0000", "9999", "1800", "0805", "0209"])
def test_a_type_that_nobody_defined_is_answered(talk, mti):
    talk.sign_on()
    if mti[2] not in "02468":
        talk.play(f">> {mti} 3=220065\n<< silence")
    else:
        reply = f"{mti[:2]}{int(mti[2]) + 1}0"
        talk.play(f">> {mti} 3=220065 2={{card}}\n<< {reply} 39=12 44=* 64=*")


def test_good_frames_before_an_undecodable_one_are_answered_then_the_link_ends():
    talk = Conversation()
    echo = talk.build("0820 code=301")
    replies = talk.feed(echo + echo + UNDECODABLE + echo)
    assert len(replies) == 2
    assert talk.session.closed
    assert talk.session.unanswered == 0
    assert talk.feed(echo) == []
    assert talk.meter.counted("undecodable") == 1


@pytest.mark.parametrize("length", [b"\x00\x14", b"\x10\x01", b"\xff\xff"])
def test_good_frames_before_a_frame_of_a_wrong_length_are_answered(length):
    talk = Conversation()
    echo = talk.build("0820 code=301")
    assert len(talk.feed(echo + length + bytes(30))) == 1
    assert talk.session.closed
    assert talk.meter.counted("bad_frames") == 1
    assert talk.book.sequence == Conversation().book.sequence


def test_at_256_unanswered_messages_further_ones_wait():
    talk = Conversation()
    echo = talk.build("0820 code=301")
    session = talk.session
    replies = session.receive(echo * (UNANSWERED_MAX + 20), talk.now, talk.monotonic)
    assert len(replies) == UNANSWERED_MAX
    assert session.full
    assert session.receive(echo, talk.now, talk.monotonic) == []
    session.sent(UNANSWERED_MAX // 2 - 1)
    assert not session.can_resume
    session.sent(1)
    assert session.can_resume
    assert len(session.resume(talk.now, talk.monotonic)) == 21
    assert not session.full


def test_a_bad_frame_behind_held_back_ones_ends_the_link_after_them():
    talk = Conversation()
    echo = talk.build("0820 code=301")
    session = talk.session
    session.receive(echo * (UNANSWERED_MAX + 3) + b"\xff\xff", talk.now, talk.monotonic)
    assert not session.closed
    session.sent(UNANSWERED_MAX)
    assert len(session.resume(talk.now, talk.monotonic)) == 3
    assert session.closed


def test_messages_that_are_dropped_leave_no_debt():
    talk = Conversation()
    talk.feed(talk.build("0210 3=220065") * 300)
    assert talk.session.unanswered == 0
    assert talk.session.can_resume
    assert talk.session.resume(talk.now, talk.monotonic) == []
    assert not talk.session.full


def test_many_terminals_share_a_link_and_are_told_apart():
    talk = Conversation()
    talk.sign_on()
    first = talk.build("0200 3=220065 2={card} 4=000000010000 49=156".format(**talk.words))
    talk.till("00000002")
    talk.sign_on()
    second = talk.build("0200 3=220065 2={card} 4=000000020000 49=156".format(**talk.words))
    replies = [talk.codec.decode(reply[13:]) for reply in talk.feed(first + second + first)]
    assert [reply.fields[41] for reply in replies] == ["00000001", "00000002", "00000001"]
    assert [reply.fields[39] for reply in replies] == ["00"] * 3
    assert replies[0].fields[37] == replies[2].fields[37] != replies[1].fields[37]


def test_a_frame_shows_no_content():
    talk = Conversation()
    shown = repr(Frame(TPDU, HEADER, talk.build("0820 code=301")[13:]))
    assert shown.startswith("Frame(")
    assert "x" not in shown


# The half-frame timer, on a link without a loop.


class Transport:
    def __init__(self):
        self.aborted = False

    def get_extra_info(self, name):
        return ("127.0.0.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, **_):
        pass

    def abort(self):
        self.aborted = True


class Loopless:
    """A pipeline that keeps what is to be done soon."""

    halted = False

    def soon(self, callback):
        pass


def test_half_a_frame_has_ten_seconds_each_frame_anew(monkeypatch):
    talk = Conversation()
    clock = [1000]
    monkeypatch.setattr("posd.link.monotonic_ms", lambda: clock[0])
    links = Links(talk.host, Loopless(), talk.meter, Limits())
    link, transport = Link(links), Transport()
    link.connection_made(transport)
    echo = talk.build("0820 code=301")
    # Every read ends within a frame, but none of them waits for long.
    link.data_received(echo + echo[:10])
    for _ in range(5):
        clock[0] += 4_000
        links.sweep()
        link.data_received(echo[10:] + echo[:10])
    assert not transport.aborted
    clock[0] += 6_000
    link.data_received(echo[10:12])  # a drop of the same frame buys no time
    clock[0] += 5_000
    links.sweep()
    assert transport.aborted
    assert talk.meter.counted("closed_half_frame") == 1
