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

from clearing.console import directory_argument, json_option, key_option
from engine.directory import open_vault, read_configuration
from engine.gifts import CANCELLED, HANDED_OVER, RESERVED, SENT
from engine.pools import Pool
from engine.rules.gifts import MoveGiftOrder
from engine.submit import Submitter
from engine.vault import Vault
from ledger import schema
from tools.cli import print_list
from tools.deeds import by_option, reason_if_any_option, reason_option, submit, tell_change
from tools.show import NotFound, sequence_of

STATES = (RESERVED, HANDED_OVER, SENT, CANCELLED)
LISTED_MAX = 10_000
"""Orders in a list: a person reads no more, a program asks by state."""


@click.group("gift")
@directory_argument
@click.pass_context
def command(ctx: click.Context, directory: Path) -> None:
    """List, hand over, send and cancel gifts that cost points."""
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
    print_list(found, as_json=as_json)


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
    print_list(found, as_json=as_json)


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


def _mover(verb: str, state: str, about: str) -> None:
    """Make the subcommand that moves an order to a state."""

    @command.command(verb, help=about)
    @click.argument("order", metavar="RRN")
    @by_option
    @reason_if_any_option
    @key_option
    @click.pass_obj
    def move(directory: Path, order: str, by: str, reason: str, key: Path | None) -> None:
        _move(directory, key, order, lambda number: _step(number, state, by, reason, lost=False))


@command.command("cancel")
@click.argument("order", metavar="RRN")
@by_option
@reason_option
@click.option("--lost", is_flag=True, help="The gift does not come back into stock.")
@key_option
@click.pass_obj
def cancel(
    directory: Path, order: str, by: str, reason: str, key: Path | None, *, lost: bool
) -> None:
    """Take an exchange back. The member's points return, and the gift goes into stock."""
    _move(directory, key, order, lambda number: _step(number, CANCELLED, by, reason, lost=lost))


def _step(order: int, state: str, by: str, why: str, *, lost: bool) -> MoveGiftOrder:
    return MoveGiftOrder(order, state, by, why, lost)


def _move(
    directory: Path, key: Path | None, order: str, make: Callable[[int], MoveGiftOrder]
) -> None:
    try:
        number = sequence_of(open_vault(directory, key), order)
    except NotFound as wrong:
        raise click.BadParameter(str(wrong), param_hint="RRN") from None
    tell_change(submit(directory, make(number)))


_mover("hand-over", HANDED_OVER, "Note that the member has the gift.")
_mover("send", SENT, "Note that the gift is on its way to the member.")
