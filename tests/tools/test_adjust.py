"""Adjustments by hand from the command line."""

import json

from tests.tools.conftest import must, run

PROPOSAL = ("--member", "M0000001", "--unit", "P01", "--amount", "250", "--reason", "lost receipt")


def waiting(directory, *options):
    return json.loads(must("adjust", "list", directory, "--json", *options))


def points_of(directory):
    member = json.loads(must("show", directory, "member", "M0000001", "--json"))
    return {one["program"]: one["ledger"] for one in member["balances"]}["P01"]


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
