"""Network management: sign-on, parameters, sign-off, echo; and key sets over time."""

import pytest

from engine.rules import reference
from posd.iso8583.tlv import parse_tlv
from tests.posd.conversation import SERIAL, Conversation

SALE = "3=220065 2={card} 4=000000010000 49=156"
SOLD = "<< 0210 39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*"
OFFERED = "<< 0810 39=00 62=* 64=*"


@pytest.fixture
def talk(stranger):
    return stranger


# Sign-on.


@pytest.mark.parametrize("code", ["001", "003", "004", "005"])
@pytest.mark.parametrize("name", ["00000001", "00000002", "00000003"])
def test_any_sign_on_code_delivers_the_keys_of_the_profile(name, code):
    talk = Conversation()
    talk.till(name)
    aes = talk.speaker.profile == "aes"
    talk.play(f"""
        >> 0800 code={code} mac={"master" if aes else "none"} 62=ignored
        {".. sign-on APPROVED" if aes else ""}
        {OFFERED}
        """)
    assert len(talk.reply.fields[62]) == (56 if aes else 40)


def test_the_same_keys_are_handed_out_until_they_are_used(talk):
    talk.play(f"""
        >> 0800 code=001 mac=master
        .. sign-on APPROVED
        {OFFERED}
        >> 0800 code=001 mac=master
        {OFFERED}
        """)
    assert len(talk.speaker.keys) == 1
    talk.play(f"""
        >> 0200 {SALE}
        .. keys confirmed APPROVED
        .. accrual APPROVED
        {SOLD}
        >> 0200 {SALE}
        .. accrual APPROVED
        {SOLD}
        >> 0800 code=001 mac=master
        {OFFERED}
        """)
    assert len(talk.speaker.keys) == 2


def test_without_the_master_key_nobody_gets_keys(talk):
    talk.play("""
        >> 0800 code=001 mac=none
        << 0810 39=A0 44=*
        >> 0800 code=001 mac=wrong
        << 0810 39=A0 44=*
        >> 0800 -60 mac=none
        << 0810 39=77 44=*
        """)


def test_a_sign_on_under_a_secondary_bitmap_has_its_mac_in_128():
    talk = Conversation()
    talk.play(f">> 0800 code=001 110=x mac=master\n.. sign-on APPROVED\n{OFFERED}")


def test_a_stranger_s_sign_on_strands_no_terminal():
    talk = Conversation()
    talk.till("00000002")
    talk.sign_on()
    talk.play(f">> 0200 {SALE}\n.. accrual APPROVED\n{SOLD}")
    confirmed = talk.speaker.keys[-1]
    talk.play(f"from 127.0.0.9\n>> 0800 code=003 mac=none\n{OFFERED}\nfrom 127.0.0.1")
    assert talk.speaker.keys[-1] != confirmed
    talk.play(f">> 0200 {SALE} mac=old\n.. accrual APPROVED\n{SOLD}")


def test_the_old_keys_die_a_minute_after_the_new_ones_are_used(talk):
    talk.sign_on()
    talk.play(f"""
        >> 0800 code=001 mac=master
        {OFFERED}
        @ 3600
        >> 0200 {SALE} mac=old          # nobody has used the new ones
        .. accrual APPROVED
        {SOLD}
        >> 0200 {SALE}
        .. keys confirmed APPROVED
        .. accrual APPROVED
        {SOLD}
        @ 59
        >> 0200 {SALE} mac=old
        .. accrual APPROVED
        {SOLD}
        @ 1
        >> 0200 {SALE} mac=old
        << 0210 39=A0 44=*
        >> 0200 {SALE}
        .. accrual APPROVED
        {SOLD}
        """)


def test_a_new_master_key_cancels_every_set(talk):
    talk.sign_on()
    talk.play(f">> 0800 code=001 mac=master\n{OFFERED}")
    talk.register("00000001", tmk=bytes(range(16)))
    talk.play(f"""
        >> 0200 {SALE}
        << 0210 39=77 44=*
        >> 0200 {SALE} mac=old
        << 0210 39=77 44=*
        >> 0800 code=001 mac=master
        << 0810 39=A0 44=*
        """)


def test_keys_and_batch_outlive_a_restart(talk):
    talk.sign_on()
    talk.play("""
        >> 0500 code=201
        .. settlement APPROVED
        << 0510 39=00 60=00000002201 64=*
        """)
    again = Conversation(talk.feeding)
    again.book, again.machine, again.host.machine = talk.book, talk.machine, talk.machine
    again.host.read = talk.book.view.get
    again.tills, again.speaker = talk.tills, talk.speaker
    again.play(f">> 0200 {SALE}\n.. accrual APPROVED\n{SOLD}")


def test_a_sign_on_tells_the_batch_and_leaves_it_and_the_stans(talk):
    talk.sign_on()
    talk.play(f"""
        >> 0500 code=201
        .. settlement APPROVED
        << 0510 39=00 60=00000002201 64=*
        >> 0200 {SALE} stan=700
        .. accrual APPROVED
        {SOLD}
        >> 0800 code=001 mac=master batch=000001
        << 0810 39=00 60=00000002001 62=* 64=*
        >> 0200 {SALE} stan=700
        .. keys confirmed APPROVED
        {SOLD}
        """)


# Device serials.


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"48=1B:{SERIAL}", ".. sign-on APPROVED\n" + OFFERED),
        (f"48=1C:7,1B:{SERIAL},1D:3", ".. sign-on APPROVED\n" + OFFERED),
        ("", "<< 0810 39=58 44=* 64=*"),
        ("48=1B:356938035643808", "<< 0810 39=58 44=* 64=*"),
        ("48=1B:", "<< 0810 39=58 44=* 64=*"),
        (f"48=1B:{SERIAL},1B:{SERIAL}", "<< 0810 39=30 44=* 64=*"),
    ],
)
def test_a_terminal_bound_to_a_device_signs_on_from_it(talk, said, told):
    talk.till("00000005")
    talk.play(f">> 0800 code=001 mac=master {said}\n{told}")


# Sign-off, echo, parameters.


def test_sign_off_changes_nothing(talk):
    talk.sign_on()
    talk.play(f"""
        >> 0820 code=002
        << 0830 39=00 64=*
        >> 0200 {SALE}
        .. accrual APPROVED
        {SOLD}
        >> 0820 code=002 mac=none
        << 0830 39=A0 44=*
        >> 0820 code=777
        << 0830 39=12 44=* 64=*
        >> 0800 code=777
        << 0810 39=12 44=* 64=*
        >> 0800 code=002
        << 0810 39=12 44=* 64=*
        """)


def test_an_echo_needs_a_known_terminal_only(talk):
    talk.play("""
        >> 0820 code=301
        << 0830 39=00
        >> 0820 code=301 42=000000000000000
        << 0830 39=03 44=*
        >> 0820 code=301 41=00000099
        << 0830 39=97 44=*
        >> 0820 code=301 -11
        << 0830 39=30 44=*
        till 00000004
        >> 0820 code=301
        << 0830 39=00
        till 00000006
        >> 0820 code=301
        << 0830 39=58 44=*
        """)


def test_parameters_come_in_one_block():
    talk = Conversation()
    talk.sign_on()
    talk.play(">> 0800 code=360 62=0001\n<< 0810 39=00 62=* 64=*")
    block = talk.reply.fields[62]
    assert block[:5] == b"00001"
    told = dict(parse_tlv(block[5:]))
    assert told.pop("1D").endswith(b"-0")
    assert len(told.pop("DG")) == 16
    assert told == {
        "34": "湖边酒店".encode(),
        "49": b"P01",
        "PN": "联盟积分".encode(),
        "40": b"100/1",
    }
    talk.play("""
        >> 0800 code=360 62=0002
        << 0810 39=30 44=* 64=*
        >> 0800 code=360
        << 0810 39=30 44=* 64=*
        >> 0800 code=360 62=0001 mac=none
        << 0810 39=A0 44=*
        """)


@pytest.mark.parametrize("charset", ["utf-8", "gb18030"])
def test_a_long_name_is_cut_between_characters(charset):
    talk = Conversation()
    talk.register("00000001", charset=charset)
    talk.administer(
        reference.PutProgram(
            "P01", "x" + "积" * 100, 100, "none", True, "expire", 0, "negative", False
        )
    )
    talk.sign_on()
    talk.play(">> 0800 code=360 62=0001\n<< 0810 39=00 62=* 64=*")
    name = dict(parse_tlv(talk.reply.fields[62][5:]))["PN"]
    assert 117 <= len(name) <= 120
    assert set(name.decode(charset)) == {"x", "积"}


# A weak MAC.


def test_an_unknown_element_is_skipped_but_for_a_weak_mac():
    talk = Conversation()
    for name in ("00000001", "00000002"):
        talk.till(name)
        talk.sign_on()
        talk.play(f">> 0200 {SALE} 48=ZZ:1,Z9:2\n.. accrual APPROVED\n{SOLD}")
    assert talk.meter.counted("unknown_elements") == 4
    talk.till("00000003")
    talk.sign_on()
    talk.play(f"""
        >> 0200 {SALE} 48=ZZ:1
        << 0210 39=30 44=* 64=*
        >> 0800 code=001 mac=none 48=ZZ:1
        << 0810 39=30 44=*
        """)
