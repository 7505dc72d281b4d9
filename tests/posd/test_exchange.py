"""Transactions: the order of checks, what replies carry, exactly once, PINs and guessing."""

import pytest

from engine.rules import reference
from ledger import schema
from posd.incoming import Incoming, name_member
from posd.iso8583.spec import TAGS
from tests.posd.conversation import (
    CARD,
    MERCHANT,
    OTHER_CARD,
    OTHER_MERCHANT,
    Conversation,
)

SALE = "3=220065 2={card} 4=000000010000 49=156"
SOLD = "<< 0210 39=00 4=000000010000 15=0302 37=* 38=* 48=30:+100 49=156 54=* 64=*"


# Transactions, and what their replies carry.


def test_a_day_at_the_till(talk):
    talk.play("""
        >> 0200 3=220065 2={card} 4=000000012345 49=156
        .. accrual APPROVED
        << 0210 39=00 4=* 15=0302 37=* 38=* 48=30:+123 49=156 54=* 64=*
        >> 0100 3=310000 2={card}
        << 0110 39=00 48=32:00000000500020271231 64=* 54=*
        >> 0100 3=310060 2={card}
        << 0110 39=00 64=*
        >> 0200 3=006500 2={card} 4=000000001000 49=P01
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-1000 49=P01 54=* 64=*
        >> 0200 3=200000 2={card} 4=000000001000 49=P01 37={rrn}
        .. void APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 49=P01 54=* 64=*
        >> 0200 3=006500 2={card} 4=000000001001 49=156
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:-1001 49=156 54=* 64=*
        >> 0220 3=200000 4=000000000501 49=156 37={rrn}
        .. refund APPROVED
        << 0230 39=00 4=* 15=* 37=* 38=* 48=30:+501 49=156 54=* 64=*
        >> 0200 3=006500 2={card} 4=000000999999 49=P01
        .. redemption NOT_ENOUGH
        << 0210 39=51 44=* 64=*
        >> 0500 code=201 48=50:P01000001000000001001000001000000000999
        .. settlement TOTALS_DIFFER
        << 0510 39=95 44=* 48=50:P01000001000000001001000002000000000624 64=*
        >> 0500 code=201 48=50:P01000001000000001001000002000000000624
        .. settlement APPROVED
        << 0510 39=00 60=00000002201 64=*
        """)


def test_a_reversal_and_its_repeat(talk):
    talk.play(f"""
        >> 0200 {SALE} stan=77
        .. accrual APPROVED
        {SOLD}
        >> 0400 {SALE} stan=77 39=98
        .. reversal APPROVED
        << 0410 39=00 4=* 15=* 37=* 38=* 49=156 54=* 64=*
        """)
    rrn = talk.reply.fields[37]
    talk.play(f"""
        >> 0401 {SALE} stan=77 39=06
        << 0410 39=00 4=* 15=* 37={rrn} 38=* 49=156 54=* 64=*
        >> 0400 3=220065 2={{card}} 4=000000020000 49=156 stan=78
        .. reversal ORIGINAL_UNKNOWN
        << 0410 39=25 44=* 64=*
        >> 0200 3=220065 2={{card}} 4=000000020000 49=156 stan=78
        << 0210 39=22 44=* 64=*
        >> 0400 3=220065 2={{card}} 4=000000020000 49=156 stan=78
        << 0410 39=25 44=* 64=*
        """)


def test_a_reversal_of_another_amount_undoes_nothing(talk):
    talk.play(f"""
        >> 0200 {SALE} stan=77
        .. accrual APPROVED
        {SOLD}
        >> 0400 3=220065 2={{card}} 4=000000010001 49=156 stan=77
        << 0410 39=94 44=* 64=*
        >> 0400 3=220065 2={{other}} 4=000000010000 49=156 stan=77
        << 0410 39=94 44=* 64=*
        """)


def test_a_repeat_is_told_what_was_told(talk):
    talk.play(f">> 0200 {SALE} stan=9\n.. accrual APPROVED\n{SOLD}")
    first = talk.reply.fields
    talk.play(f"@ 61\n>> 0201 {SALE} stan=9\n{SOLD}")
    again = talk.reply.fields
    assert {n for n in again if again[n] != first[n]} == {12, 64}
    assert again[12] == "120101"
    # A decline is stored too, also where it would be approved by now.
    talk.play("""
        >> 0200 3=006500 2={card} 4=000000005999 49=P01 stan=10
        .. redemption NOT_ENOUGH
        << 0210 39=51 44=* 64=*
        >> 0200 3=220065 2={card} 4=000000999900 49=156
        .. accrual APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*
        >> 0200 3=006500 2={card} 4=000000005999 49=P01 stan=10
        << 0210 39=51 44=* 64=*
        """)


def test_a_repeat_after_settlement_names_the_batch_in_force(talk):
    talk.play(f"""
        >> 0200 {SALE} stan=9
        .. accrual APPROVED
        {SOLD}
        >> 0500 code=201 48=50:P01000000000000000000000001000000000100 stan=10
        .. settlement APPROVED
        << 0510 39=00 60=00000002201 64=*
        >> 0200 {SALE} stan=9 batch=000001
        {SOLD} 60=00000002000
        >> 0500 code=201 48=50:P01000000000000000000000001000000000100 stan=10 batch=000001
        << 0510 39=00 60=00000002201 64=*
        >> 0200 {SALE} stan=11 batch=000001
        << 0210 39=77 44=* 60=00000002000 64=*
        >> 0400 {SALE} stan=9 batch=000001
        .. reversal BATCH_SETTLED
        << 0410 39=25 44=* 60=00000002000 64=*
        """)


def test_a_reversal_in_a_retired_batch_is_told_the_one_in_force(desk):
    desk.play(f">> 0200 {SALE} stan=9\n.. accrual APPROVED\n{SOLD}")
    desk.pass_time(8 * 86_400)
    desk.play(">> 0820 code=002\n<< 0830 39=00 60=00000002002 64=*")
    talk = desk.play
    entries = "\n".join([".. cut-off APPROVED"] * 8)
    talk(f"""
        >> 0400 {SALE} stan=9 batch=000001
        {entries}
        .. reversal APPROVED
        << 0410 39=00 4=* 15=0310 37=* 38=* 49=156 54=* 60=00000002000 64=*
        """)


def test_enrolment_then_points(talk):
    talk.words["new"] = "6222020000000000034"
    talk.play("""
        >> 0600 3=980000 2={new} 48=10:P13900000000
        .. enrolment APPROVED
        << 0610 39=00 64=*
        >> 0600 3=980000 2={new}
        .. enrolment MEMBER_KNOWN
        << 0610 39=12 44=* 64=*
        >> 0200 3=220065 48=10:P13900000000 4=000000010000 49=156
        .. accrual APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=30:+100 49=* 54=* 64=*
        """)


# The order of checks: what fails several is answered for the first.

ORDER = [
    # said beyond the sale, code. Each line mends what the one before was answered for.
    ("41=00000099 42=000000000000000 -60 -11 mac=wrong", "97"),
    ("-41", "97"),
    ("till 00000006 42=000000000000000 -60 mac=wrong", "58"),
    ("till 00000007 42=000000000000000 -60 mac=wrong", "58"),
    ("till 00000004 42=000000000000000 -60 mac=wrong", "58"),
    ("till 00000009 mac=none", "58"),
    ("42=000000000000000 -60 mac=wrong", "03"),
    (f"42={OTHER_MERCHANT} -60 mac=wrong", "03"),
    ("-42", "03"),
    ("till 00000002 -60 mac=wrong", "77"),
    ("-60 3=770000 mac=wrong", "A0"),
    ("-60 3=770000 mac=none", "A0"),
    ("-60 3=770000", "30"),
    ("60=00 3=770000", "30"),
    ("-11 3=770000", "30"),
    ("3=770000 48=XX batch=000009", "12"),
    ("3=936500 batch=000009", "30"),
    ("-2 batch=000009", "30"),
    ("48=10:X1 batch=000009", "30"),
    ("35=6222020000000000018 batch=000009", "30"),
    ("-4 batch=000009", "30"),
    ("-49 batch=000009", "30"),
    ("batch=000009 2=6222020000000000099", "77"),
    ("3=200000 37=000000000000 2=6222020000000000099", "25"),
    ("2=6222020000000000099 4=000000000000", "14"),
    ("3=006500 4=000000000000 49=P01 pin=999999", "13"),
    ("3=006500 49=P01 4=000000999999 52=12345678", "99"),
    ("3=006500 49=P01 4=000000999999 pin=999999", "55"),
    ("3=006500 49=P02", "57"),
    ("3=006500 49=P01 4=000000999999", "51"),
]


@pytest.mark.parametrize(("said", "code"), ORDER)
def test_the_first_failing_check_answers(said, code):
    talk = Conversation()
    talk.sign_on()
    if said.startswith("till"):
        _, name, said = said.split(" ", 2)
        talk.till(name)
    stored = code in {"25", "14", "13", "55", "57", "51"}
    before = talk.book.sequence
    assert talk.send(talk.build(f"0200 {SALE} {said}".format(**talk.words))) is not None
    assert talk.reply.fields[39] == code
    assert talk.reply.fields[44].decode().isascii()
    # What is not stored leaves no entry, and the identity free.
    assert talk.book.sequence - before == stored
    verified = code not in {"97", "58", "03", "77", "A0"} or "batch=" in said
    assert (64 in talk.reply.fields) == verified


def test_the_answer_22_and_94_come_before_the_batch(desk):
    desk.play(f"""
        >> 0200 {SALE} stan=5
        .. accrual APPROVED
        {SOLD}
        >> 0500 code=201 48=50:P01000000000000000000000001000000000100
        .. settlement APPROVED
        << 0510 39=00 60=* 64=*
        >> 0200 3=220065 2={{card}} 4=000000020000 49=156 stan=5 batch=000001
        << 0210 39=94 44=* 60=00000002000 64=*
        """)


# MACs.


def test_a_reply_carries_a_mac_exactly_when_its_request_verified(talk):
    talk.play(f"""
        >> 0200 {SALE} mac=wrong
        << 0210 39=A0 44=*
        >> 0200 {SALE} mac=none
        << 0210 39=A0 44=*
        >> 0820 code=002 mac=wrong
        << 0830 39=A0 44=*
        >> 0200 3=990000
        << 0210 39=12 44=* 64=*
        >> 0820 code=301
        << 0830 39=00
        """)
    assert talk.meter.counted("mac_failures") == 3


@pytest.mark.parametrize("name", ["00000001", "00000002", "00000003"])
def test_each_profile_trades(name):
    talk = Conversation()
    talk.till(name)
    talk.sign_on()
    talk.play(f">> 0200 {SALE}\n.. accrual APPROVED\n{SOLD}")
    talk.play(f">> 0200 {SALE} mac=wrong\n<< 0210 39=A0 44=*")


def test_any_changed_byte_of_a_message_breaks_its_mac():
    talk = Conversation()
    talk.sign_on()
    data = talk.build(f"0200 {SALE}".format(**talk.words))
    for place in range(25, len(data)):
        talk.peer(f"127.0.1.{place}")
        spoiled = bytearray(data)
        spoiled[place] ^= 1
        before = talk.book.sequence
        talk.send(bytes(spoiled))
        assert talk.book.sequence == before
        assert talk.session.closed or talk.reply.fields[39] in {"A0", "97", "03"}
        assert talk.session.closed or 64 not in talk.reply.fields


# Content of a request (section 6).

FULL = {
    "4": ("000000010000", "000000010001"),
    "7": ("0302120000", "0302120001"),
    "23": ("001", "002"),
    "26": ("12", "06"),
    "32": ("123", "124"),
    "36": ("99", "98"),
    "37": ("000000000001", "000000000002"),
    "38": ("000001", "000002"),
    "39": ("00", "01"),
    "44": ("a", "b"),
    "54": ("a", "b"),
    "55": ("a", "b"),
    "59": ("a", "b"),
    "61": ("000001000001", "000001000002"),
    "62": ("a", "b"),
    "15": ("0302", "0303"),
}
FREE = {
    "12": ("120000", "120001"),
    "13": ("0302", "0303"),
    "14": ("2912", "3001"),
    "22": ("021", "012"),
    "25": ("00", "65"),
    "53": ("2000000000000000", "1000000000000000"),
    "63": ("01", "02"),
}


def posts(talk, said):
    """The code of a sale with what is said, always under one identity."""
    talk.send(talk.build(f"0200 {SALE} stan=500 {said}".format(**talk.words)))
    return talk.reply.fields[39]


@pytest.mark.parametrize("number", FULL)
def test_a_field_is_part_of_the_content(desk, number):
    one, two = FULL[number]
    assert posts(desk, f"{number}={one}") == "00"
    assert posts(desk, f"{number}={one}") == "00"
    assert posts(desk, f"{number}={two}") == "94"
    assert number == "4" or posts(desk, "") == "94"


@pytest.mark.parametrize("number", FREE)
def test_a_field_may_differ_in_a_repeat(desk, number):
    one, two = FREE[number]
    assert posts(desk, f"{number}={one}") == "00"
    rrn = desk.reply.fields[37]
    for said in (f"{number}={two}", ""):
        assert posts(desk, said) == "00"
        assert desk.reply.fields[37] == rrn


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("60=00000001000", "60=22000001000", "00"),
        ("60=00000001000", "60=00000001401", "00"),
        ("60=000000010005", "60=000000010006", "94"),
        ("60=00000001000", "60=000000010005", "94"),
        ("48=17:A", "48=17:B", "94"),
        ("48=17:A", "", "94"),
        ("48=17:A,1C:1", "48=1C:1,17:A", "00"),
        ("48=17:A", "48=17:A,1C:2", "00"),
        ("48=1B:1,1D:1,19:00", "", "00"),
        ("48=ZZ:1", "48=ZZ:2", "94"),
        ("48=30:+1,30:+2", "48=30:+2", "94"),
        ("48=63:1,63:2", "48=63:3,63:2", "94"),
        ("48=50:1,50:2", "48=50:2", "94"),
        ("48=17:1", "48=14:1", "94"),
        ("48=10:C{card}", "", "94"),
        ("-2 35={card}D29121010000", "-2 35={card}D30011010001", "00"),
        ("-2 35={card}D29121010000", "", "00"),
        ("35={card}D2912", "-2 35={card}D2912", "00"),
        ("35={card}D2912", "35={other}D2912", "94"),
        ("", "42=104110045110013", "03"),
        ("", "3=006500", "94"),
        ("", "2={other}", "94"),
    ],
)
def test_what_else_is_content(desk, before, after, code):
    assert posts(desk, before) == "00"
    assert posts(desk, after) == code


@pytest.mark.parametrize(
    ("fields", "kind", "elements"),
    [
        ({2: "6222020000000000018"}, "C", []),
        ({35: "6222020000000000018D2912"}, "C", []),
        ({2: "6222020000000000026", 35: "6222020000000000018D2912"}, "C", []),
        ({}, "C", [("10", b"C6222020000000000018")]),
        ({}, "C", [("1F", b"6222020000000000018")]),
        ({}, "P", [("10", b"P6222020000000000018")]),
        ({}, "U", [("11", b"U6222020000000000018")]),
        ({}, "I", [("1H", b"6222020000000000018")]),
    ],
)
def test_the_kept_content_cannot_be_tried_out_for_a_number_that_was_forgotten(
    desk, fields, kind, elements
):
    """Whoever has the key file and all else that a message said cannot confirm the number."""

    def content():
        said = {3: "960000", 4: "000000001000", 41: "1", 42: "2", 60: "00000001000", **fields}
        incoming = Incoming("0200", said, desk.vault)
        incoming.elements, incoming.tlv = elements, dict(elements)
        name_member(incoming)
        return desk.host.content(incoming)

    before = content()
    assert content() == before
    others = desk.vault.seal_token("P", "13800000009")[1]
    desk.vault.forget_tokens([("P", others)])
    assert content() == before
    desk.vault.forget_tokens([(kind, desk.vault.seal_token(kind, "6222020000000000018")[1])])
    assert content() != before


def test_every_element_of_field_48_is_content_but_four(desk):
    for stan, tag in enumerate(sorted(TAGS.keys() - {"10", "11", "1E"}), 1000):
        said = f"0200 {SALE} stan={stan} 48={tag}:"
        codes = []
        for value in "12":
            desk.send(desk.build((said + value).format(**desk.words)))
            codes.append(desk.reply.fields[39])
        assert codes == ["00", "00" if tag in {"19", "1B", "1C", "1D"} else "94"], tag


def test_the_type_of_a_message_is_content_but_for_its_repeat_digit(desk):
    desk.play(f"""
        >> 0200 {SALE} stan=500
        .. accrual APPROVED
        {SOLD}
        >> 0600 3=980000 2={{card}} stan=500
        << 0610 39=94 44=* 64=*
        """)


# PINs.


def test_a_wrong_pin_is_counted_once_however_often_it_is_repeated(desk):
    spend = "3=006500 2={card} 4=000000000100 49=P01"
    desk.play(f"""
        >> 0200 {spend} pin=000000 stan=51
        .. redemption PIN_WRONG
        << 0210 39=55 44=* 64=*
        >> 0201 {spend} pin=000000 stan=51
        << 0210 39=55 44=* 64=*
        >> 0201 {spend} pin=111111 stan=51
        << 0210 39=55 44=* 64=*
        >> 0200 {spend} pin=000000
        .. redemption PIN_WRONG
        << 0210 39=55 44=* 64=*
        >> 0200 {spend} pin=000000
        .. redemption PIN_LOCKED
        << 0210 39=75 44=* 64=*
        >> 0200 {spend} pin=123456
        .. redemption PIN_LOCKED
        << 0210 39=75 44=* 64=*
        """)


def test_a_wrong_pin_in_an_inquiry_is_counted_before_the_reply(desk):
    wrong = ">> 0100 3=310000 2={card} pin=000000\n"
    told = "<< 0110 39=55 44=* 64=*\n"
    desk.play((wrong + ".. pin check PIN_WRONG\n" + told) * 2)
    desk.play(wrong + ".. pin check PIN_LOCKED\n<< 0110 39=75 44=* 64=*")
    desk.play(">> 0200 3=006500 2={card} 4=000000000100 49=P01 pin=123456\n"
              ".. redemption PIN_LOCKED\n<< 0210 39=75 44=* 64=*")  # fmt: skip


def test_a_phone_spends_with_a_pin_only(desk):
    spend = "3=006500 48=10:P{phone} 4=000000000100 49=P01"
    desk.play(f"""
        >> 0200 {spend}
        .. redemption PIN_MISSING
        << 0210 39=55 44=* 64=*
        >> 0200 {spend} pin=123456
        << 0210 39=99 44=* 64=*
        >> 0200 3=006500 2={{card}} 48=10:P{{phone}} 4=000000000100 49=P01 pin=123456
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*
        """)


@pytest.mark.parametrize(
    ("name", "said"),
    [("00000001", "52=12345678"), ("00000001", "110=12345678"), ("00000002", "110=12345678"),
     ("00000002", "52=12345678")],
)  # fmt: skip
def test_a_bad_block_or_the_other_profile_s_field_is_99_and_free(name, said):
    talk = Conversation()
    talk.till(name)
    talk.sign_on()
    talk.play(f"""
        >> 0200 3=006500 2={{card}} 4=000000000100 49=P01 stan=70 {said}
        << 0210 39=99 44=* 64=*
        >> 0200 3=006500 2={{card}} 4=000000000100 49=P01 stan=70 pin=123456
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*
        """)


def test_a_pin_is_changed_by_who_knows_it(desk):
    def change(old, new):
        desk.send(desk.build(f"0600 3=990000 2={CARD} pin={old} new_pin={new}"))
        return desk.reply.fields[39]

    assert change("000000", "222222") == "55"
    assert change("123456", "222222") == "00"
    spend = ">> 0200 3=006500 2={card} 4=000000000100 49=P01"
    desk.play(f"""
        {spend} pin=123456
        .. redemption PIN_WRONG
        << 0210 39=55 44=* 64=*
        {spend} pin=222222
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*
        """)


# Guessing, and a host that cannot.


def test_more_than_ten_unknown_members_a_minute_are_34_for_ten_minutes(desk):
    desk.play(f">> 0200 {SALE} stan=900\n.. accrual APPROVED\n{SOLD}")
    for number in range(11):
        desk.send(desk.build(f"0100 3=310000 2=62220299{number:011d}"))
        assert desk.reply.fields[39] == "14"
    assert desk.events["guessing"] == 1
    desk.play(f"""
        >> 0100 3=310000 2={{card}}
        << 0110 39=34 44=* 64=*
        >> 0200 {SALE}
        << 0210 39=34 44=* 64=*
        >> 0200 {SALE} stan=900        # what was told is told again
        {SOLD}
        >> 0400 {SALE} stan=900        # and what was done can be undone
        .. reversal APPROVED
        << 0410 39=00 4=* 15=* 37=* 38=* 49=* 54=* 64=*
        till 00000002
        """)
    desk.sign_on()
    desk.play(f">> 0200 {SALE}\n.. accrual APPROVED\n{SOLD}\ntill 00000001\n@ 601")
    desk.play(f">> 0200 {SALE}\n.. accrual APPROVED\n{SOLD}")


def test_ten_unknown_members_a_minute_are_no_guessing(desk):
    for number in range(30):
        desk.send(desk.build(f"0100 3=310000 2=62220299{number:011d}"))
        assert desk.reply.fields[39] == "14"
        desk.pass_time(6)
    assert not desk.events["guessing"]


def test_a_shut_gate_refuses_new_work_and_tells_what_was_told(desk):
    desk.play(f">> 0200 {SALE} stan=900\n.. accrual APPROVED\n{SOLD}")
    desk.gate.shut = True
    desk.play(f"""
        >> 0200 {SALE}
        << 0210 39=91 44=* 64=*
        >> 0100 3=310000 2={{card}}
        << 0110 39=91 44=* 64=*
        >> 0200 {SALE} stan=900
        {SOLD}
        >> 0820 code=301
        << 0830 39=00
        """)
    desk.gate.shut = False
    desk.play(f">> 0200 {SALE}\n.. accrual APPROVED\n{SOLD}")


def test_a_fault_of_ours_is_96_posts_nothing_and_leaves_the_identity_free(desk):
    desk.book.view.broken.add(schema.ALIAS)
    desk.play(f">> 0200 {SALE} stan=900\n<< 0210 39=96 44=* 64=*")
    desk.book.view.broken.clear()
    assert desk.events["host_fault"] == 1
    desk.play(f">> 0200 {SALE} stan=900\n.. accrual APPROVED\n{SOLD}")


def test_a_reply_that_cannot_be_made_costs_the_others_of_the_turn_nothing(desk):
    words = [f"0200 {SALE.format(card=CARD)} stan={stan}" for stan in (901, 902, 903)]
    frames = b"".join(map(desk.build, words))
    keys = desk.host.standing("00000001").key_set(1)
    whole, made = keys.mac, []

    def mac(message):
        made.append(message)
        if len(made) == 4:
            raise RuntimeError
        return whole(message)

    keys.mac = mac
    assert len(desk.feed(frames)) == 2
    assert desk.session.unanswered == 0


def test_who_is_lost_blocked_or_two_people(desk):
    desk.play("""
        >> 0200 3=220065 2={card} 48=10:C{other} 4=000000010000 49=156
        .. accrual MEMBERS_DIFFER
        << 0210 39=14 44=* 64=*
        >> 0200 3=220065 2={card} 48=10:P{phone} 4=000000010000 49=156
        .. accrual APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*
        """)
    desk.administer(
        reference.PutMember(
            "M2", "base", "frozen", b"", (("C", desk.vault.token_digest("C", OTHER_CARD)),), (b"",)
        )
    )
    desk.play("""
        >> 0200 3=220065 2={other} 4=000000010000 49=156
        .. accrual CARD_BLOCKED
        << 0210 39=62 44=* 64=*
        """)


def test_a_refund_from_another_shop_finds_nothing(desk):
    desk.play(f">> 0200 {SALE}\n.. accrual APPROVED\n{SOLD}\ntill 00000008")
    rrn = desk.words["rrn"]
    desk.sign_on()
    desk.play(f"""
        >> 0220 3=200000 4=000000000100 49=156 37={rrn}
        .. refund ORIGINAL_UNKNOWN
        << 0230 39=25 44=* 64=*
        >> 0220 3=200000 4=000000000100 49=156 37=ABCDEFGHIJKL
        .. refund ORIGINAL_UNKNOWN
        << 0230 39=25 44=* 64=*
        >> 0220 3=200000 4=000000000100 49=156
        << 0230 39=30 44=* 64=*
        """)


def test_an_upload_closes_a_disputed_batch(desk):
    desk.play(f"""
        >> 0200 {SALE} stan=500
        .. accrual APPROVED
        {SOLD}
        >> 0320 {SALE} code=201 61=000001000500 39=00
        .. upload APPROVED
        << 0330 39=00 64=*
        >> 0320 {SALE} code=201 39=00
        << 0330 39=30 44=* 64=*
        >> 0320 code=207
        .. upload APPROVED
        << 0330 39=00 60=00000002207 64=*
        """)


def test_a_merchant_that_is_disabled_is_03_at_once(desk):
    row = desk.host.standing("00000001").merchant
    terms = tuple(
        tuple(getattr(one, name) for name in one.__dataclass_fields__) for one in row.terms
    )
    desk.administer(reference.PutMerchant(MERCHANT, row.name, "HB01", "7011", terms, False))
    desk.play(f">> 0200 {SALE}\n<< 0210 39=03 44=*")
