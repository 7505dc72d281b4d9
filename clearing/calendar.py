"""Value dates: on which days banks work in China.

Holidays move with the lunar calendar, and the State Council announces each autumn for the next year
which weekend days are worked in exchange. The package ``chinesecalendar`` holds what was
announced, make-up working days included, and refuses years that it does not know; a guess would
pay a day early or late. So what it covers is checked when clearing starts: an operator is told
a month ahead to install a newer version, and a day whose value date is unknown is refused.
"""

from __future__ import annotations

from datetime import date, timedelta

import chinese_calendar

LOOK_AHEAD_DAYS = 30
"""How long before the calendar ends an operator is warned."""


class NotCovered(Exception):
    """The calendar does not know a year; the sentence names the remedy."""


def covered_through() -> int:
    """Give the last year that the calendar knows."""
    return int(max(chinese_calendar.constants.holidays).year)


def check_coverage(business_date: int) -> str:
    """Look ahead whether the calendar will know the value dates of the coming weeks.

    Args:
        business_date: YYYYMMDD.

    Returns:
        A warning that names the remedy, or nothing when all is well.

    Raises:
        NotCovered: the calendar does not even know the date's own year.
    """
    _working(_date(business_date))
    try:
        _working(_date(business_date) + timedelta(days=LOOK_AHEAD_DAYS))
    except NotCovered as fault:
        return str(fault)
    return ""


def is_working(day: int) -> bool:
    """True when banks work on that day (YYYYMMDD).

    Raises:
        NotCovered: naming the years and the remedy.
    """
    return _working(_date(day))


def value_date(business_date: int, working_days: int = 1) -> int:
    """Give the day on which a business date is paid: so many working days after it.

    Args:
        business_date: YYYYMMDD.
        working_days: at least 1.

    Raises:
        NotCovered: naming the years and the remedy.
        ValueError: less than one working day.
    """
    if working_days < 1:
        raise ValueError("a day is paid one working day later at the earliest")
    day = _date(business_date)
    while working_days:
        day += timedelta(days=1)
        working_days -= _working(day)
    return day.year * 10000 + day.month * 100 + day.day


def _date(day: int) -> date:
    return date(day // 10000, day // 100 % 100, day % 100)


def _working(day: date) -> bool:
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        known = chinese_calendar.constants.holidays
        raise NotCovered(
            f"the holiday calendar knows the years {min(known).year} to {covered_through()}, not"
            f" {day.year}: install a newer chinesecalendar (the State Council announces a year's"
            " working days in the autumn before), or name the value date yourself"
        ) from None
