"""Operators at the till: who may give money back above an amount.

Where a merchant's terms say so (`refund_pin_above`), a void or refund of more than that amount
needs a supervisor's PIN. Wrong PINs are counted with the entry of the request, so that a repeat
does not count; three in a row lock the operator.
"""

from __future__ import annotations

from typing import Final

from engine import rounding
from engine.commands import Pin
from engine.draft import Draft, PinReasons
from engine.reasons import Reason
from engine.records import ASKED_NEVER, Operator
from engine.tariffs import Tariff
from ledger import schema
from ledger.model import MONEY

SUPERVISOR = "supervisor"

OPERATOR_PIN: Final[PinReasons] = (
    Reason.OPERATOR_LOCKED,
    Reason.OPERATOR_PIN_MISSING,
    Reason.OPERATOR_PIN_WRONG,
)


def approval(
    draft: Draft,
    merchant: str,
    tariff: Tariff | None,
    given_back: tuple[str, int],
    who: tuple[str, int],
) -> Reason | None:
    """Judge whether an operator has approved that value is given back.

    Args:
        draft: the command being decided; a wrong PIN is counted in its rows.
        merchant: whose operator.
        tariff: terms in force; None where there are none, and so no such rule.
        given_back: unit and amount.
        who: the operator's id, empty for none, and the verdict on the PIN that came with it.

    Returns:
        None where it is approved or no approval is needed; else why not.
    """
    if tariff is None or tariff.terms.refund_pin_above == ASKED_NEVER:
        return None
    unit, amount = given_back
    value = amount if unit == MONEY else rounding.value_of_points(amount, tariff.program)
    if value <= tariff.terms.refund_pin_above:
        return None
    operator, pin = who
    if pin == Pin.BAD_BLOCK:
        return Reason.PIN_BLOCK_BAD
    row: Operator | None = draft.read(schema.operator(merchant, operator)) if operator else None
    if row is None or not row.enabled:
        return Reason.OPERATOR_MISSING
    if row.role != SUPERVISOR:
        return Reason.OPERATOR_NOT_ALLOWED
    return draft.count_pin(schema.operator(merchant, operator), row, pin, OPERATOR_PIN)
