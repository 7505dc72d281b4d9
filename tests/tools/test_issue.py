"""Cards in batches: complete, private, resumable, never a number twice, moved on by ranges."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from engine.card_numbers import CardNumbers, check_digit
from engine.vault import Vault
from posd.incoming import luhn_valid
from tests.tools.conftest import MERCHANT, ROOT, must, run, write_lines

PRODUCT = {"type": "card_product", "id": "GIFT", "name": "礼品卡", "prefix": "621234", "length": 16}


@pytest.fixture
def house(loaded):
    must("load", loaded, write_lines(loaded.with_name("products.jsonl"), [PRODUCT]))
    return loaded


def issue(directory, output, count, *more):
    arguments = ["--product", "GIFT", "--count", count, "--output", output, *more]
    return run("issue", directory, "cards", *arguments)


def read(path):
    with path.open() as file:
        return [(int(row["serial"]), row["number"]) for row in csv.DictReader(file)]


def shown(directory, kind, key):
    return json.loads(must("show", directory, kind, key, "--json"))


@pytest.mark.parametrize(("prefix", "length"), [("6212", 13), ("621234", 16), ("62123", 19)])
def test_numbers_are_different_and_have_a_check_digit(prefix, length):
    numbers = CardNumbers(Vault(bytes(32)), prefix, length)
    made = numbers.numbers(0, 3000)
    assert len(set(made)) == 3000
    assert all(len(one) == length and one.startswith(prefix) and luhn_valid(one) for one in made)
    assert made[1234:1300] == numbers.numbers(1234, 66)
    assert not set(made) & set(CardNumbers(Vault(bytes([1]) * 32), prefix, length).numbers(0, 3000))


def test_a_permutation_of_all_places():
    numbers = CardNumbers(Vault(bytes(32)), "621234", 11)
    bodies = {one[6:10] for one in numbers.numbers(0, 10_000)}
    assert len(bodies) == 10_000


def test_check_digits_known_from_elsewhere():
    assert check_digit("7992739871") == "3"
    assert check_digit("622202000000000001") == "8"


def test_a_batch_is_complete_and_private(house, tmp_path):
    output = tmp_path / "B1.csv"
    assert issue(house, output, 1001).exit_code == 0
    assert output.stat().st_mode & 0o777 == 0o600
    rows = read(output)
    assert [serial for serial, _ in rows] == list(range(1, 1002))
    assert len({number for _, number in rows}) == 1001
    card = shown(house, "card", rows[700][1])
    assert (card["state"], card["batch"], card["serial_number"]) == ("produced", "B1", 701)
    assert rows[700][1] not in json.dumps(card)
    for path in (house / "journal").iterdir():
        assert rows[700][1].encode() not in path.read_bytes()
    must("verify", house)


def test_the_same_again_issues_nothing_and_a_lost_file_is_made_again(house, tmp_path):
    output = tmp_path / "B1.csv"
    issue(house, output, 450)
    before = output.read_bytes()
    assert "0 cards issued" in issue(house, output, 450).output
    assert output.read_bytes() == before
    output.unlink()
    issue(house, output, 450)
    assert output.read_bytes() == before
    other = tmp_path / "other.csv"
    issue(house, other, 450)
    assert not {number for _, number in read(other)} & {number for _, number in read(output)}


@pytest.mark.parametrize("cut", [0, 5, 20, 14 + 25 * 300, 14 + 25 * 300 + 11])
def test_a_file_that_was_cut_is_completed(house, tmp_path, cut):
    output = tmp_path / "B1.csv"
    issue(house, output, 450)
    before = output.read_bytes()
    os.truncate(output, cut)
    assert issue(house, output, 450).exit_code == 0
    assert output.read_bytes() == before


def test_a_job_that_was_killed_is_completed(house, tmp_path):
    output = tmp_path / "B1.csv"
    command = [sys.executable, "-m", "tools", "issue", str(house), "cards", "--product", "GIFT"]
    job = subprocess.Popen(
        [*command, "--count", "400000", "--output", str(output)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    while not output.exists() or output.stat().st_size < 500_000:
        assert job.poll() is None
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    killed_at = shown(house, "card-batch", "B1")["issued"]
    assert 0 < killed_at < 400_000
    done = issue(house, output, 400_000)
    assert done.exit_code == 0, done.output
    rows = read(output)
    assert [serial for serial, _ in rows] == list(range(1, 400_001))
    assert len({number for _, number in rows}) == 400_000
    assert shown(house, "card-batch", "B1")["issued"] == 400_000


def test_refusals(house, tmp_path):
    output = tmp_path / "B1.csv"
    other = ["--product", "NONE", "--count", 1, "--output", output]
    done = run("issue", house, "cards", *other)
    assert done.exit_code == 1
    assert "not registered" in done.output
    assert not output.exists()
    issue(house, output, 10)
    assert issue(house, tmp_path / "x.csv", 11, "--batch", "B1").exit_code == 1
    assert not (tmp_path / "x.csv").exists()
    assert issue(house, output, 10, "--batch", "B2").exit_code == 1
    open_to_all = tmp_path / "open.csv"
    open_to_all.touch(0o644)
    assert "0600" in issue(house, open_to_all, 10).output
    link = tmp_path / "link.csv"
    link.symlink_to(output)
    assert issue(house, link, 10).exit_code == 1
    assert issue(house, output, 1_000_001).exit_code == 2
    assert issue(house, output, 10, "--batch", "B:1").exit_code == 2


def test_ranges_are_moved(house, tmp_path):
    output = tmp_path / "B1.csv"
    issue(house, output, 10)
    rows = read(output)
    assert run("issue", house, "activate", "--batch", "B1").exit_code == 1
    must("issue", house, "distribute", "--batch", "B1")
    assert "already" in must("issue", house, "distribute", "--batch", "B1", "--last", 3)
    line = {"type": "card_range", "batch": "B1", "first": 2, "last": 4, "state": "active"}
    must("load", house, write_lines(tmp_path / "ranges.jsonl", [line]))
    states = [shown(house, "card", number)["state"] for _, number in rows[:5]]
    assert states == ["distributed", "active", "active", "active", "distributed"]
    assert run("issue", house, "close", "--batch", "B9").exit_code == 1


def test_beside_a_daemon(daemon, tmp_path):
    directory = daemon.directory
    must("load", directory, write_lines(tmp_path / "products.jsonl", [PRODUCT]))
    output = tmp_path / "B1.csv"
    done = issue(directory, output, 3000)
    assert done.exit_code == 0, done.output
    must("issue", directory, "distribute", "--batch", "B1")
    assert len(read(output)) == 3000
    assert shown(directory, "card", read(output)[2999][1])["state"] == "distributed"


def test_a_card_in_stock_comes_to_a_member_by_load(house, tmp_path):
    named = PRODUCT | {"id": "VIP", "named": True, "prefix": "621299"}
    must("load", house, write_lines(tmp_path / "named.jsonl", [named]))
    output = tmp_path / "V1.csv"
    arguments = ["--product", "VIP", "--count", 2, "--output", output]
    must("issue", house, "cards", *arguments)
    number = read(output)[0][1]
    member = {"type": "member", "id": "M7", "cards": [number]}
    path = tmp_path / "member.jsonl"
    done = run("load", house, write_lines(path, [member]))
    assert "not handed out" in done.output
    must("issue", house, "distribute", "--batch", "V1")
    balance = {"type": "balance", "member": "M7", "unit": "156", "amount": 1250}
    must("load", house, write_lines(path, [member, balance]))
    found = shown(house, "member", number)
    assert found["id"] == "M7"
    assert found["value"] == {
        "available": 1250,
        "ledger": 1250,
        "held": 0,
        "expires": None,
        "run_out": 0,
        "product": "VIP",
        "last_moved": found["value"]["last_moved"],
    }
    stranger = {"type": "member", "id": "M8", "cards": ["6212990000000000"]}
    assert "not handed out" in run("load", house, write_lines(path, [stranger])).output
    must("verify", house)


def test_lines_of_cards_and_merchants_go_through_the_daemon(daemon, tmp_path):
    """What a command declares is what its line makes: a daemon takes no other types."""
    product = PRODUCT | {"id": "FULL", "prefix": "6299", "validity": "36m", "face_max_fen": 100000}
    merchant = MERCHANT | {"id": "104110045110099"}
    terms = merchant["terms"][0] | {"top_up_fen_per_point": "4/5", "pending_days": 3}
    merchant["terms"] = [terms]
    must("load", daemon.directory, write_lines(tmp_path / "lines.jsonl", [product, merchant]))
    shown_terms = shown(daemon.directory, "merchant", merchant["id"])["terms"][0]
    assert shown_terms["top_up_fen_per_point"] == "4/5"
    found = shown(daemon.directory, "card-product", "FULL")
    assert {name: found[name] for name in product if name != "type"} == {
        name: value for name, value in product.items() if name != "type"
    }
