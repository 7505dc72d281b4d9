"""Records to MessagePack and back: the only place that packs and unpacks.

A row is an array whose first element is the version of its layout, followed by the record's fields
in order; a balance is a bare integer. Nested records are written as arrays and made again by the
record's own ``restore``. Engine records announce themselves with `register`, so that the ledger
packs what it need not understand. A reader that meets a layout newer than it knows refuses.

The logical form (`logical`) leaves out fields that hold ciphertext: two directories that hold the
same facts under different nonces have the same digest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from ledger import schema
from ledger.model import Entry, values_of

LAYOUT = 1


def packer() -> Callable[[Any], bytes]:
    """Make a packer with a buffer of its own, for a thread that packs beside another."""
    pack: Callable[[Any], bytes] = msgpack.Packer(
        use_bin_type=True, autoreset=True, default=values_of
    ).pack
    return pack


_pack = packer()


class UnknownLayout(Exception):
    """A row or entry of a layout that this version of the software does not know."""


_types: dict[int, tuple[type[Any], tuple[str, ...]]] = {}


def register(table: int, cls: type[Any], sealed: tuple[str, ...] = ()) -> None:
    """Say which record a table holds, and which of its fields are ciphertext."""
    if table in _types:
        raise ValueError(f"table {schema.NAMES[table]} has its record already")
    _types[table] = (cls, sealed)


def pack_record(row: Any) -> bytes:
    """Pack a record as a table's value."""
    return _pack((LAYOUT, *values_of(row)))


def pack_value(value: Any) -> bytes:
    """Pack plain data: integers, texts, bytes, arrays and maps of them."""
    return _pack(value)


def unpack_value(data: bytes) -> Any:
    """Unpack plain data; arrays become tuples."""
    return msgpack.unpackb(data, use_list=False, strict_map_key=False)


def unpack_row(key: bytes, value: bytes) -> Any:
    """Unpack a table's value by the table that its key names.

    Raises:
        UnknownLayout: the row was written by a newer version.
    """
    table = key[0]
    data = msgpack.unpackb(value, use_list=False, strict_map_key=False)
    if table == schema.BALANCE:
        return data
    if table == schema.ENTRY:
        return _entry(data)
    if data[0] != LAYOUT:
        raise UnknownLayout(f"a row of table {schema.NAMES[table]} has layout {data[0]}")
    cls = _types[table][0]
    restore = getattr(cls, "restore", None)
    return restore(*data[1:]) if restore else cls(*data[1:])


def pack_entry(fields: tuple[Any, ...]) -> bytes:
    """Pack a journal entry, given as the fields of `ledger.model.Entry` in order."""
    return _pack((LAYOUT, *fields))


def unpack_entry(data: bytes) -> Entry:
    """Unpack a journal entry.

    Raises:
        UnknownLayout: the entry was written by a newer version.
    """
    return _entry(msgpack.unpackb(data, use_list=False, strict_map_key=False))


def _entry(data: tuple[Any, ...]) -> Entry:
    if data[0] != LAYOUT:
        raise UnknownLayout(f"a journal entry has layout {data[0]}")
    return Entry(*data[1:])


def logical(key: bytes, value: bytes) -> bytes:
    """The part of a row that is fact: its value without ciphertext, packed."""
    kind = _types.get(key[0])
    if kind is None or not kind[1]:
        return value
    cls, sealed = kind
    names = cls.__dataclass_fields__
    data = unpack_value(value)
    return _pack(
        tuple(
            field
            for name, field in zip(("layout", *names), data, strict=True)
            if name not in sealed
        )
    )
