"""The explanation of a message: what it says, and what it must never show."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.framing import frame
from posd.iso8583.describe import describe, mask_card, mask_phone
from posd.iso8583.interpret import encode
from posd.iso8583.tlv import build_tlv

VECTOR = json.loads((Path(__file__).parents[2] / "vectors.json").read_text())["messages"][0]
FRAME = bytes.fromhex(VECTOR["accrual_frame"])
SECRETS = {
    2: "6222020000000000018",
    35: "6222029876543210018D25121010000099988",
    36: "9912345678901234567",
    52: b"\xa1PINBLK",
    55: b"CHIPDATACHIP",
    59: b"WHATEVERFIRMWARE",
    62: b"KEYSKEYSKEYSKEYS",
    64: b"MACBYTE1",
    110: b"AESPINBLOCK",
    128: b"MACBYTE2",
}
SECRETS[52] += b"!"
SECRET_ELEMENTS = {
    "10": b"P13812345678",
    "11": b"QTOKENTOKENTOKEN",
    "12": b"COUPONCODE1",
    "13": b"493817",
    "19": b"0123456789ABCDEF",
    "1F": b"6222020000000000026",
    "1H": b"110101199003071234",
    "38": b"COUPONCODE2",
    "ZY": b"UNHEARDOFTAG",
}
SECRET_MESSAGE = encode(
    "0200", {**SECRETS, 41: "T0000001", 48: build_tlv(SECRET_ELEMENTS.items()), 3: "220065"}
)
SECRET_FRAME = frame(bytes.fromhex("6000010002"), bytes.fromhex("603100311234"), SECRET_MESSAGE)
NEVER_SHOWN = [
    "6222020000000000",
    "0000000000018",
    "9876543210018",
    "25121010000",
    "99123456",
    "PINBLK",
    "CHIPDATA",
    "WHATEVER",
    "KEYSKEYS",
    "MACBYTE",
    "AESPIN",
    "13812345678",
    "12345678",
    "TOKENTOKEN",
    "COUPONCODE",
    "493817",
    "01234567",
    "0000000000026",
    "19900307",
    "UNHEARDOF",
]
NEVER_SHOWN += [text.encode().hex() for text in NEVER_SHOWN]


def by_number(rows):
    return {row.number: row for row in rows}


def test_a_frame_is_explained_part_by_part():
    rows = describe(FRAME)
    assert [row.number for row in rows] == (
        [
            "length",
            "TPDU",
            "header",
            "MTI",
            "bitmap",
            "2",
            "3",
            "4",
            "11",
            "22",
            "25",
            "41",
            "42",
            "49",
            "60",
            "64",
        ]
    )
    said = by_number(rows)
    assert said["TPDU"].meaning == "to 1234, from 0001"
    assert said["MTI"].meaning == "financial request"
    assert said["2"].meaning == "622202*********0018"
    assert said["4"].meaning == "12345 of the unit in field 49"
    assert said["22"].meaning == "012: keyed, no PIN"
    assert said["49"].meaning == "156: CNY in fen"
    assert said["60"].meaning == "type 00, batch 000001, network code 000"
    assert said["60"].raw == "0011000000010000"


def test_positions_point_into_the_bytes_given():
    for row in describe(FRAME):
        if not row.raw.startswith("*"):
            assert FRAME[row.position :].hex().startswith(row.raw)
    assert [row.position for row in describe(FRAME)][-1] == len(FRAME) - 8


@pytest.mark.parametrize("start", [2, 13])
def test_length_and_envelope_may_be_missing(start):
    whole, part = describe(FRAME), describe(FRAME[start:])
    assert [row._replace(position=row.position + start) for row in part] == [
        row for row in whole if row.position >= start
    ]


def test_elements_of_field_48_are_explained_one_by_one():
    run = build_tlv([("14", b"SPRING"), ("34", "积分".encode("gb18030")), ("30", b"+12")])
    data = encode("0210", {48: run})
    said = by_number(describe(data))
    assert said["48.14"].meaning == "SPRING"
    assert said["48.34"].meaning == "积分"
    assert bytes.fromhex(said["48.30"].raw) == b"30003+12"
    for number in ("48.14", "48.34", "48.30"):
        row = said[number]
        assert data[row.position :].hex().startswith(row.raw)
    utf8 = encode("0210", {48: build_tlv([("34", "积分".encode())])})
    assert by_number(describe(utf8, "utf-8"))["48.34"].meaning == "积分"


def test_a_damaged_field_48_says_so_and_the_fields_behind_it_are_explained():
    rows = describe(encode("0200", {48: b"12009SECRET", 49: "P07"}))
    assert [row.number for row in rows][2:] == ["48", "48.!", "49"]
    assert rows[-1].meaning == "P07: points of program 07"
    assert not any("SECRET" in part for row in rows for part in row[1:])


def test_balances_are_told_apart():
    entries = "6502P01C000000000123" + "6001156D000000000023"
    said = by_number(describe(encode("0210", {54: entries})))
    assert said["54"].meaning == "points available 123 P01; stored value ledger -23 156"


def test_a_damaged_message_says_where_it_stops_making_sense():
    damaged = FRAME[:37] + b"\xff" + FRAME[38:]
    rows = describe(damaged)
    assert [row.number for row in rows][-3:] == ["2", "3", "!"]
    assert rows[-1].position == 37
    assert rows[-1].meaning == "field 4: nibble above 9"


def test_a_frame_cut_short_says_so():
    rows = describe(FRAME[:50])
    assert rows[0].meaning == "89 bytes, but 48 follow"
    assert rows[-1].number == "!"


def test_bytes_behind_a_frame_are_counted_and_not_shown():
    last = describe(FRAME + b"SECRET")[-1]
    assert (last.position, last.meaning) == (len(FRAME), "6 bytes more")
    assert b"SECRET".hex() not in last.raw


def test_a_keep_alive_is_known():
    assert [row.name for row in describe(b"\0\0")] == ["keep-alive"]


def test_control_characters_do_not_reach_the_screen():
    said = by_number(describe(encode("0210", {63: b"01 \x1b[2J"})))
    assert said["63"].meaning == "01 \\x1b[2J"


def test_an_unknown_character_set_is_an_error():
    with pytest.raises(LookupError):
        describe(encode("0210", {63: b"x"}), "no-such-charset")


@pytest.mark.parametrize("start", [0, 2, 13])
def test_secrets_are_never_shown_wherever_the_message_is_cut(start):
    whole = SECRET_FRAME[start:]
    for end in range(len(whole) + 1):
        for row in describe(whole[:end]):
            for secret in NEVER_SHOWN:
                assert secret not in row.raw
                assert secret not in row.meaning


@given(st.binary(max_size=200))
def test_random_bytes_are_explained_without_an_error(data):
    rows = describe(data)
    assert rows
    assert all(0 <= row.position <= len(data) for row in rows)


def test_cards_and_phones_keep_most_of_their_digits_to_themselves():
    assert mask_card("6222020000000000018") == "622202*********0018"
    assert mask_card("1234567890123") == "123456***0123"
    assert mask_card("123456789012") == "********9012"
    assert mask_card("1234567") == "********"
    assert mask_phone("13812345678") == "138****5678"
    assert mask_phone("123456789") == "********"
