"""Reports and exports of a book whose figures are known."""

import csv
import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from beancount import loader
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from clearing import beancount
from clearing.reports import REPORTS
from ledger import schema
from ledger.tables import Snapshot
from tests.clearing.books import two_days
from tools.cli import main

BOTH = ("--from", "2026-03-01", "--to", "2026-03-02")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports") / "book"
    two_days(folder)
    return folder


def must(*arguments):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


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
    path.write_text(must("export", book, "--format", "beancount"), "utf-8")
    checker = Path(sys.executable).with_name("bean-check")
    done = subprocess.run([checker, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    entries, errors, _ = loader.load_file(str(path))
    assert not errors
    sums: dict = {}
    for entry in entries:
        for posting in getattr(entry, "postings", None) or ():
            key = (posting.account, posting.units.currency)
            sums[key] = sums.get(key, Decimal(0)) + posting.units.number
    with Snapshot(book) as snapshot:
        held = {
            schema.balance_account(key): amount
            for key, amount in snapshot.view.scan(bytes((schema.BALANCE,)))
        }
    assert len(held) > 10
    for account, amount in held.items():
        unit = (
            account.split(":")[1] if account.startswith(("Issued", "Redeemed", "Opening")) else ""
        )
        name = beancount.account_name(account)
        found = sums.pop((name, unit if unit.startswith("P") else "CNY"), Decimal(0))
        assert found == (Decimal(-amount) if unit.startswith("P") else Decimal(-amount) / 100)
    assert all(":Lot:" in account for account, _ in sums), "only members' own accounts are left"


def test_a_changed_amount_is_found_by_bean_check(book, tmp_path):
    text = must("export", book, "--format", "beancount")
    path = tmp_path / "books.beancount"
    path.write_text(
        text.replace("  Liabilities:Fund:P01  -1.00 CNY", "  Liabilities:Fund:P01  -1.01 CNY", 1)
    )
    assert path.read_text() != text
    assert loader.load_file(str(path))[1]


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
