"""``counterfoil night``: cut-off, sweeps, clearing and release in one command, again and again."""

import json
import shutil

import pytest

from ledger import codec
from ledger.book import Book
from tests.tools.conftest import LINES, Daemon, close_date, must, run, write_lines

LAPSED = {"type": "balance", "member": "M0000001", "unit": "P01", "amount": 70}
LAPSED |= {"expires": "2020-06-30"}
PAY = "--value-date=2126-01-04"


@pytest.fixture
def evening(empty):
    """A directory with points that nobody used in time, its first date cut off."""
    must("load", empty, write_lines(empty.with_name("lines"), [*LINES, LAPSED]))
    return empty


def night(directory, folder, *options):
    return json.loads(must("night", directory, "--out", folder, PAY, "--json", *options))


def state(directory, date):
    (row,) = json.loads(must("clear", "status", directory, "--date", date, "--json"))
    return row["state"]


def posted(told):
    return {one["name"]: one["done"] for one in told["sweeps"]}


def test_a_night_sweeps_clears_what_is_cut_off_and_leaves_the_release_to_people(evening, tmp_path):
    date = close_date(evening)
    told = night(evening, tmp_path / "settled")
    assert posted(told)["points"] == 1
    assert [(one["date"], one["state"]) for one in told["dates"]] == [(date, "FILED")]
    assert "released" not in told
    assert "good" in must("clear", "validate", tmp_path / "settled" / date)
    assert state(evening, date) == "FILED"


def test_a_night_run_again_does_what_is_left(evening, tmp_path):
    date = close_date(evening)
    night(evening, tmp_path / "settled")
    manifest = (tmp_path / "settled" / date / "manifest.json").read_bytes()
    again = night(evening, tmp_path / "settled", "--release")
    assert (set(posted(again).values()), again["dates"], again["released"]) == ({0}, [], [date])
    assert (tmp_path / "settled" / date / "manifest.json").read_bytes() == manifest
    assert state(evening, date) in {"RELEASED", "CONFIRMED"}
    once_more = night(evening, tmp_path / "settled", "--release")
    assert (once_more["dates"], once_more["released"]) == ([], [])


def test_dates_that_were_missed_are_cleared_each_in_its_folder_in_order(evening, tmp_path):
    dates = [close_date(evening) for _ in range(3)]
    told = night(evening, tmp_path / "settled", "--release")
    assert [one["date"] for one in told["dates"]] == dates == told["released"]
    assert sorted(path.name for path in (tmp_path / "settled").iterdir()) == dates
    assert "failed" not in must("verify", evening)


def test_before_the_first_cut_off_there_is_nothing_to_clear(evening, tmp_path):
    told = night(evening, tmp_path / "settled", "--release")
    assert (told["dates"], told["released"]) == ([], [])
    assert not (tmp_path / "settled").exists()


def test_a_night_beside_the_daemon_says_in_sentences_what_it_did(evening, tmp_path):
    running = Daemon(evening, "--confirm-clock")
    try:
        date = close_date(evening)
        said = must("night", evening, "--out", tmp_path / "settled", PAY, "--release")
    finally:
        assert running.stop() == 0
    assert "sweep points: posted 1, refused 0" in said
    assert f"{date}, run 1: FILED" in said
    assert said.endswith(f"{date} is released\n")


def test_books_that_do_not_hold_are_not_cleared(evening, tmp_path):
    date = close_date(evening)
    book = Book.open(evening, follower=False)
    head = (book.sequence + 1, book.last_at, book.last_date)
    one_sided = (("Promo:nobody", "156", 5),)
    values = (*head, b"", "opened", (1, "x"), (0, "", (), (), ()), one_sided, ())
    book.stage(*head, codec.pack_entry(values), {}, {})
    book.flush()
    book.close()
    done = run("night", evening, "--out", tmp_path / "settled", PAY, "--release")
    assert done.exit_code == 1
    assert "nothing was cleared" in done.output
    assert state(evening, date) == "CUT"


def test_a_folder_that_holds_another_date_ends_the_night_in_a_sentence(evening, tmp_path):
    date = close_date(evening)
    (tmp_path / "settled" / date).mkdir(parents=True)
    (tmp_path / "settled" / date / "settlement-20200101-1.txt").touch()
    done = run("night", evening, "--out", tmp_path / "settled", PAY, "--release")
    assert done.exit_code == 1
    assert "holds the files of another date" in done.output
    assert state(evening, date) == "CUT"


def test_a_journal_that_was_cut_or_written_anew_is_found_against_a_settlement_set(
    evening, tmp_path
):
    must("backup", evening, tmp_path / "before")
    date = close_date(evening)
    told = night(evening, tmp_path / "settled", "--release")
    made = tmp_path / "settled" / date
    assert (
        json.loads((made / "manifest.json").read_text())["journal"]["chain"]
        == (told["dates"][0]["chain"])
    )
    must("verify", evening, "--against", made)
    must("load", evening, write_lines(tmp_path / "more", [{"type": "member", "id": "M2"}]))
    must("verify", evening, "--against", made / "manifest.json")

    must("restore", tmp_path / "before", tmp_path / "cut")
    cut = run("verify", tmp_path / "cut", "--against", made)
    assert (cut.exit_code, "the journal ends before entry" in cut.stderr) == (1, True)
    shutil.copy(evening.with_name("data.key"), tmp_path / "cut.key")
    lines = [{"type": "member", "id": f"X{number}"} for number in range(30)]
    must("load", tmp_path / "cut", write_lines(tmp_path / "others", lines))
    redone = run("verify", tmp_path / "cut", "--against", made)
    assert redone.exit_code == 1
    assert "the journal has another history up to entry" in redone.stderr


def test_a_set_that_was_altered_says_nothing_of_a_journal(evening, tmp_path):
    date = close_date(evening)
    night(evening, tmp_path / "settled")
    manifest = tmp_path / "settled" / date / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"chain": "', '"chain": "1'))
    done = run("verify", evening, "--against", manifest)
    assert done.exit_code == 1
    assert "its digest differs from its content" in done.stderr
