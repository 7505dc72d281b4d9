"""Runs over data directories: in order, repeated, corrected, killed at every step, released."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from clearing.day import NotCut
from clearing.netting import DoesNotHold
from clearing.run import AlreadyClearing, ClearingRefused, Options, clear, clearing_lock, release
from clearing.validate import validate
from engine.records import Value
from engine.rules.reference import CutOff
from engine.rules.undo import Reversal
from engine.rules.value import Purchase, TopUp
from ledger import schema
from ledger.codec import pack_entry, pack_record, unpack_entry
from ledger.journal import entries
from ledger.tables import Snapshot
from tests.clearing.books import CARD, RIGHT, copied, opened
from tests.engine.house import identified, moment

ALONE = Options(workers=1)


@pytest.fixture
def book(prepared, tmp_path):
    return copied(prepared, tmp_path / "mine")


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def kinds(book, kind):
    found = (unpack_entry(packed) for _, packed in entries(book, 1))
    return [entry for entry in found if entry.kind == kind]


def accounts(book):
    with Snapshot(book) as snapshot:
        rows = snapshot.view.scan(bytes((schema.BALANCE,)))
        return {schema.balance_account(key): amount for key, amount in rows if amount}


def parties(result):
    return {
        party.id: (party.net, party.carried_in, party.payable, party.carried_forward)
        for party in result.day.parties
    }


# By hand: SHOP issues 30 times (10,000 + 77 i) fen at a point a yuan, 100 to 122 points, 3,321 in
# all, pays a fen a point and 0.6 % of their value (0.60 to 0.73 fen: one each), is paid 190 for 200
# points and pays 1 of fee. INN issues 100 points of P02 30 times: F = 333 (333.3), V = 333, fee 2
# (1.998); it is paid 95 % of 1,500 and of 256 (77 points at 30 a yuan, rounded down): 1,425 and
# 243, with fees of 9 and 2 (1.54).
FIRST = {
    "INN": (-30 * 333 - 60 + 1425 + 243 - 9 - 2, 0, 0, -8393),
    "SHOP": (-3321 - 30 + 190 - 1, 0, 0, -3162),
    "SPA": (0, 0, 0, 0),
}


def test_a_date_is_cleared_released_and_brought_to_zero(book, tmp_path):
    (result,) = clear(book, 20260301, tmp_path / "out", ALONE)
    assert parties(result) == FIRST
    assert validate(tmp_path / "out") == []
    assert result.begun.run.state == "FILED"
    before = accounts(book)
    assert (before["Pos:SHOP:20260301"], before["Pos:INN:20260301"]) == (-3162, -8393)
    begun, _ = release(book, 20260301, ALONE)
    after = accounts(book)
    assert "Pos:SHOP:20260301" not in after
    assert "Pos:INN:20260301" not in after
    assert after["Payable:SHOP:20260301-1"] == -3162
    assert begun.run.state == "CONFIRMED", "nobody is paid, so nothing waits for a bank"


def test_what_rounding_left_in_a_fund_is_trued_up_once(book, tmp_path):
    (result,) = clear(book, 20260301, tmp_path / "out", ALONE)
    program = result.day.programs[1]
    # 3,000 points less 77, at 30 a yuan, are worth 9,743.3; the entries left 30 * 333 - 257.
    assert (program.outstanding, program.fund, program.rounding) == (2923, 9743, 10)
    release(book, 20260301, ALONE)
    release(book, 20260301, ALONE)
    assert accounts(book)["Fund:P02"] == 9743
    assert accounts(book)["Rounding"] == -10
    clear(book, 20260302, tmp_path / "next", ALONE)


def test_what_is_owed_goes_into_the_next_run(book, tmp_path):
    clear(book, 20260301, tmp_path / "one", ALONE)
    (result,) = clear(book, 20260302, tmp_path / "two", ALONE)
    # SHOP gives back 50 points' share of 190 (47) and is paid 950 less 6 for 1,000 points.
    assert parties(result)["SHOP"] == (-47 + 950 - 6, -3162, 0, -2265)
    shop = result.day.parties[1]
    assert shop.owing_since == 20260301
    with pytest.raises(ClearingRefused, match="release 2026-03-01 first"):
        release(book, 20260302, ALONE)
    release(book, 20260301, ALONE)
    release(book, 20260302, ALONE)
    held = accounts(book)
    assert held["Payable:SHOP:20260302-1"] == -2265
    assert "Payable:SHOP:20260301-1" not in held


def test_missed_nights_are_cleared_first_and_in_order(book, tmp_path):
    results = clear(book, 20260304, tmp_path / "out", ALONE)
    assert [result.begun.date for result in results] == [20260301, 20260302, 20260303, 20260304]
    assert parties(results[0]) == FIRST
    assert results[3].folder == tmp_path / "out"
    assert results[0].folder == tmp_path / "out-2026-03-01"
    assert validate(tmp_path / "out") == [], "an empty day settles too"
    assert parties(results[3])["SHOP"] == (0, -2265, 0, -2265)


def test_a_load_undone_after_it_was_spent_leaves_value_below_zero_and_a_day_that_is_cleared(
    book, tmp_path
):
    with opened(book) as made:
        at = moment(20260303)
        said = {"tokens": (CARD,), "unit": "156", "amount": 5_000, "reference": ""}
        load = made.request(TopUp, "00000001", at, **said)
        assert made.machine.execute(load, at).approved
        bought = {"tokens": (CARD,), "amount": 2_000, "pin": RIGHT, "reference": ""}
        assert made.send(Purchase, "00000002", at, **bought).approved
        named = (load.terminal, load.merchant, load.batch, load.stan, b"", load.function)
        undone = Reversal(*named, (CARD,), "156", 5_000, "98")
        assert made.machine.execute(identified(undone), at).approved
        made.machine.execute(CutOff(20260303, automatic=False), at)
    result = clear(book, 20260303, tmp_path / "out", ALONE)[-1]
    assert validate(tmp_path / "out") == []
    # The purchase is paid, less its fee of 12; nothing is left of the load.
    assert {party.id: party.net for party in result.day.parties} == {
        "INN": 2_000 - 12,
        "SHOP": 0,
        "SPA": 0,
    }
    assert result.begun.run.state == "FILED"


def test_a_repeat_gives_the_same_bytes_also_when_time_has_gone_on(book, tmp_path):
    clear(book, 20260301, tmp_path / "one", ALONE)
    first = files(tmp_path / "one")
    release(book, 20260301, ALONE)
    clear(book, 20260302, tmp_path / "two", ALONE)
    with opened(book) as made:  # names change, points move
        at = made.book.last_at
        made.merchant("SHOP", at, (), "HB01")
        made.redeem("00000002", at, CARD, 10, pin=RIGHT)
    (again,) = clear(book, 20260301, tmp_path / "again", Options(workers=2))
    assert again.repeated
    assert files(tmp_path / "again") == first


def test_before_release_a_correction_replaces_a_run_and_afterwards_none_does(book, tmp_path):
    clear(book, 20260301, tmp_path / "out", ALONE)
    corrected = Options(workers=1, correct="the value date was wrong", value_date=20260310)
    (result,) = clear(book, 20260301, tmp_path / "out", corrected)
    assert (result.begun.number, result.day.supersedes) == (2, 1)
    assert result.day.value_date == 20260310
    release(book, 20260301, ALONE)
    with pytest.raises(ClearingRefused, match="adjust it in the next run"):
        clear(book, 20260301, tmp_path / "out", corrected)


def test_another_value_date_needs_a_correction_and_lies_ahead(book, tmp_path):
    early = Options(workers=1, value_date=20260228)
    with pytest.raises(ClearingRefused, match="2026-02-28 is before 2026-03-01: name a later day"):
        clear(book, 20260301, tmp_path / "out", early)
    clear(book, 20260301, tmp_path / "out", Options(workers=1, value_date=20260310))
    with pytest.raises(ClearingRefused, match=r"has the value date 2026-03-10: .* --correct"):
        clear(book, 20260301, tmp_path / "out", Options(workers=1, value_date=20260311))
    (result,) = clear(book, 20260301, tmp_path / "out", Options(workers=1, value_date=20260310))
    assert result.repeated


def test_a_folder_with_another_date_is_left_alone(book, tmp_path):
    clear(book, 20260301, tmp_path / "out", ALONE)
    before = files(tmp_path / "out")
    with pytest.raises(ClearingRefused, match="holds the files of another date"):
        clear(book, 20260302, tmp_path / "out", ALONE)
    assert files(tmp_path / "out") == before
    (tmp_path / "file").write_text("something")
    with pytest.raises(ClearingRefused, match="is a file: name a folder"):
        clear(book, 20260302, tmp_path / "file", ALONE)


def test_what_is_not_to_be_cleared_is_refused(book, tmp_path):
    with pytest.raises(NotCut, match="before the first business date"):
        clear(book, 20260228, tmp_path / "out", ALONE)
    with pytest.raises(ClearingRefused, match="clear it with"):
        release(book, 20260301, ALONE)
    with clearing_lock(book), pytest.raises(AlreadyClearing):
        clear(book, 20260301, tmp_path / "out", ALONE)


def test_a_day_that_does_not_hold_is_refused_with_its_entries(book, tmp_path):
    with opened(book) as made:
        made.book.view.get(schema.named(schema.PROGRAM, "P01")).points_per_yuan = 50
        made.institution("HB01", made.book.last_at)  # what was derived is forgotten
        wrong = made.accrue("00000001", made.book.last_at, CARD, 10_000)
        made.machine.execute(CutOff(made.machine.date, automatic=False), made.book.last_at)
    date = wrong.date
    with pytest.raises(
        DoesNotHold, match=rf"entry {wrong.sequence} \(accrual\) moves \+100 points"
    ):
        clear(book, date, tmp_path / "out", ALONE)
    with Snapshot(book) as snapshot:
        run = snapshot.view.get(schema.run(date, 1))
    assert run.state == "FAILED"
    assert f"entry {wrong.sequence}" in run.text


def staged(book, changed):
    """Change rows of a ledger behind its rules, as damage would."""
    with opened(book) as made:
        head = (made.book.sequence + 1, made.book.last_at, made.book.last_date)
        entry = pack_entry((*head, b"", "opened", (1, "x"), (0, "", (), (), ()), (), ()))
        packed = {key: row if isinstance(row, int) else pack_record(row) for key, row in changed}
        made.book.stage(*head, entry, dict(changed), packed)


@pytest.mark.parametrize(
    ("key", "row", "sentence"),
    [
        (
            schema.balance("Pos:SHOP:20260301"),
            -1000,
            "the ledger keeps -1000 fen on Pos:SHOP:20260301, the entries 1 to 78 come to -3162",
        ),
        (
            schema.balance("Pos:SPA:20260301"),
            7,
            "the ledger keeps 7 fen on Pos:SPA:20260301, the entries 1 to 78 come to 0",
        ),
        (
            schema.named(schema.VALUE, "M1"),
            Value(5, 20271231, "", (), 0),
            "members have 5 fen of stored value, 0 were posted",
        ),
    ],
)
def test_a_ledger_that_keeps_other_sums_than_its_entries_is_not_settled(
    book, tmp_path, key, row, sentence
):
    staged(book, [(key, row)])
    with pytest.raises(DoesNotHold, match=sentence):
        clear(book, 20260301, tmp_path / "out", ALONE)
    with Snapshot(book) as snapshot:
        run = snapshot.view.get(schema.run(20260301, 1))
    assert (run.state, sentence in run.text) == ("FAILED", True)
    assert not (tmp_path / "out").exists()


def test_many_parts_in_two_processes_give_the_same_files(book, tmp_path, monkeypatch):
    clear(book, 20260301, tmp_path / "whole", ALONE)
    monkeypatch.setattr("clearing.run.TASK_ENTRIES", 11)
    told = []
    options = Options(workers=2, progress=lambda what, _, whole: told.append((what, whole)))
    clear(book, 20260301, tmp_path / "parts", options)
    assert max(whole for what, whole in told if what == "reading entries") > 5
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert release(book, 20260301, options)[0].run.state == "CONFIRMED"


class Killer:
    """Progress that kills its process when it is told something for the n-th time."""

    def __init__(self, number):
        self.left = number

    def __call__(self, _what, _done, _whole):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(number, work):
    """Run `work` in a child that dies at its n-th step; False when it got to its end before."""
    child = os.fork()
    if not child:
        try:
            work(Options(workers=1, progress=Killer(number)))
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def night(book, out):
    def work(options):
        clear(book, 20260301, out, options)
        release(book, 20260301, options)

    return work


def test_killed_at_every_step_and_resumed_it_comes_to_one_set_and_one_post_back(prepared, tmp_path):
    begun = copied(prepared, tmp_path / "begun")
    steps: list[str] = []
    (tmp_path / "whole").mkdir()
    whole = copied(prepared, tmp_path / "whole" / "it")
    watching = Options(workers=1, progress=lambda what, *_: steps.append(what))
    night(whole, tmp_path / "whole" / "out")(watching)
    at_begun = steps.index("begun") + 1
    assert killed(at_begun, night(begun, tmp_path / "begun" / "out"))
    reference = copied(begun, tmp_path / "reference")
    night(reference, tmp_path / "reference" / "out")(ALONE)
    expected = files(tmp_path / "reference" / "out")
    assert validate(tmp_path / "reference" / "out") == []
    for step in range(1, len(steps) + 1):
        place = tmp_path / f"killed-{step}"
        # What a run is begun with is journaled once: from there on all bytes are given.
        early = step < at_begun
        book = copied(prepared if early else begun, place)
        assert killed(step if early else step - 2, night(book, place / "out"))
        night(book, place / "out")(ALONE)
        found = files(place / "out")
        if early:
            night(book, place / "again")(ALONE)
            assert files(place / "again") == found, steps[step - 1]
        else:
            assert found == expected, steps[step - 1]
        posted = kinds(book, "post-back")
        assert sorted(entry.command[2] for entry in posted) == ["INN", "SHOP"], steps[step - 1]
        assert len(kinds(book, "run started")) == 1
        assert len(kinds(book, "true-up")) == 1
        shutil.rmtree(place)


def test_nothing_is_left_behind(book, tmp_path):
    clear(book, 20260301, tmp_path / "out", ALONE)
    assert not list((book / "clearing").iterdir())
    assert Path(tmp_path / "out" / "manifest.json").exists()
