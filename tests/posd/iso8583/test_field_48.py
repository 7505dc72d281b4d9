"""Field 48: elements out and in, and every way in which a run can be damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.iso8583.message import Unencodable
from posd.iso8583.tlv import MalformedTlv, build_tlv, parse_tlv

TAGS = st.text(st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"), min_size=2, max_size=2)
ITEMS = st.lists(st.tuples(TAGS, st.binary(max_size=40)), unique_by=lambda item: item[0])


@given(ITEMS)
def test_elements_come_back_in_their_order(items):
    assert parse_tlv(build_tlv(items)) == items


@given(ITEMS, st.binary(max_size=30))
def test_bytes_behind_a_run_give_elements_or_the_field_s_own_error(items, tail):
    try:
        parsed = parse_tlv(build_tlv(items) + tail, repeats_allowed=True)
    except MalformedTlv:
        return
    assert parsed[: len(items)] == items
    assert build_tlv(parsed) == build_tlv(items) + tail


def test_an_element_is_tag_three_digits_of_length_and_value():
    assert build_tlv([("10", b"P138"), ("34", b"")]) == b"10004P13834000"
    assert parse_tlv(b"10004P13834000") == [("10", b"P138"), ("34", b"")]


def test_unknown_tags_are_elements_too():
    assert parse_tlv(b"ZZ001x") == [("ZZ", b"x")]


@pytest.mark.parametrize(
    "data",
    [
        b"1",
        b"10",
        b"1000",
        b"10001",
        b"10002x",
        b"101_0P123456789",
        b"10 07P123456",
        b"10+07P123456",
        b"10-01P",
        b"10 1 P",
        b"10\xb2\xb2\xb2",
        b"zz001x",
        b"1 001x",
        b"\xff1001x",
        b"10001xx",
    ],
)
def test_damage_is_malformed(data):
    with pytest.raises(MalformedTlv):
        parse_tlv(data)


@pytest.mark.parametrize("tag", ["10", "12", "36", "ZZ"])
def test_a_tag_that_stands_twice_is_malformed(tag):
    run = build_tlv([(tag, b"1"), (tag, b"1")])
    with pytest.raises(MalformedTlv):
        parse_tlv(run)
    assert len(parse_tlv(run, repeats_allowed=True)) == 2


@pytest.mark.parametrize("tag", ["30", "50", "63"])
def test_three_tags_may_repeat(tag):
    run = [(tag, b"1"), (tag, b"2")]
    assert parse_tlv(build_tlv(run)) == run


@pytest.mark.parametrize(
    "item", [("1", b""), ("100", b""), ("1a", b""), ("é1", b""), ("", b""), ("10", b"x" * 1000)]
)
def test_an_element_that_cannot_be_written_is_refused(item):
    with pytest.raises(Unencodable):
        build_tlv([item])


def test_an_error_never_holds_the_value():
    with pytest.raises(MalformedTlv) as raised:
        parse_tlv(b"12009SECRETSECRET")
    assert "SECRET" not in str(raised.value)
