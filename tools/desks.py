"""``counterfoil terminal`` and ``counterfoil operator``: locks of tills and of who works there.

Each is a command in the journal with who did it and why, what was before and what is after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.rules.desks import SetTerminal, UnlockOperator
from engine.submit import Submitter
from tools.cli import Refusal, directory_argument, echo_json, json_option

by_option = click.option("--by", required=True, help="Name of the person who does this.")
reason_option = click.option("--reason", required=True, help="Why, for the books.")
ACTIONS = ("enable", "disable", "lock", "unlock")


@click.command()
@directory_argument
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("name", metavar="ID")
@by_option
@reason_option
@json_option
def terminal(
    directory: Path, action: str, name: str, by: str, reason: str, *, as_json: bool
) -> None:
    """Enable, disable, lock or unlock a terminal; live connections feel it at once."""
    command = SetTerminal(name, action, by, reason)
    _submit(directory, command, f"terminal {name}", as_json=as_json)


@click.command()
@directory_argument
@click.argument("action", type=click.Choice(("unlock",)))
@click.argument("merchant")
@click.argument("name", metavar="ID")
@by_option
@reason_option
@json_option
def operator(
    directory: Path,
    merchant: str,
    name: str,
    by: str,
    reason: str,
    *,
    as_json: bool,
    **_action: str,
) -> None:
    """Forgive an operator's wrong PINs."""
    command = UnlockOperator(merchant, name, by, reason)
    _submit(directory, command, f"operator {name} of {merchant}", as_json=as_json)


def _submit(directory: Path, command: Any, what: str, *, as_json: bool) -> None:
    with Submitter(directory) as submitter:
        result = submitter.submit(command)
    if not result.done:
        raise Refusal(result.text)
    before, after = (result.facts.get(name) for name in ("before", "after"))
    if as_json:
        echo_json({"changed": bool(result.sequence), "before": before, "after": after})
    elif result.sequence:
        click.echo(f"{what}: {before} before, {after} now")
    else:
        click.echo(f"{what}: unchanged")
