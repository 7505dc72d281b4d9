"""``counterfoil gift``: orders of gifts, until they are handed over, sent or cancelled.

Each step is a command in the journal that names the person and the reason. An order is named by the
RRN of its exchange, or by the exchange's sequence number.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table

from engine.directory import open_vault, read_configuration
from engine.gifts import CANCELLED, HANDED_OVER, RESERVED, SENT
from engine.pools import Pool
from engine.reasons import Reason
from engine.rules.gifts import MoveGiftOrder
from engine.submit import Submitter
from engine.vault import Vault
from ledger import schema
from tools.cli import Refusal, directory_argument, echo_json, json_option, key_option

RRN_DIGITS = 12
STATES = (RESERVED, HANDED_OVER, SENT, CANCELLED)
LISTED_MAX = 10_000
"""Orders in a list: a person reads no more, a program asks by state."""


@click.group("gift")
@directory_argument
@click.pass_context
def command(ctx: click.Context, directory: Path) -> None:
    """List, hand over, send and cancel what members have exchanged points for."""
    ctx.obj = directory


@command.command("orders")
@click.option("--state", type=click.Choice(STATES), help="Only orders in this state.")
@json_option
@key_option
@click.pass_obj
def orders(directory: Path, state: str | None, key: Path | None, *, as_json: bool) -> None:
    """List orders, the oldest first."""
    vault = open_vault(directory, key)
    zone = read_configuration(directory).zone
    found = []
    with Submitter(directory) as submitter, closing(submitter.scan(schema.GIFT_ORDER)) as rows:
        for place, row in rows:
            if state is None or row.state == state:
                found.append(_told(vault, zone, place, row))
            if len(found) >= LISTED_MAX:
                break
    _show(found, as_json=as_json)


@command.command("stock")
@json_option
@click.pass_obj
def stock(directory: Path, *, as_json: bool) -> None:
    """List gifts and how many are left."""
    with Submitter(directory) as submitter:
        with closing(submitter.scan(schema.POOL)) as rows:
            pools: dict[str, Pool] = {schema.name_of(place): row for place, row in rows}
        with closing(submitter.scan(schema.GIFT)) as gifts:
            found = [_stock(gift, pools) for _, gift in gifts]
    _show(found, as_json=as_json)


def _stock(gift: Any, pools: dict[str, Pool]) -> dict[str, Any]:
    pool = pools.get(f"gift:{gift.id}")
    given = pool.used if pool is not None else 0
    left = None if gift.stock < 0 else gift.stock - given
    return {"sku": gift.id, "name": gift.name, "given_out": given, "left": left}


def _told(vault: Vault, zone: str, place: bytes, row: Any) -> dict[str, Any]:
    sequence = schema.gift_order_sequence(place)
    return {
        "rrn": vault.rrn(sequence),
        "sequence": sequence,
        "time": datetime.fromtimestamp(row.at / 1000, UTC)
        .astimezone(ZoneInfo(zone))
        .isoformat(timespec="seconds"),
        "sku": row.gift,
        "quantity": row.quantity,
        "member": row.member,
        "merchant": row.merchant,
        "state": row.state,
    }


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        echo_json(found)
        return
    if not found:
        click.echo("none")
        return
    table = Table(*found[0])
    for one in found:
        table.add_row(*("" if value is None else str(value) for value in one.values()))
    Console().print(table)


def _mover(verb: str, state: str, about: str) -> None:
    """Make the subcommand that moves an order to a state."""

    @command.command(verb, help=about)
    @click.argument("order", metavar="RRN")
    @click.option("--by", required=True, help="Name of the person who does this.")
    @click.option("--reason", default="", help="Why, for the books.")
    @key_option
    @click.pass_obj
    def move(directory: Path, order: str, by: str, reason: str, key: Path | None) -> None:
        _move(directory, key, order, lambda number: _step(number, state, by, reason, lost=False))


@command.command("cancel")
@click.argument("order", metavar="RRN")
@click.option("--by", required=True, help="Name of the person who does this.")
@click.option("--reason", required=True, help="Why, for the books.")
@click.option("--lost", is_flag=True, help="The gift does not come back into stock.")
@key_option
@click.pass_obj
def cancel(
    directory: Path, order: str, by: str, reason: str, key: Path | None, *, lost: bool
) -> None:
    """Take an exchange back: the member's points return, and the gift goes into stock."""
    _move(directory, key, order, lambda number: _step(number, CANCELLED, by, reason, lost=lost))


def _step(order: int, state: str, by: str, why: str, *, lost: bool) -> MoveGiftOrder:
    return MoveGiftOrder(order, state, by, why, lost)


def _move(
    directory: Path, key: Path | None, order: str, make: Callable[[int], MoveGiftOrder]
) -> None:
    if not (order.isascii() and order.isdecimal()):
        raise click.BadParameter("has to be an RRN or a sequence number", param_hint="RRN")
    number = int(order)
    if len(order) == RRN_DIGITS:
        found = open_vault(directory, key).sequence(order)
        number = found[1] if found is not None else 0
    with Submitter(directory) as submitter:
        result = submitter.submit(make(number))
    if not result.done:
        raise Refusal(result.text)
    if result.reason == Reason.UNCHANGED:
        click.echo("it was so already")
    else:
        click.echo(f"{result.facts['before']}, now {result.facts['after']}")


_mover("hand-over", HANDED_OVER, "Note that the member has the gift.")
_mover("send", SENT, "Note that the gift is on its way to the member.")
