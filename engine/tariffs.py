"""Terms ready for use: what a merchant's transactions of a day need, looked up once.

A tariff holds the terms in force, their program, the expiry of points earned today and the names
of the accounts that they post to. It is derived from reference rows and dates only, so forgetting
it costs time and nothing else; the machine forgets all of them whenever a row of a reference table
(`ledger.schema.REFERENCE`) changes by a command of administration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine import earning
from engine.earning import Rates, rates_of
from engine.ladder import LADDER, Step, steps_of
from engine.records import Merchant, Program, Terms
from engine.rulebook import Limits, books, limits_of, read_book
from engine.terms import available_from, expiry_of, in_force
from ledger import chart, schema
from ledger.model import Account

TARIFFS_MAX = 20_000


@dataclass(slots=True)
class Tariff:
    """Terms and program of a merchant on a day.

    Attributes:
        terms, program: what is in force.
        versions: revisions of the merchant and the program; where earn rules or limits apply, those
            of the books that hold them too, in the order of `earning.books` and `rulebook.books`.
        today: the local date for which the terms were chosen; `date`: the business date.
        expiry: last day of points earned today.
        steps: rules of tiers in force, the highest first; empty where no tier can be earned.
        available_from: first day on which they can be spent; 0 for at once.
        pin_above: fen; a redemption worth more asks for a PIN.
        position, fund, margin, issued: the accounts of the merchant and the program.
        limits: on the merchant's transactions; None for none, see `engine.limits`.
        rates: what sales earn; None where the terms' one rate is all, see `engine.earning`.
    """

    terms: Terms
    program: Program
    versions: tuple[int, ...]
    today: int
    date: int
    expiry: int
    steps: tuple[Step, ...]
    available_from: int
    pin_above: int
    position: Account
    fund: Account
    margin: Account
    issued: Account
    limits: Limits | None
    rates: Rates | None


class Tariffs:
    """Tariffs by merchant and program."""

    __slots__ = ("_known", "_read")

    def __init__(self, read: Callable[[bytes], Any]) -> None:
        """Read reference rows through `read`."""
        self._read = read
        self._known: dict[tuple[str, str], Tariff] = {}

    def forget(self) -> None:
        """Drop everything: a reference row may have changed."""
        self._known.clear()

    def find(self, merchant_id: str, program: str, today: int, date: int) -> Tariff | None:
        """The tariff of a merchant; None where no terms are in force.

        Args:
            merchant_id: whose terms.
            program: of which program; empty for the merchant's own (`engine.terms.in_force`).
            today: local date of the command.
            date: open business date.
        """
        known = self._known.get((merchant_id, program))
        if known is not None and known.today == today and known.date == date:
            return known
        tariff = self.of_day(merchant_id, program, today, date)
        if tariff is not None:
            if len(self._known) >= TARIFFS_MAX:
                self._known.clear()
            self._known[merchant_id, program] = tariff
        return tariff

    def of_day(self, merchant_id: str, wanted: str, today: int, date: int) -> Tariff | None:
        """The tariff of any local day, not kept; see `find`."""
        merchant: Merchant | None = self._read(schema.named(schema.MERCHANT, merchant_id))
        terms = in_force(merchant, wanted, today) if merchant is not None else None
        if merchant is None or terms is None:
            return None
        program: Program | None = self._read(schema.named(schema.PROGRAM, terms.program))
        if program is None:
            return None
        limits = limits_of(self._read, merchant_id, terms, (today, date))
        rates = rates_of(self._read, merchant, terms, today)
        versions: tuple[int, ...] = (merchant.revision, program.revision)
        if limits is not None or rates is not None:
            names = (*earning.books(program.id, merchant_id), *books(program.id, merchant_id))
            versions += tuple([read_book(self._read, name).revision for name in names])
        return Tariff(
            terms,
            program,
            versions,
            today,
            date,
            expiry_of(program, today),
            steps_of(self._read(LADDER), today),
            available_from(terms, today),
            min(program.pin_above, terms.pin_above),
            chart.position(merchant_id, date),
            chart.fund(program.id),
            chart.margin(program.id),
            chart.issued(program.id, merchant_id),
            limits,
            rates,
        )
