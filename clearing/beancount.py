"""The journal as beancount's plain text, so that other people's software can check the books.

Signs are turned: a credit is negative there. Money is CNY in yuan with two decimals, points are
commodities of their program's name. The kind of an account decides under which of beancount's five
roots it stands (`ROOTS`); its parts follow. Letters that beancount does not take in a name are
written as ``-`` and two hex digits, and a small first letter follows ``Z-``, so that different
accounts never get the same name.

What is exported is the movement of a range. Behind the last transaction every account is asserted
with the sum that was exported (``balance``), which beancount compares with its own: from the
beginning of the journal these sums are the ledger's balances.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from engine.terms import add_days, spoken
from ledger import chart
from ledger.model import MONEY, Account

ROOTS: dict[str, str] = {
    "Lot": "Liabilities",
    "Held": "Liabilities",
    "Debt": "Liabilities",
    "Issued": "Equity",
    "Redeemed": "Equity",
    "Expired": "Equity",
    "Converted": "Equity",
    "Adjusted": "Equity",
    "OpeningPoints": "Equity",
    "Transit": "Liabilities",
    "Pos": "Liabilities",
    "Fund": "Liabilities",
    "Margin": "Income",
    "Fee": "Income",
    "Promo": "Expenses",
    "Value": "Liabilities",
    "ValueExpired": "Liabilities",
    "Voucher": "Liabilities",
    "CardStock": "Liabilities",
    "Breakage": "Income",
    "Payable": "Liabilities",
    "Bank": "Assets",
    "Rounding": "Income",
    "Opening": "Equity",
    "Suspense": "Assets",
}
if set(ROOTS) != set(chart.KINDS):
    raise ImportError(f"no root for accounts {set(ROOTS) ^ set(chart.KINDS)}")

_REFUSED = re.compile(r"[^A-Za-z0-9]")


def account_name(account: Account) -> str:
    """An account's name as beancount takes it."""
    kind, *parts = account.split(":")
    return ":".join((ROOTS[kind], kind, *map(_component, parts)))


def _component(part: str) -> str:
    escaped = _REFUSED.sub(lambda found: f"-{ord(found[0]):02X}", part)
    return escaped if escaped[:1].isupper() or escaped[:1].isdigit() else f"Z-{escaped}"


def amount_of(unit: str, amount: int) -> str:
    """An amount with its commodity, the sign turned."""
    if unit != MONEY:
        return f"{-amount} {unit}"
    sign = "-" if amount > 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02} CNY"


def write(entries: Iterable[tuple[Any, ...]], put: Callable[[str], object]) -> int:
    """Write entries, given as the fields of `ledger.model.Entry`; returns how many had postings.

    Memory grows with the accounts that moved.

    Args:
        entries: in order.
        put: takes pieces of text.
    """
    put('option "title" "Counterfoil"\noption "operating_currency" "CNY"\n')
    names: dict[Account, str] = {}
    sums: dict[tuple[Account, str], int] = {}
    count = date = 0
    for sequence, _, date_now, _, kind, _, _, postings, *_ in entries:
        if not postings:
            continue
        # What was loaded before the calendar had a date stands on the first day of time.
        date = date_now or 19700101
        day = spoken(date)
        lines = []
        for account, unit, amount in postings:
            name = names.get(account)
            if name is None:
                name = names[account] = account_name(account)
                put(f"{day} open {name}\n")
            key = (account, unit)
            sums[key] = sums.get(key, 0) + amount
            lines.append(f"  {name}  {amount_of(unit, amount)}\n")
        put(f"{day} * {json.dumps(kind)} {json.dumps(str(sequence))}\n{''.join(lines)}\n")
        count += 1
    if count:
        day = spoken(add_days(date, 1))
        for (account, unit), total in sums.items():
            put(f"{day} balance {names[account]}  {amount_of(unit, total)}\n")
    return count
