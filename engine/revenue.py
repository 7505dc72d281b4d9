"""Revenue share: what others get of the operator's margin and of fees (``accounting.md``).

A merchant's terms name the parties and their parts: an alliance lead, a channel, the merchant
itself, or `ISSUER`, the merchants that issued the points that were spent. Whatever posts a margin
under a merchant's terms posts it by `post_margin`. A share is a set of legs of its own, right
behind those that it is a part of, so that an undo and the parts of a refund take it along. Nothing
is shared of a margin below zero.
"""

from __future__ import annotations

from typing import Final

from engine import rounding
from engine.draft import Draft
from engine.records import Lot, Parts, Terms
from ledger import chart, schema
from ledger.model import MONEY, Account

ISSUER: Final = "issuer"
"""Stands for the issuers of the points that were spent, as far as they are merchants."""


def post_margin(
    draft: Draft, terms: Terms, account: Account, amount: int, spent: list[Lot] | None = None
) -> None:
    """Post a margin, the last leg of its set, and what others get of it by the terms.

    Args:
        draft: takes the legs.
        terms: of the merchant by whose terms the transaction goes.
        account: the margin of the program.
        amount: in fen, of either sign.
        spent: see `post_share`.
    """
    draft.post(account, MONEY, amount)
    if terms.margin_share:
        post_share(draft, terms.margin_share, account, amount, spent)


def post_share(
    draft: Draft, parts: Parts, account: Account, amount: int, spent: list[Lot] | None = None
) -> None:
    """Post what parties get of an amount that the operator has earned; it keeps what is left.

    Args:
        draft: takes the legs.
        parts: who gets which part.
        account: the operator's, to which the amount was credited.
        amount: in fen.
        spent: the lots that were spent, by whose points `ISSUER` is divided; None for none.
    """
    if amount <= 0:
        return
    given = 0
    for party, share in rounding.divided(amount, parts):
        if party == ISSUER:
            given += _pay_issuers(draft, share, spent or [])
        else:
            draft.post(chart.position(party, draft.date), MONEY, share)
            given += share
    draft.post(account, MONEY, -given)


def _pay_issuers(draft: Draft, share: int, spent: list[Lot]) -> int:
    """Divide a share among the issuers of points; what falls to others than merchants is kept."""
    by_issuer: dict[str, int] = {}
    for _, issuer, points in spent:
        by_issuer[issuer] = by_issuer.get(issuer, 0) + points
    given = 0
    parts = rounding.shared(share, by_issuer) if by_issuer else {}
    for issuer, part in sorted(parts.items()):
        if part and draft.read(schema.named(schema.MERCHANT, issuer)) is not None:
            draft.post(chart.position(issuer, draft.date), MONEY, part)
            given += part
    return given
