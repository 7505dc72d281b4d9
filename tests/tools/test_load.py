"""Reference data and opening balances from JSON Lines."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.journal import entries
from tests.tools.conftest import (
    BALANCE,
    CARD,
    HOTEL,
    INSTITUTION,
    LINES,
    MEMBER,
    MERCHANT,
    PHONE,
    PROGRAM,
    SERIAL,
    TERMINAL,
    TMK,
    must,
    run,
    write_lines,
)
from tools import load as loading
from tools.load_checks import Rejected
from tools.load_lines import TERMS, TYPES, Lines

LIMIT = {
    "type": "limit",
    "id": "DAILY",
    "scope": "member",
    "what": "redemption",
    "unit": "P01",
    "per": "day",
    "max_amount": 1000,
}


def report(directory, file):
    """The report of a load as data, and its exit status."""
    done = run("load", directory, file, "--json")
    return json.loads(done.stdout), done.exit_code


def reasons(directory, tmp_path, *lines, mode=0o600):
    """Why lines were rejected, by line number."""
    told, status = report(directory, write_lines(tmp_path / "lines", lines, mode))
    assert status == (1 if told["rejected"] else 0)
    return {one["line"]: one["reason"] for one in told["rejected"]}


def terms(**changes):
    return MERCHANT | {"terms": [MERCHANT["terms"][0] | changes]}


def test_every_type_loads_and_loading_again_changes_nothing(empty, tmp_path):
    file = write_lines(tmp_path / "file", LINES)
    first, status = report(empty, file)
    assert first == {"loaded": 6, "unchanged": 0, "rejected": [], "rejected_count": 0}
    assert status == 0
    digest = must("show", empty, "member", "M0000001")
    before = sum(1 for _ in entries(empty, 1))
    assert must("load", empty, file) == "loaded 0, unchanged 6, rejected 0\n"
    after = sum(1 for _ in entries(empty, 1))
    assert after == before + 1, "nothing but the opening is journaled"
    assert strip_sequence(must("show", empty, "member", "M0000001")) == strip_sequence(digest)


def strip_sequence(text):
    return re.sub(r"as of entry \d+", "", text)


def test_rejected_lines_are_told_in_order_and_the_others_are_applied(empty, tmp_path):
    lines = [
        PROGRAM,
        {"type": "campaign", "id": "SPRING10"},
        INSTITUTION,
        MERCHANT | {"institution": "HB99"},
        MERCHANT | {"xyz": "blue"},
        MERCHANT,
    ]
    done = run("load", empty, write_lines(tmp_path / "file", lines))
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "line 2: kind is missing",
        "line 4: institution HB99 is not registered; load it first",
        (
            "line 5: there is no key xyz; known are id, name, institution, category, terms,"
            " enabled, operators"
        ),
        "loaded 3, unchanged 0, rejected 3",
    ]
    must("show", empty, "merchant", HOTEL)


CAMPAIGN = {
    "type": "campaign",
    "id": "SPRING10",
    "kind": "amount_off",
    "face_fen": 1000,
    "min_sale_fen": 5000,
    "from": "2026-01-01",
    "to": "2026-12-31",
    "quantity": 100000,
    "per_member": 1,
    "merchants": [HOTEL],
    "funders": {HOTEL: "1/1"},
    "state": "live",
}


def test_a_campaign_loads_and_loading_again_changes_nothing(empty, tmp_path):
    file = write_lines(tmp_path / "file", [PROGRAM, INSTITUTION, MERCHANT, CAMPAIGN])
    must("load", empty, file)
    assert must("load", empty, file) == "loaded 0, unchanged 4, rejected 0\n"


STORE = {"type": "store", "id": "S001", "merchant": HOTEL, "name": "湖畔一店"}
OTHER = MERCHANT | {"id": "104110045110099", "name": "Inn"}


def test_stores_load_and_are_shown_with_their_terminals(empty, tmp_path):
    second = TERMINAL | {"id": "00000002", "store": "S001"}
    reference = [PROGRAM, INSTITUTION, MERCHANT, STORE, STORE | {"id": "S002"}]
    file = write_lines(tmp_path / "file", [*reference, TERMINAL | {"store": "S001"}, second])
    must("load", empty, file)
    assert must("load", empty, file) == "loaded 0, unchanged 7, rejected 0\n"
    first = {"id": "S001", "name": "湖畔一店", "terminals": ["00000001", "00000002"]}
    shown = json.loads(must("show", empty, "merchant", HOTEL, "--json"))
    assert shown["stores"] == [first, {"id": "S002", "name": "湖畔一店", "terminals": []}]
    assert "00000001, 00000002" in must("show", empty, "merchant", HOTEL)
    shown = json.loads(must("show", empty, "store", "S001", "--json"))
    assert shown.items() >= (first | {"merchant": HOTEL, "revision": 1}).items()
    # A line says the whole row: without a store the till stands in none.
    must("load", empty, write_lines(tmp_path / "file", [TERMINAL, second | {"store": "S002"}]))
    stands = {
        till: json.loads(must("show", empty, "terminal", till, "--json"))["store"]
        for till in ("00000001", "00000002")
    }
    assert stands == {"00000001": None, "00000002": "S002"}
    assert "store S001 → -" in must("report", empty, "administration")
    moved = [json.loads(line) for line in must("tail", empty).splitlines()][-1]
    assert (moved["kind"], moved["command"]["store"]) == ("terminal", "S002")
    again = must("replay", empty, "--into", tmp_path / "again")
    assert must("verify", empty).splitlines()[-1] in again


def test_what_is_wrong_with_a_store_is_told(empty, tmp_path):
    must("load", empty, write_lines(tmp_path / "file", [PROGRAM, INSTITUTION, MERCHANT, OTHER]))
    told = reasons(
        empty,
        tmp_path,
        STORE | {"merchant": "104110045110098"},
        STORE,
        STORE | {"merchant": OTHER["id"]},
        TERMINAL | {"store": "S009"},
        TERMINAL | {"merchant": OTHER["id"], "store": "S001"},
        TERMINAL | {"store": 1},
        {"type": "store", "id": "S003", "merchant": HOTEL},
        TERMINAL | {"store": "S001"},
        # A till that becomes another merchant's cannot stay where it stands.
        TERMINAL | {"merchant": OTHER["id"], "store": "S001"},
    )
    assert told == {
        1: "merchant 104110045110098 is not registered; load it first",
        3: f"store S001 is of merchant {HOTEL}, which cannot change",
        4: "store S009 is not registered; load it first",
        5: f"store S001 is of merchant {HOTEL}, not of the terminal's",
        6: "store has to be 1 to 32 letters, digits, _ or -",
        7: "name is missing",
        9: f"store S001 is of merchant {HOTEL}, not of the terminal's",
    }


def test_shares_and_tiers_of_terms_are_loaded_and_shown(empty, tmp_path):
    shares = {"margin_share": {"HB01": "1/4", "issuer": "1/2"}, "fee_share": {HOTEL: "1/3"}}
    shares |= {"fee_fixed_fen": 20, "fee_tiers": {"10000": 5, "100000": 0}}
    file = write_lines(tmp_path / "file", [PROGRAM, INSTITUTION, terms(**shares)])
    must("load", empty, file)
    assert must("load", empty, file) == "loaded 0, unchanged 3, rejected 0\n"
    (told,) = json.loads(must("show", empty, "merchant", HOTEL, "--json"))["terms"]
    assert {name: told[name] for name in shares} == shares


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"face_fen": 0}, "face_fen is missing, which the kind amount_off needs"),
        ({"percent": "1/2"}, "percent and face_fen exclude each other"),
        ({"to": "2025-12-31"}, "to lies before from"),
        ({"use_from": "2027-01-01"}, "use_from lies behind the last day of use"),
        ({"until": "2025-12-31"}, "until lies before from"),
        ({"until": "2026-12-31", "valid_days": 3}, "until and valid_days exclude each other"),
        ({"funders": {HOTEL: "2/3", "operator": "2/3"}}, "funders has parts that are more than"),
        ({"funders": {HOTEL: "0/3"}}, "funders has a part of 0"),
        ({"funders": {"NOWHERE": "1/3"}}, "funders: NOWHERE is not registered; load it first"),
        ({"kind": "session"}, "slots is missing, which the kind session needs"),
        ({"kind": "vip", "face_fen": 0}, "percent or face_fen is missing, which the kind vip"),
        ({"bonus_points": 5}, "program is missing, of which the points are"),
        ({"points_price": 5, "sold_fen": 5}, "points_price and sold_fen exclude each other"),
        ({"kind": "voucher", "sold_fen": 1001}, "sold_fen has to be at most face_fen"),
        ({"kind": "voucher", "uses": 2}, "uses of a voucher are as many as its value lasts"),
        ({"kind": "shared", "sold_fen": 10}, "points_price and sold_fen have to be 0"),
        ({"price_fen": 5}, "price_fen says nothing of a campaign of the kind amount_off"),
        ({"buy": 2}, "buy says nothing of a campaign of the kind amount_off"),
        ({"kind": "shared", "uses": 2}, "uses says nothing of a campaign of the kind shared"),
        ({"kind": "gift", "percent": "1/2"}, "percent says nothing of a campaign of the kind gift"),
        ({"kind": "buy_x_get_y", "buy": 2, "free": 1}, "face_fen says nothing of a campaign"),
        ({"grace_days": 2}, "grace_days says nothing without the refund_rule reissue"),
        ({"refund_rule": "reissue"}, "grace_days is missing, which the refund_rule reissue"),
        ({"hours": ["9-10"]}, "hours has to give times like 09:30"),
        ({"hours": ["10:00-09:00"]}, "hours has a span that ends before it begins"),
        ({"hours": ["10:00"]}, "hours has to hold spans like 09:00-11:30"),
        ({"slots": ["2026-03-01"]}, "slots has to hold slots like 2026-03-01 19:00-22:00"),
        ({"from": "2026-03-01T9:00"}, "from has to give times like 09:30"),
        ({"from": 5}, "from has to be a date in quotes"),
        ({"weekdays": [8]}, "weekdays has to be a whole number from 1 to 7"),
    ],
)
def test_a_campaign_that_is_wrong_is_told_by_its_key(empty, tmp_path, changes, reason):
    lines = [PROGRAM, INSTITUTION, MERCHANT, CAMPAIGN | changes]
    assert reasons(empty, tmp_path, *lines)[4].startswith(reason)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "the line is not valid JSON"),
        ("[]", "the line is not a JSON object"),
        ('{"type":"program","id":"P01","id":"P02"}', "a key is there twice"),
        ("[" * 100_000, "the line is not valid JSON"),
        ('{"amount":' + "9" * 5000 + "}", "the line is not valid JSON"),
        ({"id": "P01"}, "type is missing"),
        ({"type": "progam"}, "there is no type progam; did you mean program?"),
        (PROGRAM | {"id": "P00"}, "id has to be P01 to P99"),
        (PROGRAM | {"id": "P1"}, "id has to be P01 to P99"),
        (PROGRAM | {"points_per_yuan": 1.0}, "points_per_yuan has to be a whole number"),
        (PROGRAM | {"points_per_yuan": True}, "points_per_yuan has to be a whole number"),
        (PROGRAM | {"points_per_yuan": "100"}, "points_per_yuan has to be a whole number"),
        (PROGRAM | {"points_per_yuan": 0}, "points_per_yuan has to be a whole number"),
        (PROGRAM | {"expiry": "rolling:0m"}, "expiry has to be none, rolling"),
        (PROGRAM | {"clawback": "maybe"}, "clawback has to be one of negative, zero"),
        (PROGRAM | {"settled": 1}, "settled has to be true or false"),
        (PROGRAM | {"name": "a\x1b[2Jb"}, "name has to be a text of 1 to 100 printable"),
        (PROGRAM | {"name": "\ud800"}, "name has to be a text of 1 to 100 printable"),
        (PROGRAM | {"name": ""}, "name has to be a text of 1 to 100 printable"),
        (PROGRAM | {"points_per_yuam": 1}, "there is no key points_per_yuam; did you mean points"),
        ({"type": "program", "id": "P01", "name": "A"}, "points_per_yuan is missing"),
        (PROGRAM | {"points_per_yuan": 50}, "points_per_yuan of a program cannot change"),
        (MERCHANT | {"id": "1041"}, "id has to be 15 letters or digits"),
        (terms(earn="1.5"), 'terms number 1: earn has to be a ratio in quotes, like "1/1"'),
        (terms(earn="1/0"), "terms number 1: earn has to be a ratio of numbers"),
        (terms(settlement="3/2"), "terms number 1: settlement has to be a ratio of at most 1"),
        (terms(**{"from": "2026-02-30"}), "terms number 1: from has to be a date in quotes"),
        (terms(**{"from": "20260201"}), "terms number 1: from has to be a date in quotes"),
        (terms(program="P02"), "program P02 is not registered; load it first"),
        (
            terms(margin_share={HOTEL: "2/3", "issuer": "2/3"}),
            "terms number 1: margin_share has parts that are more than the whole",
        ),
        (
            terms(fee_tiers={"100.00": 5}),
            "terms number 1: fee_tiers has values in fen, as whole numbers in quotes",
        ),
        (terms(fee_tiers={"100": 5, "0100": 4}), "terms number 1: fee_tiers has a value twice"),
        (
            terms(fee_tiers={"100": 1001}),
            "terms number 1: fee_tiers has to be a whole number from 0 to 1000",
        ),
        (terms(fee_tiers={"0": 5}), "terms number 1: fee_tiers has to be a whole number from 1 to"),
        (terms(fee_share={"NOWHERE": "1/3"}), "party NOWHERE is not registered; load it first"),
        (MERCHANT | {"terms": MERCHANT["terms"] * 2}, "terms has two for the same program"),
        (MERCHANT | {"terms": ["P01"]}, "terms number 1 has to be an object"),
        (TERMINAL | {"id": "1"}, "id has to be 8 letters or digits"),
        (TERMINAL | {"tmk": TMK[:-1]}, "tmk has to be 32 hexadecimal digits"),
        (TERMINAL | {"tmk": None}, "tmk is missing"),
        (TERMINAL | {"profile": "rsa"}, "profile has to be one of aes, tdes-x919, tdes-cup"),
        (TERMINAL | {"networks": ["10.0.0.1/8"]}, "networks has to be a network like"),
        (TERMINAL | {"merchant": "0" * 15}, "is not registered; load it first"),
        (MEMBER | {"cards": ["62220200"[:7]]}, "cards has to be 8 to 19 digits in quotes"),
        (MEMBER | {"cards": ["\u0661" * 16]}, "cards has to be 8 to 19 digits in quotes"),
        (MEMBER | {"phone": "+8613800000001"}, "phone has to be 5 to 15 digits in quotes"),
        (MEMBER | {"pin": "12"}, "pin has to be 4 to 12 digits in quotes"),
        (MEMBER | {"pin": 1234}, "pin has to be 4 to 12 digits in quotes"),
        (MEMBER | {"tokens": ["Xabc"]}, "tokens has to be Q or U"),
        (MEMBER | {"id": "M:1"}, "id has to be 1 to 32 letters"),
        (MEMBER | {"id": "E0000000123", "cards": [], "phone": None}, "given at enrolment"),
        (MEMBER | {"id": "M0000002"}, "a card, phone or token of this line names another member"),
        (BALANCE | {"amount": 4999}, "an opening balance of 5000 is posted already"),
        (BALANCE | {"amount": 5.5}, "amount has to be a whole number from 0"),
        (BALANCE | {"amount": -1}, "amount has to be a whole number from 0"),
        (BALANCE | {"unit": "840"}, "unit has to be 156 or P01 to P99"),
        (BALANCE | {"unit": "P07"}, "unit P07 is not a registered program; load it first"),
        (BALANCE | {"member": "M9"}, "member M9 is not registered; load it first"),
        (LIMIT | {"max_amount": None}, "has no bound: give min_amount, max_amount or max_count"),
        (LIMIT | {"per": None, "max_count": 2}, "max_count counts in a day or month: give per"),
        (LIMIT | {"what": "theft"}, "what has to be one of accrual"),
        (LIMIT | {"unit": "P07"}, "program P07 is not registered; load it first"),
        (LIMIT | {"key": "M9"}, "member M9 is not registered; load it first"),
    ],
)
def test_a_bad_line_is_rejected_with_its_reason(shared, tmp_path, line, reason):
    told, status = report(shared, write_lines(tmp_path / "file", [line, *LINES]))
    assert status == 1
    assert [one["line"] for one in told["rejected"]] == [1]
    assert reason in told["rejected"][0]["reason"]
    for secret in (CARD, PHONE, "123456", TMK):
        assert secret not in told["rejected"][0]["reason"]
    assert (told["loaded"], told["unchanged"]) == (0, 6), "nothing of the line was applied"


def test_a_limit_is_loaded_once_and_changed_by_the_same_id(loaded, tmp_path):
    for line in (LIMIT, LIMIT | {"max_amount": 2000}, LIMIT | {"key": "M0000001"}):
        told, _ = report(loaded, write_lines(tmp_path / "file", [line, line]))
        assert (told["loaded"], told["unchanged"]) == (1, 1)


def test_rules_are_shown_as_they_were_loaded(loaded, tmp_path):
    rule = {"type": "earn_rule", "program": "P01", "id": "GOLD", "tier": "gold"}
    rule |= {"multiplier": "3/2", "funder": "HB01", "until": "2126-12-31"}
    lines = [
        LIMIT,
        LIMIT | {"id": "CAP", "scope": "program"},
        LIMIT | {"id": "OWN", "scope": "merchant", "key": HOTEL},
        rule,
        {"type": "reason", "program": "P01", "code": "SIGNIN", "points": 10},
        {"type": "credit", "party": HOTEL, "limit_fen": 500_000},
    ]
    file = write_lines(tmp_path / "rules", lines)
    assert must("load", loaded, file) == "loaded 6, unchanged 0, rejected 0\n"
    assert must("load", loaded, file) == "loaded 0, unchanged 6, rejected 0\n"
    program = json.loads(must("show", loaded, "rules", "P01", "--json"))
    assert [one["id"] for one in program["limits"]] == ["CAP", "DAILY"]
    assert program["limits"][1]["max_amount"] == 1000
    assert program["earn_rules"][0]["multiplier"] == "3/2"
    assert program["earn_rules"][0]["until"] == "2126-12-31"
    assert program["reasons"][0]["points"] == 10
    hotel = json.loads(must("show", loaded, "rules", HOTEL, "--json"))
    assert [one["id"] for one in hotel["limits"]] == ["OWN"]
    assert hotel["credit_fen"] == 500_000
    assert "SIGNIN" in must("show", loaded, "rules", "P01")
    assert run("show", loaded, "rules", "P77").exit_code == 1


def test_keys_in_clear_are_taken_from_a_private_file_only(loaded, tmp_path):
    for mode in (0o640, 0o604, 0o644, 0o700):
        found = reasons(loaded, tmp_path, TERMINAL | {"id": "00000002"}, PROGRAM, mode=mode)
        assert found == {
            1: "tmk in clear is taken from a file of mode 0600 only: run chmod 600 on the file"
        }
    assert reasons(loaded, tmp_path, TERMINAL | {"id": "00000002"}, mode=0o400) == {}


def test_nothing_clear_is_in_the_directory(loaded):
    secrets = [CARD, PHONE, SERIAL, TMK, TMK.upper()]
    needles = [one.encode() for one in secrets] + [bytes.fromhex(TMK), b"123456"]
    for path in loaded.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [one for one in needles if one in content], path


def test_a_new_master_key_or_pin_is_loaded_and_the_same_one_is_not(loaded, tmp_path):
    other = TERMINAL | {"tmk": TMK[1:] + TMK[:1]}
    for line in (other, MEMBER | {"pin": "654321"}, MEMBER | {"state": "frozen"}):
        told, _ = report(loaded, write_lines(tmp_path / "file", [line, line]))
        assert (told["loaded"], told["unchanged"]) == (1, 1)
    without_pin = {name: value for name, value in MEMBER.items() if name != "pin"}
    told, _ = report(loaded, write_lines(tmp_path / "file", [without_pin | {"state": "frozen"}]))
    assert told["unchanged"] == 1
    member = json.loads(must("show", loaded, "member", "M0000001", "--json"))
    assert (member["state"], member["pin"]) == ("frozen", "set")
    assert {token["state"] for token in member["tokens"]} == {"frozen"}


def test_marks_of_other_editors_and_empty_lines_do_no_harm(empty, tmp_path):
    path = tmp_path / "file"
    text = "\ufeff" + json.dumps(PROGRAM) + "\r\n\r\n   \n" + json.dumps(INSTITUTION)
    path.write_bytes(text.encode())
    assert must("load", empty, path) == "loaded 2, unchanged 0, rejected 0\n"


def test_a_line_without_end_is_rejected_and_the_next_is_read(empty, tmp_path):
    long = '{"type":"program","name":"' + "x" * (3 * loading.LINE_BYTES_MAX) + '"}'
    found = reasons(empty, tmp_path, long, b"\xff".decode("latin-1"), PROGRAM)
    assert found == {
        1: "the line is longer than 1048576 bytes",
        2: "the line is not valid JSON",
    }
    must("show", empty, "program", "P01")


def test_bytes_that_are_not_utf_8_are_rejected(empty, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b'{"type":"\xff"}\n')
    assert report(empty, path)[0]["rejected"] == [{"line": 1, "reason": "the line is not UTF-8"}]


def test_a_missing_file_is_wrong_usage(empty, tmp_path):
    assert run("load", empty, tmp_path / "none").exit_code == 2


def test_a_key_file_open_to_others_is_refused_with_the_remedy(empty, tmp_path):
    key = empty.with_name("data.key")
    key.chmod(0o640)
    done = run("load", empty, write_lines(tmp_path / "file", [PROGRAM]))
    assert done.exit_code == 1
    assert done.stderr.endswith(f"run chmod 600 {key}\n")


def test_more_rejected_lines_than_a_report_keeps_are_counted(empty, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "REJECTED_MAX", 2)
    told, _ = report(empty, write_lines(tmp_path / "file", ["{"] * 5))
    assert (len(told["rejected"]), told["rejected_count"]) == (2, 5)


def test_a_load_larger_than_a_group_keeps_lines_and_results_together(empty, tmp_path):
    members = [MEMBER | {"id": f"N{n}", "cards": [], "phone": None} for n in range(9000)]
    members[4500] = MEMBER | {"id": "N4500", "tier": 5}
    members[8999] = BALANCE | {"member": "N9999"}
    found = reasons(empty, tmp_path, PROGRAM, *members)
    assert list(found) == [4502, 9001]


class _Nothing:
    """A vault that makes digests of nothing, so that lines can be tried without a key file."""

    def token_digest(self, kind, value):
        return kind.encode() + value.encode("utf-8", "surrogatepass")

    def seal(self, _label, clear):
        return clear

    def seal_token(self, kind, value):
        return self.token_digest(kind, value), value.encode("utf-8", "surrogatepass")

    def pin_digest(self, member, pin):
        return (member + pin).encode()


_KEYS = sorted({"type", *TERMS, *(name for fields in TYPES.values() for name in fields)})
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([*TYPES, CARD, "P01", "1/1", "2026-01-01", "M1", HOTEL, "00000001", TMK]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(
    st.sampled_from(LINES),
    st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=8), _values, max_size=3),
)
def test_whatever_a_line_holds_it_is_a_command_or_rejected(line, changes):
    lines = Lines(_Nothing(), lambda _: None, private=True)
    try:
        command = lines.command(json.dumps(line | changes).encode())
    except Rejected as fault:
        told = str(fault)
    else:
        told = type(command).__name__
    assert 0 < len(told) < 300


def test_a_settlement_account_loads_for_a_merchant_and_registers_a_sponsor(empty, tmp_path):
    account = {"type": "account", "party": HOTEL, "account_name": "湖畔酒店", "number": "62220012"}
    account["bank"] = "102100099996"
    sponsor = account | {"party": "BREWERY", "kind": "sponsor", "name": "Brewery"}
    stranger = account | {"party": "NOBODY"}
    rejected = reasons(empty, tmp_path, *LINES[:3], account, sponsor, stranger)
    assert rejected == {6: "merchant NOBODY is not registered; load it first"}
    assert reasons(empty, tmp_path, account, account | {"number": "12-3"}) == {
        2: "number has to be 5 to 34 digits in quotes"
    }
