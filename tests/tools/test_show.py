"""What is registered and what happened, masked."""

import json

import pytest

from tests.tools.business import do_business
from tests.tools.conftest import (
    CARD,
    HOTEL,
    LINES,
    PHONE,
    SERIAL,
    TMK,
    Daemon,
    must,
    run,
    write_lines,
)

CLEAR = (CARD, PHONE, SERIAL, TMK, TMK.upper(), "123456")


def shown(directory, kind, key):
    return json.loads(must("show", directory, kind, key, "--json"))


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """A directory in which business was done, and what."""
    folder = tmp_path_factory.mktemp("traded")
    must("init", folder / "data")
    must("load", folder / "data", write_lines(folder / "file", LINES))
    return folder / "data", do_business(folder / "data")


def test_a_member_is_found_by_id_card_and_phone(traded):
    directory, _ = traded
    member = shown(directory, "member", "M0000001")
    assert member == shown(directory, "member", CARD) == shown(directory, "member", PHONE)
    assert shown(directory, "card", CARD)["member"]["id"] == "M0000001"
    assert (member["tier"], member["state"], member["pin"]) == ("base", "active", "set")
    assert member["tokens"] == [
        {"kind": "card", "value": "622202*********0018", "state": "active", "replaced_by": None},
        {"kind": "phone", "value": "138****0001", "state": "active", "replaced_by": None},
    ]


def test_a_member_s_balances_come_with_their_lots(traded):
    directory, _ = traded
    (balance,) = shown(directory, "member", "M0000001")["balances"]
    assert balance["program"] == "P01"
    # 5,000 brought in, 123 earned, 300 spent, of which 123 were the earned ones, 100 refunded.
    assert balance["available"] == balance["ledger"] == 5000 + 123 - 300 + 100
    assert balance["lots"] == [{"issuer": "opening", "expires": "2127-12-31", "points": 4923}]
    assert balance["debts"] == []
    assert balance["next_expiry"] == {"points": 4923, "date": "2127-12-31"}


@pytest.mark.parametrize(
    ("name", "command", "state"),
    [
        ("earned", "accrual", "stands"),
        ("spent", "redemption", "partly refunded"),
        ("voided", "accrual", "voided"),
        ("reversed", "accrual", "reversed"),
        ("void", "void", "stands"),
    ],
)
def test_a_transaction_tells_what_became_of_it(traded, name, command, state):
    directory, business = traded
    one = shown(directory, "transaction", business.rrns[name])
    assert (one["command"], one["undo"]["state"]) == (command, state)
    assert one["rrn"] == business.rrns[name]
    assert one["outcome"]["response"] == "00"
    assert one == shown(directory, "transaction", str(one["sequence"]))


def test_a_transaction_tells_its_legs_and_who_undid_it(traded):
    directory, business = traded
    earned = shown(directory, "transaction", business.rrns["earned"])
    legs = {leg["account"].split(":")[0]: leg["amount"] for leg in earned["postings"]}
    assert legs["Issued"] == -123
    assert sum(leg["amount"] for leg in earned["postings"] if leg["unit"] == "P01") == 0
    assert earned["fields"]["amount"] == 12345
    assert earned["fields"]["tokens"][0]["value"] == "622202*********0018"
    voided = shown(directory, "transaction", business.rrns["voided"])
    assert voided["undo"]["voided_by"] == business.rrns["void"]
    reversed_ = shown(directory, "transaction", business.rrns["reversed"])
    assert reversed_["undo"]["reversed_by"] == business.rrns["reversal"]
    spent = shown(directory, "transaction", business.rrns["spent"])
    assert spent["undo"]["refunded"] == 100


def test_reference_data_is_shown(traded):
    directory, _ = traded
    merchant = shown(directory, "merchant", HOTEL)
    assert merchant["terms"][0]["settlement"] == "95/100"
    terminal = shown(directory, "terminal", "00000001")
    assert (terminal["serial"], terminal["batch"]) == (True, 1)
    assert terminal["totals"][0]["unit"] == "P01"
    assert shown(directory, "program", "P01")["expiry"] == "rolling:24m"
    assert shown(directory, "institution", "HB01")["name"] == "Hebei"


def test_tables_for_people_show_the_same_and_take_no_orders_from_names(traded):
    directory, business = traded
    assert "湖畔 [bold]酒店" in must("show", directory, "merchant", HOTEL)
    assert "partly refunded" in must("show", directory, "transaction", business.rrns["spent"])
    assert "4923" in must("show", directory, "member", PHONE)


def test_nothing_clear_is_ever_shown(traded):
    directory, business = traded
    keys = [("member", "M0000001"), ("member", PHONE), ("card", CARD), ("terminal", "00000001")]
    keys += [("transaction", rrn) for rrn in business.rrns.values()]
    keys += [("transaction", str(number)) for number in range(1, business.sequence + 1)]
    printed = [must("show", directory, *key, *how) for key in keys for how in ([], ["--json"])]
    printed.append(must("tail", directory))
    for text in printed:
        assert not [one for one in CLEAR if one in text]


@pytest.mark.parametrize(
    ("kind", "key", "sentence"),
    [
        ("member", "M9", "there is no such member, card, phone or token"),
        ("card", "6222020000000000026", "there is no such card"),
        ("card", PHONE, "there is no such card"),
        ("member", "", "there is no such member, card, phone or token"),
        ("card", "", "there is no such card"),
        ("merchant", "104", "there is no such merchant"),
        ("terminal", "终端", "there is no such terminal"),
        ("program", "P99", "there is no such program"),
        ("institution", "X", "there is no such institution"),
        ("store", "X", "there is no such store"),
        ("transaction", "000000000000", "there is no such transaction"),
        ("transaction", "999", "there is no such transaction"),
        ("transaction", "x", "a transaction is named by its RRN of 12 digits"),
        ("campaign", "C", "there is no such campaign"),
        ("coupon", "C", "there is no such coupon"),
    ],
)
def test_what_is_not_there_is_told_without_the_key(traded, kind, key, sentence):
    done = run("show", traded[0], kind, key)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"counterfoil: {sentence}")
    assert not key or key not in done.stderr or len(key) < 8


def test_an_unknown_kind_is_wrong_usage(traded):
    assert run("show", traded[0], "weather", "today").exit_code == 2


def test_a_daemon_beside_makes_no_difference(traded):
    directory, business = traded
    member = shown(directory, "member", "M0000001")
    one = shown(directory, "transaction", business.rrns["spent"])
    running = Daemon(directory)
    try:
        beside = shown(directory, "member", "M0000001")
        assert beside | {"as_of": 0} == member | {"as_of": 0}
        beside = shown(directory, "transaction", business.rrns["spent"])
        assert beside | {"as_of": 0} == one | {"as_of": 0}
    finally:
        assert running.stop() == 0
