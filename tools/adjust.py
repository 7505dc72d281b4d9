"""``counterfoil adjust``: adjustments by hand, which a second person confirms.

Each step is a command in the journal that names the person. A step that was interrupted is simply
done again: what is there already is unchanged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table

from clearing.console import directory_argument, echo_json, json_option, key_option, stdout_console
from clearing.dates import DAY, as_number
from engine.directory import open_vault
from engine.records import NEVER
from engine.rules.adjustments import Confirm, Proposal, Propose, Release, Withdraw
from ledger import codec, schema
from ledger.model import MONEY
from ledger.tables import Snapshot
from tools.deeds import by_option, printable, reason_option, submit
from tools.load_checks import AMOUNT_MAX
from tools.show import sequence_of

LIST_MAX: Final = 10_000

_EXCLUSIVE: Final = (
    ("write_off", "to_income"),
    ("expires", "never_expires"),
    ("expires", "write_off"),
    ("never_expires", "write_off"),
    ("expires", "to_income"),
    ("never_expires", "to_income"),
)
"""Options of a proposal of which one contradicts the other."""

id_argument = click.argument("name", metavar="ID")


@click.group("adjust")
def command() -> None:
    """Adjustments of points, debts and stored value by hand."""


@command.command()
@directory_argument
@id_argument
@click.option("--member", required=True, help="The member's id.")
@click.option("--unit", required=True, help="A program, or 156 for stored value.")
@click.option(
    "--amount",
    required=True,
    type=click.IntRange(-AMOUNT_MAX, AMOUNT_MAX),
    help="Points or fen to give, or to take with a minus.",
)
@click.option("--expires", type=DAY, help="Last day of points given.")
@click.option("--never-expires", is_flag=True, help="Points given that do not run out.")
@click.option("--write-off", is_flag=True, help="Write the amount off what the member owes.")
@click.option("--to-income", is_flag=True, help="Book value that ran out as income, for good.")
@reason_option
@by_option
def propose(directory: Path, name: str, by: str, **said: Any) -> None:
    """Propose an adjustment. ID is of your choice, the number of a ticket say."""
    for first, second in _EXCLUSIVE:
        if said[first] and said[second]:
            flags = [f"--{flag.replace('_', '-')}" for flag in (first, second)]
            raise click.UsageError(f"{flags[0]} and {flags[1]} do not go together")
    expires = as_number(said["expires"])
    if said["never_expires"]:
        expires = NEVER
    if said["to_income"]:
        what = "breakage"
    elif said["write_off"]:
        what = "debt"
    else:
        what = "value" if said["unit"] == MONEY else "points"
    row = Propose(
        printable(name, "ID"),
        what,
        said["member"],
        said["unit"],
        said["amount"],
        expires,
        printable(said["reason"], "--reason"),
        printable(by, "--by"),
    )
    _submit(directory, row, "proposed")


@command.command()
@directory_argument
@id_argument
@by_option
def confirm(directory: Path, name: str, by: str) -> None:
    """Confirm an adjustment that another person proposed. It is posted then."""
    _submit(directory, Confirm(name, printable(by, "--by")), "confirmed and posted")


@command.command()
@directory_argument
@id_argument
@by_option
def withdraw(directory: Path, name: str, by: str) -> None:
    """Take a proposal back."""
    _submit(directory, Withdraw(name, printable(by, "--by")), "withdrawn")


@command.command()
@directory_argument
@click.argument("transaction", metavar="RRN")
@by_option
@key_option
def release(directory: Path, transaction: str, by: str, key: Path | None) -> None:
    """Let pending points of a transaction be spent. RRN may be its sequence number."""
    sequence = sequence_of(open_vault(directory, key), transaction)
    _submit(directory, Release(sequence, printable(by, "--by")), "released")


@command.command("list")
@directory_argument
@click.option("--all", "everything", is_flag=True, help="Those decided too.")
@json_option
def list_all(directory: Path, *, everything: bool, as_json: bool) -> None:
    """List what waits for a second person."""
    found = []
    with Snapshot(directory) as snapshot:
        for key, packed in snapshot.rows(bytes((schema.PROPOSAL,))):
            row: Proposal = codec.unpack_row(key, packed)
            if everything or row.state == "proposed":
                found.append(shown(schema.name_of(key), row))
            if len(found) == LIST_MAX:
                break
    if as_json:
        echo_json(found)
        return
    table = Table("id", "member", "what", "amount", "unit", "why", "proposed by", "state")
    for one in found:
        words = [str(value or "-") for name, value in one.items() if name in _COLUMNS]
        table.add_row(*words)
    stdout_console().print(table)


_COLUMNS: Final = ("id", "member", "what", "amount", "unit", "text", "proposed_by", "state")


def shown(name: str, row: Proposal) -> dict[str, Any]:
    """A proposal as plain data."""
    return {
        "id": name,
        "member": row.member,
        "what": row.what,
        "amount": row.amount,
        "unit": row.unit,
        "expires": row.expires,
        "text": row.text,
        "proposed_by": row.proposed_by,
        "state": row.state,
        "decided_by": row.decided_by,
        "sequence": row.sequence,
    }


def _submit(directory: Path, row: Any, done: str) -> None:
    result = submit(directory, row)
    if result.sequence:
        click.echo(f"{done} with entry {result.sequence}")
    else:
        click.echo("unchanged: this was done before")
