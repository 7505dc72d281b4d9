"""The command line of clearing: what settlement staff type, read and are told."""

import json
import shutil

import pytest
from click.testing import CliRunner

from engine.rules import terminals
from engine.rules.reference import CutOff
from engine.vault import Vault
from tests.clearing.books import CARD, opened, two_days
from tests.tools.conftest import Daemon
from tools.cli import main


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two dates; on the second INN is paid nothing and SHOP's terminal disputes its batch."""
    folder = tmp_path_factory.mktemp("clearing") / "book"
    two_days(folder)
    return folder


@pytest.fixture
def book(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "book")
    shutil.copy(prepared.with_name("book.key"), tmp_path / "book.key")
    return tmp_path / "book"


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def must(*arguments):
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


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
        (("--date", "2126-03-01", "--out", "x"), 1, "2026"),
        (("--date", "yesterday", "--out", "x"), 2, "Invalid value for '--date'"),
        (("--date", "2026-03-01"), 2, "Missing option '--out'"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(book, arguments, status, told):
    done = run("clear", book, *arguments)
    assert done.exit_code == status
    assert told in done.output
    assert done.output.count("counterfoil: ") == (status == 1)


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
def paid(book, tmp_path):
    """The next date, released: SPA is paid for points that others issued."""
    with opened(book) as made:
        made.accrue("00000001", made.book.last_at, CARD, 3_000_000)
        made.redeem("00000003", made.book.last_at, CARD, 20_000)
        date = made.machine.date
        made.machine.execute(cut(date), made.book.last_at)
    text = f"{date // 10000}-{date // 100 % 100:02}-{date % 100:02}"
    pay = f"--value-date={text}"
    must("clear", book, f"--date={text}", f"--out={tmp_path / 'out'}", "--release", pay)
    return book, date


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
    wrong = confirmation(
        tmp_path,
        f"{name},188.81,2026-03-11,confirmed,",
        "CF20260101-01-X,1.00,2026-03-11,confirmed,",
    )
    done = run("clear", "confirm", book, wrong)
    assert done.exit_code == 1
    assert "18880 fen were to be paid to SPA, not 18881" in done.output
    assert "no such payment was released" in done.output
    good = confirmation(tmp_path, f"{name},188.80,2026-03-11,confirmed,")
    assert "CONFIRMED" in must("clear", "confirm", book, good)
    assert data("clear", "confirm", book, good)["unchanged"] == 1
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
    assert len(data("clear", "exceptions", book)) == 3
    assert len(data("clear", "exceptions", book, "--all")) == 4


def test_a_partners_list_is_compared_with_the_journal(book, tmp_path):
    key = Vault.open(book.with_name("book.key"))
    with opened(book) as made:
        at, date = made.book.last_at, made.machine.date
        sold = [made.accrue("00000003", at, CARD, 1_000 + n) for n in range(5)]
        made.machine.execute(cut(date), at)
    text = f"{date // 10000}-{date // 100 % 100:02}-{date % 100:02}"
    names = [key.rrn(sale.sequence) for sale in sold]
    rows = [
        f"{names[0]},{text},SPA,156,10.00,done",
        f"{names[1]},{text},SPA,156,10.02,done",
        f"\t{names[2]},2026-01-01,SPA,156,10.02,done",
        f"{names[3]},{text},SPA,156,10.03,reversed",
        f"000000000000,{text},SPA,156,7,done",
        f"000000000001,{text},SPA,156,7,reversed",
    ]
    file = tmp_path / "partner.csv"
    file.write_text("rrn,date,merchant,unit,amount,state\n" + "\n".join(rows), "utf-8-sig")
    command = ("clear", "exceptions", book, "--import", file, "--date", text)
    must(*command)
    found = {one["rrn"]: (one["reason"], one["here"], one["there"]) for one in data(*command[:3])}
    assert found == {
        names[1]: ("amount", 1_001, 1_002),
        names[2]: ("date", 1_002, 1_002),
        names[3]: ("reversed", 1_003, 0),
        names[4]: ("only-here", 1_004, 0),
        "000000000000": ("only-there", 0, 700),
    }
    file.write_text("rrn,date,merchant,unit,amount,state\nx,1.3.26,SPA,156,1,done\n", "utf-8")
    done = run(*command)
    assert (done.exit_code, done.output) == (1, "counterfoil: line 2: date has to be YYYY-MM-DD\n")
