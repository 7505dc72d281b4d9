"""What a rule writes on while it decides: the postings, rows and reply of one command.

A draft reads through the view, and nothing it holds is seen by anybody before the machine has
encoded all of it and swapped it in. A rule that declines leaves no postings; the rows it changed
(a count of wrong PINs) are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from engine import cards
from engine.commands import Pin, Token
from engine.points import Purse
from engine.reasons import Reason
from engine.records import Alias, Member
from engine.tariffs import Tariff, Tariffs
from engine.value import Wallet
from ledger import schema
from ledger.model import MONEY, Account, Posting, Unit

ALIAS_STATES: Final = {
    "lost": Reason.CARD_LOST,
    "replaced": Reason.CARD_BLOCKED,
    "removed": Reason.CARD_BLOCKED,
    "frozen": Reason.CARD_BLOCKED,
    "closed": Reason.MEMBER_CLOSED,
    "forgotten": Reason.MEMBER_CLOSED,
    "expired": Reason.CARD_EXPIRED,
}
"""States of a card, phone or token in which it cannot be used, and why."""

NOT_USABLE: Final = frozenset(ALIAS_STATES.values())

PinReasons: TypeAlias = tuple[Reason, Reason, Reason]
"""That a PIN is locked, missing, wrong."""

MEMBER_PIN: Final[PinReasons] = (Reason.PIN_LOCKED, Reason.PIN_MISSING, Reason.PIN_WRONG)

PIN_FAILURES_MAX: Final = 3


class Draft:
    """One command being decided.

    Attributes:
        read: point read of a row, None where there is none.
        tariffs: terms ready for use.
        at: command time, ms since 1970 UTC; `today`: its local date; `date`: open business date.
        sequence: the number that the entry will have.
        nonce: the randomness that came with the command.
        postings: legs on accounts of the balances table.
        rows: changed rows by key, None for a deleted one.
        member: the member concerned; `tier`: its tier, empty for `BASE`.
        purses, wallets: members' points and stored value that are open for change.
        balances, facts, counted: see `engine.commands.Outcome`.
        versions: revisions of the terms used.
        uses: of limits, see `engine.limits`.
        timed_out: member and program of purses that were opened with holds whose time is over; the
            machine gives those back, in an entry of their own, and decides anew.
        follow: the command that completes this one, executed right after it.
    """

    __slots__ = (
        "at",
        "balances",
        "counted",
        "date",
        "facts",
        "follow",
        "member",
        "nonce",
        "postings",
        "purses",
        "read",
        "rows",
        "sequence",
        "tariffs",
        "tier",
        "timed_out",
        "today",
        "uses",
        "versions",
        "wallets",
    )

    def __init__(
        self,
        read: Callable[[bytes], Any],
        tariffs: Tariffs,
        at: int,
        today: int,
        date: int,
        sequence: int,
        nonce: bytes,
    ) -> None:
        self.read = read
        self.tariffs = tariffs
        self.at = at
        self.today = today
        self.date = date
        self.sequence = sequence
        self.nonce = nonce
        self.postings: list[Posting] = []
        self.rows: dict[bytes, Any] = {}
        self.purses: list[Purse] = []
        self.wallets: list[Wallet] | None = None
        self.member = ""
        self.tier = ""
        self.balances: tuple[tuple[str, str, int, int], ...] = ()
        self.facts: tuple[tuple[str, Any], ...] = ()
        self.counted: tuple[tuple[str, str, int], ...] = ()
        self.versions: tuple[int, ...] = ()
        self.uses: Any = None
        self.timed_out: list[tuple[str, str]] | None = None
        self.follow: Any = None

    # Moving.

    def post(self, account: Account, unit: Unit, amount: int) -> None:
        """Post a leg on an account of the balances table; nothing for an amount of zero."""
        if amount:
            self.postings.append((account, unit, amount))

    def purse(self, member: str, program: str) -> Purse:
        """Open a member's points for change; the same purse within one command."""
        for purse in self.purses:
            if purse.member == member and purse.program == program:
                return purse
        purse = Purse(self.read, member, program)
        if purse.pending:
            purse.ripen(self.today)
        self.purses.append(purse)
        if purse.holds and purse.has_timed_out(self.at):
            self.timed_out = [*(self.timed_out or ()), (member, program)]
        return purse

    def wallet(self, member: str) -> Wallet:
        """Open a member's stored value for change; the same wallet within one command.

        Its legs stand among `postings`, where the rule makes them.
        """
        if self.wallets is None:
            self.wallets = []
        for wallet in self.wallets:
            if wallet.member == member:
                return wallet
        wallet = Wallet(self.read, member, self.postings)
        if wallet.fresh:
            wallet.product = cards.product_of_issued(self.read, member)
        self.wallets.append(wallet)
        return wallet

    def close_purses(self) -> list[Posting]:
        """Turn the open purses and wallets into rows.

        Returns:
            The postings of the purses, on lots and debts.
        """
        if self.wallets is not None:
            for wallet in self.wallets:
                self.rows[schema.named(schema.VALUE, wallet.member)] = wallet.row(self.at)
        moved: list[Posting] = []
        for purse in self.purses:
            if purse.postings:
                self.rows.update(purse.changes(self.at, self.sequence))
                moved = moved + purse.postings if moved else purse.postings
                if purse.fresh:
                    self._join(purse.member, purse.program)
        return moved

    def show(self, *purses: Purse) -> None:
        """Put the balances of purses into the reply, and of the wallets that are open."""
        shown = []
        for purse in purses:
            available = purse.available(self.today)
            shown.append(("points", purse.program, available, purse.ledger()))
        if self.wallets is not None:
            for wallet in self.wallets:
                free = wallet.available(self.at, self.today)
                shown.append(("value", MONEY, free, wallet.balance))
        self.balances = tuple(shown)

    def _join(self, member_id: str, program: str) -> None:
        key = schema.named(schema.MEMBER, member_id)
        member: Member = self.rows.get(key) or self.read(key)
        if program not in member.programs:
            self.rows[key] = amended(member, programs=(*member.programs, program))

    # Finding. Each returns the reason why not, or what was found.

    def find_member(self, tokens: tuple[Token, ...], *, loading: bool = False) -> Reason | None:
        """Find the one member that all tokens name, and check that they may be used.

        The member's id goes into `member`, also where the tokens may not be used. A card of a
        batch that is presented for the first time gets its account here.

        Args:
            tokens: what names the member.
            loading: True where value is loaded, which may activate a card.
        """
        if not tokens:
            return Reason.MEMBER_MISSING
        bad: Reason | None = None
        for kind, digest in tokens:
            alias: Alias | None = self.read(schema.alias(kind, digest))
            if alias is None:
                return Reason.MEMBER_UNKNOWN
            if self.member and alias.member != self.member:
                return Reason.MEMBERS_DIFFER
            self.member = alias.member
            if alias.state != "active":
                if alias.state == "issued":
                    bad = self._open_card((kind, digest), alias, loading=loading) or bad
                else:
                    bad = ALIAS_STATES[alias.state]
            self.tier = alias.tier
        return bad

    def _open_card(self, token: Token, alias: Alias, *, loading: bool) -> Reason | None:
        """Give a card of a batch its account, if its range is active or this load activates it."""
        state, product = cards.issued_state(self.read, alias.member)
        activates = loading and state == "distributed" and product.activation == "top-up"
        if product.named or not (state == "active" or activates):
            return Reason.CARD_NOT_ACTIVE
        self.rows[schema.alias(*token)] = amended(alias, state="active")
        self.rows[schema.named(schema.MEMBER, alias.member)] = Member(
            alias.member, "base", "active", b"", 0, (token,), (), 1
        )
        return None

    def find_whoever(self, tokens: tuple[Token, ...]) -> Reason | None:
        """Find the one member that all tokens name, whatever their states."""
        bad = self.find_member(tokens)
        return None if bad in NOT_USABLE else bad

    def newest(self, key: bytes) -> Any:
        """A row as this command has left it so far."""
        return self.rows[key] if key in self.rows else self.read(key)

    def names_member(self, tokens: tuple[Token, ...], member: str) -> bool:
        """True when every token, whatever its state, names `member`."""
        for kind, digest in tokens:
            alias: Alias | None = self.read(schema.alias(kind, digest))
            if alias is None or alias.member != member:
                return False
        return True

    def find_other(self, tokens: tuple[Token, ...]) -> tuple[str, Reason | None]:
        """Find the other member of a transaction: its id, or why it may not be named so."""
        other = ""
        for kind, digest in tokens:
            alias: Alias | None = self.read(schema.alias(kind, digest))
            if alias is None:
                return "", Reason.MEMBER_UNKNOWN
            bad = None
            if alias.state == "issued":
                bad = self._open_card((kind, digest), alias, loading=False)
            elif alias.state != "active":
                bad = ALIAS_STATES[alias.state]
            if bad is not None:
                return "", bad
            other = alias.member
        return (other, None) if other else ("", Reason.MEMBER_MISSING)

    def find_tariff(self, merchant_id: str, program: str = "") -> Tariff | None:
        """Find the terms in force today, ready for use; None where there are none."""
        tariff = self.tariffs.find(merchant_id, program, self.today, self.date)
        if tariff is not None:
            self.versions = tariff.versions
        return tariff

    def check_pin(self, pin: int, *, needed: bool) -> Reason | None:
        """Judge the verdict on a PIN; count wrong ones, forget them after a right one."""
        if pin == Pin.BAD_BLOCK:
            return Reason.PIN_BLOCK_BAD
        if pin == Pin.ABSENT and not needed:
            return None
        key = schema.named(schema.MEMBER, self.member)
        return self.count_pin(key, self.rows.get(key) or self.read(key), pin, MEMBER_PIN)

    def count_pin(self, key: bytes, row: Any, pin: int, reasons: PinReasons) -> Reason | None:
        """Judge the verdict on a PIN that is needed, of whoever a row is.

        Args:
            key: of the row.
            row: its `pin_failures` are the wrong PINs in a row; the third locks.
            pin: the verdict, none of `Pin.BAD_BLOCK`.
            reasons: why not.
        """
        locked, missing, wrong = reasons
        if row.pin_failures >= PIN_FAILURES_MAX:
            return locked
        if pin == Pin.ABSENT:
            return missing
        if pin == Pin.RIGHT:
            if row.pin_failures:
                self.rows[key] = amended(row, pin_failures=0)
            return None
        failures = row.pin_failures + 1
        self.rows[key] = amended(row, pin_failures=failures)
        return locked if failures >= PIN_FAILURES_MAX else wrong


def amended(row: Any, **changes: Any) -> Any:
    """A copy of a record with some fields changed."""
    cls = type(row)
    values = {name: getattr(row, name) for name in cls.__dataclass_fields__}
    values.update(changes)
    return cls(**values)
