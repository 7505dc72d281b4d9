"""Adjustments by hand from the command line."""

import json

import pytest

from tests.tools.conftest import must, run

PROPOSAL = ("--member", "M0000001", "--unit", "P01", "--amount", "250", "--reason", "lost receipt")


def waiting(directory, *options):
    return json.loads(must("adjust", "list", directory, "--json", *options))


def points_of(directory):
    member = json.loads(must("show", directory, "member", "M0000001", "--json"))
    return {one["program"]: one["ledger"] for one in member["balances"]}["P01"]


def outstanding(directory):
    told = must("report", directory, "liability-ageing", "--json").splitlines()
    found = [json.loads(line) for line in told]
    return {(one["program"], one["runs_out"], one["value"]) for one in found}


def test_two_persons_post_an_adjustment(loaded):
    before = points_of(loaded)
    assert "proposed" in must("adjust", "propose", loaded, "T-1", *PROPOSAL, "--by", "teller")
    assert [one["id"] for one in waiting(loaded)] == ["T-1"]
    assert points_of(loaded) == before
    done = run("adjust", "confirm", loaded, "T-1", "--by", "teller")
    assert (done.exit_code, done.stderr) == (1, "counterfoil: a second person has to confirm\n")
    assert "posted" in must("adjust", "confirm", loaded, "T-1", "--by", "supervisor")
    assert points_of(loaded) == before + 250
    assert "unchanged" in must("adjust", "confirm", loaded, "T-1", "--by", "supervisor")
    assert points_of(loaded) == before + 250
    assert waiting(loaded) == []
    decided = waiting(loaded, "--all")[0]
    assert (decided["proposed_by"], decided["decided_by"]) == ("teller", "supervisor")
    assert "T-1" in must("adjust", "list", loaded, "--all")
    assert "failed" not in must("verify", loaded)


def test_a_withdrawn_adjustment_is_never_posted(loaded):
    before = points_of(loaded)
    must("adjust", "propose", loaded, "T-1", *PROPOSAL, "--by", "teller")
    must("adjust", "withdraw", loaded, "T-1", "--by", "teller")
    assert run("adjust", "confirm", loaded, "T-1", "--by", "supervisor").exit_code == 1
    assert points_of(loaded) == before


def test_an_adjustment_without_a_name_or_reason_is_wrong_usage(loaded):
    assert run("adjust", "propose", loaded, "T-1", *PROPOSAL).exit_code == 2
    assert run("adjust", "confirm", loaded, "T-1", "--by", " ").exit_code == 2
    half = ("--member", "M0000001", "--unit", "P01", "--amount", "2.5", "--reason", "half")
    done = run("adjust", "propose", loaded, "T-1", *half, "--by", "teller")
    assert "'--amount': '2.5' is no whole number." in done.stderr


def test_value_that_ran_out_becomes_income_once_two_persons_say_so(loaded):
    said = ("--member", "M0000001", "--unit", "156", "--reason", "year end")
    must("adjust", "propose", loaded, "T-1", *said, "--amount", "5000", "--by", "teller")
    must("adjust", "confirm", loaded, "T-1", "--by", "supervisor")
    assert ("156", "never", 5000) in outstanding(loaded)
    must("member", "close", loaded, "M0000001", "--forfeit", "--by", "clerk", "--reason", "left")
    must("adjust", "propose", loaded, "T-2", *said, "--amount", "1", "--by", "teller")
    done = run("adjust", "confirm", loaded, "T-2", "--by", "supervisor")
    told = "counterfoil: the account of member M0000001 is closed: open it first\n"
    assert (done.exit_code, done.stderr) == (1, told)
    income = ("--amount", "3000", "--to-income", "--by", "teller")
    must("adjust", "propose", loaded, "T-3", *said, *income)
    must("adjust", "confirm", loaded, "T-3", "--by", "supervisor")
    member = json.loads(must("show", loaded, "member", "M0000001", "--json"))
    assert (member["value"]["ledger"], member["value"]["run_out"]) == (0, 2000)
    booked = [
        json.loads(line) for line in must("report", loaded, "general-ledger", "--json").splitlines()
    ]
    assert {row["account"]: row["closing"] for row in booked}["Breakage:value"] == 3000
    assert outstanding(loaded) == {("156", "has run out", 2000)}
    assert "failed" not in must("verify", loaded)


@pytest.mark.parametrize(
    "flags",
    [
        ("--write-off", "--to-income"),
        ("--expires", "2127-12-31", "--never-expires"),
        ("--expires", "2127-12-31", "--write-off"),
        ("--never-expires", "--to-income"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(loaded, flags):
    done = run("adjust", "propose", loaded, "T-1", *PROPOSAL, *flags, "--by", "teller")
    assert done.exit_code == 2
    assert "do not go together" in done.stderr
    assert waiting(loaded) == []
