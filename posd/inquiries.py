"""Inquiries: messages that read and change nothing, one function each.

A function gets the message and a draft to read with, in which the member (where one is named) is
found already and the PIN judged. It puts balances and facts into the draft as a rule would, and
returns the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from engine.draft import Draft
from engine.inquiry import holdings
from engine.reasons import Reason
from posd.incoming import Incoming

Inquire: TypeAlias = Callable[[Incoming, Draft], Reason]

ALL_UNITS = "00"
POINTS = "65"


def balance(incoming: Incoming, draft: Draft) -> Reason:
    """What a member has: ``310000`` in all units, ``310065`` points, ``310060`` stored value."""
    found = holdings(draft.read, draft.member, draft.today)
    if incoming.function[4:6] not in {ALL_UNITS, POINTS}:  # stored value, of which there is none
        found = []
    if found and found[0].next_expiry is not None:
        draft.facts = (("next_expiry", found[0].next_expiry),)
    draft.balances = tuple(("points", one.unit, one.available, one.ledger) for one in found)
    return Reason.APPROVED
