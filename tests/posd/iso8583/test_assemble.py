"""Replies put together from bytes are what the codec makes of the same values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.iso8583 import interpret
from posd.iso8583.assemble import PLANS_MAX, Assembler, digits, field, packed, variable
from posd.iso8583.compile import Codec
from posd.iso8583.message import Unencodable
from posd.iso8583.spec import ECHOED, FIELDS
from tests.posd.iso8583.test_codec_8583 import messages


@given(messages())
def test_assembled_is_encoded(message):
    fields = {number: field(number, value) for number, value in message.fields.items()}
    if len(fields) < 2:
        return
    made = Assembler().assemble(bytes.fromhex(message.mti), fields)
    assert made == Codec().encode(message.mti, message.fields)


@given(messages())
def test_both_decoders_keep_the_bytes_of_what_is_echoed(message):
    data = Codec().encode(message.mti, message.fields)
    codec = Codec()
    for _ in range(2):  # interpreted, then compiled
        raw = codec.decode(data).raw
        assert raw.keys() == message.fields.keys() & ECHOED
        for number, kept in raw.items():
            assert kept == field(number, message.fields[number])


def test_an_empty_field_is_in_the_bitmap_and_left_to_be_added():
    made = Assembler().assemble(b"\x02\x10", {64: b"", 39: b"00"})
    assert made + bytes(8) == interpret.encode("0210", {39: "00", 64: bytes(8)})


def test_more_sets_of_fields_than_are_kept():
    assembler = Assembler()
    numbers = sorted(FIELDS)[:12]
    for mask in range(3, 3 + PLANS_MAX * 4):
        chosen = {number: b"x" for place, number in enumerate(numbers) if mask >> place & 1}
        if len(chosen) > 1:
            head = interpret.bitmap_of(sorted(chosen))
            assert assembler.assemble(b"\x02\x10", chosen) == b"\x02\x10" + head + b"x" * len(
                chosen
            )
    assert len(assembler._plans) <= PLANS_MAX


@given(st.integers(0, 10**12 - 1))
def test_digits_are_those_of_a_format(number):
    assert digits(number, 12) == f"{number:012d}"


@given(st.text("0123456789", max_size=17))
def test_packed_digits_are_those_of_the_codec(value):
    assert packed(value) == field(60, value)


def test_what_does_not_fit_is_refused():
    with pytest.raises(Unencodable):
        packed("0" * 1000)
    with pytest.raises(Unencodable):
        digits(1_000_000, 6)
    with pytest.raises(Unencodable):
        variable(bytes(1000))
    with pytest.raises(Unencodable):
        field(65, b"")
    with pytest.raises(Unencodable):
        field(44, b"x" * 26)
    assert variable(b"x" * 999)[:2] == b"\x09\x99"
