"""Transfers that a crash cut in two, rates as they are loaded, and holds as they are shown."""

import json

import pytest

from engine.commands import Pin
from engine.directory import open_machine, open_vault
from engine.machine import Machine
from engine.rules.holds import Hold
from engine.rules.reference import CutOff
from engine.rules.transfers import Transfer
from ledger import codec, schema
from ledger.book import Book
from tests.tools.conftest import CARD, HOTEL, LINES, must, run, write_lines

OTHER_CARD = "6222020000000000026"
OTHER = {"type": "member", "id": "M0000002", "cards": [OTHER_CARD]}
MILES = {"type": "program", "id": "P02", "name": "Miles", "points_per_yuan": 300}
RATE = {"type": "rate", "unit": "P01", "target": "P02", "from": "2026-01-01", "rate": "3/1"}


@pytest.fixture
def halved(tmp_path):
    """A directory whose last entry is the first half of a transfer: then the process died."""
    directory = tmp_path / "data"
    must("init", directory)
    must("load", directory, write_lines(tmp_path / "lines", [*LINES, OTHER, MILES, RATE]))
    vault = open_vault(directory)
    named = tuple(("C", vault.token_digest("C", card)) for card in (CARD, OTHER_CARD))
    book = Book.open(directory, follower=False)
    # A machine that replays leaves second halves to the journal, which has none.
    machine = Machine(book, replays=True)
    request = ("00000001", HOTEL, 1, 1, b"content", "406565")
    command = Transfer(*request, named[:1], named[1:], "P01", 100, Pin.ABSENT)
    assert machine.execute(command, book.last_at).approved
    book.flush()
    book.close(fold=False)
    return directory


def checks(directory):
    told = json.loads(must("verify", directory, "--json"))
    assert told["ok"]
    return {one["name"]: one for one in told["checks"]}["transfers complete"]


def points(directory, member):
    balances = json.loads(must("show", directory, "member", member, "--json"))["balances"]
    return {one["program"]: one["ledger"] for one in balances}


def test_a_transfer_that_a_crash_cut_in_two_is_completed_at_the_next_start(halved, tmp_path):
    found = checks(halved)
    assert found["state"] == "reported"
    assert "100 P01" in found["findings"][0]
    assert "M0000002" in found["findings"][0]
    book, _ = open_machine(halved, follower=False)
    assert not [*book.view.scan(bytes((schema.TRANSIT,)))]
    book.close()
    assert checks(halved)["state"] == "ok"
    assert points(halved, "M0000002") == {"P01": 100}
    # The journal has an opening between the halves; the replay makes it the same.
    must("replay", halved, "--into", tmp_path / "again")
    assert points(tmp_path / "again", "M0000002") == {"P01": 100}
    # And nothing is done twice.
    book, _ = open_machine(halved, follower=False)
    book.close()
    assert points(halved, "M0000002") == {"P01": 100}


def test_what_is_in_transit_at_the_cut_off_is_told_when_the_date_is_cleared(halved, tmp_path):
    book = Book.open(halved, follower=False)
    machine = Machine(book, replays=True)
    closed = str(machine.date)
    assert machine.execute(CutOff(machine.date, automatic=False), book.last_at).approved
    book.flush()
    book.close(fold=False)
    day = f"{closed[:4]}-{closed[4:6]}-{closed[6:]}"
    clear = ("clear", halved, "--date", day, "--out", tmp_path / "set", "--value-date=2126-01-04")
    assert "100 P01 were in transit: `counterfoil verify` names for whom" in must(*clear)
    # Another day the same is told, though it has arrived by then.
    assert points(halved, "M0000002") == {"P01": 100}
    assert json.loads(must(*clear, "--json"))[0]["transit"] == {"P01": 100}


def test_points_in_transit_for_nobody_fail_the_check(halved):
    book = Book.open(halved, follower=False)
    sequence = book.sequence + 1
    entry = book.view.get(schema.entry(book.sequence))
    key = schema.transit(book.sequence)
    values = (sequence, entry.at, entry.date, b"", "opened", (1, "x"), (0, "", (), (), ()), (), ())
    book.stage(sequence, entry.at, entry.date, codec.pack_entry(values), {key: None}, {key: None})
    book.flush()
    book.close()
    told = json.loads(run("verify", halved, "--json").stdout)
    (found,) = [one for one in told["checks"] if one["name"] == "transfers complete"]
    assert found["state"] == "failed"
    assert found["findings"] == ["100 P01 are in transit and wait for nobody"]


def test_rates_are_shown_by_both_programs(halved, tmp_path):
    later = RATE | {"from": "2027-01-01", "rate": "2/1"}
    must("load", halved, write_lines(tmp_path / "more", [RATE, later]))
    shown = json.loads(must("show", halved, "rate", "P01-P02", "--json"))
    assert shown["rates"] == [
        {"from": "2026-01-01", "rate": "3/1", "owner": ""},
        {"from": "2027-01-01", "rate": "2/1", "owner": ""},
    ]
    assert "no such rate" in run("show", halved, "rate", "P01").output


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rate": "3/0"}, "the second not 0"),
        ({"unit": "156"}, "P01 to P99"),
        ({"target": "P01"}, "between two programs"),
        ({"target": "P77"}, "P77 is not registered"),
    ],
)
def test_a_rate_that_makes_no_sense_is_rejected(halved, tmp_path, change, reason):
    done = run("load", halved, write_lines(tmp_path / "bad", [RATE | change]))
    assert done.exit_code == 1
    assert reason in done.output


def test_holds_are_shown_with_the_member(halved):
    vault = open_vault(halved)
    named = (("C", vault.token_digest("C", CARD)),)
    book, machine = open_machine(halved, follower=False)
    for stan in (2, 3):
        request = ("00000001", HOTEL, 1, stan, b"content", "036500")
        machine.execute(Hold(*request, named, "P01", 10 * stan, Pin.ABSENT), book.last_at)
    sequence = book.sequence
    book.close()
    (balance,) = json.loads(must("show", halved, "member", CARD, "--json"))["balances"]
    assert [one["points"] for one in balance["holds"]] == [20, 30]
    assert balance["holds"][1]["rrn"] == vault.rrn(sequence)
    assert balance["ledger"] - balance["available"] == 50
