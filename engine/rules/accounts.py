"""Administration of single members: what the back office does by hand, with who did it and why.

Each command names the person and the reason, and its entry tells what was before and what is after,
so that the journal is the audit trail. All are idempotent: what is so already is ``UNCHANGED``.

A closed account is empty. What is left in it has to be spent, or is forfeited: points as if they
had run out, stored value likewise (it can be given back), debts are written off.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine import cards, rounding
from engine.commands import Token
from engine.draft import Draft, amended
from engine.ladder import name_on_alias
from engine.points import LOTS_MAX, POINTS_MAX, Purse
from engine.reasons import Reason
from engine.records import Alias, Member, Program
from engine.rules.cards import CARD_KINDS, TOKENS_MAX
from engine.rules.reference import (
    FORGOTTEN,
    UNCLAIMED,
    give_product,
    refuse,
    tell_tokens,
    tier_in_force,
)
from ledger import chart, codec, schema
from ledger.model import MONEY

_EVER = 10**8
"""A day after all expiry days."""


@dataclass(slots=True)
class Former:
    """A phone or token that named a member once: its ciphertext, by which it can be forgotten."""

    sealed: bytes


@dataclass(slots=True)
class Deed:
    """What these commands begin with.

    Attributes:
        member: whose account.
        by: the person who does it.
        why: the reason, for the books.
    """

    member: str
    by: str
    why: str


@dataclass(slots=True)
class UnlockPin(Deed):
    """Forget the wrong PINs."""


@dataclass(slots=True)
class SetPin(Deed):
    """A new PIN, the first or another; `pin` is its keyed digest, empty for none from now on."""

    pin: bytes


@dataclass(slots=True)
class SetState(Deed):
    """Freeze an account (``frozen``), or let it be used again (``active``), a closed one too."""

    state: str


@dataclass(slots=True)
class CloseAccount(Deed):
    """Close an account; `forfeit` gives up what is left in it."""

    forfeit: bool


@dataclass(slots=True)
class GrantTier(Deed):
    """The tier that the operator gives; a higher one that is earned stays in force."""

    tier: str


@dataclass(slots=True)
class ChangeTokens(Deed):
    """Cards, phones and tokens that name a member no longer, and those that do from now on.

    Attributes:
        removed, added: kinds and digests.
        sealed: ciphertexts of those added; `covers`: of cards, see `engine.cards.cover_of`.
    """

    removed: tuple[Token, ...]
    added: tuple[Token, ...]
    sealed: tuple[bytes, ...]
    covers: tuple[str, ...]


@dataclass(slots=True)
class SetCard(Deed):
    """Block a card as lost (``lost``), or use it again after it was found (``active``)."""

    card: bytes
    state: str


def member_of(command: Deed, draft: Draft) -> Member | None:
    """The member's row; None, and a sentence, where there is none."""
    row: Member | None = draft.read(schema.named(schema.MEMBER, command.member))
    draft.member = command.member
    if row is None:
        refuse(draft, f"member {command.member} is not registered")
    return row


def _usable(command: Deed, draft: Draft) -> Member | None:
    """The row of a member who was not forgotten; else None, and a sentence."""
    row = member_of(command, draft)
    if row is not None and row.state == FORGOTTEN:
        refuse(draft, f"member {row.id} was forgotten: that account is never used again")
        return None
    return row


def store(draft: Draft, row: Member, before: str, after: str) -> Reason:
    """Keep a member's row with the next revision, and tell what it was and is."""
    key = schema.named(schema.MEMBER, row.id)
    draft.rows[key] = amended(row, revision=row.revision + 1)
    draft.facts = (*draft.facts, ("before", before), ("after", after))
    return Reason.APPROVED


def unlock_pin(command: UnlockPin, draft: Draft) -> Reason:
    """Let a member try again."""
    row = _usable(command, draft)
    if row is None:
        return Reason.REFUSED
    if not row.pin_failures:
        return Reason.UNCHANGED
    before = f"{row.pin_failures} wrong PINs"
    return store(draft, amended(row, pin_failures=0), before, "0 wrong PINs")


def set_pin(command: SetPin, draft: Draft) -> Reason:
    """Give a member a PIN, or take it away."""
    row = _usable(command, draft)
    if row is None:
        return Reason.REFUSED
    if row.pin == command.pin and not row.pin_failures:
        return Reason.UNCHANGED
    words = ["a PIN" if pin else "no PIN" for pin in (row.pin, command.pin)]
    return store(draft, amended(row, pin=command.pin, pin_failures=0), words[0], words[1])


def set_state(command: SetState, draft: Draft) -> Reason:
    """Freeze or release an account and all that names it."""
    row = _usable(command, draft)
    if row is None:
        return Reason.REFUSED
    if command.state not in {"active", "frozen"}:
        return refuse(draft, "an account is made active or frozen; closing it is another command")
    if row.state == command.state:
        return Reason.UNCHANGED
    tell_tokens(draft, row, command.state, row.tier)
    return store(draft, amended(row, state=command.state), row.state, command.state)


def grant_tier(command: GrantTier, draft: Draft) -> Reason:
    """Grant a tier beside the one that is earned."""
    row = _usable(command, draft)
    if row is None:
        return Reason.REFUSED
    if row.granted == command.tier:
        return Reason.UNCHANGED
    tier = tier_in_force(draft, row, command.tier)
    tell_tokens(draft, row, row.state, tier)
    return store(draft, amended(row, granted=command.tier, tier=tier), row.tier, tier)


def set_card(command: SetCard, draft: Draft) -> Reason:
    """Block a card, or let one that was found be used again."""
    row = _usable(command, draft)
    if row is None:
        return Reason.REFUSED
    key = schema.alias("C", command.card)
    alias: Alias | None = draft.newest(key)
    if alias is None or alias.member != row.id:
        return refuse(draft, "the card is not the member's")
    if command.state == "lost" and alias.state in {"active", "frozen"}:
        state = "lost"
    elif command.state == "active" and alias.state == "lost":
        if draft.read(schema.replacement(command.card)) is not None:
            return refuse(draft, "the card was replaced: it stays blocked")
        state = row.state
    elif alias.state == command.state:
        return Reason.UNCHANGED
    else:
        return refuse(draft, f"the card is {alias.state}")
    draft.rows[key] = amended(alias, state=state)
    draft.facts = (("before", alias.state), ("after", state))
    return Reason.APPROVED


def change_tokens(command: ChangeTokens, draft: Draft) -> Reason:
    """Take names away from a member and give it others, all of them or none."""
    row = _usable(command, draft)
    if row is None:
        return Reason.REFUSED
    tokens = list(row.tokens)
    for token in command.removed:
        why = _remove(draft, row, token, tokens)
        if why:
            return _refuse_all(draft, why)
    for token, sealed, cover in zip(command.added, command.sealed, command.covers, strict=True):
        why = _add(draft, row, token, (sealed, cover))
        if why:
            return _refuse_all(draft, why)
        if token not in tokens:
            tokens.append(token)
    if len(tokens) > TOKENS_MAX:
        return _refuse_all(draft, f"a member has at most {TOKENS_MAX} cards, phones and tokens")
    former = _keep_former(draft, row, tokens)
    if len(former) > TOKENS_MAX:
        return _refuse_all(draft, f"a member has at most {TOKENS_MAX} former phones and tokens")
    if not draft.rows:
        return Reason.UNCHANGED
    before, after = len(row.tokens), len(tokens)
    row = amended(row, tokens=tuple(tokens), former=former)
    return store(draft, row, f"{before} names", f"{after} names")


def _keep_former(draft: Draft, row: Member, tokens: list[Token]) -> tuple[Token, ...]:
    """Keep what names a member no longer for when it is forgotten, and let go what came back."""
    gone = [token for token in row.tokens if token not in tokens]
    for token in gone:
        alias: Alias = draft.read(schema.alias(*token))
        draft.rows[schema.former(row.id, *token)] = Former(alias.sealed)
    back = [token for token in row.former if token in tokens]
    for token in back:
        draft.rows[schema.former(row.id, *token)] = None
    return (*(token for token in row.former if token not in back), *gone)


def _refuse_all(draft: Draft, why: str) -> Reason:
    draft.rows.clear()
    return refuse(draft, why)


def _remove(draft: Draft, row: Member, token: Token, tokens: list[Token]) -> str:
    """Remove a token; a card goes on naming the member for refunds, another token is free again."""
    key = schema.alias(*token)
    alias: Alias | None = draft.read(key)
    if alias is None or alias.member != row.id:
        return "" if alias is None else "a card, phone or token to remove is another member's"
    if token[0] not in CARD_KINDS:
        draft.rows[key] = None
        tokens.remove(token)
    elif alias.state in {"active", "frozen", "lost", "closed"}:
        draft.rows[key] = amended(alias, state="removed")
    return ""


def _add(draft: Draft, row: Member, token: Token, kept: tuple[bytes, str]) -> str:
    """Add a token, or take a removed one up again; returns why that cannot be."""
    sealed, cover = kept
    key = schema.alias(*token)
    alias: Alias | None = draft.newest(key)
    if alias is not None and alias.member == row.id and alias.state != "issued":
        if alias.state == "removed":
            draft.rows[key] = amended(alias, state=row.state)
        return ""
    bad, its_own, product = cards.claim(draft.newest, token, cover)
    if bad is not None:
        return UNCLAIMED[bad].replace(" of this line", "")
    draft.rows[key] = Alias(row.id, row.state, its_own or sealed, name_on_alias(row.tier))
    give_product(draft, row.id, product)
    return ""


# Closing.


def close_account(command: CloseAccount, draft: Draft) -> Reason:
    """Close an empty account, or one whose rest is forfeited."""
    row = _usable(command, draft)
    if row is None:
        return Reason.REFUSED
    if row.state == "closed":
        return Reason.UNCHANGED
    purses = [draft.purse(row.id, program) for program in row.programs]
    wallet = draft.wallet(row.id)
    if any(purse.holds for purse in purses) or wallet.held(draft.at):
        return refuse(draft, "something is held for the member: wait until it is released")
    if wallet.balance < 0:
        return refuse(draft, "the member owes stored value: adjust it first")
    if not command.forfeit and (wallet.balance or not all(purse.empty for purse in purses)):
        return refuse(draft, "the account is not empty: let it be spent, or forfeit what is left")
    for purse in purses:
        _forfeit(draft, purse)
    if wallet.balance:
        amount = wallet.balance
        wallet.move(-amount)
        draft.post(chart.value_expired(row.id), MONEY, amount)
    tell_tokens(draft, row, "closed", row.tier)
    return store(draft, amended(row, state="closed"), row.state, "closed")


def _forfeit(draft: Draft, purse: Purse) -> None:
    """Take all points as if they had run out, and write debts off (``accounting.md``)."""
    program: Program = draft.read(schema.named(schema.PROGRAM, purse.program))
    by_issuer: dict[str, int] = {}
    purse.ripen(_EVER)
    while taken := purse.lapse(_EVER, LOTS_MAX):
        for _, issuer, part in taken:
            by_issuer[issuer] = by_issuer.get(issuer, 0) + part
    for issuer, part in by_issuer.items():
        draft.post(chart.expired(program.id, issuer), program.id, part)
    if by_issuer and program.settled:
        value = rounding.fund_value(sum(by_issuer.values()), program)
        draft.post(chart.fund(program.id), MONEY, -value)
        draft.post(chart.breakage("points"), MONEY, value)
    written_off = purse.forgive(POINTS_MAX)
    if written_off:
        draft.post(chart.adjusted(program.id), program.id, -written_off)
        if program.settled:
            value = rounding.fund_value(written_off, program)
            draft.post(chart.margin(program.id), MONEY, -value)
            draft.post(chart.fund(program.id), MONEY, value)


codec.register(schema.FORMER, Former, sealed=("sealed",))
