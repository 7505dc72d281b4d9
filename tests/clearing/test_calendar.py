"""Value dates by the Chinese calendar, as the operator's own file extends and changes it."""

from datetime import date

import pytest

from clearing.calendar import BankDays, NotCovered, WrongHolidays, announced, read_bank_days

KNOWN = announced()[1]
NEXT = KNOWN + 1
NOTICE = f"""\
[{NEXT}]
closed = ["{NEXT}-01-01..{NEXT}-01-03", "{NEXT}-05-01", "{NEXT}-10-01..{NEXT}-10-07"]
worked = ["{NEXT}-01-09"]
"""


@pytest.fixture
def package(tmp_path):
    """The package's days alone: there is no file."""
    return read_bank_days(tmp_path)


def told(tmp_path, text):
    (tmp_path / "holidays.toml").write_text(text, encoding="utf-8")
    return read_bank_days(tmp_path)


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
def test_a_day_is_paid_on_the_next_working_day(package, business_date, paid):
    assert package.value_date(business_date) == paid


def test_several_working_days_skip_holidays_between_them(package):
    assert package.value_date(20260929, 3) == 20261009


def test_a_year_that_nobody_announced_is_refused_with_every_way_out(package, tmp_path):
    with pytest.raises(NotCovered) as refused:
        package.value_date(KNOWN * 10000 + 1231)
    sentence = str(refused.value)
    assert f"not {NEXT}: write the days" in sentence
    assert str(tmp_path / "holidays.toml") in sentence
    assert "install a newer chinesecalendar" in sentence
    assert "--value-date" in sentence


def test_the_end_of_the_calendar_is_announced_a_month_ahead(package):
    assert not package.warning(KNOWN * 10000 + 1115)
    assert "install a newer chinesecalendar" in package.warning(KNOWN * 10000 + 1203)
    assert not package.warning(KNOWN * 10000 + 1101, working_days=5)
    assert package.warning(KNOWN * 10000 + 1126, working_days=5)


def test_a_payment_on_the_same_day_does_not_exist(package):
    with pytest.raises(ValueError, match="one working day later"):
        package.value_date(20260520, 0)


def test_the_operators_file_adds_a_whole_year(tmp_path):
    days = told(tmp_path, NOTICE)
    # 31 December is paid after the New Year's days; what is not named follows the week.
    assert days.value_date(KNOWN * 10000 + 1231) == next_weekday(NEXT, 1, 4)
    assert days.works(date(NEXT, 1, 9)), "a day that is worked in exchange"
    assert not days.works(date(NEXT, 10, 7))
    assert days.warning(KNOWN * 10000 + 1220) == ""
    assert f"{KNOWN}, {NEXT}, not {NEXT + 1}" in days.warning(NEXT * 10000 + 1231)


def next_weekday(year, month, day):
    while date(year, month, day).weekday() > 4:
        day += 1
    return year * 10000 + month * 100 + day


def test_of_a_year_that_is_known_the_named_days_alone_are_changed(tmp_path):
    text = '[2026]\nclosed = ["2026-05-21..2026-05-22"]\nworked = ["2026-05-24"]\n'
    days = told(tmp_path, text)
    assert days.value_date(20260520) == 20260524
    assert days.value_date(20260930) == 20261008


def test_toml_dates_without_quotes_are_days_too(tmp_path):
    assert told(tmp_path, "[2026]\nclosed = [2026-05-21]\n").value_date(20260520) == 20260522


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[2027", "is not valid TOML"),
        ("[holidays]\n", "[holidays] is no year"),
        ("closed = []\n", "[closed] is no year"),
        ("2027 = 5\n", "[2027] has lists named closed and worked"),
        ("[2026]\nopen = []\n", "[2026] has lists named closed and worked"),
        ('[2026]\nclosed = "2026-05-01"\n', "closed of [2026] has to be a list"),
        ('[2026]\nclosed = ["1 May"]\n', "closed of [2026] has '1 May', which is neither"),
        ('[2026]\nclosed = ["2026-05-03..2026-05-01"]\n', "which is no span"),
        ('[2026]\nclosed = ["2026-12-31..2027-01-03"]\n', "which is no span within a year"),
        ('[2026]\nclosed = ["2027-01-01"]\n', "names 2027-01-01, of another year"),
        ('[2026]\nclosed = ["2026-05-01"]\nworked = ["2026-05-01"]\n', "both as closed and as"),
        (f'[{NEXT}]\nclosed = ["{NEXT}-01-01"]\n', f"does not close {NEXT}-05-01"),
        (f"[{NEXT}]\n", f"does not close {NEXT}-01-01"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(tmp_path, text, sentence):
    with pytest.raises(WrongHolidays) as refused:
        told(tmp_path, text)
    assert sentence in str(refused.value)
    assert str(tmp_path / "holidays.toml") in str(refused.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "holidays.toml").mkdir()
    with pytest.raises(WrongHolidays, match="cannot be read"):
        read_bank_days(tmp_path)
    assert read_bank_days(tmp_path / "nothing") == BankDays(tmp_path / "nothing" / "holidays.toml")
