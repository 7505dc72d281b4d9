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
from librt.strings import BytesWriter

from ledger import schema
from ledger.model import Entry, values_of
from ledger.packing import pack, put, put_head, put_text

LAYOUT: Final = 1
ENTRY_FIELDS: Final = 9
"""Fields of `ledger.model.Entry` but for the trail, which only some have."""
VERSIONS_MAX: Final = 4096
"""Combinations of versions of terms whose bytes are kept."""


_unpack: Final[Callable[..., Any]] = msgpack.unpackb
_POSTING: Final = 3
"""Parts of a posting: account, unit and amount."""
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
    writer = BytesWriter()
    put_head(writer, len(values) + 1)
    writer.append(LAYOUT)
    for value in values:
        put(writer, value)
    return writer.getvalue()


def pack_value(value: Any) -> bytes:
    """Pack plain data: integers, texts, bytes, arrays and maps of them."""
    return pack(value)


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
    return pack((LAYOUT, *fields))


def entry_begun(head: tuple[Any, ...], postings: int, *, trailed: bool) -> BytesWriter:
    """Begin to pack a journal entry, whose postings are to follow one by one.

    Args:
        head: the fields of `ledger.model.Entry` before the postings, in order.
        postings: how many there are.
        trailed: whether it has a trail.
    """
    writer = BytesWriter()
    put_head(writer, (2 if trailed else 1) + ENTRY_FIELDS)
    writer.append(LAYOUT)
    for field in head:
        put(writer, field)
    put_head(writer, postings)
    return writer


def pack_account(account: str, unit: str) -> bytes:
    """Pack what a posting begins with: the array of three, account and unit."""
    writer = BytesWriter()
    put_account(writer, account, unit)
    return writer.getvalue()


def put_account(writer: BytesWriter, account: str, unit: str) -> None:
    """Write the same behind what was packed of an entry; the amount is to follow."""
    put_head(writer, _POSTING)
    put_text(writer, account)
    put_text(writer, unit)


def entry_ended(
    writer: BytesWriter, versions: tuple[int, ...], trail: tuple[Any, ...] = ()
) -> bytes:
    """An entry whose postings were written: the same bytes as `pack_entry` gives.

    Args:
        writer: of `entry_begun`.
        versions: the field behind the postings.
        trail: the last field; an empty one is not written.
    """
    known = _versions.get(versions)
    if known is None:
        if len(_versions) >= VERSIONS_MAX:
            _versions.clear()
        known = _versions[versions] = pack(versions)
    writer.write(known)
    if trail:
        put(writer, trail)
    return writer.getvalue()


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
    return pack(
        tuple(
            field
            for name, field in zip(("layout", *names), data, strict=False)
            if name not in kind.sealed
        )
    )
