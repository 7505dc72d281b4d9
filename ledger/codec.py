"""Records to MessagePack and back: the only place that packs and unpacks.

A row is an array whose first element is the version of its layout, followed by the record's fields
in order; a balance is a bare integer. Nested records are written as arrays and made again by the
record's own ``restore``. Engine records announce themselves with `register`, so that the ledger
packs what it need not understand. A reader that meets a layout newer than it knows refuses. A table
whose rows are only ever written and seldom read may be plain (`register_plain`): its rows are bytes
laid out by the engine, in memory as on disk.

The logical form (`logical`) leaves out fields that hold ciphertext: two directories that hold the
same facts under different nonces have the same digest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgpack

from ledger import schema
from ledger.model import Entry, values_of

LAYOUT: Final = 1
ENTRY_FIELDS: Final = 9
"""Fields of `ledger.model.Entry` but for the trail, which only some have."""
VERSIONS_MAX: Final = 4096
"""Combinations of versions of terms whose bytes are kept."""


def packer() -> Callable[[Any], bytes]:
    """Make a packer with a buffer of its own, for a thread that packs beside another."""
    pack: Callable[[Any], bytes] = msgpack.Packer(
        use_bin_type=True, autoreset=True, default=values_of
    ).pack
    return pack


_pack: Final = packer()
_unpack: Final[Callable[..., Any]] = msgpack.unpackb

# Entries are put together from parts, since most accounts and versions occur again and again.
_ENTRY: Final = _pack((LAYOUT, *(0,) * ENTRY_FIELDS))[:2]
_ENTRY_TRAILED: Final = _pack((LAYOUT, *(0,) * (ENTRY_FIELDS + 1)))[:2]
_POSTING: Final = _pack(("", "", 0))[:1]
_COUNTS: Final[list[bytes]] = [_pack((0,) * count)[:1] for count in range(16)]
_FEW: Final = 15
_HEADS: Final[list[bytes]] = [_pack((LAYOUT, *(0,) * count))[:2] for count in range(_FEW)]
"""What a row begins with, by how many fields follow its layout."""
_TEXT: Final = 100
_TEXTS: Final[list[bytes]] = [_pack("x" * size).rstrip(b"x") for size in range(_TEXT)]
_BYTE: Final = 1 << 8
_SHORT: Final = 1 << 16
_COUNTED: Final[list[bytes]] = [_pack(number) for number in range(_BYTE)]
_NEGATIVE: Final[list[bytes]] = [_pack(-number) for number in range(_BYTE)]
_versions: Final[dict[tuple[int, ...], bytes]] = {}


class UnknownLayout(Exception):
    """A row or entry of a layout that this version of the software does not know."""


class _Kind:
    """What rows of a table are.

    Attributes:
        cls: the record; None where a row is bytes and stays so.
        make: makes the record of its packed fields; None for bytes.
        sealed: the fields that are ciphertext.
    """

    __slots__ = ("cls", "make", "sealed")

    def __init__(self, cls: type[Any] | None, sealed: tuple[str, ...]) -> None:
        self.cls = cls
        self.make: Any = getattr(cls, "restore", cls)
        self.sealed = sealed


_kinds: Final[dict[int, _Kind]] = {}


def register(table: int, cls: type[Any], sealed: tuple[str, ...] = ()) -> None:
    """Say which record a table holds, and which of its fields are ciphertext."""
    _register(table, _Kind(cls, sealed))


def register_plain(table: int) -> None:
    """Say that a table's rows are bytes whose layout is the engine's own."""
    _register(table, _Kind(None, ()))


def _register(table: int, kind: _Kind) -> None:
    if table in _kinds:
        raise ValueError(f"table {schema.NAMES[table]} has its record already")
    _kinds[table] = kind


def pack_record(row: Any) -> bytes:
    """Pack a record as a table's value; a plain row is one already."""
    if isinstance(row, bytes):
        return row
    values = values_of(row)
    if len(values) < _FEW:  # the array's head is a byte, and gives way to that of one more
        return _HEADS[len(values)] + _pack(values)[1:]
    return _pack((LAYOUT, *values))


def pack_value(value: Any) -> bytes:
    """Pack plain data: integers, texts, bytes, arrays and maps of them."""
    return _pack(value)


def unpack_value(data: bytes) -> Any:
    """Unpack plain data; arrays become tuples."""
    return _unpack(data, use_list=False, strict_map_key=False)


def unpack_row(key: bytes, value: bytes) -> Any:
    """Unpack a table's value by the table that its key names.

    Raises:
        UnknownLayout: the row was written by a newer version.
    """
    table = key[0]
    kind = _kinds.get(table)
    if kind is not None and kind.cls is None:
        return value
    data: Any = _unpack(value, use_list=False, strict_map_key=False)
    if table == schema.BALANCE:
        return data
    if table == schema.ENTRY:
        return _entry(data)
    if data[0] != LAYOUT:
        raise UnknownLayout(f"a row of table {schema.NAMES[table]} has layout {data[0]}")
    return _kinds[table].make(*data[1:])


def pack_entry(fields: tuple[Any, ...]) -> bytes:
    """Pack a journal entry, given as the fields of `ledger.model.Entry` in order."""
    if not any(fields[ENTRY_FIELDS:]):
        fields = fields[:ENTRY_FIELDS]
    return _pack((LAYOUT, *fields))


def pack_entry_with(
    head: tuple[Any, ...],
    postings: int,
    legs: list[bytes],
    versions: tuple[int, ...],
    trail: tuple[Any, ...] = (),
) -> bytes:
    """Pack a journal entry whose postings are packed: the same bytes as `pack_entry` gives.

    Args:
        head: the fields of `ledger.model.Entry` before the postings, in order.
        postings: how many there are.
        legs: of each posting `pack_account`, then `pack_amount`.
        versions: the field behind them.
        trail: the last field; an empty one is not written.
    """
    known = _versions.get(versions)
    if known is None:
        if len(_versions) >= VERSIONS_MAX:
            _versions.clear()
        known = _versions[versions] = _pack(versions)
    count = _COUNTS[postings] if postings < len(_COUNTS) else b"\xdc" + postings.to_bytes(2, "big")
    # The head's own array byte gives way to that of the whole entry.
    legs[:0] = (_ENTRY_TRAILED if trail else _ENTRY, _pack(head)[1:], count)
    legs.append(known)
    if trail:
        legs.append(_pack(trail))
    return b"".join(legs)


def pack_account(account: str, unit: str) -> bytes:
    """Pack what a posting begins with: the array of three, account and unit."""
    name, of = account.encode("utf-8"), unit.encode("utf-8")
    if len(name) < _TEXT and len(of) < _TEXT:
        return b"".join((_POSTING, _TEXTS[len(name)], name, _TEXTS[len(of)], of))
    return b"".join((_POSTING, _pack(account), _pack(unit)))


def pack_amount(amount: int) -> bytes:
    """Pack an integer of 64 bits in its shortest form, as the library does, without asking it."""
    if 0 <= amount < _SHORT:
        return _COUNTED[amount] if amount < _BYTE else b"\xcd" + amount.to_bytes(2, "big")
    if -_BYTE < amount < 0:
        return _NEGATIVE[-amount]
    if -_SHORT >> 1 <= amount < 0:
        return b"\xd1" + (amount + _SHORT).to_bytes(2, "big")
    return _pack(amount)


def unpack_entry(data: bytes) -> Entry:
    """Unpack a journal entry.

    Raises:
        UnknownLayout: the entry was written by a newer version.
    """
    return _entry(_unpack(data, use_list=False, strict_map_key=False))


def _entry(data: tuple[Any, ...]) -> Entry:
    if data[0] != LAYOUT:
        raise UnknownLayout(f"a journal entry has layout {data[0]}")
    return Entry(*data[1:])


def sealed_of(table: int) -> tuple[str, ...]:
    """The fields of a table's rows that are ciphertext."""
    kind = _kinds.get(table)
    return kind.sealed if kind is not None else ()


def sealed_fields() -> dict[int, tuple[str, ...]]:
    """The tables whose rows hold ciphertext, with the names of those fields."""
    return {table: kind.sealed for table, kind in _kinds.items() if kind.sealed}


def logical(key: bytes, value: bytes) -> bytes:
    """The part of a row that is fact: its value without ciphertext, packed."""
    kind = _kinds.get(key[0])
    if kind is None or kind.cls is None or not kind.sealed:
        return value
    names = kind.cls.__dataclass_fields__
    data = unpack_value(value)  # of an older row, or one whose last fields say nothing, fewer
    return _pack(
        tuple(
            field
            for name, field in zip(("layout", *names), data, strict=False)
            if name not in kind.sealed
        )
    )
