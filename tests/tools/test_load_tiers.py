"""Tiers and identity numbers in files of `load`, and what `show` tells of them."""

import json

import pytest

from tests.tools.conftest import LINES, MEMBER, must, run, write_lines

RULE = {"from": "2026-01-01", "spending_fen": 100_000}
SILVER = {"type": "tier", "id": "silver", "name": "银卡", "rank": 1, "rules": [RULE]}


def shown(directory, kind, key):
    return json.loads(must("show", directory, kind, key, "--json"))


def test_a_tier_is_loaded_and_shown(empty, tmp_path):
    file = write_lines(tmp_path / "file", [*LINES, SILVER])
    must("load", empty, file)
    assert must("load", empty, file).startswith("loaded 0")
    assert shown(empty, "tier", "silver")["rules"] == [
        {
            "from": "2026-01-01",
            "spending_fen": 100_000,
            "visits": 0,
            "needs": "either",
            "period_months": 12,
            "keep_months": 12,
        }
    ]
    assert run("show", empty, "tier", "gold").exit_code == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rank": 0}, "rank has to be"),
        ({"rules": [{"from": "2026-01-01"}]}, "number 1 has to ask for spending_fen or visits"),
        ({"rules": [RULE, RULE]}, "rules has two from the same day"),
        ({"rules": [RULE | {"period_months": 37}]}, "number 1: period_months has to be"),
        ({"rules": RULE}, "rules has to be a list"),
        ({"id": "base"}, "base is the tier of everybody else"),
    ],
)
def test_a_tier_that_cannot_be(empty, tmp_path, change, why):
    done = run("load", empty, write_lines(tmp_path / "file", [SILVER | change]))
    assert done.exit_code == 1
    assert why in done.stdout


def test_a_member_s_tier_and_state_stay_when_a_line_does_not_say_them(empty, tmp_path):
    line = {key: value for key, value in MEMBER.items() if key not in {"tier", "state"}}
    must(
        "load",
        empty,
        write_lines(tmp_path / "1", [*LINES, line | {"tier": "vip", "state": "frozen"}]),
    )
    must("load", empty, write_lines(tmp_path / "2", [line]))
    member = shown(empty, "member", MEMBER["id"])
    assert (member["tier"], member["tier_granted"], member["state"]) == ("vip", "vip", "frozen")


def test_an_identity_number_is_kept_as_a_digest_only(empty, tmp_path):
    line = MEMBER | {"identity": "11010519491231002x"}
    must("load", empty, write_lines(tmp_path / "1", [*LINES, line]))
    assert must("load", empty, write_lines(tmp_path / "2", [line])).startswith(
        "loaded 0, unchanged 1"
    )
    again = MEMBER | {
        "identity": "11010519491231002X",
        "id": "M0000002",
        "cards": [],
        "phone": None,
    }
    assert "names another member" in run("load", empty, write_lines(tmp_path / "3", [again])).stdout
    tokens = shown(empty, "member", MEMBER["id"])["tokens"]
    (named,) = [one for one in tokens if one["kind"] == "identity number"]
    assert not any(letter.isalnum() for letter in named["value"])
    assert "110105" not in must("show", empty, "member", MEMBER["id"])
    # Nor does it open the door of `show`.
    assert run("show", empty, "member", "11010519491231002X").exit_code == 1
