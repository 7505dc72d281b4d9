"""Campaigns on the command line: loaded, approved by two, published, looked at, taken offline."""

import json

from click.testing import CliRunner

from engine import codes
from engine.directory import open_vault
from engine.rules.coupons import Grant
from engine.submit import Submitter
from tests.tools.conftest import HOTEL, must, run, write_lines
from tools.cli import main

CAMPAIGN = {
    "type": "campaign",
    "id": "SPRING10",
    "kind": "amount_off",
    "face_fen": 1000,
    "percent": None,
    "from": "2026-01-01",
    "to": "2126-12-31",
    "hours": ["08:00-20:00"],
    "funders": {HOTEL: "1/2"},
    "approvals": 2,
}


def test_a_campaign_goes_from_draft_to_offline(loaded):
    lines = write_lines(loaded.with_name("campaigns.jsonl"), [CAMPAIGN])
    assert "loaded 1" in must("load", loaded, lines)
    step = ("campaign", loaded)
    early = run(*step, "publish", "SPRING10", "--by", "anna")
    assert early.exit_code == 1
    assert "campaign SPRING10 is draft, not approved" in early.stderr
    told = must(*step, "approve", "SPRING10", "--by", "anna")
    assert told == "approved; another person has to approve it too\n"
    assert run(*step, "approve", "SPRING10", "--by", "anna").exit_code == 1
    assert must(*step, "approve", "SPRING10", "--by", "boris") == "SPRING10 is approved\n"
    assert must(*step, "publish", "SPRING10", "--by", "boris") == "SPRING10 is live\n"
    assert must(*step, "publish", "SPRING10", "--by", "boris") == "it was so already\n"
    assert "unchanged 1" in must("load", loaded, lines)
    assert must(*step, "offline", "SPRING10", "--by", "anna") == "SPRING10 is offline\n"
    assert must(*step, "resume", "SPRING10", "--by", "anna") == "SPRING10 is live\n"
    assert run(*step, "resume", "NONE", "--by", "anna").exit_code == 1
    shown = json.loads(must("show", loaded, "campaign", "SPRING10", "--json"))
    assert shown["state"] == "live"
    assert shown["approved_by"] == ["anna", "boris"]
    assert shown["face_fen"] == 1000
    assert shown["funders"] == {HOTEL: "1/2"}
    assert shown["hours"] == ["08:00-20:00"]
    assert shown["effect"]["issued"] == 0


def test_a_coupon_is_shown_masked_and_cancelled(loaded):
    line = CAMPAIGN | {"state": "live"}
    must("load", loaded, write_lines(loaded.with_name("campaigns.jsonl"), [line]))
    vault = open_vault(loaded, None)
    digest, sealed = codes.fresh(vault)
    code = codes.clear(vault, sealed)
    with Submitter(loaded) as submitter:
        assert submitter.submit(Grant("M0000001", "SPRING10", digest, sealed)).done
    done = must("show", loaded, "coupon", code)
    assert code not in done
    assert code[-4:] in done
    shown = json.loads(must("show", loaded, "coupon", code, "--json"))
    assert (shown["status"], shown["holder"], shown["uses_left"]) == ("live", "M0000001", 1)
    asked = ("--by", "anna", "--reason", "asked")
    assert must("coupon", loaded, "resend", shown["claim_rrn"], *asked) == f"{code}\n"
    listed = json.loads(must("campaign", loaded, "list", "--json"))
    assert [(one["id"], one["issued"], one["used"]) for one in listed] == [("SPRING10", 1, 0)]
    report = must("report", loaded, "campaign-effect", "--json").splitlines()
    assert [(json.loads(row)["issued"], json.loads(row)["used"]) for row in report] == [(1, 0)]

    def step(name, text):
        arguments = ["campaign", str(loaded), "coupon", name, "--by", "anna", "--reason", "asked"]
        return CliRunner().invoke(main, arguments, input=text + "\n")

    assert step("unlock", code).exit_code == 0, "it is live already"
    assert step("unlock", code[:-1]).exit_code == 1
    made = loaded.with_name("print.csv")
    must("issue", loaded, "coupons", "--campaign", "SPRING10", "--count", 2, "--output", made)
    printed = made.read_text().split()[1].partition(",")[2]
    assert step("cancel", printed).stdout == "untouched, now void\n"
    assert step("cancel", printed).stdout == "it was so already\n"
    assert step("unlock", printed).exit_code == 1
    assert step("cancel", code).stdout.endswith("live, now void\n")
    assert step("cancel", code).stdout.endswith("it was so already\n")
    assert step("unlock", code).exit_code == 1
    untouched = codes.clear(vault, codes.fresh(vault)[1])
    assert step("cancel", untouched).exit_code == 1
    assert "void" in must("show", loaded, "coupon", code)
