"""``counterfoil campaign``: a campaign's way from draft to offline, and single coupons of it.

Each step is a command in the journal that names the person who took it. What a campaign says is
loaded (``LOAD.md``); how it is doing is told by ``show campaign`` and ``report campaign-effect``.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from clearing.console import directory_argument, json_option, key_option
from engine import codes
from engine.campaigns import NO_EFFECT, Campaign, Effect
from engine.directory import open_vault
from engine.reasons import Reason
from engine.rules.campaigns import MOVES, CancelCode, MoveCampaign, MoveCoupon
from engine.submit import Submitter
from ledger import schema
from tools.cli import print_list
from tools.deeds import by_option, reason_option, submit, tell_change
from tools.show_coupons import moment

ABOUT = {
    "approve": "Approve a draft. Where it asks for several approvals, each by another person.",
    "publish": "Put an approved campaign live. From its first minute on it is claimed and used.",
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
    print_list(found, as_json=as_json)


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
    @by_option
    @click.pass_obj
    def take(directory: Path, campaign: str, by: str) -> None:
        result = submit(directory, MoveCampaign(campaign, step, by))
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
@by_option
@reason_option
@key_option
@click.pass_obj
def coupon(directory: Path, step: str, by: str, reason: str, key: Path | None) -> None:
    """Unlock a coupon after wrong PINs, or cancel it. The code is asked for, never an argument."""
    vault = open_vault(directory, key)
    if sys.stdin.isatty():
        code = click.prompt("Code", hide_input=True, err=True)
    else:
        code = sys.stdin.readline().rstrip("\n")
    digest, batch, serial = codes.find(vault, code)
    if step == "cancel" and batch:
        tell_change(submit(directory, CancelCode(digest, batch, serial, by, reason)))
    else:
        tell_change(submit(directory, MoveCoupon(digest, step, by, reason)))
