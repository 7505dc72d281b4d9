"""Stores between merchant and till: their ledgers, tills that move, and that it all sums up."""

import json
from types import SimpleNamespace

import openpyxl
import pytest

from clearing import netting, run
from clearing.files import statement
from clearing.files.manifest import logical_digest
from clearing.netting import STORES, DoesNotHold, compare_stores, digest
from clearing.run import Options, clear, fold_part, read_date, release
from clearing.settle import Fold
from clearing.stores import Tills, placings
from clearing.validate import validate
from engine.rules.reference import CutOff
from engine.rules.undo import Void
from ledger import schema
from ledger.notes import noted
from ledger.tables import Snapshot
from tests.clearing import sample_day
from tests.clearing.books import CARD, RIGHT, copied, opened, terms
from tests.clearing.readers import page_of
from tests.engine.house import moment
from tests.tools.conftest import must

ALONE = Options(workers=1)
BOTH = ("--from", "2026-03-01", "--to", "2026-03-02")


def at(clock, date=20260301):
    return moment(date, clock)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """SHOP has a till in EAST, one in WEST and one in neither; INN has a till and no store.

    A point costs SHOP a fen, and 0.6 % of that as a fee; 100 points spent bring it 95 fen less a
    fen. At eleven the till of EAST moves to WEST, where it voids a sale that it made in EAST.
    """
    folder = tmp_path_factory.mktemp("stores") / "book"
    with opened(folder) as made:
        made.open(20260301, at=at("08:00"))
        made.institution("HB01", at("08:00"))
        made.program("P01", at("08:00"))
        for name in ("SHOP", "INN"):
            made.merchant(name, at("08:00"), (terms(),))
        for store in ("EAST", "WEST"):
            made.store(store, "SHOP", at("08:00"))
        for till, store in (("00000001", "EAST"), ("00000002", "WEST"), ("00000003", "")):
            made.terminal(till, "SHOP", at("08:00"), store)
        made.terminal("00000004", "INN", at("08:00"))
        made.stans = {(f"{n:08}", 1): made.book.sequence for n in range(1, 5)}
        made.member("M1", at("08:00"), (("C", "A"),))
        made.accrue("00000001", at("10:00"), CARD, 10_000)
        voided = made.accrue("00000001", at("10:01"), CARD, 30_000)
        made.accrue("00000002", at("10:02"), CARD, 20_000)
        made.redeem("00000003", at("10:03"), CARD, 100, pin=RIGHT)
        made.accrue("00000004", at("10:04"), CARD, 3_366)
        made.terminal("00000001", "SHOP", at("11:00"), "WEST")
        made.accrue("00000001", at("11:01"), CARD, 5_000)
        said = {"tokens": (CARD,), "amount": 30_000, "unit": "156", "original": voided.sequence}
        undone = made.send(Void, "00000001", at("11:02"), **said, original_batch=0, original_stan=0)
        assert undone.approved
        made.accrue("00000001", at("09:00", 20260302), CARD, 1_000)
        made.machine.execute(CutOff(20260302, automatic=False), at("22:00", 20260302))
    return folder


@pytest.fixture
def book(told, tmp_path):
    return copied(told, tmp_path / "mine")


# Store: lines, points issued, points taken, sales, net of the first date, by hand.
EAST = (2, 400, 0, 40_000, -100 - 1 - 300 - 2)
WEST = (3, 200 + 50 - 300, 0, 20_000 + 5_000 - 30_000, -200 - 1 - 50 + 300 + 2)
NONE = (1, 0, 100, 0, 95 - 1)


def rows(book, name, *options):
    return [
        json.loads(line) for line in must("report", book, name, *options, "--json").splitlines()
    ]


def totals_of(found, date, party):
    names = ("lines", "points_issued", "points_taken", "sales", "net")
    return {
        row["store"]: tuple(row[name] for name in names)
        for row in found
        if (row["date"], row["merchant"]) == (date, party)
    }


def test_a_till_that_moves_leaves_its_past_in_the_store_where_it_stood(told):
    found = rows(told, "store-ledger", *BOTH)
    stood = [
        (row["store"], row["terminal"], row["kind"]) for row in found if row["merchant"] == "SHOP"
    ]
    assert stood == [
        ("EAST", "00000001", "accrual"),
        ("EAST", "00000001", "accrual"),
        ("WEST", "00000002", "accrual"),
        ("", "00000003", "redemption"),
        ("WEST", "00000001", "accrual"),
        ("WEST", "00000001", "void"),
        ("WEST", "00000001", "accrual"),
    ]
    assert {row["store"] for row in found if row["merchant"] == "INN"} == {""}
    later = rows(told, "store-ledger", "--from", "2026-03-02")
    assert [row["store"] for row in later] == ["WEST"]


def test_totals_of_stores_are_the_sums_of_their_ledgers_and_of_the_company(told):
    found = rows(told, "store-totals", *BOTH)
    assert totals_of(found, "2026-03-01", "SHOP") == {"EAST": EAST, "WEST": WEST, "": NONE}
    assert {row["name"] for row in found} == {"EAST", "WEST", ""}
    lines = rows(told, "store-ledger", *BOTH)
    for store in ("EAST", "WEST", ""):
        ledger = [row for row in lines if (row["merchant"], row["store"]) == ("SHOP", store)]
        totals = [row for row in found if (row["merchant"], row["store"]) == ("SHOP", store)]
        assert sum(row["money"] for row in ledger) == sum(row["net"] for row in totals)
        assert len(ledger) == sum(row["lines"] for row in totals)
    company = {row["account"]: row["closing"] for row in rows(told, "general-ledger", *BOTH)}
    for party in ("SHOP", "INN"):
        of_stores = sum(row["net"] for row in found if row["merchant"] == party)
        assert of_stores == company[f"Pos:{party}"]


def test_a_cleared_day_tells_its_stores_and_that_their_ledgers_sum_up(book, tmp_path):
    folder = tmp_path / "out"
    (result,) = clear(book, 20260301, folder, ALONE)
    parties = {party.id: party for party in result.day.parties}
    assert parties["INN"].stores == ()
    assert {
        row.store: (row.lines, row.issued, row.redeemed, row.sales, row.net)
        for row in parties["SHOP"].stores
    } == {"EAST": EAST, "WEST": WEST, "": NONE}
    checks = {check.name: check for check in result.day.checks}
    net = sum(party.net for party in result.day.parties)
    assert checks[STORES].found == checks[STORES].expected == net
    note = noted(book, "clearing")
    assert (note["date"], note["failed"], note[f"check {STORES}"]) == (20260301, 0, 0)
    assert validate(folder) == []
    text = page_of(folder / "statements" / "statement-20260301-01-SHOP.pdf")
    assert "门店 Stores" in text
    for store, net in (("EAST EAST", "-4.03"), ("WEST WEST", "0.51"), ("In no store", "0.94")):
        assert any(store in line and line.endswith(net) for line in text.splitlines()), store
    assert "门店" not in page_of(folder / "statements" / "statement-20260301-01-INN.pdf")
    sheet = openpyxl.load_workbook(next(folder.glob("summary-*.xlsx")))["Stores 门店"]
    told_ = [tuple(row) for row in sheet.iter_rows(min_row=2, values_only=True)]
    assert ("SHOP", "EAST", "EAST", "P01", 2, 400, 0, 400, -4.03) in told_
    assert told_[-1][-1] == -2.58
    begun, _ = release(book, 20260301, ALONE)
    assert begun.run.final


def test_a_store_ledger_that_does_not_sum_up_stops_the_day_and_is_told(book, tmp_path, monkeypatch):
    def fen_lost(*arguments):
        totals = fold_part(*arguments)
        totals.stores["SHOP", "EAST", "P01"][4] += 1
        return totals

    monkeypatch.setattr(run, "fold_part", fen_lost)
    sentence = "the ledgers of the stores of SHOP sum to -257 fen, its own to -258"
    with pytest.raises(DoesNotHold, match=sentence):
        clear(book, 20260301, tmp_path / "out", ALONE)
    with Snapshot(book) as snapshot:
        assert snapshot.view.get(schema.run(20260301, 1)).state == "FAILED"
    note = noted(book, "clearing")
    assert (note["failed"], note[f"check {STORES}"]) == (1, 1)


@pytest.mark.parametrize(
    ("place", "change", "what"),
    [(0, 1, "lines"), (1, 1, "points of P01"), (2, -1, "points of P01"), (4, -1, "fen")],
)
def test_lines_points_and_fen_of_the_stores_have_to_be_the_party_s(told, place, change, what):
    totals = whole(told)
    compare_stores(totals)
    totals.stores["SHOP", "WEST", "P01"][place] += change
    with pytest.raises(DoesNotHold, match=f"of SHOP sum to .* {what}, its own to"):
        compare_stores(totals)


def whole(book):
    read = read_date(book, 20260301)
    return fold_part(book, read.extent.first, read.extent.last, common(read), None)


def common(read):
    return (20260301, read.zone, frozenset(read.register.parties), {}, read.moves)


def test_a_date_in_pieces_has_the_same_stores_wherever_it_is_cut(told):
    expected = whole(told).stores
    read = read_date(told, 20260301)
    first, last = read.extent.first, read.extent.last
    for cut in range(first, last):
        totals = fold_part(told, first, cut, common(read), None)
        totals.merge(fold_part(told, cut + 1, last, common(read), None))
        assert totals.stores == expected, cut


def test_tills_are_placed_as_of_the_first_entry_and_move_in_order():
    moves = ((3, "00000001", "EAST"), (8, "00000001", ""), (8, "00000002", "WEST"))
    placed = [
        (schema.placed(terminal, sequence), SimpleNamespace(store=store))
        for sequence, terminal, store in (*moves, (20, "00000001", "WEST"))
    ]
    snapshot = SimpleNamespace(view=SimpleNamespace(scan=lambda _: sorted(placed, key=by_key)))
    assert placings(snapshot, 1, 19) == moves
    assert placings(snapshot, 9, 20) == (*moves[1:], (20, "00000001", "WEST"))
    tills = Tills(moves)
    asked = [(2, 1), (3, 1), (7, 2), (8, 1), (8, 2)]
    assert [tills.store(entry, f"{till:08}") for entry, till in asked] == [
        "",
        "EAST",
        "",
        "",
        "WEST",
    ]


def by_key(row):
    return row[0]


def test_a_day_without_stores_has_the_digests_that_it_had_before_there_were_any():
    day, _ = sample_day.small()
    assert digest(day).hex() == "d274f592a1cb14700b9fe92137e673a82594c55c70cc4dc6e271888e80152a67"
    told_ = logical_digest(day, [""] * len(day.parties))
    assert told_ == "bf341999cfd68078a55893c4b4cdaab97d2765dc4a04ef872737c877f007f80b"


def test_more_stores_than_the_page_has_room_for_are_counted(tmp_path):
    party, *_ = sample_day.small()[0].parties
    each = [netting.StoreTotal(f"S{n:03}", "门店", "P01", 1, 1, 0, 1, 0) for n in range(100)]
    party.stores = tuple(each)
    path = tmp_path / "page.pdf"
    with path.open("wb") as stream:
        statement.write(sample_day.day_of((party,)), party, stream)
    text = page_of(path)
    shown = sum(f"S{n:03}" in text for n in range(100))
    assert 1 < shown < 100
    assert f"{100 - shown} more in the summary" in text


def test_a_sale_that_moves_two_programs_is_a_sale_once():
    lines = []
    fold = Fold(20260301, frozenset({"SHOP"}), "Asia/Shanghai", lines.append)
    legs = [("Lot:M1:P01:SHOP:20281231", "P01", 5), ("Issued:P01:SHOP", "P01", -5)]
    legs += [("Lot:M1:P02:SHOP:20281231", "P02", 7), ("Issued:P02:SHOP", "P02", -7)]
    command = ("00000001", "SHOP", 1, 1, b"", "", (), 5000)
    outcome = (0, "M1", (), (), (("P01", "C", 5),))
    fold.add((9, 1772330400000, 20260301, b"", "accrual", command, outcome, tuple(legs), ()))
    assert [line[13] for line in lines] == [5000, 5000]
    assert sum(row[3] for row in fold.totals.stores.values()) == 5000
