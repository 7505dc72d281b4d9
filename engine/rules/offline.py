"""Offline accrual: a terminal tells afterwards of a sale that it made while it had no link.

The points are given by the rules of the local day of the sale: terms, rates, expiry; the legs stand
on the business date now open. Limits of a day or month count it only where that is the one now
open: counters of the past are not touched (`engine.limits`).

How old a sale may be, and how many such advices of a terminal are taken on a day, stands in the
calendar. Nothing is ever redeemed offline.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.commands import Request, Token
from engine.draft import Draft
from engine.reasons import Reason
from engine.records import CALENDAR, Advices, Calendar
from engine.rules.points import Accrual, earn
from engine.terms import DAY_MS, local_ms
from ledger import schema

AHEAD_MS_MAX = 60_000
"""How far a terminal's clock may be ahead of the host's."""


@dataclass(slots=True)
class OfflineAccrual(Request):
    """Points for a sale made offline.

    Attributes:
        tokens: what names the member.
        amount: the sale in fen.
        sold_at: local time of the sale by the terminal's clock, YYYYMMDDhhmmss.
    """

    tokens: tuple[Token, ...]
    amount: int
    sold_at: int


def accrue_offline(command: OfflineAccrual, draft: Draft) -> Reason:
    """Earn points by the terms that were in force when the sale was made."""
    calendar: Calendar = draft.read(CALENDAR)
    sold, clock = divmod(command.sold_at, 1_000_000)
    minutes = clock // 10_000 * 60 + clock // 100 % 100
    sold_ms = local_ms(sold, minutes, calendar.zone) + clock % 100 * 1000
    if sold_ms > draft.at + AHEAD_MS_MAX:
        return Reason.SALE_IN_FUTURE
    if sold_ms < draft.at - calendar.offline_days * DAY_MS:
        return Reason.SALE_TOO_OLD
    bad = draft.find_member(command.tokens)
    if bad is not None:
        return bad
    day = min(sold, draft.today)
    tariff = draft.tariffs.of_day(command.merchant, "", day, draft.date)
    if tariff is None:
        return Reason.NO_TERMS
    draft.versions = tariff.versions
    if tariff.available_from <= draft.today:
        tariff.available_from = 0  # their day came before the advice; the tariff is nobody else's
    if command.amount <= 0:
        return Reason.AMOUNT_ZERO
    place = schema.terminal(schema.OFFLINE, command.terminal)
    taken: Advices | None = draft.read(place)
    count = taken.count if taken is not None and taken.day == draft.today else 0
    if count >= calendar.offline_daily:
        return Reason.TOO_MANY_ADVICES
    reason = earn(_as_sale(command), draft, tariff)
    if reason is Reason.APPROVED:
        draft.rows[place] = Advices(draft.today, count + 1)
    return reason


def _as_sale(command: OfflineAccrual) -> Accrual:
    return Accrual(
        command.terminal,
        command.merchant,
        command.batch,
        command.stan,
        command.content,
        command.function,
        command.tokens,
        command.amount,
    )
