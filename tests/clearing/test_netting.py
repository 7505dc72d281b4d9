"""Who is paid, who owes, and what the configuration may say."""

import pytest

from clearing import netting
from clearing.model import check_day
from clearing.netting import Begun, DoesNotHold, balance, net
from clearing.register import Party, Register
from clearing.settings import read_settings
from clearing.totals import Totals
from engine.directory import DirectoryError, read_configuration
from engine.records import Program
from engine.settlement import Carry, Run
from tests.clearing.books import fold, house, terms

REGISTER = Register(
    {
        name: Party(name, "merchant", name, "HB01", f"{name} Ltd", "62220", "102100099996")
        for name in ("INN", "SHOP", "SPA")
    },
    {},
    frozenset({"INN", "SHOP", "SPA"}),
)


def day_of(amounts, carried=(), limit=0):
    """A netted day of parties that get (+) or owe (-) so many fen, all of it a fee."""
    totals = Totals()
    for party, fen in amounts.items():
        totals.party(party).amounts["60"] = [1, max(-fen, 0), max(fen, 0)]
        totals.party(party).lines = 1
        totals.stores[party, "", "156"] = [1, 0, 0, 0, fen]
    totals.movements["Fee:x"] = -sum(amounts.values())
    values = ("CUT", "", 1, 9, 9, "Asia/Shanghai", 20260303, "1", limit, ("A", "", "", ""), "9:00")
    run = Run(*values, 0, 0, (), b"", b"", 0, 0, 0)
    balanced = balance(totals, {}, REGISTER)
    rows = {party: Carry(fen, 20260220) for party, fen in dict(carried).items()}
    day = net(Begun(20260302, 1, 20260302235959, run), totals, balanced, REGISTER, rows, ())
    check_day(day)
    return {
        party.id: (party.payable, party.carried_forward, party.collect, party.owing_since)
        for party in day.parties
    }


def test_who_owes_is_carried_until_it_is_covered():
    assert day_of({"SHOP": -500, "INN": 700}) == {
        "INN": (700, 0, 0, 0),
        "SHOP": (0, -500, 0, 20260302),
        "SPA": (0, 0, 0, 0),
    }
    assert day_of({"SHOP": 300}, {"SHOP": -500})["SHOP"] == (0, -200, 0, 20260220)
    assert day_of({"SHOP": 800}, {"SHOP": -500})["SHOP"] == (300, 0, 0, 0)
    assert day_of({}, {"SHOP": -500})["SHOP"] == (0, -500, 0, 20260220)


def test_from_a_limit_on_who_owes_is_asked_for_it_and_it_is_carried_no_more():
    assert day_of({"SHOP": -499}, limit=500)["SHOP"] == (0, -499, 0, 20260302)
    assert day_of({"SHOP": -500}, limit=500)["SHOP"] == (0, 0, 500, 20260302)
    assert day_of({"SHOP": -1}, {"SHOP": -499}, limit=500)["SHOP"] == (0, 0, 500, 20260220)


def test_a_sponsor_that_nobody_registered_still_has_its_day():
    assert day_of({"BREWERY": -5})["BREWERY"] == (0, -5, 0, 20260302)


def test_a_fund_that_is_more_than_rounding_apart_from_its_points_does_not_hold():
    made = house(("SHOP", terms()))
    row = made.book.view.get(b"\x09P01")
    assert isinstance(row, Program)
    register = Register({}, {"P01": row}, frozenset())
    totals, _ = fold(made, 20260301)
    wrong = {"points:P01": 1000, "fund:P01": 990}
    with pytest.raises(DoesNotHold, match="holds 990 fen and its 1000 points are worth 1000"):
        balance(totals, wrong, register)
    totals.programs["P01"] = [0, 0, 0, 0, 0, 10]
    balanced = balance(totals, wrong, register)
    assert balanced.true_ups == (("P01", 10, 10),)
    assert dict(balanced.balances)["fund:P01"] == 1000


def test_positions_that_do_not_sum_to_the_operators_accounts_do_not_hold():
    totals = Totals()
    totals.party("SHOP").amounts["60"] = [1, 5, 0]
    totals.movements["Fee:x"] = 4
    with pytest.raises(DoesNotHold, match="sum to -5 fen, the operator's accounts moved 4"):
        balance(totals, {}, REGISTER)


def test_the_digest_of_a_day_leaves_out_the_version_and_nothing_else():
    values = ("CUT", "", 1, 9, 9, "Asia/Shanghai", 20260303, "1", 0, ("A", "", "", ""), "9:00")
    days = []
    for version, value_date in (("1", 20260303), ("2", 20260303), ("1", 20260304)):
        run = Run(*values, 0, 0, (), b"", b"", 0, 0, 0)
        run.version, run.value_date = version, value_date
        begun_ = Begun(20260302, 1, 20260302235959, run)
        balanced = balance(Totals(), {}, REGISTER)
        days.append(net(begun_, Totals(), balanced, REGISTER, {}, ()))
    first, second, third = map(netting.digest, days)
    assert first == second != third
    assert days[1].version == "2"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "collect_limit = 5",
            "collect_limit = 5 is no setting of .clearing.: did you mean collect_limit_fen",
        ),
        ('working_days = "1"', 'working_days = "1" of .clearing. has to be a whole number'),
        ("operator = 5", "operator = 5 of .clearing. has to be a text in quotes"),
        ("working_days = 0", "working_days = 0 of .clearing. has to be a whole number from 1"),
    ],
)
def test_settings_are_told_in_a_sentence(tmp_path, line, told):
    (tmp_path / "counterfoil.toml").write_text(f"[clearing]\n{line}\n", encoding="utf-8")
    with pytest.raises(DirectoryError, match=told):
        read_settings(read_configuration(tmp_path))
