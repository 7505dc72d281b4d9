"""Commands that read the journal: verify, replay, tail."""

import json
import shutil
import subprocess
import sys

import lmdb
import pytest

from engine.catalogue import command_of
from engine.commands import Pin
from engine.directory import open_machine, open_vault
from engine.holdings import holdings
from engine.records import Chunk, Points
from engine.rules.points import Accrual, Redemption
from engine.rules.undo import Reversal
from engine.terms import DAY_MS
from ledger import codec, schema
from tests.tools.business import do_business
from tests.tools.conftest import (
    CARD,
    HOTEL,
    LINES,
    PHONE,
    ROOT,
    Daemon,
    close_date,
    must,
    run,
    write_lines,
)


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """A directory with business on both sides of several automatic cut-offs."""
    folder = tmp_path_factory.mktemp("books")
    must("init", folder / "data")
    must("load", folder / "data", write_lines(folder / "file", LINES))
    business = do_business(folder / "data")
    must("cutoff", folder / "data")
    return folder / "data", business


@pytest.fixture
def copy(books, tmp_path):
    """A copy that may be damaged."""
    shutil.copytree(books[0], tmp_path / "copy")
    return tmp_path / "copy"


def digest(directory):
    return must("verify", directory).splitlines()[-1]


def test_verify_names_every_check_and_ends_with_sequence_and_digest(books):
    *checks, sequence, last = must("verify", books[0]).splitlines()
    assert {line[:9].strip() for line in checks} == {"ok"}
    assert "journal chain" in checks[0]
    assert {"aggregates", "balances", "signs"} <= {line[9:] for line in checks}
    assert sequence.split()[0] == "sequence"
    name, value = last.split()
    assert (name, len(bytes.fromhex(value))) == ("digest", 32)
    told = json.loads(must("verify", books[0], "--json"))
    assert (told["ok"], told["digest"]) == (True, value)
    assert f"sequence {told['sequence']}" == sequence


def tamper(directory, key, change):
    """Change a row of the tables as only somebody with the disk could."""
    with (
        lmdb.open(str(directory / "tables"), map_size=1 << 30) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(key, change(bytes(transaction.get(key))))


def test_verify_finds_a_balance_that_was_changed(copy):
    key = schema.balance("Fund:P01")
    tamper(copy, key, lambda packed: codec.pack_value(codec.unpack_value(packed) + 1))
    done = run("verify", copy)
    assert done.exit_code == 1
    assert "failed   balances" in done.stdout
    assert "Fund:P01 holds" in done.stdout
    assert "failed   tables rebuilt from the journal" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("digest ")


def test_verify_finds_points_that_nobody_posted(copy):
    key = schema.points("M0000001", "P01")

    def richer(packed):
        row = list(codec.unpack_value(packed))
        (expiry, issuer, points), *rest = row[1]
        row[1] = ((expiry, issuer, points + 1000), *rest)
        return codec.pack_value(tuple(row))

    tamper(copy, key, richer)
    done = run("verify", copy, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    states = {check["name"]: check["state"] for check in told["checks"]}
    assert (states["aggregates"], states["balances"]) == ("failed", "ok")
    assert told["ok"] is False


def test_verify_reports_a_member_below_zero_and_passes(copy, books):
    (copy / "counterfoil.toml").write_text(f'key = "{books[0]}.key"\n')
    overdraw(copy)
    done = run("verify", copy)
    assert done.exit_code == 0
    assert "reported signs" in done.stdout
    assert f"Debt:M0000001:P01:{HOTEL} is -50 after points already spent" in done.stdout


def overdraw(directory):
    """Points of the one lot are taken back by a reversal after they were spent."""
    vault = open_vault(directory)
    book, machine = open_machine(directory, follower=False)
    token = (("C", vault.token_digest("C", CARD)),)
    head = ("00000001", HOTEL, 1)
    earn = Accrual(*head, 50, bytes(16), "220065", token, 5000)
    assert machine.execute(earn, book.last_at).approved
    every = 4923 + 50
    spend = Redemption(*head, 51, bytes(16), "006500", token, "P01", every, Pin.ABSENT)
    assert machine.execute(spend, book.last_at).approved
    undo = Reversal(*head, 50, bytes(16), "220065", token, "156", 5000, "68")
    assert machine.execute(undo, book.last_at).approved
    book.close()


def test_amounts_inside_records_have_the_sign_of_their_postings():
    row = Points(((20301231, "HOTEL", 7),), (("SHOP", 5),), ((20311231, "HOTEL", 1, 9),), 1, (7,))
    assert list(holdings(schema.points("M1", "P01"), row)) == [
        ("Debt:M1:P01:SHOP", "P01", -5),
        ("Lot:M1:P01:HOTEL:20301231", "P01", 7),
    ]
    chunk = Chunk(((20311231, "HOTEL", 9),))
    assert list(holdings(schema.lots("M1", "P01", 1), chunk)) == [
        ("Lot:M1:P01:HOTEL:20311231", "P01", 9),
    ]


def flip_a_bit(directory):
    """Damage the last group of the first segment; returns its path."""
    first = min((directory / "journal").glob("*.seg"))
    content = bytearray(first.read_bytes())
    content[-40] ^= 1
    first.write_bytes(content)
    return first


def test_verify_finds_a_bit_that_flipped_in_the_journal(copy):
    first = flip_a_bit(copy)
    done = run("verify", copy)
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert first.name in done.output


def test_replay_makes_the_same_entries_and_digest(books, tmp_path):
    said = must("replay", books[0], "--into", tmp_path / "again")
    assert said.splitlines()[-1] == digest(books[0]) == digest(tmp_path / "again")
    entries = int(must("verify", books[0]).splitlines()[-2].split()[1])
    assert said.startswith(f"replayed {entries} entries, all equal, ")
    told = json.loads(must("replay", books[0], "--into", tmp_path / "third", "--json"))
    assert told["entries"] == entries
    assert told["rate"] > 0


def test_replay_makes_automatic_cut_offs_anew(books, tmp_path):
    source = tmp_path / "copy"
    shutil.copytree(books[0], source)
    (source / "counterfoil.toml").write_text(f'key = "{books[0]}.key"\n')
    later = books[1]
    at = json.loads(must("tail", source, "--from", later.sequence).splitlines()[0])["at"]
    do_business_later(source, at + 3 * DAY_MS)
    kinds = [json.loads(line)["kind"] for line in must("tail", source).splitlines()]
    assert kinds.count("cut-off") >= 3
    must("replay", source, "--into", tmp_path / "again")
    assert digest(source) == digest(tmp_path / "again")


def do_business_later(directory, at):
    """An accrual days later: the machine closes the dates in between by itself."""
    vault = open_vault(directory)
    book, machine = open_machine(directory, follower=False)
    token = (("C", vault.token_digest("C", CARD)),)
    command = Accrual("00000001", HOTEL, 1, 99, bytes(16), "220065", token, 100)
    assert machine.execute(command, at).approved
    book.close()


def test_a_replayed_directory_can_be_used(books, tmp_path):
    must("replay", books[0], "--into", tmp_path / "again")
    done = must("load", tmp_path / "again", write_lines(tmp_path / "file", LINES))
    assert done == "loaded 0, unchanged 6, rejected 0\n"


def test_replay_tells_the_first_entry_that_differs(books, tmp_path, monkeypatch):
    def forged(kind, values):
        return command_of(
            kind, (*values[:-2], values[-2] + 100, "") if kind == "accrual" else values
        )

    monkeypatch.setattr("tools.replay.command_of", forged)
    done = run("replay", books[0], "--into", tmp_path / "again")
    assert done.exit_code == 1
    assert "entry 11, a accrual, came out with another command, outcome" in done.stderr
    assert CARD not in done.stderr


def test_replay_does_not_write_into_what_is_there(books, tmp_path):
    (tmp_path / "there").mkdir()
    done = run("replay", books[0], "--into", tmp_path / "there")
    assert (done.exit_code, list((tmp_path / "there").iterdir())) == (1, [])
    assert "is there already" in done.stderr


def test_replay_of_a_damaged_journal_leaves_nothing(copy, tmp_path):
    flip_a_bit(copy)
    done = run("replay", copy, "--into", tmp_path / "again")
    assert done.exit_code == 1
    assert not (tmp_path / "again").exists()


def test_tail_tells_every_entry_in_order_and_nothing_clear(books):
    said = must("tail", books[0])
    events = [json.loads(line) for line in said.splitlines()]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert CARD not in said
    assert PHONE not in said
    accrual = next(event for event in events if event["kind"] == "accrual")
    assert accrual["command"]["tokens"][0].startswith("C:")
    assert len(accrual["command"]["tokens"][0]) == len("C:12345678")
    assert "content" not in accrual["command"]
    assert (accrual["reason"], accrual["response"]) == ("approved", "00")
    terminal = next(event for event in events if event["kind"] == "terminal")
    assert not {"tmk", "serial"} & set(terminal["command"])
    redemption = next(event for event in events if event["kind"] == "redemption")
    assert redemption["command"]["pin"] == "absent"


def test_tail_begins_anywhere(books):
    everything = must("tail", books[0]).splitlines()
    assert must("tail", books[0], "--from", 5).splitlines() == everything[4:]
    assert must("tail", books[0], "--from", 10_000) == ""
    assert run("tail", books[0], "--from", 0).exit_code == 2


def test_tail_follows_a_daemon_and_ends_when_nobody_reads(loaded, tmp_path):
    running = Daemon(loaded)
    last = int(must("verify", loaded).splitlines()[-2].split()[1])
    tail = subprocess.Popen(
        [sys.executable, "-m", "tools", "tail", str(loaded), "--from", str(last), "--follow"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert json.loads(tail.stdout.readline())["sequence"] == last
        must("load", loaded, write_lines(tmp_path / "more", [LINES[1] | {"id": "HB02"}]))
        event = json.loads(tail.stdout.readline())
        assert (event["sequence"], event["kind"]) == (last + 1, "institution")
        tail.stdout.close()
        must("load", loaded, write_lines(tmp_path / "more", [LINES[1] | {"id": "HB03"}]))
        assert tail.wait(30) == 1
        assert tail.stderr.read() == b""
    finally:
        tail.kill()
        tail.wait()
        tail.stderr.close()
        assert running.stop() == 0


def test_a_date_that_has_not_begun_is_closed_only_by_its_name(copy):
    done = run("cutoff", copy)
    assert done.exit_code == 1
    assert "which has not begun: to close it all the same name it with --date" in done.stderr
    close_date(copy)
    must("verify", copy)
