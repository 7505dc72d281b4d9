"""``counterfoil terminal`` and ``counterfoil operator``: locks of tills and of who works there.

Each is a command in the journal with who did it and why, what was before and what is after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clearing.console import Refusal, directory_argument, echo_json, json_option
from engine.rules.desks import SetTerminal, UnlockOperator
from tools.deeds import by_option, reason_option, submit

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
    """Enable, disable, lock or unlock a terminal. Live connections feel it at once."""
    if not name.isascii():  # as ids are, and keys of tables
        raise Refusal(f"terminal {name} is not registered")
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
    result = submit(directory, command)
    before, after = (result.facts.get(name) for name in ("before", "after"))
    if as_json:
        echo_json({"changed": bool(result.sequence), "before": before, "after": after})
    elif result.sequence:
        click.echo(f"{what}: {before} before, {after} now")
    else:
        click.echo(f"{what}: unchanged")
