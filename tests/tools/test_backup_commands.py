"""`counterfoil backup`, `restore` and `verify --against` as an operator sees them."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest

from ledger.notes import noted
from tests.tools.conftest import CARD, MEMBER, PHONE, ROOT, TMK, must, run, write_lines


def refused(*arguments):
    done = run(*arguments)
    assert done.exit_code == 1, done.output
    (sentence,) = done.stderr.splitlines()
    return sentence


def told(text):
    """The last two lines that commands about books end with, as a mapping."""
    return dict(line.split(" ", 1) for line in text.strip().splitlines()[-2:])


@pytest.fixture
def grown(loaded, tmp_path):
    """A directory with a full backup and an increment behind it, and what verify said each time."""
    must("backup", loaded, tmp_path / "full")
    first = told(must("verify", loaded))
    more = MEMBER | {"id": "M0000002", "cards": ["6222020000000000026"], "phone": "13800000002"}
    must("load", loaded, write_lines(tmp_path / "more.jsonl", [more]))
    must("backup", loaded, tmp_path / "more", "--since", tmp_path / "full")
    return loaded, first, told(must("verify", loaded))


def test_backup_and_restore_elsewhere(grown, tmp_path):
    loaded, first, second = grown
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy2(f"{loaded}.key", elsewhere / "data.key")
    text = must("restore", tmp_path / "full", tmp_path / "more", elsewhere / "data")
    assert f"up to entry {second['sequence']}, equal to the backup's" in text
    assert told(must("verify", elsewhere / "data")) == second
    assert "M0000002" in must("show", elsewhere / "data", "member", "13800000002")
    point = ["--to", first["sequence"], "--json"]
    early = json.loads(
        must("restore", tmp_path / "full", tmp_path / "more", elsewhere / "e", *point)
    )
    assert (str(early["sequence"]), early["digest"]) == (first["sequence"], first["digest"])
    far = must("restore", tmp_path / "full", elsewhere / "t", "--at", "2999-01-01T00:00:00")
    assert "equal to the backup's" in far
    assert "2000" not in refused(
        "restore", tmp_path / "full", elsewhere / "u", "--at", "2000-01-01T00:00:00"
    )
    assert not (elsewhere / "u").exists()


def test_the_operators_holidays_are_taken_along(loaded, tmp_path):
    text = '[2026]\nclosed = ["2026-12-24"]\n'
    (loaded / "holidays.toml").write_text(text)
    must("backup", loaded, tmp_path / "full")
    must("restore", tmp_path / "full", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "holidays.toml").read_text() == text


def test_through_a_pipe(loaded, tmp_path):
    command = [sys.executable, "-m", "tools"]
    made = subprocess.run(
        [*command, "backup", loaded, "-"], cwd=ROOT, capture_output=True, check=True
    )
    assert b"backed up up to entry" not in made.stdout
    subprocess.run(
        [*command, "restore", "-", tmp_path / "piped"], cwd=ROOT, input=made.stdout, check=True
    )
    assert told(must("verify", tmp_path / "piped")) == told(must("verify", loaded))
    # What becomes of a pipe is not known here.
    assert noted(loaded, "backup")["sequence"] > 0 == noted(loaded, "backup")["kept"]
    must("backup", loaded, tmp_path / "full")
    assert noted(loaded, "backup")["kept"] == noted(loaded, "backup")["sequence"]


def test_a_reader_of_the_pipe_that_dies_is_told(loaded):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "tools", "backup", loaded, "-"],
        cwd=ROOT,
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "went away before its end" in sentence
    assert noted(loaded, "backup") == {}


def test_what_is_refused_leaves_nothing(grown, tmp_path):
    loaded, _, _ = grown
    assert "is there already" in refused("backup", loaded, tmp_path / "full")
    assert "is there already" in refused("restore", tmp_path / "full", loaded)
    data = (tmp_path / "full").read_bytes()
    (tmp_path / "short").write_bytes(data[:-1])
    (tmp_path / "bent").write_bytes(data[:500] + b"\x00\x01" + data[502:])
    assert "is cut short" in refused("restore", tmp_path / "short", tmp_path / "new")
    assert "damaged" in refused("restore", tmp_path / "bent", tmp_path / "new")
    assert "is not a backup" in refused("restore", f"{loaded}.key", tmp_path / "new")
    assert "name the full backup first" in refused("restore", tmp_path / "more", tmp_path / "new")
    assert "there is no entry 999 yet" in refused("backup", loaded, tmp_path / "x", "--since", 999)
    for command in (("backup", loaded), ("restore", tmp_path / "full")):
        assert "no is not a folder: make it first" in refused(*command, tmp_path / "no" / "x")
    left = {path.name for path in tmp_path.iterdir()}
    assert left.isdisjoint({"new", "x"})
    assert not any(name.startswith(".") for name in left)


def test_a_full_disk_is_told_before_it_is_full(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr("ledger.storage.Storage.free_bytes", lambda *_: 1 << 20)
    assert "has no room for the backup" in refused("backup", loaded, tmp_path / "full")
    monkeypatch.undo()
    must("backup", loaded, tmp_path / "full")
    monkeypatch.setattr("ledger.storage.Storage.free_bytes", lambda *_: 1 << 20)
    assert "MiB free" in refused("restore", tmp_path / "full", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_disk_that_gets_full_meanwhile_is_told_and_left_as_it_was(grown, tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    for command in (("backup", grown[0]), ("restore", tmp_path / "full")):
        sentence = refused(*command, tmp_path / "new")
        assert "is full, nothing was made: free some, or" in sentence
        assert str(tmp_path) in sentence
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_journal_that_was_cut_is_found_against_a_backup(grown, tmp_path):
    loaded, first, second = grown
    must("verify", loaded, "--against", tmp_path / "full", "--against", tmp_path / "more")
    must("restore", tmp_path / "full", tmp_path / "cut")
    assert told(must("verify", tmp_path / "cut")) == first
    assert "ends before entry" in refused(
        "verify", tmp_path / "cut", "--against", tmp_path / "more"
    )
    note = f"{second['sequence']}:{'0' * 64}"
    assert "another history" in refused("verify", loaded, "--against", note)
    assert "neither SEQ:HASH nor" in refused("verify", loaded, "--against", "1:zz")


def test_a_backup_holds_no_secret_and_only_its_owner_reads_it(grown, tmp_path):
    loaded, _, _ = grown
    assert (tmp_path / "full").stat().st_mode & 0o777 == 0o600
    must("restore", tmp_path / "full", tmp_path / "more", tmp_path / "there")
    master = json.loads((loaded.parent / "data.key").read_text())["master"]
    for path in (tmp_path / "there").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for secret in (CARD, PHONE, TMK, master):
                assert secret.encode() not in data
            assert bytes.fromhex(TMK) not in data
