"""Which terms and dates apply: the calendar, dated terms, the expiry of points."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from engine.records import NEVER, Merchant, Program, Terms

DAY_MS = 86_400_000


def spoken(date: int) -> str:
    """A day YYYYMMDD as people write and type it, YYYY-MM-DD."""
    return f"{date // 10000:04}-{date // 100 % 100:02}-{date % 100:02}"


def day_number(date: int) -> datetime:
    """The day YYYYMMDD as a naive datetime at midnight."""
    return datetime(date // 10000, date // 100 % 100, date % 100)  # noqa: DTZ001 - a day has no zone


def as_date(moment: datetime) -> int:
    """A moment's day as YYYYMMDD."""
    return moment.year * 10000 + moment.month * 100 + moment.day


def add_days(date: int, days: int) -> int:
    """The day `days` after `date`, both YYYYMMDD."""
    return as_date(day_number(date) + timedelta(days=days))


def local_ms(date: int, minutes: int, zone: str) -> int:
    """Milliseconds since 1970 UTC of `minutes` after local midnight of `date`."""
    start = day_number(date).replace(tzinfo=ZoneInfo(zone)) + timedelta(minutes=minutes)
    return int(start.timestamp() * 1000)


class Clock:
    """Local dates of command times, one conversion a day."""

    __slots__ = ("_end", "_start", "today", "zone")

    def __init__(self, zone: str) -> None:
        """Make a clock for the IANA zone `zone`."""
        self.zone = zone
        self._start = self._end = 0
        self.today = 0

    def date(self, at: int) -> int:
        """The local calendar date YYYYMMDD of a command time in milliseconds."""
        if not self._start <= at < self._end:
            moment = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(self.zone))
            self.today = as_date(moment)
            self._start = local_ms(self.today, 0, self.zone)
            self._end = local_ms(add_days(self.today, 1), 0, self.zone)
        return self.today


def in_force(merchant: Merchant, program: str, today: int) -> Terms | None:
    """The terms of `merchant` that apply on the local day `today`.

    Args:
        merchant: whose terms.
        program: the program asked about; empty for the merchant's own, which is that of the
            latest terms in force, the first listed among equals.
        today: local date of the command time.

    Returns:
        None when no terms are in force.
    """
    found: Terms | None = None
    for terms in merchant.terms:
        if terms.since > today:
            break
        if program:
            if terms.program == program:
                found = terms
        elif found is None or terms.since > found.since:
            found = terms
    return found


def available_from(terms: Terms, today: int) -> int:
    """The first day on which points earned `today` can be spent; 0 for at once."""
    days = terms.pending_days
    if days < 0:
        return NEVER
    return add_days(today, days) if days else 0


def expiry_of(program: Program, today: int) -> int:
    """The last day on which points earned `today` can be used.

    ``rolling:24m`` is the end of the month 24 months on, ``calendar:1y`` the 31st of December of
    the year after, ``none`` never.
    """
    kind, _, length = program.expiry.partition(":")
    if kind == "none":
        return NEVER
    year = today // 10000
    if kind == "calendar":
        return (year + int(length[:-1])) * 10000 + 1231
    return month_end(today, int(length[:-1]))


def month_end(today: int, months: int) -> int:
    """The last day of the month that is `months` on."""
    year, month = divmod(today // 10000 * 12 + today // 100 % 100 - 1 + months, 12)
    return year * 10000 + (month + 1) * 100 + calendar.monthrange(year, month + 1)[1]
