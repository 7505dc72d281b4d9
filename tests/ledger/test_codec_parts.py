"""Entries put together from parts have the bytes that the library gives them in one."""

import msgpack
from hypothesis import example, given
from hypothesis import strategies as st

from ledger import codec

AMOUNTS = st.one_of(st.integers(-(2**17), 2**17), st.integers(-(2**63), 2**63 - 1))
POSTINGS = st.lists(st.tuples(st.text(max_size=300), st.text(max_size=120), AMOUNTS), max_size=40)
EDGES = [
    sign * (place + step)
    for sign in (1, -1)
    for place in (0, 31, 32, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31, 2**32)
    for step in (-1, 0, 1)
]


@given(postings=POSTINGS, versions=st.lists(st.integers(0, 2**40), max_size=20).map(tuple))
@example(postings=[("Fund:P01", "156", amount) for amount in EDGES], versions=(1, 2))
@example(postings=[("x" * size, "y" * size, size) for size in range(260)], versions=())
def test_an_entry_from_parts_is_the_entry(postings, versions):
    head = (7, 1_700_000_000_000, 20261122, b"", "accrual", ("t", 1, b"\x01"), (0, "M", (), ()))
    legs = []
    for account, unit, amount in postings:
        legs += [codec.pack_account(account, unit), codec.pack_amount(amount)]
    whole = (*head, tuple(postings), versions)
    packed = codec.pack_entry_with(head, len(postings), legs, versions)
    assert packed == codec.pack_entry(whole)
    assert packed == msgpack.packb((codec.LAYOUT, *whole))
    assert codec.unpack_entry(packed).postings == tuple(postings)
