"""What our own code packs has the bytes that the library gives it."""

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger import codec, packing
from ledger.packing import put_number

AMOUNTS = st.one_of(st.integers(-(2**17), 2**17), st.integers(-(2**63), 2**63 - 1))
POSTINGS = st.lists(st.tuples(st.text(max_size=300), st.text(max_size=120), AMOUNTS), max_size=40)
EDGES = [
    sign * (place + step)
    for sign in (1, -1)
    for place in (0, 31, 32, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31, 2**32)
    for step in (-1, 0, 1)
]


@given(
    postings=POSTINGS,
    versions=st.lists(st.integers(0, 2**40), max_size=20).map(tuple),
    trail=st.sampled_from([(), ("till", "root", ())]),
)
@example(postings=[("Fund:P01", "156", each) for each in EDGES], versions=(1, 2), trail=())
@example(postings=[("x" * size, "y" * size, size) for size in range(260)], versions=(), trail=())
def test_an_entry_from_parts_is_the_entry(postings, versions, trail):
    head = (7, 1_700_000_000_000, 20261122, b"", "accrual", ("t", 1, b"\x01"), (0, "M", (), ()))
    writer = codec.entry_begun(head, len(postings), trailed=bool(trail))
    for account, unit, amount in postings:
        writer.write(codec.pack_account(account, unit))
        put_number(writer, amount)
    whole = (*head, tuple(postings), versions, *([trail] if trail else []))
    packed = codec.entry_ended(writer, versions, trail)
    assert packed == codec.pack_entry(whole)
    assert packed == msgpack.packb((codec.LAYOUT, *whole))
    assert codec.unpack_entry(packed).postings == tuple(postings)


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(EDGES),
        st.integers(-(2**63), 2**64 - 1),
        st.text(max_size=300),
        st.binary(max_size=300),
        st.floats(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.lists(inner, max_size=20).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(0, 300)), inner, max_size=20),
    ),
)


@given(value=PLAIN)
@example(value="x" * 2**16)
@example(value=b"x" * (2**16 - 1))
@example(value=b"x" * 2**16)
@example(value=list(range(2**16)))
@example(value={number: number for number in range(2**16)})
def test_plain_data_has_the_bytes_of_the_library(value):
    assert packing.pack(value) == msgpack.packb(value)


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, {1, 2}, object(), "\ud800"], ids=lambda value: repr(value)[:20]
)
def test_what_the_library_refuses_is_refused(value):
    with pytest.raises((OverflowError, TypeError, UnicodeEncodeError)):
        msgpack.packb((value,))
    with pytest.raises((OverflowError, TypeError, UnicodeEncodeError)):
        packing.pack((value,))
