"""What the command lines have in common: arguments, options, refusals, and how things are printed.

Exit status 0 done, 1 refused or found wrong, 2 wrong usage. It stands here because commands of
clearing are below `tools` in the order of imports, and theirs are the same.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

REFUSED: Final = 1

directory_argument = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
key_option = click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="Key file; else COUNTERFOIL_KEY, else the one in the directory's configuration.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Refusal(click.ClickException):
    """A refusal in one sentence; exit status 1."""

    exit_code = REFUSED

    def show(self, file: Any = None) -> None:
        """Print the sentence alone."""
        click.echo(f"counterfoil: {self.message}", err=True, file=file)


def echo_json(value: Any) -> None:
    """Print a value as JSON, one line, letters as they are."""
    click.echo(json.dumps(value, ensure_ascii=False))


def stdout_console(width: int = 160) -> Console:
    """Where tables go; as wide as they are when nobody looks, so that nothing is folded.

    Args:
        width: columns where standard output is no terminal.
    """
    width_now = None if sys.stdout.isatty() else width
    return Console(width=width_now, markup=False, highlight=False, emoji=False)


def fits(console: Console, table: Table) -> bool:
    """Whether a table can be printed without a cell being folded."""
    wide = console.options.update(max_width=10**6)
    return Measurement.get(console, wide, table).maximum <= console.width


def print_fitting(table: Table) -> None:
    """Print a table; one that is wider than the terminal a row at a time, a line a column."""
    console = stdout_console()
    if fits(console, table):
        console.print(table)
        return
    console.print(table.title or "", style="bold")
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        record = Table.grid(padding=(0, 2))
        for column, cell in zip(table.columns, cells, strict=True):
            if cell:
                record.add_row(str(column.header).replace("\n", " "), cell)
        console.print()
        console.print(record)


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open an output file that takes the place of `path` once it is whole.

    What was there before stays if the work fails. A device or pipe is written as it is.

    Raises:
        OSError: it cannot be made or written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666
    try:
        with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
            yield file
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
