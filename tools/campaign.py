"""``counterfoil campaign``: a campaign's way from draft to offline, and single coupons of it.

Each step is a command in the journal that names the person who took it. What a campaign says is
loaded (``LOAD.md``); how it is doing is told by ``show campaign`` and ``report campaign-effect``.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engine import codes
from engine.campaigns import NO_EFFECT, Campaign, Effect
from engine.directory import open_vault
from engine.reasons import Reason
from engine.rules.campaigns import MOVES, MoveCampaign, MoveCoupon
from engine.submit import Submitter
from ledger import schema
from tools.cli import Refusal, directory_argument, echo_json, json_option, key_option
from tools.show_coupons import moment

ABOUT = {
    "approve": "Approve a draft; where it asks for several approvals, each by another person.",
    "publish": "Put an approved campaign live: from its first minute on it is claimed and used.",
    "offline": "Take a campaign offline: no new coupons; claimed ones stay good.",
    "resume": "Put a campaign live again that was offline.",
    "withdraw": "Make an approved campaign a draft again.",
}


@click.group("campaign")
@directory_argument
@click.pass_context
def command(ctx: click.Context, directory: Path) -> None:
    """Approve, publish and stop campaigns; unlock and cancel coupons."""
    ctx.obj = directory


@command.command("list")
@json_option
@click.pass_obj
def list_(directory: Path, *, as_json: bool) -> None:
    """List campaigns and what has come of them."""
    with Submitter(directory) as submitter:
        with closing(submitter.scan(schema.EFFECT)) as rows:
            effects: dict[str, Effect] = {schema.name_of(key): row for key, row in rows}
        with closing(submitter.scan(schema.CAMPAIGN)) as rows:
            newest = {row.id: row for key, row in rows if key[1:] == row.id.encode()}
    found = [_line(row, effects.get(name, NO_EFFECT)) for name, row in sorted(newest.items())]
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo("none")
        return
    table = Table(*found[0])
    for one in found:
        table.add_row(*(str(value) for value in one.values()))
    Console().print(table)


def _line(row: Campaign, effect: Effect) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "version": row.version,
        "from": moment(row.start),
        "to": moment(row.end),
        "issued": effect.issued,
        "used": effect.used - effect.restored,
        "expired": effect.expired,
        "discount_fen": effect.discount,
    }


def _stepper(step: str) -> None:
    """Make the subcommand of a step."""

    @command.command(step, help=ABOUT[step])
    @click.argument("campaign", metavar="ID")
    @click.option("--by", required=True, help="Name of the person who does this.")
    @click.pass_obj
    def take(directory: Path, campaign: str, by: str) -> None:
        with Submitter(directory) as submitter:
            result = submitter.submit(MoveCampaign(campaign, step, by))
        if not result.done:
            raise Refusal(result.text)
        if result.reason == Reason.UNCHANGED:
            click.echo("it was so already")
        elif step == "approve" and result.facts["state"] == "draft":
            click.echo("approved; another person has to approve it too")
        else:
            click.echo(f"{campaign} is {result.facts['state']}")


for _step in MOVES:
    _stepper(_step)


@command.command("coupon")
@click.argument("step", type=click.Choice(["unlock", "cancel"]))
@click.option("--by", required=True, help="Name of the person who does this.")
@click.option("--reason", required=True, help="Why, for the books.")
@key_option
@click.pass_obj
def coupon(directory: Path, step: str, by: str, reason: str, key: Path | None) -> None:
    """Unlock a coupon after wrong PINs, or cancel it; its code is asked for, never an argument."""
    vault = open_vault(directory, key)
    found = codes.find(vault, click.prompt("Code", hide_input=True, err=True))
    if found is None:
        raise Refusal("this is no code: 16 to 24 digits, the last a check digit")
    with Submitter(directory) as submitter:
        result = submitter.submit(MoveCoupon(found[0], step, by, reason))
    if not result.done:
        raise Refusal(result.text)
    if result.reason == Reason.UNCHANGED:
        click.echo("it was so already")
    else:
        click.echo(f"{result.facts['before']}, now {result.facts['after']}")
