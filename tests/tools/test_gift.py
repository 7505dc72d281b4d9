"""Gifts on the command line: the catalogue is loaded, its stock and orders are listed."""

import json

from tests.tools.conftest import HOTEL, must, run, write_lines

GIFT = {"type": "gift", "sku": "MUG", "name": "杯子", "owner": HOTEL, "program": "P01", "stock": 5}
GIFT["prices"] = [{"from": "2026-01-01", "points": 500, "agreed_fen": 400}]


def test_a_catalogue_is_loaded_and_listed(loaded):
    lines = write_lines(loaded.with_name("gifts.jsonl"), [GIFT])
    assert "loaded 1" in must("load", loaded, lines)
    assert "unchanged 1" in must("load", loaded, lines)
    stock = json.loads(must("gift", loaded, "stock", "--json"))
    assert stock == [{"sku": "MUG", "name": "杯子", "given_out": 0, "left": 5}]
    assert json.loads(must("gift", loaded, "orders", "--json")) == []


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
