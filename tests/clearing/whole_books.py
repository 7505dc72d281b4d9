"""All that a book has posted, cleared date by date, and read by beancount: whatever was posted."""

from collections import Counter
from decimal import Decimal
from types import SimpleNamespace

from beancount import loader

from clearing import beancount
from clearing.netting import balance
from clearing.register import register_at
from clearing.settle import Fold
from clearing.stores import placings
from engine.holdings import TABLES, holdings
from ledger import chart, schema
from ledger.model import MONEY, values_of

SETTLING = {"post-back", "payment", "true-up"}
"""Kinds of entries that settle what was netted, and are netted themselves never."""


def clear_every_date(view, last):
    """Make the checks of each date up to an entry; a party's net is its position of the date.

    Returns:
        What the last date ends with, as `clearing.netting.Balanced.balances` has it.
    """
    snapshot = SimpleNamespace(view=view)
    register = register_at(snapshot, last)
    moves = placings(snapshot, 1, last)
    dates: dict = {}
    settled = Counter()
    for sequence in range(1, last + 1):
        entry = view.get(schema.entry(sequence))
        if entry.kind in SETTLING:
            for account, _, amount in entry.postings:
                settled[account] += amount
        fold = dates.get(entry.date)
        if fold is None:
            fold = dates[entry.date] = Fold(
                entry.date,
                frozenset(register.parties),
                "Asia/Shanghai",
                _lines_of(entry.date),
                worth=register.worth,
                moves=moves,
            )
        fold.add(values_of(entry))
    opening: dict = {}
    for date, fold in sorted(dates.items()):
        opening = dict(balance(fold.totals, opening, register).balances)
        for party, totals in fold.totals.parties.items():
            account = f"Pos:{party}:{date}"
            held = view.get(schema.balance(account)) or 0
            assert totals.net == held - settled[account], account
    return opening


def _lines_of(date):
    """Takes lines and holds them to what files ask of them."""
    before: dict = {}

    def take(line):
        party, sequence, unit = line[0], line[1], line[11]
        assert line[4] == date
        assert before.get(party, (0, "")) < (sequence, unit)
        before[party] = (sequence, unit)
        assert [code for code, _ in line[14]] == sorted({code for code, _ in line[14]})

    return take


def balances(view):
    """Account and unit to amount, members' own among them, of those that are not zero."""
    found = Counter()
    for key, amount in view.scan(bytes((schema.BALANCE,))):
        account = schema.balance_account(key)
        found[account, chart.unit_of(account)] += amount
    for table in TABLES:
        for key, row in view.scan(bytes((table,))):
            for account, unit, amount in holdings(key, row):
                found[account, unit] += amount
    return {account: amount for account, amount in found.items() if amount}


def compare_with_beancount(view, last):
    """Beancount finds nothing wrong with the export, and each balance in it is the ledger's.

    Everybody's balances together are nothing, in money and in the points of each program.
    """
    text: list[str] = []
    entries = (values_of(view.get(schema.entry(n))) for n in range(1, last + 1))
    count = beancount.write(entries, text.append)
    told, errors, _ = loader.load_string("".join(text))
    assert not errors
    sums = Counter()
    for entry in told:
        for posting in getattr(entry, "postings", None) or ():
            sums[posting.account, posting.units.currency] += posting.units.number
    held = {
        (beancount.account_name(account), "CNY" if unit == MONEY else unit): (
            Decimal(-amount) / (100 if unit == MONEY else 1)
        )
        for (account, unit), amount in balances(view).items()
    }
    assert {account: number for account, number in sums.items() if number} == held
    assert len({name for name, _ in held}) == len(held)
    whole = Counter()
    for (_, unit), number in held.items():
        whole[unit] += number
    assert not any(whole.values())
    return count
