"""Inquiries: messages that read and change nothing, one function each.

A function gets the message and a draft to read with, in which the member (where one is named) is
found already and the PIN judged. It puts balances and facts into the draft as a rule would, and
returns the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from engine.batches import Lines
from engine.draft import Draft
from engine.inquiry import holdings, merchant_day, statement, terminal_day
from engine.reasons import Reason
from engine.rules.coupon_inquiry import look
from engine.rules.exchange import rate_in_force
from posd.incoming import Incoming, Malformed, coupon_named, program_named

Inquire: TypeAlias = Callable[[Incoming, Draft], Reason]

ALL = "310000"
OF_TERMINAL, OF_MERCHANT = "380000", "380001"
PRIVATE = 60
AMOUNT = 4
STATEMENT = "03"
"""Message type (60.1) that asks for a mini-statement."""
_KINDS = {"65": "points", "60": "value"}
"""Accounts that an inquiry is about; another one stands for all."""


def balance(incoming: Incoming, draft: Draft) -> Reason:
    """What a member has: ``310000`` in all units, ``310065`` points, ``310060`` stored value.

    ``310000`` with 60.1 = 03 also tells the last movements of points.
    """
    found = holdings(draft.read, draft.member, draft.at, draft.today)
    wanted = _KINDS.get(incoming.function[4:6])
    if wanted is not None:
        found = [one for one in found if one.kind == wanted]
    points = [one for one in found if one.kind == "points"]
    if points and points[0].next_expiry is not None:
        draft.facts = (("next_expiry", points[0].next_expiry),)
    if incoming.function == ALL and incoming.fields[PRIVATE][:2] == STATEMENT:
        draft.facts = (*draft.facts, ("statement", statement(draft.read, draft.member)))
    draft.balances = tuple((one.kind, one.unit, one.available, one.ledger) for one in found)
    return Reason.APPROVED


def day_totals(incoming: Incoming, draft: Draft) -> Reason:
    """What a terminal, or a whole merchant, has counted on the open business date."""
    if incoming.function == OF_TERMINAL:
        lines: Lines | None = terminal_day(draft.read, incoming.terminal, draft.date, draft.at)
    elif incoming.function == OF_MERCHANT:
        lines = merchant_day(draft.read, incoming.merchant, draft.date, draft.at)
    else:
        return Reason.FUNCTION_UNKNOWN
    if lines is None:
        return Reason.TOO_MANY_TERMINALS
    draft.facts = (("totals", lines),)
    return Reason.APPROVED


def rate(incoming: Incoming, draft: Draft) -> Reason:
    """At which rate points of the unit in field 49 are exchanged today for those of element 49."""
    target = incoming.tlv.get("49")
    if target is None:
        raise Malformed("target unit missing")
    found = rate_in_force(draft, incoming.unit(), program_named(target))
    if found is None:
        return Reason.NO_RATE
    draft.facts = (("rate", found),)
    return Reason.APPROVED


def coupon(incoming: Incoming, draft: Draft) -> Reason:
    """What a coupon is, and what it would take off the sale in field 4."""
    sale = int(incoming.fields[AMOUNT]) if AMOUNT in incoming.fields else -1
    pieces = incoming.tlv.get("15", b"0")
    if not pieces.isdigit():
        raise Malformed("a quantity is digits")
    return look(draft, coupon_named(incoming), incoming.merchant, sale, int(pieces[:9]))
