"""Value dates: on which days banks work in China.

Holidays move with the lunar calendar, and the State Council announces each autumn for the next year
which weekend days are worked in exchange. The package ``chinesecalendar`` holds what was announced,
make-up working days included, and refuses years that it does not know; a guess would pay a day
early or late. So that a settlement never waits for a package, the operator may keep a file of his
own, ``holidays.toml`` in the data directory::

    [2027]
    closed = ["2027-01-01..2027-01-03", "2027-02-05..2027-02-11", ...]
    worked = ["2027-01-30", ...]

A table of a year that the package knows changes the days that it names and no others (a bank
holiday that was ordered at short notice). A table of any other year is that year's notice as a
whole: what it does not name follows the week. It therefore has to close the days that every notice
closes (`ALWAYS_CLOSED`): half a notice would pay on a holiday.

An operator is told a month ahead of the first day whose value date is not known, and such a day is
refused with the ways out: the file, a newer package, a value date named by hand. A run journals its
value date when it begins, so nothing here concerns a run that is repeated.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import chinese_calendar

HOLIDAYS = "holidays.toml"
"""The operator's file in a data directory."""

HOLIDAYS_BYTES_MAX = 1 << 20
LOOK_AHEAD_DAYS = 30
"""How long before the calendar ends an operator is warned."""
ALWAYS_CLOSED = ((1, 1), (5, 1), (10, 1))
"""Month and day of what is a holiday in every year."""

_LISTS = {"closed", "worked"}
_SATURDAY = 5


class NotCovered(Exception):
    """The calendar does not know a year; the sentence names the remedy."""


class WrongHolidays(Exception):
    """The operator's file does not say what it has to; one sentence with the place."""


@dataclass(slots=True)
class BankDays:
    """The days on which banks work: the package's, as the operator's file changes them.

    Attributes:
        path: the operator's file, there or not, for sentences.
        named: day to whether banks work on it, for the days that the file names.
        years: those that the file has as a whole.
    """

    path: Path
    named: dict[date, bool] = field(default_factory=dict)
    years: frozenset[int] = frozenset()

    def works(self, day: date) -> bool:
        """True when banks work on that day.

        Raises:
            NotCovered: naming the years and the ways out.
        """
        told = self.named.get(day)
        if told is not None:
            return told
        if day.year in self.years:
            return day.weekday() < _SATURDAY
        try:
            return bool(chinese_calendar.is_workday(day))
        except NotImplementedError:
            first, last = announced()
            own = "".join(f", {year}" for year in sorted(self.years))
            raise NotCovered(
                f"the holiday calendar knows the years {first} to {last}{own}, not {day.year}:"
                f" write the days that the State Council announced into {self.path} (its form is"
                " in clearing/FILES.md), install a newer chinesecalendar, or name the value date"
                " with --value-date"
            ) from None

    def value_date(self, business_date: int, working_days: int = 1) -> int:
        """Give the day on which a business date is paid: so many working days after it.

        Args:
            business_date: YYYYMMDD.
            working_days: at least 1.

        Raises:
            NotCovered: naming the years and the ways out.
            ValueError: less than one working day.
        """
        if working_days < 1:
            raise ValueError("a day is paid one working day later at the earliest")
        day = _date(business_date)
        while working_days:
            day += timedelta(days=1)
            working_days -= self.works(day)
        return day.year * 10000 + day.month * 100 + day.day

    def warning(self, business_date: int, working_days: int = 1) -> str:
        """Look ahead whether all value dates of the coming month are known.

        Returns:
            A sentence that names the ways out, or nothing when all is well.
        """
        ahead = _date(business_date) + timedelta(days=LOOK_AHEAD_DAYS)
        try:
            self.value_date(ahead.year * 10000 + ahead.month * 100 + ahead.day, working_days)
        except NotCovered as fault:
            return str(fault)
        return ""


def announced() -> tuple[int, int]:
    """The first and the last year that the package knows."""
    known = chinese_calendar.constants.holidays
    return min(known).year, max(known).year


def read_bank_days(directory: Path) -> BankDays:
    """Read the operator's file of a data directory, where there is one.

    Raises:
        WrongHolidays: it is not of its form, or a year is not whole.
    """
    path = directory / HOLIDAYS
    days = BankDays(path)
    try:
        with path.open("rb") as file:
            data = file.read(HOLIDAYS_BYTES_MAX + 1)
    except FileNotFoundError:
        return days
    except OSError as error:
        raise WrongHolidays(f"{path} cannot be read ({error.strerror})") from None
    if len(data) > HOLIDAYS_BYTES_MAX:
        raise WrongHolidays(f"{path} is larger than {HOLIDAYS_BYTES_MAX} bytes")
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
    except ValueError as error:  # of TOML or of UTF-8
        raise WrongHolidays(f"{path} is not valid TOML in UTF-8: {error}") from None
    try:
        for name, table in document.items():
            _take_year(days, name, table)
    except ValueError as fault:
        raise WrongHolidays(f"{path}: {fault}") from None
    return days


def _take_year(days: BankDays, name: str, table: Any) -> None:
    """Take the table of a year.

    Raises:
        ValueError: a sentence with the place and what is wrong there.
    """
    if not (name.isascii() and name.isdigit() and len(name) == len("YYYY")):
        raise ValueError(f"[{name}] is no year: a table of days is named like [2027]")
    if not isinstance(table, dict) or not table.keys() <= _LISTS:
        raise ValueError(f"[{name}] has lists named closed and worked, and nothing else")
    year = int(name)
    for key in sorted(table):
        place = f"{key} of [{name}]"
        if not isinstance(table[key], list):
            like = f'["{name}-05-01..{name}-05-05"]'
            raise ValueError(f"{place} has to be a list like {like}")  # noqa: TRY004 - a sentence
        for text in table[key]:
            for day in _span(place, text):
                if day.year != year:
                    raise ValueError(f"{place} names {day}, of another year")
                if days.named.setdefault(day, key == "worked") != (key == "worked"):
                    raise ValueError(f"[{name}] has {day} both as closed and as worked")
    first, last = announced()
    if first <= year <= last:
        return
    for month, day_ in ALWAYS_CLOSED:
        if days.named.get(date(year, month, day_), True):
            raise ValueError(
                f"[{name}] does not close {date(year, month, day_)}, as every notice does: enter"
                " all days of the notice, half of them would pay on a holiday"
            )
    days.years |= {year}


def _span(place: str, text: Any) -> Iterator[date]:
    """The days of ``YYYY-MM-DD`` or ``YYYY-MM-DD..YYYY-MM-DD``."""
    begins, _, ends = str(text).partition("..")
    try:
        first = date.fromisoformat(begins.strip())
        last = date.fromisoformat(ends.strip()) if ends else first
    except ValueError:
        raise ValueError(
            f"{place} has {str(text)[:40]!r}, which is neither like 2027-05-01 nor like"
            " 2027-05-01..2027-05-05"
        ) from None
    if not first <= last or last.year != first.year:
        raise ValueError(f"{place} has {str(text)[:40]!r}, which is no span within a year")
    while first <= last:
        yield first
        first += timedelta(days=1)


def _date(day: int) -> date:
    return date(day // 10000, day // 100 % 100, day % 100)
