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


def packer() -> Callable[[Any], bytes]:
    """Make a packer with a buffer of its own, for a thread that packs beside another."""
    pack: Callable[[Any], bytes] = msgpack.Packer(
        use_bin_type=True, autoreset=True, default=values_of
    ).pack
    return pack


_pack: Final = packer()
_unpack: Final[Callable[..., Any]] = msgpack.unpackb


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
    return _pack((LAYOUT, *values_of(row)))


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
    return _pack((LAYOUT, *fields))


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


def sealed_fields() -> dict[int, tuple[str, ...]]:
    """The tables whose rows hold ciphertext, with the names of those fields."""
    return {table: kind.sealed for table, kind in _kinds.items() if kind.sealed}


def logical(key: bytes, value: bytes) -> bytes:
    """The part of a row that is fact: its value without ciphertext, packed."""
    kind = _kinds.get(key[0])
    if kind is None or kind.cls is None or not kind.sealed:
        return value
    names = kind.cls.__dataclass_fields__
    data = unpack_value(value)
    return _pack(
        tuple(
            field
            for name, field in zip(("layout", *names), data, strict=True)
            if name not in kind.sealed
        )
    )
