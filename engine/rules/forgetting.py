"""Forgetting a person: the account stays, as a number without a person.

The books are for ever, so their entries, balances and totals go on naming the member by its id.
What leads from a card, phone, token or identity number to that id is destroyed in the key file
(`engine.persons`), which no rule sees. So there are two commands, and the destruction is between
them: `ForgetMember` says that a closed account is never used again, and leaves in place what the
destruction needs; `DropNames` removes that afterwards. Interrupted anywhere, both can be given
again.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.records import Alias, HotCards, Member
from engine.rules.accounts import Deed, member_of, store
from engine.rules.reference import FORGOTTEN, refuse
from ledger import schema


@dataclass(slots=True)
class ForgetMember(Deed):
    """A closed account is never to be used, opened or named again."""


@dataclass(slots=True)
class DropNames(Deed):
    """The names of a forgotten member, and its PIN, are removed: they lead nowhere any more."""


def forget_member(command: ForgetMember, draft: Draft) -> Reason:
    """Say of a closed account that it is forgotten, and take its cards off the terminals' list."""
    row = member_of(command, draft)
    if row is None:
        return Reason.REFUSED
    if row.state == FORGOTTEN:
        return Reason.UNCHANGED
    if row.state != "closed":
        return refuse(draft, f"the account is {row.state}: close it first, then forget it")
    hot: HotCards | None = draft.read(schema.HOT_CARDS_KEY)
    if hot is not None:
        left = tuple(card for card in hot.cards if ("C", card) not in row.tokens)
        if left != hot.cards:
            draft.rows[schema.HOT_CARDS_KEY] = HotCards(hot.number + 1, left)
    return store(draft, amended(row, state=FORGOTTEN), row.state, FORGOTTEN)


def drop_names(command: DropNames, draft: Draft) -> Reason:
    """Remove what named a forgotten member."""
    row = member_of(command, draft)
    if row is None:
        return Reason.REFUSED
    if row.state != FORGOTTEN:
        return refuse(draft, f"the account is {row.state}, not forgotten")
    if not (row.tokens or row.former or row.pin):
        return Reason.UNCHANGED
    for kind, name in row.tokens:
        place = schema.alias(kind, name)
        alias: Alias | None = draft.read(place)
        if alias is not None and alias.member == row.id:
            draft.rows[place] = None
        place = schema.replacement(name)
        if kind == "C" and draft.read(place) is not None:
            draft.rows[place] = None
    for kind, name in row.former:
        draft.rows[schema.former(row.id, kind, name)] = None
    count = len(row.tokens) + len(row.former)
    bare: Member = amended(row, tokens=(), former=(), pin=b"", pin_failures=0)
    return store(draft, bare, f"{count} names", "0 names")
