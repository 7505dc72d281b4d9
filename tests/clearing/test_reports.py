"""Reports and exports of a book whose figures are known."""

import csv
import errno
import io
import json
import re

import openpyxl
import pytest
from beancount import loader
from hypothesis import given
from hypothesis import strategies as st

from clearing import beancount, reports
from clearing.reports import REPORTS
from tests.clearing.books import copied
from tests.clearing.readers import books_faults
from tests.tools.conftest import must, run

BOTH = ("--from", "2026-03-01", "--to", "2026-03-02")


@pytest.fixture(scope="module")
def book(prepared, tmp_path_factory):
    return copied(prepared, tmp_path_factory.mktemp("reports"))


def rows(book, name, *options):
    return [
        json.loads(line) for line in must("report", book, name, *options, "--json").splitlines()
    ]


def test_the_general_ledger_is_the_journal_and_sums_to_zero(book):
    found = rows(book, "general-ledger", *BOTH)
    for unit in ("156", "P01", "P02"):
        assert sum(row["closing"] for row in found if row["unit"] == unit) == 0
    by_account = {row["account"]: row for row in found}
    assert by_account["Pos:SHOP"]["closing"] == -3162 + 897
    later = {row["account"]: row for row in rows(book, "general-ledger", "--from", "2026-03-02")}
    assert later["Pos:SHOP"]["opening"] == -3162
    assert later["Pos:SHOP"]["credit"] - later["Pos:SHOP"]["debit"] == 897


def test_the_store_ledgers_sum_to_the_company_ledger(book):
    lines = rows(book, "store-ledger", *BOTH)
    settled = rows(book, "merchant-settlement", *BOTH)
    company = {row["account"]: row for row in rows(book, "general-ledger", *BOTH)}
    for party in ("SHOP", "INN"):
        of_lines = sum(line["money"] for line in lines if line["merchant"] == party)
        of_dates = sum(row["net"] for row in settled if row["merchant"] == party)
        assert of_lines == of_dates == company[f"Pos:{party}"]["closing"]
    (row,) = [r for r in settled if (r["date"], r["merchant"]) == ("2026-03-02", "SHOP")]
    assert (row["points_redeemed_settlement"], row["fees"], row["net"]) == (903, -6, 897)


def test_points_outstanding_are_told_by_expiry(book):
    found = {row["program"]: row for row in rows(book, "liability-ageing")}
    assert (found["P01"]["points"], found["P01"]["value"]) == (3321 - 1700 + 50 - 1000, 671)
    assert found["P02"]["points"] == 3000 - 77
    assert found["P01"]["runs_out"] == "2028-03"


def test_members_and_suspects(book):
    (first, _) = rows(book, "member-activity", *BOTH)
    assert (first["member"], first["transactions"], first["received"]) == ("**", 34, 3371)
    suspects = [row for row in rows(book, "suspects", *BOTH) if row["merchant"] == "INN"]
    assert len(suspects) == 29, "INN sold the same each minute"
    assert {row["seconds"] for row in suspects} == {60}


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_a_table_csv_and_workbook(book, tmp_path, name):
    report = REPORTS[name]
    count = len(rows(book, name, *BOTH))
    assert report.chinese in must("report", book, name, *BOTH)
    text = must("report", book, name, *BOTH, "--format", "csv")
    assert text.startswith("\ufeff")
    found = list(csv.reader(io.StringIO(text[1:])))
    assert found[0] == [column for column, _ in report.columns]
    assert len(found) == count + 1
    path = tmp_path / "report.xlsx"
    must("report", book, name, *BOTH, "--format", "xlsx", "--out", path)
    sheet = openpyxl.load_workbook(path).active
    assert sheet.max_row == count + 1
    assert sheet.cell(1, 1).value == report.columns[0][0]


def test_a_table_leaves_out_money_that_nobody_moved(book):
    text = must("report", book, "merchant-settlement", *BOTH)
    assert "积分消费结算" in text
    assert "代金券销售" not in text


def test_beancount_checks_the_books_and_has_the_ledgers_balances(book, tmp_path):
    path = tmp_path / "books.beancount"
    text = must("export", book, "--format", "beancount")
    path.write_text(text, "utf-8")
    assert books_faults(book, path) == []
    # One entry less: its own books are right, and not the ledger's.
    path.write_text(must("export", book, "--format", "beancount", "--to", "2026-03-01"), "utf-8")
    assert any(fault.startswith("Pos:SHOP:20260302 is 897") for fault in books_faults(book, path))
    path.write_text(text.replace("-1.00 CNY", "-1.01 CNY", 1), "utf-8")
    assert books_faults(book, path)[0].startswith("bean-check")


@pytest.mark.parametrize(
    ("said", "sales"),
    [
        (("--to", "2026-03-01"), 60),
        (("--from", "2026-03-02"), 0),
        (("--from", "2026-03-01", "--to", "2026-03-01"), 60),
    ],
)
def test_beancount_checks_any_range(book, tmp_path, said, sales):
    path = tmp_path / "range.beancount"
    path.write_text(must("export", book, "--format", "beancount", *said), "utf-8")
    entries, errors, _ = loader.load_file(str(path))
    assert not errors
    kinds = [type(entry).__name__ for entry in entries]
    assert kinds.count("Balance") > 5
    told = path.read_text("utf-8")
    assert len(re.findall(r'"accrual', told)) == sales


def test_a_range_that_ends_before_it_begins_is_refused(book):
    for command in (("report", book, "suspects"), ("export", book, "--format", "csv")):
        done = run(*command, "--from", "2026-03-02", "--to", "2026-03-01")
        assert done.exit_code == 2
        assert "--to 2026-03-01 is before --from 2026-03-02" in done.output


@given(st.text(st.characters(codec="ascii", exclude_characters=":"), min_size=1, max_size=6))
def test_names_of_accounts_stay_different_and_are_beancounts(part):
    other = f"{part}-"
    one, two = (beancount.account_name(f"Fee:{text}") for text in (part, other))
    assert one != two
    assert beancount.account_name(f"Fee:{part.lower()}") == one or part != part.lower()
    last = one.rsplit(":", 1)[1]
    assert last[0].isupper() or last[0].isdigit()
    assert all(letter.isalnum() or letter == "-" for letter in last)


def test_csv_and_json_lines_tell_every_posting(book):
    lines = list(csv.DictReader(io.StringIO(must("export", book, "--format", "csv", *BOTH))))
    events = [json.loads(line) for line in must("export", book, "--format", "jsonl").splitlines()]
    told = [
        (event["sequence"], leg["account"], leg["unit"], leg["amount"])
        for event in events
        for leg in event["postings"]
    ]
    assert told == [
        (int(line["sequence"]), line["account"], line["unit"], int(line["amount"]))
        for line in lines
    ]


def test_a_table_too_wide_for_the_terminal_is_a_row_at_a_time_and_whole(book, monkeypatch):
    wide = must("report", book, "merchant-settlement", *BOTH)
    monkeypatch.setattr("clearing.report_forms.UNSEEN_WIDTH", 60)
    narrow = must("report", book, "merchant-settlement", *BOTH)
    assert max(map(len, wide.splitlines())) > 60 >= max(map(len, narrow.splitlines()))
    assert "…" not in narrow
    places = {
        re.search(r"\S+$", line.rstrip()).start()
        for line in re.findall("^date .*", narrow, re.MULTILINE)
    }
    assert len(places) == 1, "values stand below each other from one row to the next"
    merchants = {row["merchant"] for row in rows(book, "merchant-settlement", *BOTH)}
    assert all(name in narrow for name in merchants)
    assert "金额单位: 元" in narrow


def test_times_are_written_as_people_write_them(book):
    text = must("report", book, "suspects", *BOTH, "--format", "csv")
    times = [row["time 时间"] for row in csv.DictReader(io.StringIO(text[1:]))]
    assert times
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", time) for time in times)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_report_that_cannot_be_written_leaves_the_one_before(book, tmp_path, monkeypatch, form):
    path = tmp_path / "ledger"
    said = ("report", book, "general-ledger", "--format", form, "--out")
    assert run(*said, "/dev/full").stderr == (
        "counterfoil: the disk is full: free some room, then do the same again\n"
    )
    must(*said, path)
    path.chmod(0o600)
    before = path.read_bytes()

    def fills_up(_report, _rows, out):
        out.write("x" if form == "csv" else b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reports, f"write_{form}", fills_up)
    assert run(*said, path).exit_code == 1
    assert (list(tmp_path.iterdir()), path.read_bytes()) == ([path], before)
    monkeypatch.undo()
    must(*said, path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_out_without_a_form_of_a_file_is_wrong_usage(book, tmp_path):
    path = tmp_path / "ledger"
    assert run("report", book, "general-ledger", "--out", path).exit_code == 2
    assert run("report", book, "general-ledger", "--json", "--out", path).exit_code == 2
