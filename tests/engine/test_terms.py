"""Days, zones, terms in force, and how long points last."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import ASKED_NEVER, NEVER, Merchant, Program, Terms
from engine.terms import Clock, add_days, expiry_of, in_force, local_ms

# Summer time by day and at midnight, halves of hours, a day that was left out.
ZONES = [
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/Havana",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kolkata",
]
zones = st.sampled_from(ZONES)
moments = st.integers(1_293_840_000_000, 1_924_905_600_000)  # 2011 to 2030
days = st.dates(datetime(2011, 1, 1).date(), datetime(2030, 12, 31).date())  # noqa: DTZ001


def number(day):
    return day.year * 10000 + day.month * 100 + day.day


def program(expiry):
    return Program(
        "P01", "", 100, expiry, True, "expire", 0, "negative", False, ASKED_NEVER, (0, 1), 1
    )


@pytest.mark.parametrize(
    ("expiry", "earned", "last"),
    [
        ("rolling:24m", 20260301, 20280331),
        ("rolling:24m", 20260228, 20280229),
        ("rolling:1m", 20260131, 20260228),
        ("rolling:1m", 20280131, 20280229),
        ("rolling:1m", 20261231, 20270131),
        ("rolling:12m", 20240229, 20250228),
        ("rolling:0m", 20260301, 20260331),
        ("calendar:1y", 20260101, 20271231),
        ("calendar:1y", 20261231, 20271231),
        ("calendar:0y", 20260615, 20261231),
        ("none", 20260301, NEVER),
    ],
)
def test_points_last_to_the_end_of_a_month_or_year(expiry, earned, last):
    assert expiry_of(program(expiry), earned) == last


@given(days, st.integers(0, 60))
def test_rolling_points_last_to_a_month_end_so_many_months_on(day, months):
    last = expiry_of(program(f"rolling:{months}m"), number(day))
    end = datetime.strptime(str(last), "%Y%m%d").replace(tzinfo=UTC).date()
    assert (end + timedelta(days=1)).day == 1
    assert (end.year - day.year) * 12 + end.month - day.month == months


@given(days, st.integers(-400, 400))
def test_days_are_added_over_months_and_years(day, count):
    assert add_days(number(day), count) == number(day + timedelta(days=count))


def terms(since, name="P01"):
    return Terms(since, name, (1, 1), (1, 1), (1, 1), 0, 0, 0, 0, False)


def merchant(*rows):
    return Merchant("HOTEL", "", "HB01", "7011", rows, True, 1)


@pytest.mark.parametrize(
    ("today", "asked", "since", "name"),
    [
        (20260101, "", 20260101, "P01"),
        (20260630, "", 20260101, "P01"),
        (20260701, "", 20260701, "P02"),
        (20260701, "P01", 20260101, "P01"),
        (20260702, "P01", 20260702, "P01"),
        (20260702, "", 20260702, "P01"),
        (20260702, "P02", 20260701, "P02"),
    ],
)
def test_the_latest_terms_that_have_begun_apply(today, asked, since, name):
    found = in_force(
        merchant(terms(20260101), terms(20260701, "P02"), terms(20260702)), asked, today
    )
    assert (found.since, found.program) == (since, name)


def test_of_terms_that_begin_together_the_first_listed_is_the_merchants_own():
    both = merchant(terms(20260101, "P02"), terms(20260101, "P01"))
    assert in_force(both, "", 20260301).program == "P02"
    assert in_force(both, "P01", 20260301).program == "P01"


@pytest.mark.parametrize(("today", "asked"), [(20251231, ""), (20260301, "P02")])
def test_no_terms_are_in_force_before_they_begin_or_for_another_program(today, asked):
    assert in_force(merchant(terms(20260101)), asked, today) is None


@given(zones, st.lists(moments, min_size=1, max_size=20))
def test_a_clock_tells_the_local_date_of_any_moment(zone, at):
    clock = Clock(zone)
    for moment in at:
        local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(ZoneInfo(zone))
        assert clock.date(moment) == number(local.date())


@given(zones, days)
def test_a_day_ends_where_the_next_begins(zone, day):
    assert local_ms(number(day), 1440, zone) == local_ms(add_days(number(day), 1), 0, zone)


@pytest.mark.parametrize(
    ("day", "minutes", "moment"),
    [
        (20260301, 0, "2026-02-28T23:00+00:00"),
        (20260301, 1440, "2026-03-01T23:00+00:00"),
        (20260329, 1440, "2026-03-29T22:00+00:00"),
        (20260329, 23 * 60 + 30, "2026-03-29T21:30+00:00"),
        (20261025, 0, "2026-10-24T22:00+00:00"),
        (20261025, 1440, "2026-10-25T23:00+00:00"),
    ],
)
def test_cut_off_is_by_the_clock_on_the_wall(day, minutes, moment):
    wanted = int(datetime.fromisoformat(moment).timestamp() * 1000)
    assert local_ms(day, minutes, "Europe/Berlin") == wanted
