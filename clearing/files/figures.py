"""How amounts, dates and texts are spelled in every format.

Integers in, text out: an amount in yuan is spelled from whole fen by moving two digits behind a
point, so that no float is ever between the ledger and a file.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from engine.terms import spoken


def yuan(fen: int) -> str:
    """Spell fen as yuan with two decimals: ``-5`` is ``-0.05``."""
    if fen < 0:
        return f"-{-fen // 100}.{-fen % 100:02d}"
    return f"{fen // 100}.{fen % 100:02d}"


def grouped_yuan(fen: int) -> str:
    """Spell fen as yuan with thousands marked, for people: ``1,234.50``."""
    whole, part = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole:,}.{part:02d}"


def exact_yuan(fen: int) -> Decimal:
    """Fen as an exact decimal number of yuan."""
    return Decimal(fen).scaleb(-2)


def fen_of(text: str) -> int:
    """Read an amount in yuan of at most two decimals.

    Raises:
        ValueError: it is none; the message does not repeat it.
    """
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, point, part = digits.partition(".")
    if not (whole + part).isascii() or not whole.isdigit() or (point and not part.isdigit()):
        raise ValueError("is no amount in yuan")
    if part[2:].strip("0"):
        raise ValueError("has parts of a fen")
    return sign * (int(whole) * 100 + int(part[:2].ljust(2, "0") or "0"))


@lru_cache(maxsize=512)
def iso_date(date: int) -> str:
    """Spell YYYYMMDD as ``YYYY-MM-DD``; 0 is empty."""
    if not date:
        return ""
    return spoken(date)


def iso_time(local: int, between: str = " ") -> str:
    """Spell YYYYMMDDhhmmss as ``YYYY-MM-DD hh:mm:ss``; 0 is empty."""
    if not local:
        return ""
    date, time = divmod(local, 1_000_000)
    clock = f"{time // 10000:02d}:{time // 100 % 100:02d}:{time % 100:02d}"
    return f"{iso_date(date)}{between}{clock}"


def printable(text: str) -> str:
    """Give the text with each character that no printer prints replaced by a space."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else " " for mark in text)
