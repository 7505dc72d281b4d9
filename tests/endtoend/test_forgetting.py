"""A person is forgotten, and then looked for in everything that was ever written about them.

Journal and archived segments, tables, backups from before and after, the day's files, exports, feed
and logs: with the key file as it is afterwards no ciphertext of theirs opens, and none of their
numbers leads to anything. What an older copy of the key file still tells is shown as well.
"""

import json
import shutil
from pathlib import Path

import pytest
from in_clear import Secrets, leaks

from engine.directory import open_vault
from engine.vault import Forgotten, Vault
from ledger import codec
from ledger.journal import Reader
from posd.iso8583.describe import HIDDEN
from tests.independent.client import Link, Terminal
from tests.independent.conftest import HOTEL, luhn, master_key, must
from tests.independent.messages import Named, by_phone, keyed

WHO = ("--by", "clerk", "--reason", "asked to be forgotten")
FIRST_PHONE, IDENTITY, QR = "13977770001", "110105194912310021", "QR-20260301-7777"
NEW_CARD = luhn("999915700000001")
ENROLLED = "13977770002"
EXEMPT = {
    "*.key": "key files: their purpose",
    "*.jsonl": "what was loaded; the back office's own file",
}
"""What holds numbers in clear by its purpose."""


@pytest.fixture
def house(daemon, members):
    """A daemon with small segments, a till that has signed on, and a member with a past."""
    daemon.limit(segment_bytes=1 << 16, fold_seconds=0.05)
    daemon.start()
    till = Terminal("aes", "00000001", HOTEL, master_key("00000001", "aes"))
    till.link = Link(daemon.address)
    till.sign_on()
    live(daemon, till, members[0])
    yield daemon, till
    till.link.close()


def live(daemon, till, member):
    """Trade, change phones, lose a card and get another, be named by everything there is."""
    for who in (keyed(member.card), by_phone(member.phone)):
        assert till.accrue(who, 12_300).code == "00"
    deed(daemon, "phone", member.id, FIRST_PHONE)
    assert till.accrue(by_phone(FIRST_PHONE), 500).code == "00"
    deed(daemon, "phone", member.id, member.phone)
    deed(daemon, "add", member.id, "--identity", IDENTITY, "--qr", QR)
    assert till.enrol(by_phone(member.phone)).code != "00"  # known: its journal entry says whose
    assert till.enrol(by_phone(ENROLLED)).code == "00"
    named = Named({"22": "012"}, (("1H", IDENTITY),))
    assert till.ask(till.compose("0600", "960000", named)).code == "00"
    named = Named({"22": "012"}, (("10", f"P{member.phone}"), ("1F", NEW_CARD)))
    assert till.ask(till.compose("0600", "970000", named)).code == "00"
    assert till.accrue(keyed(NEW_CARD), 700).code == "00"


def deed(daemon, verb, member, *more):
    return must(daemon.run("member", verb, daemon.directory, member, *more, *WHO))


def numbers_of(member):
    return {
        ("C", member.card),
        ("C", NEW_CARD),
        ("P", member.phone),
        ("P", FIRST_PHONE),
        ("Q", QR),
        ("I", IDENTITY),
    }


def sealed_in(directory: Path):
    """Kind and ciphertext of every token that any entry of a journal ever carried."""
    found = set()
    with Reader(directory) as reader:
        for group in reader.groups(changes=False):
            for packed in group.entries:
                entry = codec.unpack_entry(packed)
                said = entry.command
                if entry.kind in {"member", "member tokens"}:
                    pairs = zip(said[4], said[5], strict=True)
                elif entry.kind == "enrolment":
                    pairs = zip(said[6], said[7], strict=True)
                elif entry.kind == "card replacement":
                    pairs = [(("C", said[7]), said[8])]
                else:
                    continue
                found |= {(kind, name, sealed) for (kind, name), sealed in pairs if sealed}
    return found


def test_a_forgotten_person_is_in_nothing_that_was_ever_written(house, members, tmp_path):
    daemon, till = house
    member, other = members[0], members[1]
    data = daemon.directory
    numbers = numbers_of(member)
    knowing = open_vault(data, Path(f"{data}.key"))  # as the key file is before
    shutil.copy(f"{data}.key", tmp_path / "older.key")
    must(daemon.run("backup", data, tmp_path / "before.backup", "--tables"))

    assert daemon.run("member", "forget", data, member.id, *WHO).returncode == 1  # not closed
    deed(daemon, "close", member.id, "--forfeit")
    told = deed(daemon, "forget", member.id)
    assert f"forgotten; what led from {len(numbers)} names" in told
    assert "unchanged" in deed(daemon, "forget", member.id)

    # Beside the running daemon, at once: nothing of theirs names anybody, the others go on.
    for kind, number in sorted(numbers - {("I", IDENTITY)}):
        named = keyed(number) if kind == "C" else Named({"22": "012"}, (("10", kind + number),))
        assert till.inquire(named).code == "14"
    assert till.inquire(keyed(other.card)).code == "00"
    assert till.accrue(by_phone(ENROLLED), 100).code == "00"

    # Everything that a day leaves behind.
    must(daemon.run("cutoff", data))
    must(daemon.run("night", data, "--out", tmp_path / "settled"))
    must(daemon.run("backup", data, tmp_path / "after.backup", "--tables"))
    for name in ("jsonl", "csv", "beancount"):
        (tmp_path / f"export.{name}.out").write_text(
            must(daemon.run("export", data, "--format", name))
        )
    (tmp_path / "tail.out").write_text(must(daemon.run("tail", data)))
    (tmp_path / "show.out").write_text(must(daemon.run("show", data, "member", member.id)))
    (tmp_path / "metrics.out").write_text(daemon.page("metrics")[1])
    assert daemon.stop() == 0
    must(daemon.run("archive", data))
    digest = daemon.digest()
    assert daemon.replayed_digest(tmp_path / "again") == digest
    assert list((data / "journal").glob("*.xz"))

    # No number stands anywhere in clear, or under the name that the key file gives it now; under
    # the one that it had it stands all over, so looking finds what is there.
    clear = {f"{kind} {number}": number for kind, number in numbers if number.isdecimal()}
    now = Vault.open(f"{data}.key")
    assert not leaks(tmp_path, Secrets(clear, {}), EXEMPT)
    names = {f"{k} {n}": now.token_digest(k, n) for k, n in numbers}
    digests = {f"{k} {n} plain": now._plain_digest(k, n) for k, n in numbers}
    assert not leaks(tmp_path, Secrets({}, names | digests), EXEMPT)
    before = {f"{k} {n}": knowing.token_digest(k, n) for k, n in numbers}
    found = leaks(tmp_path, Secrets({}, before), EXEMPT)
    assert set().union(*found.values()) == set(before)
    assert {"before.backup", "after.backup"} <= set(found)

    # No ciphertext of theirs opens; those of all others do.
    mine = set(before.values())
    opened, shut = set(), set()
    for kind, name, sealed in sealed_in(data):
        assert knowing._open_token(kind, sealed)
        try:
            opened.add((kind, now.unseal_token(kind, sealed)))
            assert name not in mine
        except Forgotten:
            shut.add(name)
    assert shut == mine
    assert ("P", other.phone) in opened
    assert ("P", ENROLLED) in opened


def test_a_backup_from_before_does_not_bring_a_forgotten_person_back(house, members, tmp_path):
    daemon, _ = house
    member, other = members[0], members[1]
    data, there = daemon.directory, tmp_path / "there"
    shutil.copy(f"{data}.key", tmp_path / "older.key")
    must(daemon.run("backup", data, tmp_path / "before.backup"))
    deed(daemon, "close", member.id, "--forfeit")
    deed(daemon, "forget", member.id)
    assert daemon.stop() == 0

    def shown(key, who):
        words = ("show", there, "member", who, "--json", "--key", key)
        return daemon.run(*words)

    must(daemon.run("restore", tmp_path / "before.backup", there))
    key = f"{data}.key"
    for _, number in sorted(numbers_of(member)):
        assert shown(key, number).returncode == 1
    row = json.loads(must(shown(key, member.id)))
    assert {one["value"] for one in row["tokens"]} == {HIDDEN}
    assert json.loads(must(shown(key, other.phone)))["id"] == other.id
    must(daemon.run("verify", there))
    # Forgotten there as well, it is done with: the account of the backup was open.
    must(daemon.run("member", "close", there, member.id, "--forfeit", "--key", key, *WHO))
    must(daemon.run("member", "forget", there, member.id, "--key", key, *WHO))
    assert json.loads(must(shown(key, member.id)))["tokens"] == []
    # What has to be destroyed too: a copy of the key file from before knows the person still.
    shutil.rmtree(there)
    must(daemon.run("restore", tmp_path / "before.backup", there))
    assert json.loads(must(shown(tmp_path / "older.key", member.phone)))["id"] == member.id


def test_who_comes_back_is_somebody_new(house, members):
    daemon, till = house
    member = members[0]
    deed(daemon, "close", member.id, "--forfeit")
    deed(daemon, "forget", member.id)
    assert till.enrol(by_phone(member.phone)).code == "00"
    assert till.accrue(by_phone(member.phone), 4_200).code == "00"
    shown = json.loads(must(daemon.run("show", daemon.directory, "member", member.phone, "--json")))
    assert shown["id"] != member.id
    assert shown["tokens"][0]["value"].endswith(member.phone[-4:])
    done = daemon.run("member", "unfreeze", daemon.directory, member.id, *WHO)
    assert "was forgotten" in done.stderr
    daemon.crash_and_restart()
    till.link.close()
    till.link = Link(daemon.address)
    assert till.accrue(by_phone(member.phone), 100).code == "00"
    deed(daemon, "close", shown["id"], "--forfeit")
    deed(daemon, "forget", shown["id"])
    assert till.inquire(by_phone(member.phone)).code == "14"
    assert daemon.stop() == 0
    daemon.digest()


def test_a_phone_that_is_another_members_by_now_stays_that_ones(house, members):
    daemon, till = house
    member, other = members[0], members[1]
    deed(daemon, "add", other.id, "--phone", FIRST_PHONE)
    deed(daemon, "close", member.id, "--forfeit")
    assert "1 former names are another member's now" in deed(daemon, "forget", member.id)
    assert till.accrue(by_phone(FIRST_PHONE), 100).code == "00"
    deed(daemon, "close", other.id, "--forfeit")
    deed(daemon, "forget", other.id)
    assert till.inquire(by_phone(FIRST_PHONE)).code == "14"
