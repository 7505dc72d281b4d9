"""The codec: vectors, round trips, agreement of three codecs, and damage."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posd.iso8583 import compile as compiled
from posd.iso8583 import interpret
from posd.iso8583.compile import (
    COMPILED_MAX,
    Codec,
    Message,
    Undecodable,
    Unencodable,
    compile_encoder,
)
from posd.iso8583.decoding import Decoder
from posd.iso8583.spec import FIELDS
from tests.posd.iso8583 import counterpart

VECTORS = json.loads((Path(__file__).parents[2] / "vectors.json").read_text())["messages"]
ACCRUAL = bytes.fromhex(VECTORS[0]["accrual_message"])
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
ALPHABETS = {"digits": st.sampled_from("0123456789"), "track": st.sampled_from("0123456789ABCDEF")}


def value_of(field):
    shortest = 0 if field.prefix else field.length
    if field.content == "bytes":
        return st.binary(min_size=shortest, max_size=field.length)
    alphabet = ALPHABETS.get(field.content, PRINTABLE)
    return st.text(alphabet, min_size=shortest, max_size=field.length)


VALUES = {number: value_of(field) for number, field in FIELDS.items()}
MTIS = st.text(ALPHABETS["digits"], min_size=4, max_size=4)


@st.composite
def messages(draw):
    numbers = draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True))
    return Message(draw(MTIS), {number: draw(VALUES[number]) for number in numbers})


def outcome(decode, data):
    """The message, or None for the codec's own error; any other error fails the test."""
    try:
        return decode(data)
    except Undecodable:
        return None


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["profile"])
@pytest.mark.parametrize("kind", ["accrual", "sign_on"])
def test_published_messages_decode_to_their_fields_and_encode_to_their_bytes(vector, kind):
    data = bytes.fromhex(vector[f"{kind}_message"])
    codec = Codec()
    for _ in range(2):  # interpreted, then compiled
        message = codec.decode(data)
        shown = counterpart.document(message.mti, message.fields)
        shown.pop("64", None)
        if "63" in shown:
            shown["63"] = bytes.fromhex(shown["63"]).decode()
        assert shown == vector[f"{kind}_fields"]
        assert codec.encode(message.mti, message.fields) == data


def test_a_mac_that_is_put_in_place_of_zero_bytes_gives_the_published_message():
    message = Codec().decode(ACCRUAL)
    mac = message.fields[64]
    open_end = Codec().encode(message.mti, {**message.fields, 64: bytes(8)})
    assert open_end[:-8] + mac == ACCRUAL


@given(messages())
def test_any_message_comes_back_from_its_bytes(message):
    codec = Codec()
    for _ in range(2):
        data = codec.encode(message.mti, message.fields)
        assert codec.decode(data) == message


@given(messages())
def test_compiled_interpreter_and_pyiso8583_write_the_same_bytes(message):
    data = counterpart.encode(message.mti, message.fields)
    assert compile_encoder(sorted(message.fields))(message.mti, message.fields) == data
    assert interpret.encode(message.mti, message.fields) == data


@given(messages())
def test_compiled_interpreter_and_pyiso8583_read_the_same_fields(message):
    data = counterpart.encode(message.mti, message.fields)
    bitmap = data[2 : interpret.read_head(data).end]
    assert Decoder(bitmap).read(data) == message
    assert interpret.decode(data) == message
    assert counterpart.decode(data) == counterpart.document(message.mti, message.fields)


def test_field_order_of_the_caller_does_not_matter():
    message = Codec().decode(ACCRUAL)
    codec = Codec()
    backwards = dict(reversed(message.fields.items()))
    assert codec.encode("0200", backwards) == codec.encode("0200", backwards) == ACCRUAL


def test_short_identifiers_are_padded_with_spaces_and_keep_their_pad():
    codec = Codec()
    for _ in range(2):
        data = codec.encode("0210", {41: "T1", 42: "SHOP"})
        assert codec.decode(data).fields == {41: "T1      ", 42: "SHOP           "}


def test_repeats_and_unknown_message_types_decode():
    for mti in ("0201", "0401", "9999"):
        data = bytes.fromhex(mti) + ACCRUAL[2:]
        assert Codec().decode(data).mti == mti


def test_field_22_stands_left_and_field_23_right():
    assert Codec().encode("0200", {22: "021", 23: "021"}).hex() == "0200" + "0000060000000000" + (
        "0210" + "0021"
    )


# What the page does not call undecodable decodes: message in hex, expected fields.
TOLERATED = {
    "filler digit that is not 0": ("4000000000000000" + "01" + "15", {2: "1"}),
    "filler of field 22": ("0000040000000000" + "0217", {22: "021"}),
    "filler of field 23": ("0000020000000000" + "7021", {23: "021"}),
    "filler of track 2": ("0000000020000000" + "03" + "1D20", {35: "1D2"}),
    "track character": ("0000000020000000" + "02" + "AF", {35: "AF"}),
    "empty digits": ("4000000000000000" + "00", {2: ""}),
    "empty data": ("0000000000010000" + "0000", {48: b""}),
    "blank approval code": ("0000000004000000" + "20" * 6, {38: " " * 6}),
    "secondary bitmap without a field": ("8" + "0" * 31, {}),
    "MAC 64 beside a secondary bitmap": (
        "8000000000000001" + "00" * 8 + "AA" * 8,
        {64: b"\xaa" * 8},
    ),
    "no field at all": ("00" * 8, {}),
}


@pytest.mark.parametrize("case", TOLERATED)
def test_what_the_page_does_not_name_is_not_judged(case):
    body, fields = TOLERATED[case]
    codec = Codec()
    for _ in range(2):
        assert codec.decode(bytes.fromhex("0200" + body)).fields == fields


def spoilt(position, replacement):
    data = bytearray(ACCRUAL)
    data[position : position + len(replacement)] = replacement
    return bytes(data)


DAMAGED = {
    "nothing": b"",
    "half a message type": ACCRUAL[:1],
    "half a bitmap": ACCRUAL[:9],
    "half a secondary bitmap": b"\x02\x00\x80" + bytes(14),
    "message type nibble": spoilt(0, b"\x0a"),
    "fixed digits nibble": spoilt(21, b"\x2b"),
    "variable digits nibble": spoilt(11, b"\xf2"),
    "filler nibble of variable digits": spoilt(20, b"\x8f"),
    "filler nibble of field 22": spoilt(33, b"\x01\x2f"),
    "LL nibble": spoilt(10, b"\x1a"),
    "LLL first nibble": spoilt(62, b"\xa0\x11"),
    "LLL last nibble": spoilt(62, b"\x00\x1a"),
    "LL above the maximum": spoilt(10, b"\x20") + bytes(8),
    "LLL above the maximum": ACCRUAL[:62] + b"\x00\x18" + bytes(9) + bytes(8),
    "LLL of thousands": spoilt(62, b"\x10\x11"),
    "length beyond the message": ACCRUAL[:64],
    "cut within a length": ACCRUAL[:63],
    "cut within the MAC": ACCRUAL[:-1],
    "byte after the last field": ACCRUAL + b"\0",
    "bit without a row": spoilt(2, b"\x78"),
    "bit 65": b"\x02\x00" + b"\x80" + bytes(7) + b"\x80" + bytes(7),
    "identifier with a control character": spoilt(36, b"\x1b"),
    "identifier with a byte above ASCII": spoilt(36, b"\xe9"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_undecodable_before_and_after_the_bitmap_was_compiled(case):
    data = DAMAGED[case]
    cold, warm = Codec(), Codec()
    warm.decode(ACCRUAL)
    for codec in (cold, warm):
        with pytest.raises(Undecodable) as raised:
            codec.decode(data)
        assert "6222020" not in str(raised.value)
    assert warm.decode(ACCRUAL) == interpret.decode(ACCRUAL)


@pytest.mark.parametrize("number", [44, 48])
@pytest.mark.parametrize("nibbles", ["0a", "a0"])
def test_a_length_nibble_above_9_is_undecodable_even_where_the_sum_would_fit(number, nibbles):
    codec = Codec()
    sound = codec.encode("0200", {number: b"x" * 10})
    assert codec.decode(sound).fields == {number: b"x" * 10}
    prefix = bytes.fromhex("00" * (FIELDS[number].prefix_bytes - 1) + nibbles)
    for count in (10, 100):
        with pytest.raises(Undecodable):
            codec.decode(sound[:10] + prefix + b"x" * count)


@given(st.binary(max_size=120))
def test_random_bytes_never_raise_another_error(data):
    assert outcome(Codec().decode, data) == outcome(interpret.decode, data)


@settings(max_examples=300)
@given(messages(), st.data())
def test_compiled_and_interpreter_agree_on_damaged_messages(message, data):
    sound = interpret.encode(message.mti, message.fields)
    decode = Decoder(sound[2 : interpret.read_head(sound).end]).read
    damaged = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    damaged = bytes(damaged[: len(damaged) - cut]) + bytes(data.draw(st.sampled_from([0, 0, 1, 9])))
    codec = Codec()
    codec.decode(sound)
    expected = outcome(interpret.decode, damaged)
    assert outcome(codec.decode, damaged) == expected
    if damaged[2:18] == sound[2:18]:  # still the same bitmap: ask the compiled function itself
        try:
            alone = decode(damaged)
        except (IndexError, ValueError, struct.error):
            alone = None
        assert alone == expected


def test_no_error_text_holds_what_a_field_held():
    fields = {
        2: "6222020000000000018",
        35: "6222020000000000018D2512",
        52: b"PINBLOCK",
        41: "TERMINAL",
    }
    sound = interpret.encode("0200", fields)
    texts = set()
    for position in range(len(sound)):
        for damaged in (sound[:position], sound[:position] + b"\xff" + sound[position + 1 :]):
            try:
                Codec().decode(damaged)
            except Undecodable as fault:
                texts.add(str(fault))
    assert len(texts) > 5
    for text in texts:
        for secret in ("622202", "0018", "2512", "PINBLOCK", "TERMINAL"):
            assert secret not in text


def test_a_message_shows_its_field_numbers_and_no_values():
    message = Message("0200", {2: "6222020000000000018", 52: b"PINBLOCK"})
    assert repr(message) == "Message(0200, fields [2, 52])"


UNENCODABLE = {
    "short digits": {3: "12345"},
    "long digits beside short ones": {3: "1234567", 4: "00000000001"},
    "letters in digits": {3: "12345A"},
    "digits of another script": {3: "١٢٣٤٥٦"},
    "bytes for digits": {3: b"123456"},
    "number for digits": {3: 123456},
    "spaces in digits": {2: "12 34 56"},
    "long variable digits": {2: "1" * 20},
    "text for bytes": {52: "12345678"},
    "short bytes": {52: b"1234567"},
    "long variable bytes": {48: b"x" * 1000},
    "long identifier": {41: "123456789"},
    "long identifier beside a short one": {41: "123456789", 42: "1234567890123"},
    "bytes for an identifier": {41: b"12345678"},
    "control character in an identifier": {41: "1234567\n"},
    "identifier that is not ASCII": {41: "1234567é"},
    "short code": {39: "0"},
    "code that would need a pad": {38: "12345"},
    "long additional amounts": {54: "x" * 121},
    "track in lower case": {35: "12d34"},
    "long track": {35: "1" * 38},
    "value left out": {3: None},
}


@pytest.mark.parametrize("case", UNENCODABLE)
def test_a_value_that_does_not_fit_is_refused_before_and_after_compilation(case):
    fields = UNENCODABLE[case]
    good = {n: b"x" * 8 if FIELDS[n].content == "bytes" else "0" * FIELDS[n].length for n in fields}
    codec = Codec()
    for _ in range(2):
        with pytest.raises(Unencodable):
            codec.encode("0200", fields)
        codec.encode("0200", good)


@pytest.mark.parametrize("mti", ["02", "020", "02000", "020000", "02A0", "٠٢٠٠", b"0200", None])
def test_a_message_type_that_is_not_four_digits_is_refused(mti):
    codec = Codec()
    for _ in range(2):
        with pytest.raises(Unencodable):
            codec.encode(mti, {3: "123456"})
        codec.encode("0200", {3: "123456"})


@pytest.mark.parametrize("number", [0, 1, 5, 65, 129])
def test_a_field_without_a_row_is_refused(number):
    with pytest.raises(Unencodable):
        Codec().encode("0200", {number: "1"})


def subsets(count):
    """Distinct sets of fields with their messages, more than the codec will compile."""
    numbers = [3, 4, 7, 11, 12, 13, 14, 15, 25, 26]
    for index in range(count):
        chosen = [number for place, number in enumerate(numbers) if index >> place & 1]
        yield {number: "7" * FIELDS[number].length for number in chosen}


def test_a_peer_cannot_make_it_compile_more_than_the_limit(monkeypatch):
    encoded = []

    def counted(numbers):
        encoded.append(numbers)
        return compile_encoder(numbers)

    monkeypatch.setattr(compiled, "compile_encoder", counted)
    codec = Codec()
    for _ in range(2):
        for fields in subsets(COMPILED_MAX + 40):
            data = codec.encode("0200", fields)
            assert data == interpret.encode("0200", fields)
            assert codec.decode(data).fields == fields
    assert len(codec.decoders) == len(encoded) == COMPILED_MAX


def test_damaged_messages_get_no_decoder():
    codec = Codec()
    for fields in subsets(40):
        with pytest.raises(Undecodable):
            codec.decode(interpret.encode("0200", fields) + b"\0")
    assert len(codec.decoders) == 0
