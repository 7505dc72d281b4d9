"""What ``counterfoil show`` found, for people: values under each other, lists as tables."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.padding import Padding
from rich.table import Table

from ledger.model import MONEY

if TYPE_CHECKING:
    from rich.console import Console

Shown = dict[str, Any]

_WORDS: Final = {
    "claim_rrn": "claim's RRN",
    "coupon_pin": "coupon PIN",
    "key_set": "key set in use",
    "pin": "PIN",
    "pin_failures": "wrong PINs in a row",
    "rrn": "RRN",
    "stan": "STAN",
    "tmk_check": "TMK check value",
    "waiting_fen": "paid for and not used, fen",
}
"""Names that a person would not write as the data does."""
_INDENT: Final = (0, 0, 0, 2)
UNBOUNDED: Final = 10_000
"""Columns of a console on which every table has room."""


def print_shown(shown: Shown, console: Console) -> None:
    """Print what was looked up: its plain values, then a table for each list within."""
    _print_part({name: value for name, value in shown.items() if name != "as_of"}, console, "")
    console.print(f"\nas of entry {shown['as_of']}", style="dim")


def _print_part(part: Shown, console: Console, title: str) -> None:
    """Print values under each other, indented below a title; what is nested comes after them."""
    plain = _table()
    plain.show_header = False
    plain.add_column(no_wrap=True)
    plain.add_column(overflow="fold")
    nested: list[tuple[str, Any]] = []
    for name, value in part.items():
        if _is_nested(value):
            nested.append((name, value))
        else:
            known = name == "serial" and isinstance(value, bool)  # a terminal's, which is secret
            plain.add_row("bound to a serial" if known else _words(name), _text(name, value))
    _print_titled(title, plain, console)
    for name, value in nested:
        console.print()
        if isinstance(value, dict):
            _print_part(value, console, _words(name))
        elif any(map(_is_nested, (cell for row in value for cell in row.values()))):
            _print_each(_words(name), value, console)
        else:
            _print_rows(_words(name), value, console)


def _print_rows(title: str, rows: list[Shown], console: Console) -> None:
    """Print rows as a table, or each below the other where the console is too narrow for that."""
    table = _table()
    for name in rows[0]:
        number = all(_is_number(row[name]) for row in rows)
        table.add_column(_words(name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(name, value) for name, value in row.items()))
    unbounded = console.options.update(width=UNBOUNDED)
    if table.__rich_measure__(console, unbounded).maximum + _INDENT[3] <= console.width:
        _print_titled(title, table, console)
        return
    _print_each(title, rows, console)


def _print_each(title: str, rows: list[Shown], console: Console) -> None:
    for number, row in enumerate(rows):
        if number:
            console.print()
        _print_part(row, console, title)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _print_titled(title: str, table: Table, console: Console) -> None:
    if title:
        console.print(title, style="bold")
    console.print(Padding(table, _INDENT, expand=False) if title else table)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_nested(value: Any) -> bool:
    """Whether a value gets a place of its own: an object, or a list of objects."""
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], dict)


def _words(name: str) -> str:
    fen = ", fen" if name.endswith("_fen") else ""
    return _WORDS.get(name, name.removesuffix("_fen").replace("_", " ") + fen)


def _text(name: str, value: Any) -> str:
    if value is None or value in ("", (), [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(name, one) for one in value)
    if name == "unit" and value == MONEY:
        return "fen"
    if name in {"time", "last_moved", "until"}:
        moment = datetime.fromisoformat(value)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} {moment:%Z}"
    return str(value)
