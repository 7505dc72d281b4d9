"""``counterfoil lottery``: what a lottery is expected to cost, its approval, end, seed and audit.

The seed is drawn by the system's generator at the approval, sealed under the key file, and shown
once the lottery is over. The audit reads the journal and computes each draw again, prizes that were
gone included.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from clearing.console import (
    REFUSED,
    Refusal,
    directory_argument,
    echo_json,
    json_option,
    key_option,
)
from engine import lotteries
from engine.directory import open_vault, read_configuration, wall_ms
from engine.lotteries import DRAFT, NO_PRIZE, OVER, SEED_BYTES, Lottery
from engine.reasons import Reason
from engine.rules.lotteries import ApproveLottery, EndLottery
from engine.rules.undo import fields_of
from engine.submit import Submitter
from engine.terms import Clock
from ledger import codec, schema
from ledger.journal import entries
from ledger.model import Entry
from tools.deeds import by_option, reason_if_any_option, submit

FAULTS_MAX = 20
"""Draws that do not agree which an audit names."""


@click.group("lottery")
@directory_argument
@click.pass_context
def command(ctx: click.Context, directory: Path) -> None:
    """Approve, end, and audit lotteries."""
    ctx.obj = directory


def _find(directory: Path, name: str) -> tuple[Lottery, dict[str, int]]:
    """A lottery, and how many of each prize were given."""
    with Submitter(directory) as submitter:
        with closing(submitter.scan(schema.LOTTERY)) as rows:
            found = [row for _, row in rows if row.id == name]
        if not found:
            raise Refusal(f"there is no lottery {name}: load it first")
        lottery: Lottery = found[0]
        pools = {lotteries.pool_of(name, prize[0]): prize[0] for prize in lottery.prizes}
        with closing(submitter.scan(schema.POOL)) as rows:
            given = {
                pools[schema.name_of(place)]: row.used
                for place, row in rows
                if schema.name_of(place) in pools
            }
    return lottery, given


def _told(lottery: Lottery, given: dict[str, int]) -> dict[str, Any]:
    expected = lotteries.expected_cost(lottery.prizes)
    return {
        "id": lottery.id,
        "name": lottery.name,
        "program": lottery.program,
        "cost": lottery.cost,
        "from": lottery.start,
        "to": lottery.end,
        "state": lottery.state,
        "approved_by": lottery.approved_by or None,
        "seed_hash": lottery.seed_hash or None,
        "expected_cost_fen": str(expected),
        "all_prizes_fen": lotteries.stock_cost(lottery.prizes),
        "prizes": [
            {
                "id": name,
                "name": title,
                "odds": f"{odds[0]}/{odds[1]}",
                "stock": stock if stock >= 0 else None,
                "points": points,
                "worth_fen": worth,
                "given": given.get(name, 0) if stock >= 0 else None,
            }
            for name, title, odds, stock, points, worth in lottery.prizes
        ],
    }


def _print(told: dict[str, Any]) -> None:
    expected = Fraction(told["expected_cost_fen"])
    hundredths = expected.numerator * 100 // expected.denominator
    click.echo(f"lottery {told['id']}, {told['state']}: {told['cost']} {told['program']} a draw")
    click.echo(
        f"a draw is expected to cost {told['expected_cost_fen']} fen"
        f" ({hundredths // 100}.{hundredths % 100:02})"
    )
    if told["all_prizes_fen"] is not None:
        click.echo(f"all prizes together are worth {told['all_prizes_fen']} fen")
    for prize in told["prizes"]:
        left = "" if prize["stock"] is None else f", {prize['given']} of {prize['stock']} given"
        click.echo(f"  {prize['id']}: {prize['odds']}{left}")
    if told["seed_hash"]:
        click.echo(f"SHA-256 of the seed: {told['seed_hash']}")


@command.command("show")
@click.argument("lottery")
@json_option
@click.pass_obj
def show(directory: Path, lottery: str, *, as_json: bool) -> None:
    """Show the prize table, its expected cost, and what was given."""
    told = _told(*_find(directory, lottery))
    if as_json:
        echo_json(told)
    else:
        _print(told)


@command.command("approve")
@click.argument("lottery")
@click.option("--by", required=True, help="Name of the person who approves it.")
@key_option
@click.pass_obj
def approve(directory: Path, lottery: str, by: str, key: Path | None) -> None:
    """Approve a draft. Look at what it is expected to cost; nothing of it changes then."""
    told = _told(*_find(directory, lottery))
    if told["state"] == DRAFT:
        _print(told)
    vault = open_vault(directory, key)
    sealed, seed_hash = lotteries.seal_seed(vault, lottery, os.urandom(SEED_BYTES))
    result = submit(directory, ApproveLottery(lottery, sealed, seed_hash, by))
    if result.reason == Reason.UNCHANGED:
        click.echo("it is approved already")
    else:
        click.echo(f"approved; SHA-256 of the seed: {seed_hash}")


@command.command("end")
@click.argument("lottery")
@by_option
@reason_if_any_option
@click.pass_obj
def end(directory: Path, lottery: str, by: str, reason: str) -> None:
    """End a lottery now, before its last day or after it."""
    submit(directory, EndLottery(lottery, by, reason))
    click.echo(f"lottery {lottery} is over")


@command.command("seed")
@click.argument("lottery")
@key_option
@click.pass_obj
def seed(directory: Path, lottery: str, key: Path | None) -> None:
    """Show the seed, in hex, once the lottery is over. With it anybody can compute the draws."""
    row, _ = _find(directory, lottery)
    if not row.seed:
        raise Refusal(f"lottery {lottery} was not approved: it has no seed")
    today = Clock(read_configuration(directory).zone).date(wall_ms())
    if row.state != OVER and today <= row.end:
        raise Refusal(f"lottery {lottery} is not over: its seed would tell draws that are to come")
    click.echo(lotteries.open_seed(open_vault(directory, key), row).hex())


@command.command("audit")
@click.argument("lottery")
@json_option
@key_option
@click.pass_obj
def audit(directory: Path, lottery: str, key: Path | None, *, as_json: bool) -> None:
    """Compute each draw in the journal again. Exit 1 if one came to something else."""
    row, _ = _find(directory, lottery)
    if not row.seed:
        raise Refusal(f"lottery {lottery} was not approved: there is nothing to audit")
    opened = lotteries.open_seed(open_vault(directory, key), row)
    told = recompute(directory, row, opened)
    if as_json:
        echo_json(told)
    else:
        click.echo(f"{told['draws']} draws computed again, {len(told['faults'])} differ")
        for prize, count in told["prizes"].items():
            click.echo(f"  {prize}: {count}")
        for fault in told["faults"]:
            click.echo(f"  {fault}")
    if told["faults"]:
        raise click.exceptions.Exit(REFUSED)


def recompute(directory: Path, lottery: Lottery, opened: bytes) -> dict[str, Any]:
    """Compute every draw of a lottery from its seed, and compare it with the journal.

    Args:
        directory: the data directory.
        lottery: approved.
        opened: its seed.

    Returns:
        ``draws``, ``prizes`` (times each was drawn, reversals not counted), ``faults`` (sentences).
    """
    faults: list[str] = []
    if hashlib.sha256(opened).hexdigest() != lottery.seed_hash:
        faults.append("the seed is not the one whose hash was journaled")
    given: Counter[int] = Counter()
    results: dict[tuple[str, int], int] = {}
    draws = 0
    for _, packed in entries(directory, 1):
        entry = codec.unpack_entry(packed)
        if entry.kind != "draw" or entry.outcome[0] != Reason.APPROVED:
            continue
        fields = fields_of(entry)
        if fields["lottery"] != lottery.id:
            continue
        draws += 1
        wrong = _recomputed(entry, fields, lottery, opened, (given, results))
        if wrong and len(faults) < FAULTS_MAX:
            faults.append(f"entry {entry.sequence}: {wrong}")
    names = [prize[0] for prize in lottery.prizes]
    counted: Counter[str] = Counter()
    for place in results.values():
        counted[lotteries.NOTHING if place == NO_PRIZE else names[place]] += 1
    return {"draws": draws, "prizes": dict(sorted(counted.items())), "faults": faults}


def _recomputed(
    entry: Entry,
    fields: dict[str, Any],
    lottery: Lottery,
    opened: bytes,
    so_far: tuple[Counter[int], dict[tuple[str, int], int]],
) -> str:
    """What is wrong with a draw, empty for nothing; notes what it came to."""
    given, results = so_far
    member = entry.outcome[1]
    k, place = dict(entry.outcome[3])["draw"]
    ticket = lotteries.ticket(opened, lottery.id, member, k)
    if fields["k"] != k or fields["ticket"] != ticket:
        return f"draw {k} was not decided by the seed"
    if (member, k) in results:
        return "" if results[member, k] == place else f"draw {k} came to something else before"
    wanted = lotteries.drawn(lottery.prizes, ticket)
    while 0 <= wanted < len(lottery.prizes):
        stock = lottery.prizes[wanted][3]
        if stock < 0 or given[wanted] < stock:
            given[wanted] += 1
            break
        wanted = wanted + 1 if lottery.passes_on else NO_PRIZE
    else:
        wanted = NO_PRIZE
    results[member, k] = place
    return "" if wanted == place else f"draw {k} should have come to another prize"
