"""The table from messages to commands: every row of the protocol, built or not, and what is 12."""

import pytest

from engine.catalogue import BY_COMMAND, command_of
from posd.bindings import BINDINGS, find
from posd.incoming import Incoming, luhn_valid
from posd.iso8583.message import Message
from tests.posd.conversation import CARD, IDENTITY, NEXT_CARD, PHONE, PIN, Conversation

# Message type, processing code, the transaction; in the order of the protocol's section 4.
ROWS = [
    ("0100", "310000", "balance"),
    ("0100", "310065", "balance"),
    ("0100", "310060", "balance"),
    ("0100", "320000", "rate"),
    ("0100", "380000", "day_totals"),
    ("0100", "380001", "day_totals"),
    ("0100", "390000", "coupon_inquiry"),
    ("0100", "036500", "hold"),
    ("0100", "036000", "hold"),
    ("0100", "200000", "release"),
    ("0200", "220065", "accrual"),
    ("0200", "006500", "redemption"),
    ("0200", "006000", "purchase"),
    ("0200", "210065", "top_up"),
    ("0200", "210060", "top_up"),
    ("0200", "406560", "conversion"),
    ("0200", "406565", "transfer"),
    ("0200", "910000", "coupon_issue"),
    ("0200", "900000", "coupon_redemption"),
    ("0200", "920000", "coupon_transfer"),
    ("0200", "936500", "gift"),
    ("0200", "946500", "lottery"),
    ("0200", "200000", "void"),
    ("0220", "200000", "refund"),
    ("0220", "006500", "capture"),
    ("0220", "006000", "capture"),
    ("0220", "220065", "offline_accrual"),
    ("0320", "220065", "upload"),
    ("0400", "220065", "reversal"),
    ("0500", "", "settlement"),
    ("0600", "960000", "loss_report"),
    ("0600", "970000", "card_replacement"),
    ("0600", "980000", "enrolment"),
    ("0600", "990000", "pin_change"),
]
TOTALS = "P01000001000000001001000001000000000999"


@pytest.mark.parametrize(("mti", "function", "name"), ROWS)
def test_a_message_finds_its_transaction(mti, function, name):
    assert find(mti, function).name == name
    assert find(mti[:3] + "1", function).name == name


def test_every_row_of_the_table_is_in_the_protocol():
    assert {row.name for row in BINDINGS.values()} == {name for _, _, name in ROWS}


def test_every_row_is_switched_on():
    assert all(row.build or row.inquire for row in BINDINGS.values())


@pytest.mark.parametrize(
    ("mti", "function"),
    [
        ("0100", "330000"), ("0100", "030000"), ("0200", "406565"), ("0100", ""), ("0200", ""),
        ("0200", "310000"), ("0200", "770000"),
        ("0220", "210065"), ("0600", ""), ("0600", "950000"), ("0300", "220065"),
        ("0420", "220065"), ("0700", "220065"), ("0202", "220065"), ("0409", "220065"),
    ],
)  # fmt: skip
def test_what_has_no_row_is_12(desk, mti, function):
    said = f"3={function}" if function else ""
    desk.play(f"""
        >> {mti} {said} 2={{card}} 4=000000000001 49=156
        << {mti[:2]}{int(mti[2]) + 1}0 39=12 44=* 64=*
        """)


@pytest.mark.parametrize(
    "said",
    [
        "0200 3=220065 4=000000000100 49=156",
        "0200 3=220065 2={card} 49=156",
        "0200 3=220065 2={card} 4=000000000100",
        "0200 3=220065 2={card} 4=000000000100 49=P01",
        "0200 3=006500 2={card} 4=000000000100 49=840",
        "0200 3=006500 2={card} 4=000000000100 49=P00",
        "0200 3=220065 48=10: 4=000000000100 49=156",
        "0200 3=220065 48=10:Z1 4=000000000100 49=156",
        "0200 3=220065 35=12345 4=000000000100 49=156",
        "0200 3=220065 35=D2912 4=000000000100 49=156",
        "0200 3=220065 35=12A4D2912 4=000000000100 49=156",
        "0200 3=220065 2={card} 48=17:1,17:2 4=000000000100 49=156",
        "0200 3=200000 2={card} 4=000000000100 49=156",
        "0100 3=036500 2={card} 49=P01",
        "0100 3=036500 2={card} 4=000000000100",
        "0100 3=036500 4=000000000100 49=P01",
        "0100 3=200000 2={card}",
        "0220 3=006500 4=000000000100 49=P01",
        "0220 3=006500 37=000000000001 4=000000000100",
        "0200 3=406565 2={card} 4=000000000100 49=156 48=49:P02",
        "0200 3=406565 2={card} 4=000000000100 49=P01 48=49:156",
        "0200 3=406565 2={card} 4=000000000100 49=P01 48=11:Z1",
        "0200 3=406565 4=000000000100 49=P01 48=49:P02",
        "0100 3=320000 49=P01",
        "0100 3=320000 48=49:P02",
        "0200 3=200000 2={card} 4=000000000100 49=156 61=000001",
        "0220 3=200000 4=000000000100 49=156",
        "0500 code=000",
        "0500 code=201 48=50:P01",
        "0500 code=201 48=50:P0100000100000000100100000200000000062X",
        f"0500 code=201 48=50:{TOTALS},50:{TOTALS}",
        "0320 3=220065 code=201 39=00",
        "0320 3=220065 code=000 61=000001000001",
        "0600 3=960000",
        "0600 3=960000 48=1H:1101-0519",
        "0600 3=970000 2={card}",
        "0600 3=970000 48=1F:6222020000000000034",
    ],
)
def test_a_wrong_form_is_30_and_leaves_the_identity_free(desk, said):
    before = desk.book.sequence
    desk.send(desk.build(said.format(**desk.words)))
    assert desk.reply.fields[39] == "30"
    assert desk.book.sequence == before


def test_every_name_of_a_transaction_is_a_word_of_the_metrics():
    assert all(row.name.isidentifier() and row.name.islower() for row in BINDINGS.values())


def test_luhn():
    assert luhn_valid(CARD)
    assert not any(luhn_valid(CARD[:-1] + digit) for digit in "012345679")


# Secrets.


def test_no_command_and_no_request_shows_a_card_a_phone_or_a_pin(desk):
    fields = {2: CARD, 41: "00000001", 42: "m", 35: CARD + "D2912", 48: b"10012P" + PHONE.encode()}
    incoming = Incoming("0200", fields, desk.vault)
    incoming.pan = CARD
    shown = [repr(incoming), str(incoming), repr(Message("0200", fields))]
    talk = Conversation()
    talk.sign_on()
    talk.words |= {"new": "6222020000000000034", "next": NEXT_CARD}
    talk.play("""
        >> 0200 3=006500 35={card}D2912 48=10:P{phone} 4=000000000100 49=P01 pin=123456 stan=500
        .. redemption APPROVED
        << 0210 39=00 4=* 15=* 37=* 38=* 48=* 49=* 54=* 64=*
        >> 0400 3=006500 2={card} 48=10:P{phone} 4=000000000100 49=P01 stan=500
        .. reversal APPROVED
        << 0410 39=00 4=* 15=* 37=* 38=* 49=* 54=* 64=*
        >> 0600 3=980000 2={new}
        .. enrolment APPROVED
        << 0610 39=00 64=*
        >> 0100 3=310000 2={card} pin=123456
        << 0110 39=00 48=* 54=* 64=*
        >> 0600 3=960000 48=1H:{identity}
        .. loss report APPROVED
        << 0610 39=00 64=*
        >> 0600 3=970000 2={card} 48=1F:{next}
        .. card replacement APPROVED
        << 0610 39=00 64=*
        """)
    entries = map(talk.book.entry, range(1, talk.book.sequence + 1))
    commands = [command_of(entry.kind, entry.command) for entry in entries]
    assert {BY_COMMAND[type(one)].kind for one in commands} >= {"redemption", "enrolment"}
    shown += [repr(one) for one in commands]
    secrets = (CARD, PHONE, PIN, IDENTITY, talk.words["new"], NEXT_CARD, CARD[6:-4])
    assert not [text for text in shown for secret in secrets if secret in text]
    # Nor does the journal hold any of them in clear.
    assert not [one for one in talk.book.entries for secret in secrets if secret.encode() in one]
