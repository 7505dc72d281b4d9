"""Dates as people type them at the command line: ``2026-03-02``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import click


class _Day(click.DateTime):
    """A day; what is none is said in words, not by the format that it was read with."""

    name = "day"

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What stands for it in usage."""
        del param, ctx
        return "YYYY-MM-DD"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The first moment of the day, without a zone."""
        try:
            day: datetime = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"'{value}' is no date like 2026-03-02.", param, ctx)
        return day


DAY: Final = _Day()
"""The type of options that are a date."""


def as_number(date: datetime | None) -> int:
    """A date as YYYYMMDD, 0 for none."""
    return int(date.strftime("%Y%m%d")) if date else 0


def span(first: datetime | None, last: datetime | None) -> tuple[int, int]:
    """What ``--from`` and ``--to`` say, as YYYYMMDD, 0 where one is left out.

    Raises:
        click.UsageError: there is no day in between.
    """
    if first and last and last < first:
        raise click.UsageError(f"--to {last:%Y-%m-%d} is before --from {first:%Y-%m-%d}")
    return as_number(first), as_number(last)
