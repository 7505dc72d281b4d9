"""Gifts on the command line: the catalogue is loaded, its stock and orders are listed."""

import json

from engine.commands import Pin
from engine.directory import open_machine, open_vault
from engine.rules.gifts import GiftExchange
from tests.tools.conftest import CARD, HOTEL, must, run, write_lines

GIFT = {"type": "gift", "sku": "MUG", "name": "杯子", "owner": HOTEL, "program": "P01", "stock": 5}
GIFT["prices"] = [{"from": "2026-01-01", "points": 500, "agreed_fen": 400}]


def test_a_catalogue_is_loaded_and_listed(loaded):
    lines = write_lines(loaded.with_name("gifts.jsonl"), [GIFT])
    assert "loaded 1" in must("load", loaded, lines)
    assert "unchanged 1" in must("load", loaded, lines)
    stock = json.loads(must("gift", loaded, "stock", "--json"))
    assert stock == [{"sku": "MUG", "name": "杯子", "given_out": 0, "left": 5}]
    assert json.loads(must("gift", loaded, "orders", "--json")) == []


def exchanged(directory, stan):
    """The RRN of a mug that a member has taken at the till."""
    vault = open_vault(directory)
    book, machine = open_machine(directory, follower=False)
    card = (("C", vault.token_digest("C", CARD)),)
    said = (vault.content_digest(b"%d" % stan), "936500", card, "MUG", 1, "", 0, Pin.ABSENT)
    answer = machine.execute(GiftExchange("00000001", HOTEL, 1, stan, *said), book.last_at)
    assert answer.approved
    book.flush()
    book.close()
    return vault.rrn(answer.sequence)


def test_an_order_is_handed_over_sent_and_cancelled(loaded):
    must("load", loaded, write_lines(loaded.with_name("gifts.jsonl"), [GIFT]))
    by = ("--by", "clerk")
    first, second = exchanged(loaded, 1), exchanged(loaded, 2)
    told = json.loads(must("gift", loaded, "orders", "--json"))
    assert [(one["rrn"], one["sku"], one["state"]) for one in told] == [
        (first, "MUG", "reserved"),
        (second, "MUG", "reserved"),
    ]
    assert must("gift", loaded, "hand-over", first, *by) == "reserved, now handed over\n"
    transaction = json.loads(must("show", loaded, "transaction", first, "--json"))
    assert transaction["gift_order"] == "handed over"
    member = json.loads(must("show", loaded, "member", CARD, "--json"))
    last = member["last_movements"]
    assert [(one["rrn"], one["command"], one["points"]) for one in last] == [
        (second, "gift", -500),
        (first, "gift", -500),
        (None, "opening balance", 5000),
    ]
    assert (last[0]["merchant"], last[0]["program"]) == (HOTEL, "P01")
    assert must("gift", loaded, "hand-over", first, *by) == "it was so already\n"
    assert must("gift", loaded, "send", second, *by) == "reserved, now sent\n"
    assert run("gift", loaded, "cancel", first, *by).exit_code == 2, "a reason is missing"
    why = ("--reason", "broken")
    assert must("gift", loaded, "cancel", first, *by, *why) == "handed over, now cancelled\n"
    assert must("gift", loaded, "cancel", second, *by, *why, "--lost") == "sent, now cancelled\n"
    assert run("gift", loaded, "send", first, *by).exit_code == 1
    gone = json.loads(must("gift", loaded, "orders", "--state", "cancelled", "--json"))
    assert len(gone) == 2
    (stock,) = json.loads(must("gift", loaded, "stock", "--json"))
    assert (stock["given_out"], stock["left"]) == (1, 4), "one is lost, one is back"


def test_a_wrong_price_is_named(loaded):
    wrong = GIFT | {"prices": [{"from": "2026-01-01", "points": -1, "agreed_fen": 400}]}
    result = run("load", loaded, write_lines(loaded.with_name("gifts.jsonl"), [wrong]))
    assert result.exit_code == 1
    assert "prices number 1: points has to be a whole number" in result.output


def test_an_order_that_does_not_exist_is_refused(loaded):
    result = run("gift", loaded, "hand-over", "1", "--by", "clerk")
    assert result.exit_code == 1
    assert "entry 1 is no exchange of a gift" in result.output
    assert run("gift", loaded, "send", "x", "--by", "clerk").exit_code == 2
