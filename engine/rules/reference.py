"""Administration: programs, institutions, merchants, terminals, members, opening balances.

Each command carries a whole row as the operator wants it, and is idempotent: a row that is there
already is ``UNCHANGED`` and leaves no entry. A row that contradicts what is there, or what a
promise forbids to change, is ``REFUSED`` with a sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, get_args

from engine import cards, revenue, rounding
from engine.commands import Token
from engine.draft import Draft, amended
from engine.earning import OPERATOR
from engine.ladder import LADDER, Standing, in_force, name_on_alias
from engine.points import POINTS_MAX, Purse
from engine.reasons import Reason
from engine.records import (
    ASKED_NEVER,
    BASE,
    CALENDAR,
    NO_KEYS,
    SITE_TERMINALS_MAX,
    Alias,
    Calendar,
    Institution,
    Keys,
    Member,
    Merchant,
    Opening,
    Placed,
    Program,
    Ratio,
    Site,
    Store,
    Terminal,
    Terms,
    Value,
)
from engine.settlement import KEPT, Version
from engine.terms import add_days, spoken
from engine.value import VALUE_MAX
from ledger import chart, codec, schema
from ledger.model import MONEY, values_of

FORGOTTEN = "forgotten"
"""The state of an account whose member was forgotten, see `engine.rules.forgetting`."""


@dataclass(slots=True)
class PutProgram:
    """A program; see `engine.records.Program`."""

    id: str
    name: str
    points_per_yuan: int
    expiry: str
    settled: bool
    after_expiry: str
    grace_days: int
    clawback: str
    phone_spends: bool
    pin_above: int = ASKED_NEVER
    breakage_share: Ratio = (0, 1)


@dataclass(slots=True)
class PutInstitution:
    """An institution."""

    id: str
    name: str


TermsRow: TypeAlias = tuple[
    int,
    str,
    Ratio,
    Ratio,
    Ratio,
    int,
    int,
    int,
    int,
    bool,
    int,
    int,
    int,
    tuple[tuple[str, Ratio], ...],
    int,
    int,
    Ratio,
    int,
    tuple[tuple[str, Ratio], ...],
    tuple[tuple[str, Ratio], ...],
    int,
    tuple[tuple[int, int], ...],
]
"""The fields of `engine.records.Terms`, in order: the daemon judges what it is sent by this."""

if len(get_args(TermsRow)) != len(fields(Terms)):
    raise ImportError("TermsRow has not as many fields as Terms")


@dataclass(slots=True)
class PutMerchant:
    """A merchant with its terms, each as the fields of `engine.records.Terms`."""

    id: str
    name: str
    institution: str
    category: str
    terms: tuple[TermsRow, ...]
    enabled: bool
    operators: bool = False


@dataclass(slots=True)
class PutStore:
    """A store of a merchant."""

    id: str
    merchant: str
    name: str


@dataclass(slots=True)
class PutTerminal:
    """A terminal; its master key comes sealed. See `engine.records.Terminal`."""

    id: str
    merchant: str
    profile: str
    tmk: bytes
    tmk_check: str
    charset: str
    networks: tuple[str, ...]
    serial: bytes
    role: str
    enabled: bool
    store: str = ""

    def values(self) -> tuple[Any, ...]:
        """The fields in order, a store only where there is one, as in journals from before."""
        said = tuple([getattr(self, name) for name in _OF_TERMINAL])
        return said if self.store else said[:-1]


_OF_TERMINAL = tuple([field.name for field in fields(PutTerminal)])


@dataclass(slots=True)
class PutMember:
    """A member with the tokens that name it.

    Attributes:
        tier, state: empty to leave them as they are; a new member is `BASE` and ``active``.
        tokens: kinds and digests.
        sealed: the tokens' ciphertexts, in the same order.
        pin: keyed digest of the PIN, empty to leave it as it is.
        covers: of each card number, in the order of the tokens, see `engine.cards.cover_of`.
    """

    id: str
    tier: str
    state: str
    pin: bytes
    tokens: tuple[Token, ...]
    sealed: tuple[bytes, ...]
    covers: tuple[str, ...] = ()


@dataclass(slots=True)
class OpeningBalance:
    """Points or value from before this ledger, posted once for (member, unit, expiry)."""

    member: str
    unit: str
    amount: int
    expiry: int


@dataclass(slots=True)
class SetCalendar:
    """The operator's time zone, cut-off, first business date, and limits in days.

    See `engine.records.Calendar`.
    """

    date: int
    cutoff_minutes: int
    zone: str
    batch_days: int
    offline_days: int
    offline_daily: int


@dataclass(slots=True)
class CutOff:
    """The end of a business date; `automatic` when the machine wrote it as its hour had passed."""

    date: int
    automatic: bool


@dataclass(slots=True)
class Opened:
    """The ledger was opened for writing: which time, by which version of the software."""

    epoch: int
    version: str


_ENROLLED = re.compile(r"E\d{10}", re.ASCII).fullmatch
"""Ids that `engine.rules.members.enrol` makes; a member loaded under one would stand in its way."""


def party_known(draft: Draft, party: str) -> bool:
    """True for whoever may have a position, and for the operator."""
    if party == OPERATOR:
        return True
    tables = (schema.MERCHANT, schema.INSTITUTION, schema.PAYEE)
    return any(draft.read(schema.named(table, party)) is not None for table in tables)


def refuse(draft: Draft, text: str) -> Reason:
    """Refuse an administration command with a sentence."""
    draft.facts = (("text", text),)
    return Reason.REFUSED


def is_closed(draft: Draft, member: str) -> bool:
    """True for a registered member whose account is closed, or was forgotten."""
    row: Member | None = draft.read(schema.named(schema.MEMBER, member))
    return row is not None and row.state in {"closed", FORGOTTEN}


def replace_row(draft: Draft, key: bytes, row: Any, old: Any) -> Reason:
    """Store a row with the next revision unless it says what is there already."""
    if old is not None:
        row = amended(row, revision=old.revision)
        if row == old:
            return Reason.UNCHANGED
        row = amended(row, revision=old.revision + 1)
    draft.rows[key] = row
    if key[0] in KEPT:
        draft.rows[schema.version(key, draft.sequence)] = Version(codec.pack_record(row))
    return Reason.APPROVED


def put_program(command: PutProgram, draft: Draft) -> Reason:
    """Register or change a program; the value of its points is fixed for life."""
    key = schema.named(schema.PROGRAM, command.id)
    old: Program | None = draft.read(key)
    if old is not None and old.points_per_yuan != command.points_per_yuan:
        return refuse(draft, "points_per_yuan of a program cannot change once it is registered")
    if old is not None and old.settled != command.settled:
        return refuse(draft, "settled of a program cannot change once it is registered")
    return replace_row(draft, key, Program(*[*values_of(command), 1]), old)


def put_institution(command: PutInstitution, draft: Draft) -> Reason:
    """Register or change an institution."""
    key = schema.named(schema.INSTITUTION, command.id)
    return replace_row(draft, key, Institution(command.id, command.name, 1), draft.read(key))


def put_merchant(command: PutMerchant, draft: Draft) -> Reason:
    """Register or change a merchant; its institution and programs must be there."""
    if draft.read(schema.named(schema.INSTITUTION, command.institution)) is None:
        return refuse(draft, f"institution {command.institution} is not registered; load it first")
    told: tuple[Any, ...] = command.terms  # those of an old journal have fewer fields
    terms = tuple(sorted((Terms(*row) for row in told), key=lambda row: row.since))
    for row in terms:
        if draft.read(schema.named(schema.PROGRAM, row.program)) is None:
            return refuse(draft, f"program {row.program} is not registered; load it first")
        for party, _ in (*row.margin_share, *row.fee_share):
            if party in {command.id, revenue.ISSUER}:
                continue
            if party == OPERATOR or not party_known(draft, party):
                return refuse(draft, f"party {party} is not registered; load it first")
    key = schema.named(schema.MERCHANT, command.id)
    merchant = Merchant(
        command.id,
        command.name,
        command.institution,
        command.category,
        terms,
        command.enabled,
        1,
        command.operators,
    )
    return replace_row(draft, key, merchant, draft.read(key))


def put_store(command: PutStore, draft: Draft) -> Reason:
    """Register a store, or change its name; its merchant must be there and stays."""
    if draft.read(schema.named(schema.MERCHANT, command.merchant)) is None:
        return refuse(draft, f"merchant {command.merchant} is not registered; load it first")
    key = schema.named(schema.STORE, command.id)
    old: Store | None = draft.read(key)
    if old is not None and old.merchant != command.merchant:
        return refuse(
            draft, f"store {command.id} is of merchant {old.merchant}, which cannot change"
        )
    return replace_row(draft, key, Store(command.id, command.merchant, command.name, 1), old)


def put_terminal(command: PutTerminal, draft: Draft) -> Reason:
    """Register or change a terminal; a new master key cancels the key sets in use."""
    if draft.read(schema.named(schema.MERCHANT, command.merchant)) is None:
        return refuse(draft, f"merchant {command.merchant} is not registered; load it first")
    if command.store:
        store: Store | None = draft.read(schema.named(schema.STORE, command.store))
        if store is None:
            return refuse(draft, f"store {command.store} is not registered; load it first")
        if store.merchant != command.merchant:
            return refuse(
                draft,
                f"store {command.store} is of merchant {store.merchant}, not of the terminal's",
            )
    key = schema.terminal(schema.TERMINAL, command.id)
    old: Terminal | None = draft.read(key)
    if old is None or old.merchant != command.merchant:
        _join_site(draft, command.merchant, command.id)
    locked = old is not None and old.locked
    said = [getattr(command, name) for name in _OF_TERMINAL]
    terminal = Terminal(*[*said[:-1], 1, locked, command.store])
    if command.store != (old.store if old is not None else ""):
        draft.rows[schema.placed(command.id, draft.sequence)] = Placed(command.store)
    if old is not None and (old.tmk_check, old.profile) == (terminal.tmk_check, terminal.profile):
        terminal = amended(terminal, tmk=old.tmk)
    elif old is not None:
        place = schema.terminal(schema.KEYS, command.id)
        keys: Keys = draft.read(place) or NO_KEYS
        draft.rows[place] = Keys(keys.number + 1, False, 0, 0)
    return replace_row(draft, key, terminal, old)


def _join_site(draft: Draft, merchant: str, terminal: str) -> None:
    """Note that a merchant has a terminal; one that comes back is noted again."""
    place = schema.site(merchant, 0)
    first: Site = draft.read(place) or Site((), 0)
    last = first
    if first.chunks:
        last = draft.read(schema.site(merchant, first.chunks))
    if len(last.terminals) < SITE_TERMINALS_MAX:
        row = Site((*last.terminals, terminal), last.chunks)
        draft.rows[schema.site(merchant, first.chunks)] = row
        return
    draft.rows[place] = Site(first.terminals, first.chunks + 1)
    draft.rows[schema.site(merchant, first.chunks + 1)] = Site((terminal,), 0)


def put_member(command: PutMember, draft: Draft) -> Reason:
    """Register or change a member; tokens are added, never taken from another member."""
    key = schema.named(schema.MEMBER, command.id)
    old: Member | None = draft.read(key)
    if old is not None and old.state == FORGOTTEN:
        return refuse(draft, f"member {command.id} was forgotten: choose another id")
    tokens = list(old.tokens) if old is not None else []
    granted = command.tier or (old.granted if old is not None else BASE)
    state = command.state or (old.state if old is not None else "active")
    tier = granted if old is None else tier_in_force(draft, old, granted)
    covers = command.covers or ("",) * len(command.tokens)
    product = ""
    for token, sealed, cover in zip(command.tokens, command.sealed, covers, strict=True):
        place = schema.alias(*token)
        alias: Alias | None = draft.read(place)
        if alias is None or alias.member != command.id:
            bad, its_own, of = cards.claim(draft.read, token, cover)
            if bad is not None:
                draft.rows.clear()
                return refuse(draft, UNCLAIMED[bad])
            draft.rows[place] = Alias(command.id, state, its_own or sealed, name_on_alias(tier))
            product = product or of
        if token not in tokens:
            tokens.append(token)
    give_product(draft, command.id, product)
    if old is None:
        if _ENROLLED(command.id):
            draft.rows.clear()
            return refuse(draft, "ids of E and ten digits are given at enrolment; choose another")
        draft.member = command.id
        draft.rows[key] = Member(
            command.id, tier, state, command.pin, 0, tuple(tokens), (), 1, granted
        )
        return Reason.APPROVED
    if state == "closed" != old.state and not _is_empty(draft, old):
        draft.rows.clear()
        return refuse(draft, "the account is not empty: close it with counterfoil member close")
    new_pin = bool(command.pin) and command.pin != old.pin
    row = amended(
        old,
        tier=tier,
        granted=granted,
        state=state,
        tokens=tuple(tokens),
        pin=command.pin or old.pin,
        pin_failures=0 if new_pin else old.pin_failures,
    )
    if (state, tier) != (old.state, old.tier):
        tell_tokens(draft, old, state, tier)
    draft.member = command.id
    return replace_row(draft, key, row, old)


UNCLAIMED = {
    Reason.MEMBER_KNOWN: "a card, phone or token of this line names another member",
    Reason.CARD_NOT_IN_STOCK: "a card of this line is of a product with stock and not handed out",
}
"""Why a card cannot come to name a member, in sentences."""


def _is_empty(draft: Draft, member: Member) -> bool:
    """True for a member without points, debts and stored value."""
    value: Value | None = draft.read(schema.named(schema.VALUE, member.id))
    return (value is None or not (value.balance or value.holds)) and all(
        Purse(draft.read, member.id, program).empty for program in member.programs
    )


def give_product(draft: Draft, member: str, product: str) -> None:
    """Let a member's value go by the rules of the first card product that it has a card of."""
    key = schema.named(schema.VALUE, member)
    if product and draft.read(key) is None:
        draft.rows[key] = Value(0, 0, product, (), 0)


def tier_in_force(draft: Draft, member: Member, granted: str) -> str:
    """The tier in force of a member to whom the operator grants one."""
    if granted == member.granted:
        return member.tier
    standing: Standing | None = draft.read(schema.named(schema.STANDING, member.id))
    return in_force(granted, standing.tier if standing else "", draft.read(LADDER))


def tell_tokens(draft: Draft, member: Member, state: str, tier: str) -> None:
    """Write a member's new state and tier into its cards, phones and tokens."""
    for token in member.tokens:
        place = schema.alias(*token)
        known: Alias = draft.read(place)
        own = state if known.state in {"active", member.state} else known.state
        draft.rows[place] = amended(known, state=own, tier=name_on_alias(tier))


def open_balance(command: OpeningBalance, draft: Draft) -> Reason:
    """Post an opening balance of points or stored value once."""
    if draft.read(schema.named(schema.MEMBER, command.member)) is None:
        return refuse(draft, f"member {command.member} is not registered; load it first")
    program: Program | None = draft.read(schema.named(schema.PROGRAM, command.unit))
    if program is None and command.unit != MONEY:
        return refuse(draft, f"unit {command.unit} is not a registered program; load it first")
    key = schema.opening(command.member, command.unit, command.expiry)
    known: Opening | None = draft.read(key)
    if known is not None:
        if known.amount == command.amount:
            return Reason.UNCHANGED
        return refuse(
            draft, f"an opening balance of {known.amount} is posted already and cannot change"
        )
    draft.rows[key] = Opening(command.amount)
    draft.member = command.member
    if program is None:
        return _open_value(command, draft)
    if command.amount:
        purse = draft.purse(command.member, program.id)
        purse.put("opening", command.expiry, command.amount)
        if purse.ledger() > POINTS_MAX:
            return refuse(draft, f"a member cannot have more than {POINTS_MAX} points")
        draft.post(chart.opening_points(program.id, "opening"), program.id, -command.amount)
        if program.settled:
            value = rounding.fund_value(command.amount, program)
            draft.post(chart.fund(program.id), MONEY, value)
            draft.post(chart.OPENING, MONEY, -value)
    return Reason.APPROVED


def _open_value(command: OpeningBalance, draft: Draft) -> Reason:
    wallet = draft.wallet(command.member)
    wallet.move(command.amount)
    wallet.expires = max(wallet.expires, command.expiry)
    if wallet.balance > VALUE_MAX:
        return refuse(draft, f"a member cannot have more than {VALUE_MAX} fen stored")
    draft.post(chart.OPENING, MONEY, -command.amount)
    return Reason.APPROVED


def set_calendar(command: SetCalendar, draft: Draft) -> Reason:
    """Set the operator's calendar; the open date stays once there is one."""
    old: Calendar | None = draft.read(CALENDAR)
    row = Calendar(*values_of(command))
    if old is not None:
        row = amended(row, date=old.date)
    if row == old:
        return Reason.UNCHANGED
    draft.rows[CALENDAR] = row
    return Reason.APPROVED


def cut_off(command: CutOff, draft: Draft) -> Reason:
    """Close the open business date; the next day opens."""
    old: Calendar = draft.read(CALENDAR)
    if command.date != old.date:
        return refuse(draft, f"the open business date is {spoken(old.date)}")
    draft.rows[CALENDAR] = amended(old, date=add_days(old.date, 1))
    return Reason.APPROVED


def opened(command: Opened, draft: Draft) -> Reason:
    """Note that the ledger was opened."""
    draft.facts = (("epoch", command.epoch),)
    return Reason.APPROVED
