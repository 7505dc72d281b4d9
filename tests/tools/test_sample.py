"""The sample alliance: valid by itself, the same every time, and taken by the real loader."""

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.tools.conftest import Daemon
from tools import sample
from tools.demo import MARK, Day, DemoFailed, clear, counterfoil, merchant_points, summary_of
from tools.demo_page import Section, Summary, as_html, as_text
from tools.fleet import KINDS, read_fleet

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lines():
    return list(sample.lines(sample.MEMBERS, sample.TERMINALS))


def of(lines, kind):
    return [line for line in lines if line["type"] == kind]


def luhn_sum(number):
    digits = [int(digit) for digit in reversed(number)]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]
    return sum(digits[::2]) + sum(doubled)


def test_the_alliance_has_the_size_that_the_readme_says(lines):
    count = Counter(line["type"] for line in lines)
    assert (count["member"], count["terminal"], count["merchant"]) == (1000, 40, 14)
    assert (count["program"], count["institution"]) == (2, 3)
    categories = {line["category"] for line in of(lines, "merchant")}
    assert {"7011", "5812", "5411", "7991", "5311", "7832"} <= categories
    assert all(
        line["name"].isprintable() and len(line["id"]) == 15 for line in of(lines, "merchant")
    )


def test_every_card_is_unique_luhn_valid_and_in_the_test_range(lines):
    cards = [card for line in of(lines, "member") for card in line["cards"]]
    assert len(set(cards)) == 1000
    assert {len(card) for card in cards} == {16, 17, 18, 19}
    assert all(luhn_sum(card) % 10 == 0 and card.startswith("999915") for card in cards)
    phones = [line["phone"] for line in of(lines, "member")]
    assert len(set(phones)) == 1000
    assert all(len(phone) == 11 and phone.startswith("138") for phone in phones)


def test_terminals_have_all_profiles_and_some_are_behind_nacs(lines, tmp_path):
    terminals = of(lines, "terminal")
    assert set(Counter(line["profile"] for line in terminals)) == {"aes", "tdes-x919", "tdes-cup"}
    for line in terminals:
        assert line["networks"] == (["127.0.0.0/8"] if line["profile"] == "tdes-cup" else [])
        if line["profile"] != "aes":
            assert all(byte.bit_count() % 2 for byte in bytes.fromhex(line["tmk"]))
    assert len({line["tmk"] for line in terminals}) == 40
    assert {line["merchant"] for line in terminals} == {
        line["id"] for line in of(lines, "merchant")
    }
    _, path = sample.write_sample(tmp_path)
    fleet = read_fleet(path)
    links = Counter(place.link for place in fleet.placements)
    assert links == {"direct": 16, "nac-1": 8, "nac-2": 8, "nac-3": 8}
    assert set(fleet.mix) <= set(KINDS)


def test_a_program_of_its_own_belongs_to_one_merchant(lines):
    private = {
        line["id"]
        for line in of(lines, "merchant")
        for terms in line["terms"]
        if terms["program"] == sample.PRIVATE
    }
    assert len(private) == 1
    rates = {terms["earn"] for line in of(lines, "merchant") for terms in line["terms"]}
    assert len(rates) > 3
    assert all(len({t["from"] for t in line["terms"]}) == 2 for line in of(lines, "merchant"))


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    sizes = {"members": 50, "tills": 6}
    first, again = (sample.write_sample(tmp_path / name, **sizes) for name in ("a", "b"))
    other = sample.write_sample(tmp_path / "c", **sizes, seed=2)
    for one, two, three in zip(first, again, other, strict=True):
        assert one.read_bytes() == two.read_bytes() != three.read_bytes()
        assert one.stat().st_mode & 0o777 == 0o600


def test_a_million_members_are_streamed_and_begin_like_a_thousand():
    small = list(sample.customers(100))
    large = list(islice(sample.customers(1_000_000), 100))
    assert [(one.id, one.card) for one in small] == [(one.id, one.card) for one in large]
    head = list(islice(sample.lines(1_000_000, 40), 200))
    assert head[:60] == list(sample.lines(10, 40))[:60]


def test_the_command_writes_both_files_and_says_where(tmp_path):
    done = CliRunner().invoke(sample.main, [str(tmp_path), "--members", "5", "--terminals", "3"])
    paths = [Path(line) for line in done.output.split()]
    assert [path.name for path in paths] == ["sample.jsonl", "fleet.json"]
    assert len(json.loads(paths[1].read_text())["members"]) == 5


def test_init_with_demo_loads_the_sample_and_loading_it_again_changes_nothing(tmp_path):
    data = tmp_path / "data"
    assert "sample data loaded" in counterfoil("init", data, "--demo")
    report = json.loads(counterfoil("load", data, data / "sample" / "sample.jsonl", "--json"))
    assert report["rejected_count"] == report["loaded"] == 0
    assert report["unchanged"] == len(list(sample.lines(sample.MEMBERS, sample.TERMINALS)))
    assert not merchant_points(data)


def test_recharge_cards_of_the_sample_are_used_once_and_the_books_of_tills_agree(tmp_path):
    data = tmp_path / "data"
    counterfoil("init", data, "--demo")
    plan = data / "sample" / "fleet.json"
    fleet = json.loads(plan.read_text()) | {"mix": {"recharge": 10, "void": 3, "accrual": 1}}
    fleet |= {"terminals": fleet["terminals"][:6], "think_ms": [0, 0]}
    codes = [code for batch in fleet["recharge"] for code in batch["codes"]]
    fleet["recharge"] = [batch | {"codes": batch["codes"][:12]} for batch in fleet["recharge"]]
    assert len(set(codes)) == len(codes) > 100
    assert plan.stat().st_mode & 0o777 == 0o600
    plan.write_text(json.dumps(fleet))
    daemon = Daemon(data)
    try:
        lossy = ("--drop-replies", "0.1", "--repeat", "0.1", "--audit", "--json")
        run = ("simulate", daemon.address, "--fleet", plan, "--transactions", "300", *lossy)
        told = json.loads(counterfoil(*run))
    finally:
        assert daemon.stop() == 0
    assert told["differences"] == []
    assert told["ok"]
    # Every card was used, most were tried again, and some were free again by then.
    answered = told["codes"]["recharge"]
    assert answered["00"] > 24
    assert answered["78"] > 0
    assert set(answered) == {"00", "78"}
    assert told["codes"]["reversal"].keys() == {"00"}
    assert all("failed" not in line for line in counterfoil("verify", data).splitlines())


def test_the_demonstration_ends_well_and_leaves_its_pages(tmp_path):
    folder = tmp_path / "demo"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tools.demo",
            "--folder",
            folder,
            "--transactions",
            "1500",
            "--afternoon",
            "1",
            "--no-wait",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = (folder / "summary.txt").read_text()
    assert text in done.stdout
    assert "the same digest" in text
    for line in ("after the morning", "at the end", "issued and redeemed equal", "checks passed"):
        assert re.search(line + r"\s+([\d,]+) of \1\n", text), line
    # Scenes with their answers, what the night swept, and what it settled.
    for line in (
        r"600 more\s+61",
        r"somebody pays 30 yuan with it\s+41",
        r"members whose points ran out\s+1\n",
        r"示范客栈\s+\d+\s+\d+\.\d\d",
    ):
        assert re.search(line, text), line
    assert (folder / "data" / "journal").is_dir()
    assert not (folder / "scenes.jsonl").exists()
    page = (folder / "summary.html").read_text()
    assert "<script" not in page
    assert "http" not in page


# --- The page and the judgement -----------------------------------------------------------


def report(**changes):
    base = {
        "transactions": 10, "rate": 5.0, "latency_us": {"p50": 1}, "replies_lost": {}, "audited": 3,
        "codes": {"settlement": {"00": 1}}, "repeats": 0, "repeats_differing": 0, "outages": 0,
        "unanswered": 0, "unknown_outcomes": {}, "differences": [],
    }  # fmt: skip
    return base | changes


def test_a_fault_is_the_verdict():
    day = Day(reports=[report(), report()], faults=["1 members' balances are not so"])
    summary = summary_of(day, Path("var/demo"), 5)
    assert not summary.good
    assert "1 members' balances are not so" in summary.verdict
    assert "verdict bad" in as_html(summary)


def test_numbers_stand_under_each_other_beside_chinese_names():
    section = Section("T", "About.", ("name", "count"), (("湖畔", "1,234"), ("abc", "5")))
    lines = as_text(Summary("S", "All is well.", good=True, sections=(section,))).splitlines()
    assert lines[-2:] == ["  湖畔  1,234", "  abc       5"]


def test_what_is_written_into_the_page_is_escaped():
    section = Section("<T>", "a & b", (), (("<b>", "x"),))
    page = as_html(Summary("S", "<v>", good=True, sections=(section,)))
    assert "&lt;T&gt;" in page
    assert "&lt;v&gt;" in page
    assert ">&lt;b&gt;</td>" in page


def test_only_a_former_demonstration_is_removed(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(DemoFailed, match="was not made by a demonstration"):
        clear(tmp_path)
    assert (tmp_path / "mine").exists()
    (tmp_path / MARK).touch()
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MARK]
