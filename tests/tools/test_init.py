"""Making and opening data directories."""

import stat
import tomllib
from pathlib import Path

import pytest

from engine import directory as directories
from engine.directory import VERSION, init_directory, open_machine
from ledger.schema import entry as entry_key
from tests.tools.conftest import PROGRAM, ROOT, must, run, write_lines


def test_a_new_directory_has_its_key_file_beside_it_and_passes_verification(tmp_path):
    said = must("init", tmp_path / "data")
    key = tmp_path / "data.key"
    assert str(key) in said
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "data.key"]
    assert must("verify", tmp_path / "data").splitlines()[-2] == "sequence 2"


def test_directory_and_key_may_move_together(tmp_path, empty):
    (tmp_path / "new").mkdir()
    moved = empty.rename(tmp_path / "new" / "data")
    (tmp_path / "data.key").rename(tmp_path / "new" / "data.key")
    must("load", moved, write_lines(tmp_path / "file", [PROGRAM]))


def test_the_key_file_may_be_named_by_option_or_variable(tmp_path, monkeypatch):
    must("init", tmp_path / "a", "--key", tmp_path / "mine")
    assert (tmp_path / "mine").exists()
    must("load", tmp_path / "a", write_lines(tmp_path / "file", [PROGRAM]))
    monkeypatch.setenv("COUNTERFOIL_KEY", str(tmp_path / "other"))
    must("init", tmp_path / "b")
    assert (tmp_path / "other").exists()
    must("load", tmp_path / "b", tmp_path / "file")
    must("load", tmp_path / "a", tmp_path / "file", "--key", tmp_path / "mine")


def test_the_key_file_may_be_inside_when_told(tmp_path):
    must("init", tmp_path / "data", "--key", tmp_path / "data" / "keys" / "mine")
    assert (tmp_path / "data" / "keys" / "mine").exists()
    must("load", tmp_path / "data", write_lines(tmp_path / "file", [PROGRAM]))


def test_an_empty_folder_may_become_the_directory(tmp_path):
    (tmp_path / "data").mkdir()
    must("init", tmp_path / "data")
    must("verify", tmp_path / "data")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["full"], "is there already and not empty"),
        (["file"], "is there already"),
        (["no/such/folder"], "does not exist: make that folder first"),
        (["new", "--key", "file"], "exists already: a key file is never overwritten"),
        (["new", "--zone", "Mars/Olympus"], 'zone = "Mars/Olympus" is no time zone'),
        (["new", "--cutoff", "25"], "has to be HH:MM"),
        (["new", "--cutoff", "00:00"], "has to be HH:MM"),
        (["new", "--cutoff", "12:60"], "has to be HH:MM"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "treasure").touch()
    (tmp_path / "file").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    done = run("init", *arguments)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "kept"


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directories, "open_machine", fail)
    done = run("init", tmp_path / "data")
    assert (done.exit_code, done.stderr) == (
        1,
        "counterfoil: the disk is full: free some room, then do the same again\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_another_key_file_is_not_taken(tmp_path, empty):
    must("init", tmp_path / "other")
    file = write_lines(tmp_path / "file", [PROGRAM])
    done = run("load", empty, file, "--key", tmp_path / "other.key")
    assert done.exit_code == 1
    assert "was made with" in done.stderr


@pytest.mark.parametrize("name", ["load", "show", "verify", "tail", "cutoff", "status", "replay"])
def test_what_is_no_data_directory_is_refused_in_a_sentence(tmp_path, name):
    file = write_lines(tmp_path / "file", [PROGRAM])
    more = {"load": [file], "show": ["member", "M1"], "replay": ["--into", tmp_path / "new"]}
    done = run(name, tmp_path, *more.get(name, []))
    assert done.exit_code == 1
    assert done.stderr == (
        f"counterfoil: {tmp_path} is not a data directory: make one with"
        f" `counterfoil init {tmp_path}`\n"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("key = 5", "key = 5 has to be a text in quotes"),
        ("kex = 'a'", 'kex = "a" is no setting of the top level: did you mean key?'),
        ("key =", "is not valid TOML"),
        ("zone = 'Nowhere'", 'zone = "Nowhere" is no time zone'),
        ("cutoff = '99:00'", "has to be HH:MM"),
        ("limits = 4", "has to be a table"),
    ],
)
def test_a_bad_configuration_is_told_in_a_sentence(empty, tmp_path, text, sentence):
    (empty / "counterfoil.toml").write_text(text)
    done = run("load", empty, write_lines(tmp_path / "file", [PROGRAM]))
    assert done.exit_code == 1
    assert all(part in done.stderr for part in sentence.split("*"))


def test_a_second_writer_waits_and_is_told(empty, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.submit._LOCK_SECONDS_MAX", 0.1)
    book, _ = open_machine(empty, follower=False)
    try:
        done = run("load", empty, write_lines(tmp_path / "file", [PROGRAM]))
    finally:
        book.close()
    assert done.exit_code == 1
    assert "is in use by another process" in done.stderr


def test_opened_is_journaled_each_time_with_epoch_and_version(empty):
    book, _ = open_machine(empty, follower=False)
    entry = book.view.get(entry_key(book.sequence))
    epoch = book.epoch
    book.close()
    assert (entry.kind, entry.command) == ("opened", (epoch, VERSION))


def test_a_clock_far_ahead_closes_no_business_date_by_opening(empty, monkeypatch):
    book, machine = open_machine(empty, follower=False)
    at, date = book.last_at, machine.date
    book.close()
    days_40 = 40 * 86_400_000
    monkeypatch.setattr(directories, "wall_ms", lambda: at + days_40)
    book, machine = open_machine(empty, follower=False)
    entry = book.view.get(entry_key(book.sequence))
    book.close()
    assert (entry.kind, entry.at, machine.date) == ("opened", at, date)


def test_a_changed_calendar_is_journaled_at_the_next_opening(empty):
    path = empty / "counterfoil.toml"
    path.write_text(path.read_text().replace('cutoff = "24:00"', 'cutoff = "26:30"'))
    book, _ = open_machine(empty, follower=False)
    entry = book.view.get(entry_key(book.sequence))
    book.close()
    assert (entry.kind, entry.command[1]) == ("calendar", 26 * 60 + 30)


def test_the_version_is_the_package_s():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_init_gives_the_vault_that_opens_the_directory(tmp_path):
    vault = init_directory(tmp_path / "data")
    assert vault.key_id in (tmp_path / "data" / "counterfoil.toml").read_text()
    assert directories.open_vault(Path(tmp_path / "data")).key_id == vault.key_id
