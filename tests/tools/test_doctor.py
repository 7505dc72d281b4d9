"""`counterfoil doctor`: each thing that can be wrong, made wrong, and what it advises."""

import calendar
import errno
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from clearing.calendar import announced
from engine.submit import daemon_status
from ledger.notes import note
from ledger.storage import Storage
from ledger.tables import readers
from tests.tools.conftest import INSTITUTION, ROOT, Daemon, must, run, write_lines
from tools import doctor


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.delenv("COUNTERFOIL_KEY", raising=False)
    monkeypatch.setattr(doctor, "_open_files_here", lambda: 1 << 20)
    must("init", tmp_path / "data")
    (tmp_path / "data").chmod(0o700)
    for name in ("backup", "verify", "sweep"):
        note(tmp_path / "data", name, sequence=2)
    holidays(tmp_path / "data", last=9999)
    return tmp_path / "data"


def holidays(book, last):
    """The operator knows the bank holidays of the coming years."""
    days = [
        f'[{year}]\nclosed = ["{year}-01-01", "{year}-05-01", "{year}-10-01"]\n'
        for year in range(announced()[1] + 1, min(last, announced()[1] + 200) + 1)
    ]
    (book / "holidays.toml").write_text("".join(days))


def found(book, *options):
    done = run("doctor", book, "--json", *options)
    told = json.loads(done.stdout)
    assert told["ok"] == (done.exit_code == 0)
    return {
        check["name"]: [(one["state"], one["text"]) for one in check["findings"]]
        for check in told["checks"]
    }


def one(book, name):
    (finding,) = found(book)[name]
    return finding


def test_a_healthy_directory_lacks_a_daemon_alone(book):
    told = found(book)
    assert {name for name, findings in told.items() if findings} == {"daemon and follower"}
    assert list(told) == [name for name, _ in doctor.CHECKS]
    shown = run("doctor", book)
    assert shown.exit_code == 0
    assert "counterfoil serve" in shown.stdout


def test_a_running_daemon_lacks_nothing(book):
    running = Daemon(book)
    try:
        assert found(book)["daemon and follower"] == []
    finally:
        assert running.stop() == 0


def test_mistakes_of_the_configuration_are_told(book):
    with (book / "counterfoil.toml").open("a") as file:
        file.write("idel_ms = 5\n")
    state, text = one(book, "configuration")
    assert state == "wrong"
    assert "did you mean idle_ms?" in text


def test_what_others_may_write_is_wrong(book):
    (book / "journal").chmod(0o777)
    assert one(book, "permissions") == (
        "wrong",
        f"others may write {book / 'journal'}: chmod go-w {book / 'journal'}",
    )
    (book / "journal").chmod(0o700)
    book.chmod(0o755)
    assert one(book, "permissions")[0] == "advice"


@pytest.mark.parametrize("mode", [0o644, None])
def test_a_key_file_that_is_open_to_others_or_gone_is_wrong(book, mode):
    key = book.with_name("data.key")
    if mode is None:
        key.unlink()
    else:
        key.chmod(mode)
    state, text = one(book, "key file")
    assert state == "wrong"
    assert str(key) in text


def test_a_key_within_the_data_is_advised_against(tmp_path, monkeypatch):
    monkeypatch.delenv("COUNTERFOIL_KEY", raising=False)
    must("init", tmp_path / "data", "--key", tmp_path / "data" / "inner.key")
    assert one(tmp_path / "data", "key file")[0] == "advice"


def test_a_damaged_journal_is_told(book):
    segment = max((book / "journal").iterdir())
    with segment.open("r+b") as file:
        file.seek(40)
        file.write(b"\xff" * 8)
    state, text = one(book, "journal and tables")
    assert state == "wrong"
    assert "cannot be read" in text


def lose_the_journal(book):
    for path in (book / "journal").iterdir():
        path.unlink()


def lose_the_journal_and_its_mark(book):
    lose_the_journal(book)
    (book / "durable").unlink()


def cut_the_tables(book):
    os.truncate(book / "tables" / "data.mdb", 5000)


def overwrite_the_tables(book):
    (book / "tables" / "data.mdb").write_bytes(b"\xff" * 8192)


@pytest.mark.parametrize(
    ("harm", "part"),
    [
        (lose_the_journal, "restore it from a backup"),
        (lose_the_journal_and_its_mark, "restore it from a backup"),
        (cut_the_tables, "are cut short: empty that folder"),
        (overwrite_the_tables, "are damaged"),
    ],
    ids=lambda told: getattr(told, "__name__", None),
)
def test_what_a_start_refuses_is_told_before(book, harm, part):
    lines = [INSTITUTION | {"id": f"HB{number:03}"} for number in range(300)]
    must("load", book, write_lines(book.with_name("lines"), lines))
    harm(book)
    state, text = one(book, "journal and tables")
    assert state == "wrong"
    assert part in text
    started = run("serve", book, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
    assert started.exit_code == 1
    assert part in started.stderr


@pytest.mark.parametrize("left", [None, b""])
def test_empty_tables_are_advice_and_are_made_anew(book, left):
    for path in (book / "tables").iterdir():
        path.unlink()
    if left is not None:
        (book / "tables" / "data.mdb").write_bytes(left)
    state, text = one(book, "journal and tables")
    assert (state, "the next start folds the journal anew" in text) == ("advice", True)
    running = Daemon(book)
    assert running.stop() == 0
    assert found(book)["journal and tables"] == []
    must("verify", book)


@pytest.mark.parametrize(
    ("folder", "remedy"), [("journal", "restore the directory"), ("tables", "mkdir ")]
)
def test_a_folder_that_is_missing_is_no_reason_to_begin_anew(book, folder, remedy):
    shutil.rmtree(book / folder)
    done = run("doctor", book)
    assert done.exit_code == 1
    assert f"the folder {folder} of {book} is missing: " in done.stderr
    assert remedy in done.stderr
    assert "init" not in done.stderr


@pytest.mark.parametrize(
    ("moved_s", "state", "part"),
    [(-3600, "wrong", "behind the last entry"), (86_400, "advice", "--confirm-clock")],
)
def test_a_strange_clock_is_told(book, monkeypatch, moved_s, state, part):
    now = int(time.time() * 1000)
    monkeypatch.setattr(doctor, "wall_ms", lambda: now + moved_s * 1000)
    told = one(book, "clock")
    assert told[0] == state
    assert part in told[1]


@pytest.mark.parametrize(("free", "state"), [(1 << 20, "wrong"), (300 << 20, "advice")])
def test_a_full_disk_is_told(book, monkeypatch, free, state):
    monkeypatch.setattr(Storage, "free_bytes", lambda *_: free)
    assert one(book, "disk")[0] == state


def test_what_may_not_be_read_is_told_and_the_rest_is_looked_at(book, monkeypatch):
    def forbidden(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "tables/data.mdb")

    monkeypatch.setattr(doctor, "chain_at", forbidden)
    told = found(book)
    text = "tables/data.mdb cannot be looked at (Permission denied)"
    text += ": give it to the user that runs this"
    assert told["journal and tables"] == [("wrong", text)]
    assert list(told)[-1] == "clearing"


def test_too_few_open_files_are_told(book, monkeypatch):
    monkeypatch.setattr(doctor, "_open_files_here", lambda: 1024)
    assert "LimitNOFILE" in one(book, "open files")[1]


def test_missing_and_failed_jobs_are_told(book):
    note(book, "verify", failed=1, **{"check balances": 1, "check signs": 0})
    state, text = one(book, "nightly jobs")
    assert state == "wrong"
    assert "failed in balances:" in text
    for name in ("backup", "verify", "sweep"):
        (book / "notes" / f"{name}.json").unlink()
    assert [state for state, _ in found(book)["nightly jobs"]] == ["advice"] * 3


def test_a_closed_date_that_is_not_released_is_told(book):
    must("cutoff", book)
    state, text = one(book, "clearing")
    assert state == "advice"
    assert text.startswith("1 closed business dates")


def test_who_reads_the_tables_is_known_and_a_killed_reader_is_told(book):
    reading = f"""
import sys, time
from pathlib import Path
from ledger.tables import Snapshot
with Snapshot(Path({str(book)!r})) as snapshot:
    print("reads", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", reading]
    running = Daemon(book)
    try:
        deadline = time.monotonic() + 30
        while (status := daemon_status(book))["applied"] < status["sequence"]:
            assert time.monotonic() < deadline, "nobody folds"
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"reads\n"
            assert process.pid in [reader for reader, _ in readers(book)[1]]
            process.kill()
        told = found(book)["readers"]
    finally:
        assert running.stop() == 0
    assert [state for state, text in told if f"process {process.pid} died" in text] == ["advice"]


def test_what_is_no_data_directory_is_refused(tmp_path):
    done = run("doctor", tmp_path)
    assert done.exit_code == 1
    assert "is not a data directory" in done.stderr
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing was made either


def test_holidays_that_nobody_entered_are_told_a_month_ahead(book, monkeypatch):
    last = announced()[1] + 1
    holidays(book, last)
    december = calendar.timegm((last, 12, 15, 0, 0, 0)) * 1000
    monkeypatch.setattr(doctor, "wall_ms", lambda: december)
    state, text = one(book, "holidays")
    assert state == "advice"
    assert f"not {last + 1}: write the days" in text
    (book / "holidays.toml").write_text("[2027\n")
    state, text = one(book, "holidays")
    assert state == "wrong"
    assert "is not valid TOML" in text
