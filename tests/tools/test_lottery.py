"""Lotteries on the command line: what they cost is shown, the seed is kept until the end."""

import hashlib
import json

from engine.commands import Pin
from engine.directory import open_machine, open_vault, wall_ms
from engine.lotteries import next_draw
from engine.rules.lotteries import Draw
from ledger import schema
from tests.tools.conftest import CARD, HOTEL, must, run, write_lines

PRIZES = [
    {"id": "CUP", "name": "茶杯", "odds": "1/4", "stock": 2, "worth_fen": 900},
    {"id": "PEN", "name": "笔", "odds": "1/3", "worth_fen": 30},
    {"id": "P50", "name": "积分", "odds": "1/10", "points": 50, "worth_fen": 50},
]
LOTTERY = {"type": "lottery", "id": "SPRING", "name": "春", "program": "P01", "cost": 100}
LOTTERY |= {"from": "2020-01-01", "to": "2120-12-31", "prizes": PRIZES, "when_out": "next"}


def draw(directory, times):
    """Draws of the one member, straight at the machine."""
    vault = open_vault(directory, None)
    book, machine = open_machine(directory, follower=False)
    token = ("C", vault.token_digest("C", CARD))
    answers = []
    for stan in range(1, times + 1):
        member = book.view.get(schema.alias(*token)).member
        k, ticket = next_draw(book.view.get, vault, "SPRING", member)
        request = ("00000001", HOTEL, 1, stan, stan.to_bytes(16, "big"), "946500")
        command = Draw(*request, (token,), "SPRING", "", 0, k, ticket, int(Pin.ABSENT))
        answers.append(machine.execute(command, wall_ms()))
    book.flush()
    book.close()
    return answers


def test_a_lottery_from_draft_to_audit(loaded):
    must("load", loaded, write_lines(loaded.with_name("lottery.jsonl"), [LOTTERY]))
    shown = json.loads(must("lottery", loaded, "show", "SPRING", "--json"))
    assert (shown["state"], shown["seed_hash"], shown["expected_cost_fen"]) == (
        "draft",
        None,
        "240",
    )
    assert run("lottery", loaded, "audit", "SPRING").exit_code == 1
    assert run("lottery", loaded, "seed", "SPRING").exit_code == 1

    approved = must("lottery", loaded, "approve", "SPRING", "--by", "clerk")
    assert "expected to cost 240 fen (240.00)" in approved
    assert "already" in must("lottery", loaded, "approve", "SPRING", "--by", "clerk")
    assert "unchanged 1" in must("load", loaded, loaded.with_name("lottery.jsonl"))
    refused = run("lottery", loaded, "seed", "SPRING")
    assert refused.exit_code == 1
    assert "not over" in refused.output

    assert all(answer.approved for answer in draw(loaded, 40))
    audited = json.loads(must("lottery", loaded, "audit", "SPRING", "--json"))
    assert (audited["draws"], audited["faults"]) == (40, [])
    assert audited["prizes"]["CUP"] <= 2

    must("lottery", loaded, "end", "SPRING", "--by", "clerk")
    seed = bytes.fromhex(must("lottery", loaded, "seed", "SPRING").strip())
    shown = json.loads(must("lottery", loaded, "show", "SPRING", "--json"))
    assert hashlib.sha256(seed).hexdigest() == shown["seed_hash"]
    journal = b"".join(path.read_bytes() for path in (loaded / "journal").iterdir())
    assert seed not in journal


def test_an_audit_finds_a_draw_that_the_seed_did_not_decide(loaded):
    live = LOTTERY | {"state": "live"}
    must("load", loaded, write_lines(loaded.with_name("lottery.jsonl"), [live]))
    vault = open_vault(loaded, None)
    book, machine = open_machine(loaded, follower=False)
    token = ("C", vault.token_digest("C", CARD))
    request = ("00000001", HOTEL, 1, 1, bytes(16), "946500")
    command = Draw(*request, (token,), "SPRING", "", 0, 1, bytes(32), int(Pin.ABSENT))
    assert machine.execute(command, wall_ms()).approved
    book.flush()
    book.close()
    result = run("lottery", loaded, "audit", "SPRING")
    assert result.exit_code == 1
    assert "not decided by the seed" in result.output


def test_a_wrong_prize_is_named(loaded):
    wrong = LOTTERY | {"prizes": [PRIZES[0] | {"odds": "5/4"}]}
    result = run("load", loaded, write_lines(loaded.with_name("lottery.jsonl"), [wrong]))
    assert result.exit_code == 1
    assert "prizes number 1: odds has to be a ratio of at most 1" in result.output
