"""The audit trail: who gave each command of administration, and what it changed."""

import getpass
import json
import os
import subprocess
import sys

import pytest

from tests.tools.conftest import (
    CARD,
    LINES,
    MERCHANT,
    PHONE,
    ROOT,
    TMK,
    close_date,
    must,
    run,
    write_lines,
)

WHY = ("--by", "clerk", "--reason", "ticket 12")


def deeds(directory, *options):
    """The rows of the report."""
    text = must("report", directory, "administration", "--json", *options)
    return [json.loads(line) for line in text.splitlines()]


def event(directory, sequence):
    """What the feed tells of an entry."""
    return json.loads(must("tail", directory, "--from", sequence).splitlines()[0])


@pytest.fixture
def lines(loaded):
    """Writes lines and loads them, in an operator's name."""

    def load(operator, *lines):
        file = write_lines(loaded.with_name("lines.jsonl"), lines)
        must("--operator", operator, "load", loaded, file)
        return loaded

    return load


def test_every_line_that_was_loaded_says_who_and_what(lines):
    dearer = MERCHANT | {"terms": [MERCHANT["terms"][0] | {"fee_permille": 8}]}
    directory = lines("王芳", *LINES, dearer)
    rows = deeds(directory)
    assert {row["command"] for row in rows} >= {"program", "merchant", "terminal", "member"}
    assert {row["account"] for row in rows} == {getpass.getuser()}
    assert {row["operator"] for row in rows} == {getpass.getuser(), "王芳"}
    changed = [row for row in rows if row["operator"] == "王芳"]
    assert [(row["command"], row["changed"]) for row in changed] == [
        ("merchant", f"merchant {MERCHANT['id']}: terms 20200101 fee_permille 6 → 8")
    ]
    given = event(directory, changed[0]["entry"])["given"]
    assert given["operator"] == "王芳"
    assert given["changes"] == [
        {"row": f"merchant {MERCHANT['id']}", "fields": {"terms 20200101 fee_permille": [6, 8]}}
    ]


def test_a_deed_tells_by_whom_why_before_and_after(loaded):
    must("--operator", "alice", "member", "freeze", loaded, "M0000001", *WHY)
    must("member", "lost", loaded, "M0000001", "--card", CARD, *WHY)
    frozen, lost = deeds(loaded)[-2:]
    assert (frozen["operator"], frozen["why"]) == ("clerk (alice)", "ticket 12")
    assert "member M0000001: state active → frozen" in frozen["changed"]
    assert "state frozen → lost" in lost["changed"]
    assert "member M0000001: state active → frozen" in must(
        "show", loaded, "transaction", frozen["entry"]
    )


def test_the_name_is_the_option_s_else_the_variable_s_else_who_called_sudo(loaded, monkeypatch):
    def named(*options):
        close_date(loaded, *options)
        return deeds(loaded)[-1]["operator"]

    monkeypatch.setenv("SUDO_USER", "bob")
    assert named() == "bob"
    monkeypatch.setenv("COUNTERFOIL_OPERATOR", "carol")
    assert named() == "carol"
    assert named("--operator", "dave") == "dave"
    assert named() == "carol"


@pytest.mark.parametrize("name", ["x" * 65, "two\nlines", " blank"])
def test_what_is_no_name_is_refused(loaded, name, monkeypatch):
    done = run("--operator", name, "cutoff", loaded)
    assert (done.exit_code, "--operator" in done.stderr) == (2, True)
    monkeypatch.setenv("COUNTERFOIL_OPERATOR", name)
    done = run("cutoff", loaded)
    assert done.exit_code == 1
    assert "counterfoil: the operator's name has to be 1 to 64 printable" in done.stderr


def test_a_sweep_is_one_row(loaded):
    gone = {"type": "balance", "unit": "P01", "amount": 5, "expires": "2020-01-31"}
    members = [{"type": "member", "id": f"M{n}", "phone": f"1390000{n:04}"} for n in range(3)]
    balances = [gone | {"member": member["id"]} for member in members]
    must("load", loaded, write_lines(loaded.with_name("more.jsonl"), [*members, *balances]))
    must("--operator", "cron", "sweep", loaded)
    row = deeds(loaded)[-1]
    assert (row["command"], row["entries"], row["operator"]) == ("points expiry", 3, "cron")


def test_nothing_secret_is_in_a_trail(loaded):
    must("member", "phone", loaded, "M0000001", "13800000002", *WHY)
    command = [sys.executable, "-m", "tools", "member", "pin", str(loaded), "M0000001", *WHY]
    subprocess.run(command, input="987654\n", text=True, check=True, cwd=ROOT, capture_output=True)
    told = must("report", loaded, "administration", "--json") + must("tail", loaded)
    assert "pin set → set" in told
    assert "tokens (P:" in told
    for secret in (CARD, PHONE, "13800000002", "987654", TMK, TMK.upper()):
        assert secret not in told


def test_beside_a_daemon_the_account_is_the_kernel_s(daemon):
    environment = os.environ | {
        "COUNTERFOIL_OPERATOR": "erin",
        "LOGNAME": "forged",
        "USER": "forged",
    }
    command = [sys.executable, "-m", "tools", "member", "freeze", str(daemon.directory)]
    subprocess.run([*command, "M0000001", *WHY], env=environment, check=True, cwd=ROOT)
    row = deeds(daemon.directory)[-1]
    account = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout
    assert (row["operator"], row["account"]) == ("clerk (erin)", account.strip())
    must("member", "unfreeze", daemon.directory, "M0000001", *WHY)
