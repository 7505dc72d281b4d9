"""Coupon codes in bulk: complete, private, resumable; foreign ones judged; members given theirs."""

import csv
import json
import stat

import pytest

from engine import codes
from engine.codes import Codes
from engine.directory import open_machine, open_vault
from engine.rules.recharge import Recharge
from ledger import schema
from ledger.tables import Snapshot
from tests.tools.conftest import CARD, HOTEL, must, run, write_lines
from tools import issue_codes

CAMPAIGN = {"type": "campaign", "id": "SPRING10", "kind": "amount_off", "face_fen": 1000}
CAMPAIGN |= {"from": "2020-01-01", "to": "2120-12-31", "state": "live", "pin": True}
CAMPAIGN |= {"funders": {HOTEL: "1/1"}}


@pytest.fixture
def house(loaded):
    must("load", loaded, write_lines(loaded.with_name("campaigns.jsonl"), [CAMPAIGN]))
    return loaded


def issue(directory, output, count, *more):
    said = ["--campaign", "SPRING10", "--count", count, "--output", output, *more]
    return run("issue", directory, "coupons", *said)


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def entries(directory):
    with Snapshot(directory) as snapshot:
        return snapshot.sequence


def coupons_in(directory):
    with Snapshot(directory) as snapshot:
        return [row for _, row in snapshot.table(schema.COUPON)]


def test_a_batch_is_one_entry_and_a_private_file(house, tmp_path):
    output = tmp_path / "spring.csv"
    before = entries(house)
    result = issue(house, output, 25_000, "--length", 18)
    assert result.exit_code == 0, result.output
    assert entries(house) - before <= 2  # the batch, and that the book was opened
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    made = rows(output)
    assert [int(row["serial"]) for row in made] == list(range(1, 25_001))
    assert len({row["code"] for row in made}) == 25_000
    assert all(row["code"].isdecimal() and len(row["code"]) == 18 for row in made)
    assert coupons_in(house) == []
    shown = json.loads(must("show", house, "code-batch", "spring", "--json"))
    told = [shown[name] for name in ("campaign", "count", "length", "imported")]
    assert told == ["SPRING10", 25_000, 18, False]
    vault = open_vault(house, None)
    assert codes.find(vault, made[41]["code"])[1:] == (1, 42)
    journal = b"".join(path.read_bytes() for path in (house / "journal").iterdir())
    assert made[0]["code"].encode() not in journal


def test_an_interrupted_job_goes_on_and_a_foreign_file_is_left_alone(house, tmp_path):
    output = tmp_path / "spring.csv"
    assert issue(house, output, 12_000, "--pin").exit_code == 0
    whole = output.read_bytes()
    output.write_bytes(whole[: len(whole) // 2])
    result = issue(house, output, 12_000, "--pin")
    assert result.exit_code == 0
    assert output.read_bytes() == whole
    output.unlink()
    assert issue(house, output, 12_000, "--pin").exit_code == 0
    assert output.read_bytes() == whole
    vault = open_vault(house, None)
    row = rows(output)[7]
    assert codes.pin_of(vault, codes.digest_of(vault, row["code"])) == row["pin"]

    assert issue(house, output, 12_001, "--pin").exit_code == 1  # another batch under this name
    other = issue(house, output, 12_000, "--batch", "other")
    assert other.exit_code == 1
    assert "something else" in other.output
    assert output.read_bytes() == whole


def test_many_processes_write_the_file_that_one_writes(house, tmp_path, monkeypatch):
    output = tmp_path / "spring.csv"
    assert issue(house, output, 25_000).exit_code == 0
    whole = output.read_bytes()
    output.write_bytes(whole[: len(whole) // 4])
    monkeypatch.setattr(issue_codes, "ALONE_MAX", 1_000)
    assert issue(house, output, 25_000).exit_code == 0
    assert output.read_bytes() == whole


def test_who_has_been_given_a_code_is_told_with_it(house, tmp_path):
    output = tmp_path / "spring.csv"
    assert issue(house, output, 50).exit_code == 0
    made = [row["code"] for row in rows(output)]
    depot = ["issue", house, "distribute-coupons", "--batch", "spring", "--to", "Depot North"]
    assert must(*depot, "--last", 20) == "codes 1 to 20 of batch spring are with Depot North\n"
    assert must(*depot, "--last", 20).endswith("were handed out already, to Depot North\n")
    hotel = ["issue", house, "distribute-coupons", "--batch", "spring", "--to", HOTEL]
    refused = run(*hotel, "--first", 15)
    assert refused.exit_code == 1
    assert "codes of the range are with Depot North: they have to come back" in refused.output
    back = ["issue", house, "take-back-coupons", "--batch", "spring", "--from", "Depot North"]
    assert must(*back, "--first", 15, "--last", 20).startswith(
        "codes 15 to 20 of batch spring came"
    )
    assert must(*hotel, "--first", 15).startswith("codes 15 to 50 of batch spring are with")

    def coupon(code):
        shown = json.loads(must("show", house, "coupon", code, "--json"))
        return shown["status"], shown["serial_number"], shown["distributed_to"]

    assert coupon(made[13]) == ("distributed", 14, "Depot North")
    assert coupon(made[14]) == ("distributed", 15, HOTEL)
    cancel = ["campaign", house, "coupon", "cancel", "--by", "clerk", "--reason", "lost"]
    assert run(*cancel, typed=made[13]).exit_code == 0
    assert coupon(made[13]) == ("void", 14, "Depot North")
    assert "Depot North" in must("show", house, "coupon", made[0])
    batch = json.loads(must("show", house, "code-batch", "spring", "--json"))
    assert batch["distributed"] == 50
    assert batch["ranges"][1] == {"first": 15, "last": 50, "to": HOTEL}
    told = json.loads(must("show", house, "campaign", "SPRING10", "--json"))
    assert told["effect"]["distributed"] == 50
    report = must("report", house, "campaign-effect", "--json").splitlines()
    assert [json.loads(row)["distributed"] for row in report] == [50]
    trail = must("report", house, "administration")
    assert "codes handed out" in trail
    assert "spring 1 20 Depot North" in trail
    assert "spring 15 20 Depot North" in trail


def test_lengths_have_their_most_codes(house, tmp_path):
    result = issue(house, tmp_path / "a.csv", 1_000_001, "--length", 16)
    assert result.exit_code == 1
    assert "there can be 1000000 codes" in result.output
    wrong = run(
        "issue", house, "coupons", "--campaign", "NONE", "--count", 1, "--output", tmp_path / "b"
    )
    assert "campaign NONE is not registered" in wrong.output


def test_foreign_codes_are_judged_and_taken_in(house, tmp_path):
    good = [f"FOREIGN{number:05}" for number in range(600)]
    source = tmp_path / "foreign.txt"
    source.write_text("\n".join([*good, good[3], "short", "", "with space 1", f"{good[4]},x"]))
    result = run("issue", house, "import-coupons", "--campaign", "SPRING10", source)
    assert result.exit_code == 1
    assert "600 codes of SPRING10" in result.output
    assert "4 lines rejected" in result.output
    for text in ("line 601: is there twice, first in line 4", "line 602: a code is 10 to 40"):
        assert text in result.output
    assert "FOREIGN" not in result.output
    assert len(coupons_in(house)) == 600
    before = entries(house)
    assert run("issue", house, "import-coupons", "--campaign", "SPRING10", source).exit_code == 1
    assert entries(house) - before <= 1

    again = tmp_path / "again.txt"
    again.write_text(f"{good[9]}\nFOREIGN99999\n")
    result = run("issue", house, "import-coupons", "--campaign", "SPRING10", again)
    assert "line 1: is a coupon already" in result.output
    assert len(coupons_in(house)) == 601


def test_check_digits_of_foreign_codes(house, tmp_path):
    source = tmp_path / "luhn.txt"
    source.write_text("79927398713\n79927398714\n7992739871X\n", "utf-8-sig")
    result = run(
        "issue", house, "import-coupons", "--campaign", "SPRING10", "--check", "luhn", source
    )
    assert "1 codes of SPRING10" in result.output
    assert "line 2: its check digit is wrong" in result.output
    assert "line 3: a code with a check digit has digits only" in result.output


def test_each_member_of_a_list_gets_a_coupon_once(house, tmp_path):
    members = tmp_path / "vips.txt"
    said = ("issue", house, "coupons", "--campaign", "SPRING10", "--members", members)
    members.write_text("会员一\n", "gb18030")
    assert (run(*said).exit_code, run(*said).stderr) == (
        1,
        f"counterfoil: {members} is not UTF-8: save it in that encoding\n",
    )
    members.write_text("M0000001\nNOBODY\n", "utf-8-sig")
    result = run(*said)
    assert result.exit_code == 1
    assert "1 members got a coupon" in result.output
    assert "line 2: member unknown" in result.output
    assert [row.holder for row in coupons_in(house)] == ["M0000001"]
    result = run(*said)
    assert "0 members got a coupon of SPRING10, 1 had theirs" in result.output
    assert len(coupons_in(house)) == 1
    vault = open_vault(house, None)
    (code,) = Codes(vault, codes.LENGTH).make(1, 1, 1)
    with Snapshot(house) as snapshot:
        assert snapshot.view.get(schema.coupon(codes.digest_of(vault, code))).holder == "M0000001"


def test_options_that_do_not_go_together(house, tmp_path):
    assert run("issue", house, "coupons", "--campaign", "SPRING10").exit_code == 2
    members = tmp_path / "vips.txt"
    members.write_text("M0000001\n")
    said = ("--campaign", "SPRING10", "--members", members, "--count", 3)
    assert run("issue", house, "coupons", *said).exit_code == 2
    plain = CAMPAIGN | {"id": "PLAIN", "pin": False}
    must("load", house, write_lines(tmp_path / "lines", [plain]))
    said = ("--campaign", "PLAIN", "--count", 3, "--output", tmp_path / "pins.csv", "--pin")
    done = run("issue", house, "coupons", *said)
    assert done.exit_code == 2
    assert "--pin: coupons of PLAIN have none" in done.stderr


def test_a_campaign_that_is_shared_has_a_code_of_its_own(house, tmp_path):
    shared = CAMPAIGN | {"id": "ALL", "kind": "shared", "quantity": 2}
    must("load", house, write_lines(tmp_path / "lines", [shared]))
    source = write_lines(tmp_path / "one.txt", ["WELCOME2026"])
    taken = must("issue", house, "import-coupons", "--campaign", "ALL", source)
    assert "1 codes of ALL" in taken
    assert "live" in must("show", house, "coupon", "WELCOME2026")
    source = write_lines(tmp_path / "two.txt", ["WELCOME2027", "WELCOME2028"])
    done = run("issue", house, "import-coupons", "--campaign", "ALL", source)
    assert done.exit_code == 1
    assert "a shared campaign has one code for all" in done.stderr


def test_recharge_cards_are_produced_sold_and_activated(house, tmp_path):
    output = tmp_path / "scratch.csv"
    said = ("--count", 100, "--unit", "P01", "--amount", 500, "--expires", "2120-12-31")
    result = run("issue", house, "recharge-cards", *said, "--output", output)
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    made = rows(output)
    vault = open_vault(house, None)
    assert codes.find(vault, made[4]["code"], codes.RECHARGE)[1:] == (1, 5)
    assert codes.find(vault, made[4]["code"])[1:] != (1, 5)  # no coupon
    span = ("--batch", "scratch", "--first", 1, "--last", 50)
    assert run("issue", house, "activate-recharge", *span).exit_code == 1
    sold = must("issue", house, "sell-recharge", *span, "--merchant", HOTEL, "--price", 450)
    assert "are sold" in sold
    assert "nobody owes for them again" in must(
        "issue", house, "sell-recharge", *span, "--merchant", HOTEL, "--price", 450
    )
    again = run("issue", house, "sell-recharge", *span, "--merchant", "INN", "--price", 450)
    assert again.exit_code == 1
    assert f"were sold to {HOTEL} at 450 fen each: nobody else can sell them" in again.output
    assert "are active" in must("issue", house, "activate-recharge", *span)
    assert "were so already" in must("issue", house, "activate-recharge", *span)
    shown = json.loads(must("show", house, "recharge-batch", "scratch", "--json"))
    assert (shown["unit"], shown["amount"], shown["count"]) == ("P01", 500, 100)
    assert shown["waiting_fen"] == 50 * 500
    assert shown["ranges"] == [{"first": 1, "last": 50, "state": "active"}]
    assert shown["sold"] == [{"first": 1, "last": 50, "merchant": HOTEL, "price_fen": 450}]
    assert "are closed" in must("issue", house, "close-recharge", *span)
    assert run("show", house, "recharge-batch", "none").exit_code == 1
    assert run("show", house, "code-batch", "recharge:scratch").exit_code == 1
    wrong = ("--count", 1, "--unit", "P1", "--amount", 5, "--expires", "2120-12-31")
    assert run("issue", house, "recharge-cards", *wrong, "--output", output).exit_code == 2


def test_a_recharge_card_is_looked_up_by_its_code(house, tmp_path):
    output = tmp_path / "scratch.csv"
    said = ("--count", 10, "--unit", "P01", "--amount", 500, "--expires", "2120-12-31")
    assert run("issue", house, "recharge-cards", *said, "--output", output).exit_code == 0
    made = [row["code"] for row in rows(output)]
    span = ("--batch", "scratch", "--first", 1, "--last", 4)
    must("issue", house, "sell-recharge", *span, "--merchant", HOTEL, "--price", 450)
    must("issue", house, "activate-recharge", *span[:-1], 3)

    def card(code):
        return json.loads(must("show", house, "recharge-card", code, "--json"))

    statuses = [(one["status"], one["sold_to"]) for one in map(card, made[2:5])]
    assert statuses == [("active", HOTEL), ("sold", HOTEL), ("produced", None)]
    vault = open_vault(house, None)
    digest, batch, serial = codes.find(vault, made[2], codes.RECHARGE)
    token = (("C", vault.token_digest("C", CARD)),)
    book, machine = open_machine(house, follower=False)
    use = Recharge(
        *("00000001", HOTEL, 1, 1, b"content", "210065"), token, "P01", 500, digest, batch, serial
    )
    answer = machine.execute(use, book.last_at)
    assert answer.approved
    book.flush()
    book.close()
    used = card(made[2])
    assert (used["status"], used["member"], used["used_by"]) == ("used", "M0000001", HOTEL)
    assert (used["serial_number"], used["amount"], used["price_fen"]) == (3, 500, 450)
    assert used["rrn"] == vault.rrn(answer.sequence)
    told = must("show", house, "recharge-card", made[2])
    assert made[2] not in told
    assert "price, fen     450" in told
    mistyped = f"{made[2][:-1]}{(int(made[2][-1]) + 1) % 10}"
    unknown = run("show", house, "recharge-card", mistyped)
    assert "there is no such recharge card" in unknown.output
    transaction = must("show", house, "transaction", used["rrn"])
    assert "bound to a serial" not in transaction
