"""Chart of accounts (``accounting.md``), as a table.

An account is named ``Kind:part:part``. `KINDS` says for each kind which parts follow, in which unit
it is kept, and where its balance lives: ``table`` for a row of the balances table, ``aggregate``
for amounts that are inside a member's own record, so that a member's points are written once.
Makers below are the only place that composes names; `parse` is their inverse.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.model import MONEY, Account, Unit


@dataclass(slots=True)
class Kind:
    """A kind of account: the names of its parts, its unit, where its balance lives, its sign.

    Attributes:
        parts: names of the parts after the kind.
        points: True when the unit is the program named by the part ``program``.
        home: ``table`` or ``aggregate``.
        sign: 1 when the balance is never negative, -1 never positive, 0 either.
    """

    parts: tuple[str, ...]
    points: bool
    home: str
    sign: int


KINDS: dict[str, Kind] = {
    "Lot": Kind(("member", "program", "issuer", "expiry"), True, "aggregate", 1),
    "Held": Kind(("member", "program", "issuer", "expiry", "hold"), True, "aggregate", 1),
    "Debt": Kind(("member", "program", "issuer"), True, "aggregate", -1),
    "Issued": Kind(("program", "issuer"), True, "table", -1),
    "Redeemed": Kind(("program", "issuer", "redeemer"), True, "table", 1),
    "Expired": Kind(("program", "issuer"), True, "table", 1),
    "Converted": Kind(("program",), True, "table", 0),
    "Adjusted": Kind(("program",), True, "table", 0),
    "OpeningPoints": Kind(("program", "issuer"), True, "table", 0),
    "Transit": Kind(("program",), True, "table", 0),
    "Pos": Kind(("party", "date"), False, "table", 0),
    "Fund": Kind(("program",), False, "table", 0),
    "Margin": Kind(("program",), False, "table", 0),
    "Fee": Kind(("kind",), False, "table", 0),
    "Promo": Kind(("centre",), False, "table", 0),
    "Value": Kind(("member",), False, "aggregate", 0),
    "ValueExpired": Kind(("member",), False, "table", 1),
    "Voucher": Kind(("campaign",), False, "table", 0),
    "CardStock": Kind(("batch",), False, "table", 0),
    "Breakage": Kind(("kind",), False, "table", 0),
    "Payable": Kind(("party", "run"), False, "table", 0),
    "Bank": Kind((), False, "table", 0),
    "Rounding": Kind((), False, "table", 0),
    "Opening": Kind((), False, "table", 0),
    "Suspense": Kind((), False, "table", 0),
}


def lot(member: str, program: str, issuer: str, expiry: int) -> Account:
    """Points of a member that `issuer` owes for, usable through the day `expiry` (YYYYMMDD)."""
    return f"Lot:{member}:{program}:{issuer}:{expiry}"


def held(member: str, program: str, issuer: str, expiry: int, hold: int) -> Account:
    """Points of a lot that the hold with this sequence number keeps from being spent."""
    return f"Held:{member}:{program}:{issuer}:{expiry}:{hold}"


def debt(member: str, program: str, issuer: str) -> Account:
    """What a member is below zero after points already spent were taken back."""
    return f"Debt:{member}:{program}:{issuer}"


def issued(program: str, issuer: str) -> Account:
    """Points that `issuer` has given out, as a negative balance."""
    return f"Issued:{program}:{issuer}"


def redeemed(program: str, issuer: str, redeemer: str) -> Account:
    """Points of `issuer` that were spent at `redeemer`."""
    return f"Redeemed:{program}:{issuer}:{redeemer}"


def expired(program: str, issuer: str) -> Account:
    """Points of `issuer` that ran out unused."""
    return f"Expired:{program}:{issuer}"


def converted(program: str) -> Account:
    """Points that became stored value, or points of another program."""
    return f"Converted:{program}"


def value(member: str) -> Account:
    """Stored value of a member."""
    return f"Value:{member}"


def value_expired(member: str) -> Account:
    """Stored value of a member that ran out and can be given back."""
    return f"ValueExpired:{member}"


def transit(program: str) -> Account:
    """Points on their way from one member to another."""
    return f"Transit:{program}"


def opening_points(program: str, issuer: str) -> Account:
    """Counter-account of points brought in from before this ledger."""
    return f"OpeningPoints:{program}:{issuer}"


def position(party: str, date: int) -> Account:
    """What the operator owes `party` (or is owed) from the business date `date` (YYYYMMDD)."""
    return f"Pos:{party}:{date}"


def fund(program: str) -> Account:
    """Money set aside for points outstanding."""
    return f"Fund:{program}"


def margin(program: str) -> Account:
    """What the operator keeps between funding, value and settlement of points."""
    return f"Margin:{program}"


def fee(kind: str) -> Account:
    """Fees earned, by kind."""
    return f"Fee:{kind}"


def promo(centre: str) -> Account:
    """What the operator spends on promotion, by cost centre."""
    return f"Promo:{centre}"


def voucher(campaign: str) -> Account:
    """What was paid, in money or points, for coupons of a campaign that are not used yet."""
    return f"Voucher:{campaign}"


def adjusted(program: str) -> Account:
    """Points given or taken by hand."""
    return f"Adjusted:{program}"


def card_stock(batch: str) -> Account:
    """What was paid for recharge cards of a batch that are not used yet, at what they are worth."""
    return f"CardStock:{batch}"


def breakage(kind: str) -> Account:
    """Value that ran out unused."""
    return f"Breakage:{kind}"


def payable(party: str, run: str) -> Account:
    """What a run of clearing (``20260301-1``) has to pay a party, or has to get from it."""
    return f"Payable:{party}:{run}"


OPENING: Account = "Opening"
BANK: Account = "Bank"
ROUNDING: Account = "Rounding"
SUSPENSE: Account = "Suspense"


class UnknownAccount(Exception):
    """A name that is not of the chart."""


def parse(account: Account) -> tuple[str, dict[str, str]]:
    """Take an account's name apart.

    Returns:
        The kind and its parts by name.

    Raises:
        UnknownAccount: the kind or the number of parts is not of the chart.
    """
    kind, *parts = account.split(":")
    known = KINDS.get(kind)
    if known is None or len(parts) != len(known.parts):
        raise UnknownAccount(f"{kind} with {len(parts)} parts is not in the chart of accounts")
    return kind, dict(zip(known.parts, parts, strict=True))


def unit_of(account: Account) -> Unit:
    """Name the one unit in which an account is kept.

    Raises:
        UnknownAccount: the account is not of the chart.
    """
    kind, parts = parse(account)
    return parts["program"] if KINDS[kind].points else MONEY
