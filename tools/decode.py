"""A message explained field by field, masked: ``counterfoil decode HEX``."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from rich.table import Table

from posd.iso8583.describe import Row, describe

if TYPE_CHECKING:
    from rich.console import Console


class NotHex(ValueError):
    """What was given is not hexadecimal."""


def explain(text: str, charset: str = "gb18030") -> list[Row]:
    """Explain a message or frame given in hexadecimal digits; white space between is ignored.

    Raises:
        NotHex: a character is no hexadecimal digit, or the last byte is half.
        LookupError: there is no such character set.
    """
    try:
        data = bytes.fromhex("".join(text.split()))
    except ValueError:
        raise NotHex("the message has to be pairs of hexadecimal digits") from None
    if not data:
        raise NotHex("the message is empty: give its bytes in hexadecimal digits")
    codecs.lookup(charset)
    return describe(data, charset)


def understood(rows: list[Row]) -> bool:
    """Whether the whole message made sense."""
    return not any(row.number.endswith("!") for row in rows)


def print_rows(rows: list[Row], console: Console) -> None:
    """Print an explanation as a table."""
    table = Table(box=None, pad_edge=False)
    for name in ("at", "field", "name", "bytes", "meaning"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(str(row.position), row.number, row.name, row.raw, row.meaning)
    console.print(table)
