"""The command itself: help, usage, entry points, messages explained."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.tools.conftest import CARD, ROOT, must, run
from tools.cli import main

VECTORS = json.loads((ROOT / "tests" / "vectors.json").read_text())


@pytest.mark.parametrize("module", ["tools", "posd", "clearing"])
def test_every_room_reaches_the_same_command(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("Usage: counterfoil [OPTIONS] COMMAND")


def test_help_is_everywhere():
    for name in ("init", "serve", "load", "show", "verify", "decode", "replay", "tail", "cutoff"):
        assert "--help" in must(name, "--help")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["init"],
        ["serve", "x", "--listen", "here"],
        ["serve", "x", "--metrics", "127.0.0.1:99999"],
        ["serve", "x", "--tls-listen", "127.0.0.1:0"],
        ["serve", "x", "--cert", "c", "--client-ca", "d"],
        ["serve", "x", "--tls-listen", "here", "--cert", "c", "--client-ca", "d"],
        ["replay", "x"],
        ["decode"],
        ["decode", "xyz"],
        ["decode", "0"],
        ["decode", ""],
        ["decode", "00", "--charset", "none-such"],
        ["cutoff", "x", "--date", "yesterday"],
    ],
)
def test_wrong_usage_is_status_2(arguments):
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("counterfoil")
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_told_in_a_sentence(empty):
    done = subprocess.run(
        [sys.executable, "-m", "tools", "serve", str(empty), "--listen", "203.0.113.1:1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "203.0.113.1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ("conections = 5", "conections = 5 is no setting of [limits]: did you mean connections?"),
        ("idle_ms = 1.5", "of [limits] has to be a whole number from 1 to"),
        ("idle_ms = 0", "of [limits] has to be a whole number from 1 to"),
    ],
)
def test_bounds_of_the_daemon_are_judged_before_it_starts(empty, tmp_path, limits, sentence):
    other = tmp_path / "other.toml"
    other.write_text((empty / "counterfoil.toml").read_text() + limits)
    done = run("serve", empty, "--config", other)
    assert done.exit_code == 1
    assert sentence in done.stderr


def _frames(value):
    if isinstance(value, dict):
        for one in value.values():
            yield from _frames(one)
    elif isinstance(value, list):
        for one in value:
            yield from _frames(one)
    elif isinstance(value, str) and len(value) > 60:
        yield value


def _messages():
    for text in _frames(VECTORS):
        try:
            data = bytes.fromhex(text)
        except ValueError:
            continue
        if CliRunner().invoke(main, ["decode", text]).exit_code == 0:
            yield data


def test_messages_of_the_vectors_are_explained_without_the_card():
    messages = list(_messages())
    assert messages
    for data in messages:
        for how in ([], ["--json"]):
            said = must("decode", data.hex(), *how)
            assert "message type" in said
            assert CARD not in said


def test_a_message_may_come_from_standard_input():
    data = next(_messages()).hex()
    spaced = " ".join(data[at : at + 2] for at in range(0, len(data), 2))
    done = CliRunner().invoke(main, ["decode", "-"], input=spaced)
    assert (done.exit_code, done.stdout) == (0, must("decode", data))


def test_a_message_that_stops_making_sense_is_status_1():
    done = run("decode", "02003020048020C0800100", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)[-1]["number"] == "!"


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "{}", "member", "\udcff"],
        ["adjust", "withdraw", "{}", "\udcff", "--by", "anna"],
        ["adjust", "list", "\udcff"],
        ["decode", "0800", "--charset", "\udcff"],
    ],
)
def test_a_word_that_is_not_utf_8_is_told_in_a_sentence(empty, arguments):
    done = run(*[word.format(empty) for word in arguments])
    assert done.exit_code == 1
    assert "is not UTF-8: set the terminal to UTF-8, or rename the file\n" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["terminal", "{}", "lock", "终端一"], "terminal 终端一 is not registered"),
        (["member", "unlock", "{}", ""], "there is no such member"),
    ],
)
def test_names_that_cannot_be_ids_are_of_nobody(empty, arguments, sentence):
    said = [*(word.format(empty) for word in arguments), "--by", "anna", "--reason", "why"]
    done = run(*said)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"counterfoil: {sentence}")


def test_help_for_which_there_is_no_room_is_told_in_a_sentence():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tools", "--help"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "counterfoil: the disk is full: free some room, then do the same again\n"
