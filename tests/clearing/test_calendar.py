"""Value dates by the Chinese calendar."""

import pytest

from clearing import calendar


@pytest.mark.parametrize(
    ("business_date", "paid"),
    [
        (20260520, 20260521),  # Wednesday, Thursday
        (20260522, 20260525),  # over a weekend
        (20260214, 20260224),  # a worked Saturday before the Spring Festival
        (20260213, 20260214),  # a Saturday worked in exchange is a working day
        (20260930, 20261008),  # the National Day week
        (20261009, 20261010),  # the Saturday after it is worked
        (20251231, 20260104),  # New Year; Sunday 4 January is worked
    ],
)
def test_a_day_is_paid_on_the_next_working_day(business_date, paid):
    assert calendar.value_date(business_date) == paid


def test_several_working_days_skip_holidays_between_them():
    assert calendar.value_date(20260929, 3) == 20261009


def test_a_year_that_nobody_announced_is_refused_with_the_remedy():
    year = calendar.covered_through() + 1
    with pytest.raises(calendar.NotCovered, match=f"not {year}: install a newer chinesecalendar"):
        calendar.is_working(year * 10000 + 101)


def test_the_end_of_the_calendar_is_announced_a_month_ahead():
    year = calendar.covered_through()
    assert not calendar.check_coverage(year * 10000 + 1115)
    assert "install a newer chinesecalendar" in calendar.check_coverage(year * 10000 + 1220)
    with pytest.raises(calendar.NotCovered):
        calendar.check_coverage((year + 1) * 10000 + 101)


def test_a_payment_on_the_same_day_does_not_exist():
    with pytest.raises(ValueError, match="one working day later"):
        calendar.value_date(20260520, 0)
