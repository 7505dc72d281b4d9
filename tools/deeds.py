"""Commands that somebody gives: who and why, the one way to the books, and what came of it.

What a person asks for at the command line is one command to the ledger, which is done, was so
already, or is refused in a sentence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from clearing.console import Refusal
from engine.reasons import Reason
from engine.submit import Result, Submitter

TEXT_MAX: Final = 200

by_option = click.option("--by", required=True, help="Name of the person who does this.")
reason_option = click.option("--reason", required=True, help="Why, for the books.")
reason_if_any_option = click.option("--reason", default="", help="Why, for the books.")


def printable(value: str, name: str) -> str:
    """A short text for the books; letters that do not print would spoil lists.

    Raises:
        click.BadParameter: it is none; `name` is the argument or option that said it.
    """
    if not value.strip() or not value.isprintable() or len(value) > TEXT_MAX:
        raise click.BadParameter(f"has to be 1 to {TEXT_MAX} printable characters", param_hint=name)
    return value


def accepted(result: Result) -> Result:
    """What a command came to, where it was done or was so already.

    Raises:
        Refusal: it was neither.
    """
    if not result.done:
        raise Refusal(result.text)
    return result


def submit(directory: Path, command: Any) -> Result:
    """Give the ledger one command.

    Raises:
        Refusal: it was not done.
    """
    with Submitter(directory) as submitter:
        return accepted(submitter.submit(command))


def tell_change(result: Result) -> None:
    """Say what was before, and what is now."""
    if result.reason == Reason.UNCHANGED:
        click.echo("it was so already")
    else:
        click.echo(f"{result.facts['before']}, now {result.facts['after']}")
