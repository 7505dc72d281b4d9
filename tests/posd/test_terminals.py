"""Who may talk from where, and the guards against guessing, with time injected."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.terminals import Guards
from tests.posd.conversation import Conversation

SALE = "3=220065 2={card} 4=000000010000 49=156"
SOLD = "<< 0210 39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*"


@pytest.fixture
def talk(stranger):
    return stranger


# Networks.


@pytest.mark.parametrize(
    ("name", "place", "code"),
    [
        ("00000001", "203.0.113.9", "00"),
        ("00000003", "127.0.0.1", "00"),
        ("00000003", "127.9.9.9", "00"),
        ("00000003", "::1", "00"),
        ("00000003", "::ffff:127.0.0.1", "00"),
        ("00000003", "10.0.0.1", "58"),
        ("00000003", "::ffff:10.0.0.1", "58"),
        ("00000003", "10.0.0.1 tls", "00"),
        ("00000003", "", "58"),
        ("00000007", "10.1.2.3", "00"),
        ("00000007", "::ffff:10.1.2.3", "00"),
        ("00000007", "127.0.0.1", "58"),
        ("00000007", "127.0.0.1 tls", "58"),
        ("00000009", "10.1.2.3", "00"),
        ("00000009", "127.0.0.1", "58"),
        ("00000009", "11.0.0.1 tls", "58"),
    ],
)
def test_a_terminal_is_served_from_its_networks(name, place, code):
    talk = Conversation()
    talk.till(name)
    address, _, tls = place.partition(" ")
    talk.peer(address, tls=bool(tls))
    reason = "44=*" if code == "58" else ""
    talk.play(f">> 0820 code=301\n<< 0830 39={code} {reason}")


def test_a_change_of_networks_holds_at_once():
    talk = Conversation()
    talk.play(">> 0820 code=301\n<< 0830 39=00")
    talk.register("00000001", networks=("10.0.0.0/8",))
    talk.play(">> 0820 code=301\n<< 0830 39=58 44=*")
    talk.register("00000001", networks=())
    talk.register("00000001", enabled=False)
    talk.play(">> 0820 code=301\n<< 0830 39=58 44=*")


@given(st.ip_addresses())
def test_the_loopback_of_a_weak_mac_is_the_loopback(address):
    talk = WEAK
    talk.peer(str(address))
    talk.send(talk.build("0820 code=301"))
    mapped = getattr(address, "ipv4_mapped", None)
    loopback = (mapped or ip_address(address)).is_loopback
    assert talk.reply.fields[39] == ("00" if loopback else "58")


WEAK = Conversation()
WEAK.till("00000003")


# Roles.


def test_an_information_desk_inquires_only(talk):
    talk.till("00000004")
    talk.sign_on()
    refused = "39=58 44=*"
    talk.play(f"""
        >> 0100 3=310000 2={{card}}
        << 0110 39=00 48=* 54=* 64=*
        >> 0100 3=320000 49=P01 48=49:P02
        << 0110 39=57 44=* 64=*
        >> 0100 3=380000
        << 0110 39=00 64=*
        >> 0100 3=390000 48=12:1
        << 0110 39=76 44=* 64=*
        >> 0100 3=036500 2={{card}} 4=000000000001 49=P01
        << 0110 {refused}
        >> 0200 {SALE}
        << 0210 {refused}
        >> 0200 3=006000 2={{card}} 4=000000000001 49=156
        << 0210 {refused}
        >> 0400 {SALE}
        << 0410 {refused}
        >> 0500 code=201
        << 0510 {refused}
        >> 0600 3=980000 2={{card}}
        << 0610 {refused}
        >> 0600 3=970000 2={{card}} 48=1F:{{next}}
        << 0610 {refused}
        >> 0820 code=002
        << 0830 39=00 64=*
        """)


# Wrong MACs.


def test_ten_wrong_macs_in_a_row_close_the_door_of_that_peer_for_a_minute(talk):
    talk.sign_on()
    wrong = f">> 0200 {SALE} mac=wrong\n<< 0210 39=A0 44=*\n"
    talk.play(wrong * 9)
    talk.play(f">> 0200 {SALE}\n.. accrual APPROVED\n{SOLD}")  # which forgives
    talk.play(wrong * 10)
    assert talk.events["mac_guard"] == 1
    talk.play(f"""
        >> 0200 {SALE}
        << silence
        >> 0820 code=301
        << silence
        >> 0800 code=001 mac=master
        << silence
        from 127.0.0.2
        >> 0200 {SALE}
        .. accrual APPROVED
        {SOLD}
        from 127.0.0.1
        till 00000005
        >> 0820 code=301
        << 0830 39=00
        till 00000001
        @ 59
        >> 0820 code=301
        << silence
        @ 1
        >> 0200 {SALE}
        .. accrual APPROVED
        {SOLD}
        """)
    assert talk.meter.counted("dropped_after_wrong_macs") == 4
    assert talk.session.unanswered == 0


def test_wrong_macs_of_sign_ons_count_and_cost_no_write():
    talk = Conversation()
    before = talk.book.sequence
    talk.play(">> 0800 code=001 mac=wrong\n<< 0810 39=A0 44=*\n" * 10)
    talk.play(">> 0800 code=001 mac=master\n<< silence")
    assert talk.book.sequence == before


@given(st.lists(st.tuples(st.sampled_from("AB"), st.booleans()), max_size=60))
def test_the_door_closes_at_ten_wrong_ones_in_a_row_and_not_before(messages):
    guards, row = Guards(), {"A": 0, "B": 0}
    for peer, right in messages:
        if right:
            guards.right_mac("T", peer)
            row[peer] = 0
            continue
        row[peer] += 1
        closed = guards.wrong_mac("T", peer, 0)
        assert closed == (row[peer] == 10)
        row[peer] %= 10


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=40))
def test_guessing_is_more_than_ten_within_any_minute(gaps):
    guards, now, times = Guards(), 0, []
    for gap in gaps:
        now += gap
        times = [*(time for time in times if time > now - 60_000), now]
        assert guards.guessed("T", now) == (len(times) > 10)
        if len(times) > 10:
            assert guards.guessing("T", now + 599_999)
            assert not guards.guessing("T", now + 600_000)
            times = []


# Secrets.


def test_nothing_shows_a_key(capsys):
    talk = Conversation()
    talk.sign_on()
    standing = talk.host.standing("00000001")
    kept = standing.key_set(1)
    secret = [standing.tmk(), kept.keys.mac_key, kept.keys.pin_key]
    for one in (standing, kept, kept.keys, talk.vault, talk.host, talk.session, talk.session.peer):
        for form in (repr(one), str(one), f"{one!r}"):
            assert not any(key.hex() in form or repr(key)[2:-1] in form for key in secret)
    assert repr(standing) == "Standing(00000001)"
    print(standing, kept)  # noqa: T201
    assert "0123456789abcdef" not in capsys.readouterr().out
