"""Replies put together from bytes are what the codec makes of the same values."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from posd.iso8583 import interpret
from posd.iso8583.assemble import assemble, digits, field, packed, put_amount, variable
from posd.iso8583.compile import Codec
from posd.iso8583.message import Unencodable, blank
from posd.iso8583.spec import ECHOED, FIELDS
from tests.posd.iso8583.test_codec_8583 import messages


def sheet(fields):
    """Fields by number as `assemble` takes them."""
    made = blank()
    for number, value in fields.items():
        made[number] = value
    return made


@given(messages())
def test_assembled_is_encoded(message):
    values = {number: value for number, value in message.fields.items() if number <= 64}
    fields = {number: field(number, value) for number, value in values.items()}
    made = assemble(bytes.fromhex(message.mti), sheet(fields))
    assert made == Codec().encode(message.mti, values)


@given(messages())
def test_both_decoders_keep_the_bytes_of_what_is_echoed(message):
    data = Codec().encode(message.mti, message.fields)
    codec = Codec()
    for _ in range(2):  # interpreted, then compiled
        echoed = {n: field(n, message.fields[n]) for n in message.fields.keys() & ECHOED}
        assert codec.decode(data).raw == sheet(echoed)


def test_an_empty_field_is_in_the_bitmap_and_left_to_be_added():
    made = assemble(b"\x02\x10", sheet({64: b"", 39: b"00"}))
    assert made + bytes(8) == interpret.encode("0210", {39: "00", 64: bytes(8)})


@given(st.sets(st.sampled_from([number for number in sorted(FIELDS) if number <= 64])))
def test_the_bitmap_names_what_is_there(numbers):
    made = assemble(b"\x02\x10", sheet(dict.fromkeys(numbers, b"x")))
    assert made == b"\x02\x10" + interpret.bitmap_of(sorted(numbers)) + b"x" * len(numbers)


@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_field_without_a_row_is_not_assembled(number):
    with pytest.raises(Unencodable):
        assemble(b"\x02\x10", sheet({39: b"00", number: b"x"}))


@given(st.integers(1, 12), st.data())
def test_digits_are_those_of_a_format(width, data):
    number = data.draw(st.integers(0, 10**width - 1))
    assert digits(number, width) == f"{number:0{width}d}"


@given(st.integers(0, 10**12 - 1))
@example(10**12 - 1)
def test_an_amount_is_written_as_its_digits(amount):
    writer = BytesWriter()
    put_amount(writer, amount)
    assert writer.getvalue().decode() == digits(amount, 12)


@given(st.text("0123456789", max_size=17))
def test_packed_digits_are_those_of_the_codec(value):
    assert packed(value) == field(60, value)


def test_what_does_not_fit_is_refused():
    with pytest.raises(Unencodable):
        packed("0" * 1000)
    with pytest.raises(Unencodable):
        digits(1_000_000, 6)
    with pytest.raises(Unencodable):
        put_amount(BytesWriter(), 10**12)
    with pytest.raises(Unencodable):
        variable(bytes(1000))
    with pytest.raises(Unencodable):
        field(65, b"")
    with pytest.raises(Unencodable):
        field(44, b"x" * 26)
    assert variable(b"x" * 999)[:2] == b"\x09\x99"
