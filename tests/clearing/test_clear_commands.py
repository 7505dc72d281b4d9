"""The command line of clearing: what settlement staff type, read and are told."""

import json
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from clearing import paying
from clearing.calendar import announced
from engine.rules import terminals
from engine.rules.clearing import PutPayee
from engine.rules.reference import CutOff
from engine.rules.undo import Void
from engine.terms import add_days
from engine.vault import Vault
from ledger.tables import Snapshot
from tests.clearing.books import CARD, copied, opened
from tests.clearing.test_bank import camt
from tests.clearing.test_bank import entry as camt_entry
from tests.engine.house import moment
from tests.tools.conftest import Daemon, must, run


@pytest.fixture
def book(prepared, tmp_path):
    return copied(prepared, tmp_path)


def data(*arguments):
    return json.loads(must(*arguments, "--json"))


def day(book, tmp_path, date, **said):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in said.items()]
    return data("clear", book, f"--date={date}", f"--out={tmp_path / date}", *options)[-1]


def test_a_date_goes_from_open_to_confirmed(book, tmp_path):
    rows = data("clear", "status", book, "--date", "2026-03-01")
    assert [row["state"] for row in rows] == ["CUT"]
    text = must("clear", book, "--date", "2026-03-01", "--out", tmp_path / "one")
    assert "2026-03-01, run 1: FILED" in text
    assert "SHOP" in text
    assert "-31.62" in text
    assert "good" in must("clear", "validate", tmp_path / "one")
    assert "2026-03-01, run 1: CONFIRMED" in must("clear", "release", book, "--date=2026-03-01")
    (row,) = data("clear", "status", book, "--date", "2026-03-01")
    assert (row["state"], row["posted"], row["expected"]) == ("CONFIRMED", 2, 2)


def test_the_book_is_opened_by_python_dash_m_too_and_order_of_options_does_not_matter(
    book, tmp_path
):
    must("clear", "--date", "2026-03-01", book, "--out", tmp_path / "one")
    must("clear", "run", book, "--date", "2026-03-01", "--out", tmp_path / "one")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--date", "2026-02-28", "--out", "x"), 1, "before the first business date"),
        (("--date", "2126-03-01", "--out", "x"), 1, "lies ahead"),
        (("--date", "yesterday", "--out", "x"), 2, "Invalid value for '--date'"),
        (("--date", "2026-03-01"), 2, "Missing option '--out'"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(book, arguments, status, told):
    done = run("clear", book, *arguments)
    assert done.exit_code == status
    assert told in done.output
    assert done.output.count("counterfoil: ") == (status == 1)


def last_days(folder, year):
    """A data directory whose last two dates of a year are cut off, without a transaction."""
    with opened(folder) as made:
        at = moment(year * 10000 + 1230, "08:00")
        made.open(year * 10000 + 1230, at=at)
        for day in (1230, 1231):
            made.machine.execute(cut(year * 10000 + day), at)


def test_at_the_end_of_the_known_years_a_date_waits_for_the_operators_holidays(tmp_path):
    year, book = announced()[1], tmp_path / "book"
    last = f"{year}-12-31"
    last_days(book, year)
    before = f"{year}-12-30"
    noted = run("clear", book, f"--date={before}", f"--out={tmp_path / before}")
    assert noted.exit_code == 0, noted.output
    assert f"not {year + 1}: write the days" in noted.output, "a month before it is told already"
    refused = run("clear", book, f"--date={last}", f"--out={tmp_path / last}")
    assert refused.exit_code == 1
    assert f"into {book / 'holidays.toml'}" in refused.output
    assert not (tmp_path / last).exists(), "nothing was begun"
    (row,) = data("clear", "status", book, "--date", last)
    assert row["state"] == "CUT"
    notice = f'closed = ["{year + 1}-01-01..{year + 1}-01-03", "{year + 1}-05-01"'
    (book / "holidays.toml").write_text(f'[{year + 1}]\n{notice}, "{year + 1}-10-01"]\n')
    (paid_on,) = data("clear", book, f"--date={last}", f"--out={tmp_path / last}")
    assert paid_on["value_date"] >= (year + 1) * 10000 + 104
    # A run that has begun keeps its value date: without the file it is repeated, to the byte.
    (book / "holidays.toml").unlink()
    (again,) = data("clear", book, f"--date={last}", f"--out={tmp_path / 'again'}")
    assert (again["repeated"], again["value_date"]) == (True, paid_on["value_date"])
    manifests = [(tmp_path / name / "manifest.json").read_bytes() for name in (last, "again")]
    assert manifests[0] == manifests[1]


def test_a_day_is_cleared_beside_the_running_daemon(book, tmp_path):
    must("clear", book, "--date", "2026-03-01", "--out", tmp_path / "one")
    daemon = Daemon(book, "--confirm-clock")
    try:
        again = data("clear", book, "--date", "2026-03-01", "--out", tmp_path / "again")
        assert again[0]["repeated"]
        must("clear", "release", book, "--date", "2026-03-01")
        must("clear", book, "--date", "2026-03-02", "--out", tmp_path / "two", "--release")
        rows = data("clear", "status", book, "--date", "2026-03-02")
        assert [row["state"] for row in rows] == ["CONFIRMED"]
        assert "good" in must("clear", "validate", tmp_path / "two")
        refused = run("clear", "release", book, "--date", "2026-03-03")
        assert refused.exit_code == 1
        assert "clear it with" in refused.output
    finally:
        assert daemon.stop() == 0
    assert (tmp_path / "one" / "manifest.json").read_bytes() == (
        tmp_path / "again" / "manifest.json"
    ).read_bytes()
    assert "failed" not in must("verify", book)


def test_damage_is_named_by_validate(book, tmp_path):
    must("clear", book, "--date", "2026-03-01", "--out", tmp_path / "one")
    path = next((tmp_path / "one").glob("settlement-*.txt"))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    done = run("clear", "validate", tmp_path / "one")
    assert done.exit_code == 1
    assert done.output.endswith("rejected\n")
    assert not json.loads(run("clear", "validate", tmp_path / "one", "--json").output)["good"]


@pytest.fixture
def owed(book):
    """The next date, cut off: SPA is owed for points that others issued."""
    with opened(book) as made:
        made.accrue("00000001", made.book.last_at, CARD, 3_000_000)
        made.redeem("00000003", made.book.last_at, CARD, 20_000)
        date = made.machine.date
        made.machine.execute(cut(date), made.book.last_at)
    return book, date, f"{date // 10000}-{date // 100 % 100:02}-{date % 100:02}"


@pytest.fixture
def paid(owed, tmp_path):
    """The same, released."""
    book, date, text = owed
    pay = f"--value-date={text}"
    told = must("clear", book, f"--date={text}", f"--out={tmp_path / 'out'}", "--release", pay)
    assert "lack an account" not in told
    return book, date


def test_who_cannot_be_paid_is_told(owed, tmp_path):
    book, _, text = owed
    path = book / "counterfoil.toml"
    before = path.read_text()
    path.write_text(before.replace('account_number = "110100200300"\n', ""))
    pay = f"--value-date={text}"
    told = must("clear", book, f"--date={text}", f"--out={tmp_path / 'out'}", "--release", pay)
    assert "1 of those to pay lack an account, theirs or the operator's" in told
    assert not list((tmp_path / "out").glob("payments-*"))
    told = must("clear", "release", book, f"--date={text}")
    assert "1 of those to pay lack an account" in told
    path.write_text(before)  # too late: this run's files are what they are
    (waiting,) = data("clear", "status", book, "--unconfirmed")
    assert (waiting["party"], waiting["state"]) == ("SPA", "unpaid")
    assert waiting["text"] == "the operator's own account is not on record"
    name = f"CF{text.replace('-', '')}-01-SPA"
    by_hand = confirmation(tmp_path, f"{name},188.80,{text},confirmed,")
    assert "CONFIRMED" in must("clear", "confirm", book, by_hand)


def test_a_payment_in_no_payment_file_is_not_told_as_sent(book, tmp_path):
    with opened(book) as made:
        at = made.book.last_at
        made.machine.execute(PutPayee("SPA", "merchant", "", "SPA Ltd", "", ""), at)
        made.accrue("00000001", at, CARD, 3_000_000)
        made.redeem("00000003", at, CARD, 20_000)
        date = made.machine.date
        made.machine.execute(cut(date), at)
        # Known from now on, which is too late for the date.
        made.machine.execute(
            PutPayee("SPA", "merchant", "", "SPA Ltd", "622203", "102100099996"), at
        )
    text = f"{date // 10000}-{date // 100 % 100:02}-{date % 100:02}"
    must("clear", book, f"--date={text}", f"--out={tmp_path / 'out'}", "--release")
    (waiting,) = data("clear", "status", book, "--unconfirmed")
    assert (waiting["party"], waiting["state"]) == ("SPA", "unpaid")
    assert waiting["text"] == "no bank account on record that a payment file can carry"


def cut(date):
    return CutOff(date, automatic=False)


def confirmation(tmp_path, *rows):
    path = tmp_path / "bank.csv"
    lines = ["end_to_end_id,amount,booked,status,reason", *rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_payments_age_until_the_bank_confirms_them(paid, tmp_path):
    book, date = paid
    (waiting,) = data("clear", "status", book, "--unconfirmed")
    assert (waiting["party"], waiting["state"], waiting["fen"]) == ("SPA", "sent", 18_880)
    name = f"CF{date}-01-SPA"
    refused = confirmation(tmp_path, f"{name},188.80,2026-03-10,refused,account closed")
    assert "refused 1" in must("clear", "confirm", book, refused)
    (waiting,) = data("clear", "status", book, "--unconfirmed")
    assert (waiting["state"], waiting["text"]) == ("refused", "account closed")
    with Snapshot(book) as snapshot:
        later = paying.unpaid(snapshot, add_days(waiting["value_date"], 3))
    assert [one.age_days for one in later] == [3]
    wrong = confirmation(
        tmp_path,
        f"{name},188.81,2026-03-11,confirmed,",
        "CF20260101-01-X,1.00,2026-03-11,confirmed,",
    )
    done = run("clear", "confirm", book, wrong)
    assert done.exit_code == 1
    assert "18880 fen were to be paid to SPA, not 18881" in done.output
    assert "no such payment was released" in done.output
    statement = tmp_path / "bank.xml"
    statement.write_bytes(camt(camt_entry(name, "188.80")))
    assert "CONFIRMED" in must("clear", "confirm", book, statement)
    assert data("clear", "confirm", book, statement)["unchanged"] == 1
    listed = confirmation(tmp_path, f"{name},188.80,2026-11-23,confirmed,")
    assert data("clear", "confirm", book, listed)["unchanged"] == 1, "as the statement says it"
    assert data("clear", "status", book, "--unconfirmed") == []


def test_a_disputed_batch_is_matched_item_by_item_and_resolved(book, tmp_path):
    with opened(book) as made:
        at = made.book.last_at
        known = made.stans["00000003", 1]
        sales = [made.accrue("00000003", at, CARD, fen) for fen in (1_000, 2_000, 3_000, 4_000)]
        date = made.machine.date
        items = [(known + 1, 1_000), (known + 2, 2_500), (known + 3, 3_000), (known + 3, 3_000)]
        for number, (stan, fen) in enumerate([*items, (known + 77, 500)]):
            said = {"original_batch": 1, "original_stan": stan, "unit": "156", "amount": fen}
            made.send(
                terminals.UploadItem,
                "00000003",
                at,
                **said,
                rrn="",
                response="00",
                tokens=(),
                last=number == len(items),
            )
        made.machine.execute(cut(date), at)
    text = f"{date // 10000}-{date // 100 % 100:02}-{date % 100:02}"
    must("clear", book, f"--date={text}", f"--out={tmp_path / 'out'}", f"--value-date={text}")
    found = data("clear", "exceptions", book)
    key = Vault.open(book.with_name("book.key"))
    assert {(one["stan"] - known, one["reason"], one["here"], one["there"]) for one in found} == {
        (2, "amount", 2_000, 2_500),
        (3, "twice", 3_000, 6_000),
        (4, "only-here", 4_000, 0),
        (77, "only-there", 0, 500),
    }
    assert {one["rrn"] for one in found if one["sequence"]} == {
        key.rrn(sale.sequence) for sale in sales[1:]
    }
    lines = next((tmp_path / "out").glob("exceptions-*.csv")).read_text("utf-8-sig").splitlines()
    assert len(lines) == 5
    chosen = next(one["id"] for one in found if one["reason"] == "only-there")
    refused = run("clear", "exceptions", book, "--resolve", chosen)
    assert refused.exit_code == 2
    said = ("--because", "the slip was found", "--party", "SPA", "--amount", "4.75")
    told = must("clear", "exceptions", book, "--resolve", chosen, *said)
    assert f"resolved {chosen}, settles with" in told
    again = run("clear", "exceptions", book, "--resolve", chosen, *said[:-1], "5.00")
    assert again.exit_code == 1
    assert f"exception {chosen} was resolved by entry" in again.output
    assert len(data("clear", "exceptions", book)) == 3
    assert len(data("clear", "exceptions", book, "--all")) == 4


def test_a_partners_list_is_compared_with_the_journal(book, tmp_path):
    key = Vault.open(book.with_name("book.key"))
    with opened(book) as made:
        at, date = made.book.last_at, made.machine.date
        sold = [made.accrue("00000003", at, CARD, 1_000 + n) for n in range(7)]
        undone = {"tokens": (CARD,), "unit": "156", "amount": 1_006, "original_batch": 0}
        undone |= {"original": sold[6].sequence, "original_stan": 0}
        assert made.send(Void, "00000003", at, **undone).approved
        made.machine.execute(cut(date), at)
    text = f"{date // 10000}-{date // 100 % 100:02}-{date % 100:02}"
    names = [key.rrn(sale.sequence) for sale in sold]
    rows = [
        f"{names[0]},{text},SPA,156,10.00,done",
        f"{names[1]},{text},SPA,156,10.02,done",
        f"\t{names[2]},2026-01-01,SPA,156,10.02,done",
        f"{names[3]},{text},SPA,156,10.03,reversed",
        f"{names[5]},{text},SPA,156,10.05,done",
        f"{names[5]},{text},SPA,156,10.05,done",
        f"{names[6]},{text},SPA,156,10.06,done",
        f"000000000000,{text},SPA,156,7,done",
        f"000000000001,{text},SPA,156,7,reversed",
    ]
    file = tmp_path / "partner.csv"
    file.write_text("rrn,date,merchant,unit,amount,state\n" + "\n".join(rows), "utf-8-sig")
    command = ("clear", "exceptions", book, "--import", file, "--date", text)
    told = must(*command)
    assert re.search(r"amount.*10\.01 .* 10\.02 ", told), "money is told in yuan"
    found = {one["rrn"]: (one["reason"], one["here"], one["there"]) for one in data(*command[:3])}
    assert found == {
        names[1]: ("amount", 1_001, 1_002),
        names[2]: ("date", 1_002, 1_002),
        names[3]: ("reversed", 1_003, 0),
        names[4]: ("only-here", 1_004, 0),
        names[5]: ("twice", 1_005, 2_010),
        names[6]: ("reversed", 0, 1_006),
        "000000000000": ("only-there", 0, 700),
    }
    for row, wrong in (
        ("53078690846,2026-03-01,SPA,156,1,done", "rrn has to be 12 digits, as on the receipt"),
        ("000000000000,1.3.26,SPA,156,1,done", "date has to be YYYY-MM-DD"),
        ("000000000000,2026-03-01,,156,1,done", "merchant has to be a merchant's id"),
        ("000000000000,2026-03-01,SPA,CNY,1,done", "unit has to be 156 or a program"),
        ("000000000000,2026-03-01,SPA,P01,1.50,done", "amount has to be yuan, or whole points"),
        ("000000000000,2026-03-01,SPA,156,1,open", "state has to be done or reversed"),
    ):
        file.write_text(f"rrn,date,merchant,unit,amount,state\n{row}\n", "utf-8")
        done = run(*command)
        assert (done.exit_code, done.output) == (1, f"counterfoil: line 2: {wrong}\n")


@pytest.mark.parametrize("amount", ["", "-", "1.234", "1,5", "5.²", "9" * 5000])
def test_an_amount_that_is_none_is_wrong_usage(tmp_path, amount):
    said = ("--resolve", "E", "--because", "why", "--party", "SPA", "--amount", amount)
    done = run("clear", "exceptions", tmp_path, *said)
    assert done.exit_code == 2
    assert "has to be yuan, like 12.50 or -3" in done.output


@pytest.mark.parametrize(
    "command", [("clear", "exceptions", "--date", "2026-03-01", "--import"), ("clear", "confirm")]
)
def test_a_file_that_is_no_csv_from_its_first_line_on_is_told(book, tmp_path, command):
    file = tmp_path / "list.csv"
    file.write_text("a" * 200_000)
    done = run(*command[:2], book, *command[2:], file)
    assert done.exit_code == 1
    assert done.output.startswith("counterfoil: line 1 is not CSV")


def test_a_table_too_wide_for_the_terminal_is_told_a_line_a_column(book, monkeypatch):
    wide = must("clear", "status", book)
    monkeypatch.setattr("clearing.console.stdout_console", lambda: Console(width=60))
    narrow = must("clear", "status", book)
    assert max(map(cell_len, wide.splitlines())) > 60 >= max(map(cell_len, narrow.splitlines()))
    state = data("clear", "status", book)[-1]
    assert re.search(
        rf"^date 日期 +{state['date']} *\nstate 状态 +{state['state']} *$", narrow, re.MULTILINE
    )
