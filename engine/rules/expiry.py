"""Expiry of points: what nobody used in time goes to breakage (``accounting.md``).

A lot cannot be used from the day after its expiry on, by the local date of the command that wants
it. Its points stay in the member's ledger balance until the sweep takes them, in the business date
then open: one entry for a member and program, of at most `LOTS_MAX` lots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine import rounding
from engine.draft import Draft
from engine.points import LOTS_MAX
from engine.reasons import Reason
from engine.records import Points, Program
from engine.rules.refund import post_breakage
from ledger import chart, schema
from ledger.model import MONEY


@dataclass(slots=True)
class ExpirePoints:
    """Take a member's lots in a program whose day has passed."""

    member: str
    program: str


def expire_points(command: ExpirePoints, draft: Draft) -> Reason:
    """Take lots whose day has passed; their value leaves the fund for breakage."""
    purse = draft.purse(command.member, command.program)
    taken = purse.lapse(draft.today, LOTS_MAX)
    if not taken:
        return Reason.UNCHANGED
    draft.member = command.member
    by_issuer: dict[str, int] = {}
    for _, issuer, part in taken:
        by_issuer[issuer] = by_issuer.get(issuer, 0) + part
    for issuer, part in by_issuer.items():
        draft.post(chart.expired(command.program, issuer), command.program, part)
    points = sum(by_issuer.values())
    program: Program = draft.read(schema.named(schema.PROGRAM, command.program))
    post_breakage(draft, program, points)
    if program.settled and program.breakage_share[0]:
        _share(draft, program, rounding.fund_value(points, program), by_issuer)
    draft.versions = (program.revision,)
    draft.show(purse)
    draft.facts = (("moved", f"-{points}"),)
    return Reason.APPROVED


def _share(draft: Draft, program: Program, value: int, by_issuer: dict[str, int]) -> None:
    """Pay the issuers of expired points their part of the value, in proportion to the points.

    What falls to issuers that are no merchants (opening balances) stays with the operator.
    """
    total = rounding.floor_ratio(value, program.breakage_share)
    for issuer, part in sorted(rounding.shared(total, by_issuer).items()):
        if part and draft.read(schema.named(schema.MERCHANT, issuer)) is not None:
            draft.post(chart.breakage("points"), MONEY, -part)
            draft.post(chart.position(issuer, draft.date), MONEY, part)


def lapsed(key: bytes, row: Points, today: int, _at: int) -> Iterator[ExpirePoints]:
    """The commands that take what has run out of a points record: one, and one a full chunk."""
    chunks = sum(chunk[0] < today for chunk in row.chunks)
    waiting = any(one[1] < today for one in row.pending)
    if chunks or waiting or (row.lots and row.lots[0][0] < today):
        command = ExpirePoints(*schema.points_parts(key))
        for _ in range(1 + chunks):
            yield command
