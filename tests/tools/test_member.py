"""``counterfoil member``: the back office and single members."""

import json

import pytest

from engine.vault import KeyFileError
from tests.tools.conftest import CARD, LINES, PHONE, must, run, write_lines

WHO = ("--by", "clerk", "--reason", "ticket 12")
NEW_CARD = "9999150000000015"
ID = "M0000001"


@pytest.fixture
def house(empty, tmp_path):
    must("load", empty, write_lines(tmp_path / "lines", LINES))
    return empty


def member(directory):
    return json.loads(must("show", directory, "member", ID, "--json"))


def tokens(directory):
    return {(one["kind"], one["value"]): one["state"] for one in member(directory)["tokens"]}


def test_an_account_is_frozen_and_released_by_any_of_its_names(house):
    assert "active before, frozen now" in must("member", "freeze", house, ID, *WHO)
    assert set(tokens(house).values()) == {"frozen"}
    assert "it is so already" in must("member", "freeze", house, CARD, *WHO)
    assert "frozen before, active now" in must("member", "unfreeze", house, PHONE, *WHO)
    assert run("member", "freeze", house, "M9", *WHO).exit_code == 1


def test_the_journal_tells_who_did_what_and_why(house):
    must("member", "freeze", house, ID, *WHO)
    event = json.loads(must("tail", house).splitlines()[-1])
    assert event["kind"] == "member state"
    assert event["command"] == {"member": ID, "by": "clerk", "why": "ticket 12", "state": "frozen"}
    assert event["facts"] == {"before": "active", "after": "frozen"}
    assert event["member"] == ID


def test_nobody_does_it_without_a_name_and_a_reason(house):
    assert run("member", "freeze", house, ID, "--by", "clerk").exit_code == 2
    assert run("member", "freeze", house, ID, "--by", " ", "--reason", "x").exit_code == 2


def test_a_pin_is_set_from_standard_input_and_is_in_no_output(house):
    done = run("member", "pin", house, ID, *WHO, typed="654321\n")
    assert done.exit_code == 0
    assert "654321" not in done.output + must("tail", house)
    assert member(house)["pin"] == "set"
    assert "it is so already" in run("member", "pin", house, ID, *WHO, typed="654321\n").output
    assert run("member", "pin", house, ID, *WHO, typed="12\n").exit_code == 2
    must("member", "pin", house, ID, *WHO, "--remove")
    assert member(house)["pin"] == "none"
    assert "it is so already" in must("member", "unlock", house, ID, *WHO)


def test_names_come_and_go(house):
    must("member", "phone", house, ID, *WHO, "13900000002")
    assert ("phone", "139****0002") in tokens(house)
    assert ("phone", "138****0001") not in tokens(house)
    assert run("show", house, "member", PHONE).exit_code == 1
    must("member", "add", house, ID, *WHO, "--card", NEW_CARD, "--identity", "11010519491231002x")
    must("member", "remove", house, ID, *WHO, "--card", CARD)
    states = {value: state for (kind, value), state in tokens(house).items() if kind == "card"}
    assert sorted(states.values()) == ["active", "removed"]
    assert run("member", "add", house, ID, *WHO).exit_code == 2
    assert run("member", "add", house, ID, *WHO, "--card", NEW_CARD[:-1] + "6").exit_code == 2
    said = must("tail", house) + must("show", house, "member", ID)
    assert not [one for one in (NEW_CARD, "13900000002", "110105") if one in said]


def test_a_card_is_lost_and_found(house):
    must("member", "lost", house, ID, *WHO, "--card", CARD)
    assert "lost before, active now" in must("member", "found", house, ID, *WHO, "--card", CARD)
    assert run("member", "found", house, ID, *WHO, "--card", NEW_CARD).exit_code == 1


def test_an_account_with_a_balance_is_closed_by_forfeit_only(house):
    refused = run("member", "close", house, ID, *WHO)
    assert refused.exit_code == 1
    assert "is not empty" in refused.output
    must("member", "close", house, ID, *WHO, "--forfeit")
    shown = member(house)
    assert (shown["state"], shown["balances"][0]["ledger"]) == ("closed", 0)
    assert "failed" not in must("verify", house)


def test_a_tier_is_granted(house):
    must("member", "tier", house, ID, *WHO, "vip")
    assert member(house)["tier"] == "vip"
    assert run("member", "tier", house, ID, *WHO, "no such!").exit_code == 2


def test_a_person_is_forgotten_once_the_account_is_closed(house):
    key = house.with_name("data.key")
    before = key.read_bytes()
    assert "close it first" in run("member", "forget", house, ID, *WHO).stderr
    assert key.read_bytes() == before
    must("member", "close", house, ID, *WHO, "--forfeit")
    told = must("member", "forget", house, CARD, *WHO)
    assert f"{ID}: forgotten; what led from 2 names" in told
    assert "copy the key file now and destroy every older copy" in told
    assert key.read_bytes() != before
    shown = member(house)
    assert (shown["state"], shown["tokens"], shown["pin"]) == ("forgotten", [], "none")
    for named in (CARD, PHONE):
        assert run("show", house, "member", named).exit_code == 1
        assert run("member", "forget", house, named, *WHO).exit_code == 1
    assert "it is so already" in must("member", "forget", house, ID, *WHO)
    assert "was forgotten" in run("member", "unfreeze", house, ID, *WHO).stderr
    events = [json.loads(line) for line in must("tail", house).splitlines()]
    done = [one for one in events if one["kind"] in {"member forgotten", "names dropped"}]
    assert len(done) == 2
    for one in done:
        assert one["command"] == {"member": ID, "by": "clerk", "why": "ticket 12"}
    must("verify", house)


def test_an_interrupted_forgetting_is_ended_by_the_same_command(house, monkeypatch):
    must("member", "close", house, ID, *WHO, "--forfeit")
    for step in ("engine.keyfile.replace", "tools.member.refresh_keys"):
        with monkeypatch.context() as patch:
            patch.setattr(step, lambda *_: (_ for _ in ()).throw(KeyFileError("interrupted")))
            assert "interrupted" in run("member", "forget", house, ID, *WHO).stderr
        assert member(house)["state"] == "forgotten"
        must("keys", "reseal", house)
    # The keys are gone already; what is left to do is to drop the names.
    assert "forgotten" in must("member", "forget", house, ID, *WHO)
    assert member(house)["tokens"] == []
    assert "it is so already" in must("member", "forget", house, ID, *WHO)


def test_a_forgotten_number_can_be_registered_again(house, tmp_path):
    must("member", "close", house, ID, *WHO, "--forfeit")
    must("member", "forget", house, ID, *WHO)
    line = {"type": "member", "id": ID, "cards": [CARD], "phone": PHONE}
    lines = write_lines(tmp_path / "again", [line])
    assert "was forgotten: choose another id" in run("load", house, lines).output
    must("load", house, write_lines(tmp_path / "again", [line | {"id": "M0000002"}]))
    shown = json.loads(must("show", house, "member", PHONE, "--json"))
    assert shown["id"] == "M0000002"
    must("keys", "rotate", house)
    assert json.loads(must("show", house, "member", CARD, "--json"))["tokens"] == shown["tokens"]
