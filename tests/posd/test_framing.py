"""Frames: fed whole, byte by byte and in pieces; broken ones; what a reply carries."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posd.framing import (
    FRAME_MIN,
    HEADS_MAX,
    KEEP_ALIVE,
    BadFrame,
    Deframer,
    Frame,
    frame,
    reply_frame,
)

VECTOR = json.loads((Path(__file__).parents[1] / "vectors.json").read_text())["messages"][0]
ACCRUAL = bytes.fromhex(VECTOR["accrual_frame"])
TPDU, HEADER = bytes.fromhex("6012340001"), bytes.fromhex("603100311234")
MESSAGE = bytes.fromhex(VECTOR["accrual_message"])

FRAMES = st.builds(
    Frame,
    st.binary(min_size=5, max_size=5),
    st.binary(min_size=6, max_size=6),
    st.binary(min_size=10, max_size=300),
)
LINKS = st.lists(st.one_of(st.just(KEEP_ALIVE), FRAMES), max_size=8)


def written(frames):
    return b"".join(frame(*each) if each.message else b"\0\0" for each in frames)


def feed(data, cuts, deframer):
    """Feed in pieces that end at the cuts."""
    frames = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        frames += deframer.feed(data[start:end])
    return frames


def test_the_published_frame_is_cut_into_its_parts():
    assert Deframer().feed(ACCRUAL) == [Frame(TPDU, HEADER, MESSAGE)]
    assert frame(TPDU, HEADER, MESSAGE) == ACCRUAL


@given(LINKS, st.data())
def test_pieces_do_not_matter(frames, data):
    link = written(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(link)), max_size=12)))
    for pieces in ([], range(1, len(link)), cuts):
        deframer = Deframer()
        assert feed(link, list(pieces), deframer) == frames
        assert deframer.fault is None
        assert deframer.pending == 0


@given(LINKS, FRAMES, st.data())
def test_an_incomplete_frame_is_held_until_the_rest_comes(frames, last, data):
    whole = written([last])
    cut = data.draw(st.integers(0, len(whole) - 1))
    deframer = Deframer()
    assert deframer.feed(written(frames) + whole[:cut]) == frames
    assert deframer.pending == cut
    assert deframer.feed(whole[cut:]) == [last]
    assert deframer.pending == 0


def test_a_keep_alive_is_told_apart_from_a_frame():
    frames = Deframer().feed(b"\0\0" + ACCRUAL + b"\0\0")
    assert frames[0] is KEEP_ALIVE
    assert frames[1].message == MESSAGE
    assert frames[2] is KEEP_ALIVE


@pytest.mark.parametrize("length", [1, FRAME_MIN - 1, 4097, 65535])
@pytest.mark.parametrize("bytewise", [False, True])
def test_a_broken_frame_ends_the_link_after_the_good_ones_before_it(length, bytewise):
    data = ACCRUAL + b"\0\0" + length.to_bytes(2, "big") + ACCRUAL
    deframer = Deframer()
    cuts = list(range(1, len(data))) if bytewise else []
    assert feed(data, cuts, deframer) == [Frame(TPDU, HEADER, MESSAGE), KEEP_ALIVE]
    assert isinstance(deframer.fault, BadFrame)
    assert str(length) in str(deframer.fault)
    assert deframer.pending == 0
    assert deframer.feed(ACCRUAL) == []


def test_a_length_is_judged_before_its_frame_is_there():
    deframer = Deframer(max_frame=100)
    deframer.feed(b"\x00\x65")
    assert deframer.fault is not None


@pytest.mark.parametrize("size", [FRAME_MIN, 300])
def test_the_least_and_the_greatest_length_are_accepted(size):
    data = frame(TPDU, HEADER, bytes(size - 11))
    deframer = Deframer(max_frame=300)
    assert [len(each.message) for each in deframer.feed(data)] == [size - 11]
    assert deframer.fault is None


@pytest.mark.parametrize("digit", [0, 1, 3, 6, 7])
def test_a_reply_goes_back_and_changes_one_digit_of_the_header(digit):
    request = Frame(bytes.fromhex("6012340001"), bytes.fromhex("603129f56789"), MESSAGE)
    reply = reply_frame(request, digit, b"reply")
    assert reply[:2] == (16).to_bytes(2, "big")
    assert reply[2:13].hex() == "60" + "0001" + "1234" + "6031" + "2" + str(digit) + "f56789"
    assert reply[13:] == b"reply"


@given(FRAMES, st.sampled_from([0, 1, 3, 6, 7]), st.binary(min_size=10, max_size=300))
def test_a_whole_reply_is_a_frame_that_goes_back(request, digit, message):
    reply = reply_frame(request, digit, message)
    (read,) = Deframer().feed(reply)
    assert read.message == message
    assert read.tpdu == request.tpdu[:1] + request.tpdu[3:] + request.tpdu[1:3]
    assert read.header.hex() == request.header.hex()[:5] + str(digit) + request.header.hex()[6:]


def test_a_frame_that_two_bytes_cannot_measure_is_refused():
    with pytest.raises(OverflowError):
        frame(TPDU, HEADER, bytes(65536))


def test_more_terminals_than_replies_are_kept_for_get_their_own_heads():
    for number in range(HEADS_MAX + 50):
        request = Frame(b"\x60" + number.to_bytes(4, "big"), b"\x60\x31\x00\x31\x12\x34", b"")
        head = request.tpdu[:1] + request.tpdu[3:] + request.tpdu[1:3] + request.header
        for _ in range(2):
            assert reply_frame(request, 0, b"x") == b"\x00\x0c" + head + b"x"
