"""Commands through the daemon's control socket, and what a stranger to its wire gets."""

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
from contextlib import ExitStack, suppress

import msgpack
import pytest

from engine import directory as directories
from engine.directory import control_address
from engine.rules.reference import CutOff, PutInstitution, PutProgram
from engine.submit import FRAME_BYTES_MAX, AnswerMissing, Refused, Submitter, daemon_status
from posd.control import CONNECTIONS_MAX, REQUESTS
from tests.tools.conftest import (
    HOTEL,
    INSTITUTION,
    LINES,
    ROOT,
    TERMINAL,
    Daemon,
    must,
    run,
    write_lines,
)


def frame(value):
    body = value if isinstance(value, bytes) else msgpack.packb(value)
    return struct.pack(">I", len(body)) + body


class Stranger:
    """A peer that speaks to the control socket by hand."""

    def __init__(self, directory):
        self.link = socket.socket(socket.AF_UNIX)
        self.link.settimeout(10)
        try:
            with control_address(directory) as address:
                self.link.connect(address)
        except BaseException:
            self.link.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()

    def ask(self, value):
        self.link.sendall(frame(value))
        return self.answer()

    def answer(self):
        (length,) = struct.unpack(">I", self.take(4))
        return msgpack.unpackb(self.take(length))

    def take(self, size):
        taken = b""
        while len(taken) < size:
            piece = self.link.recv(size - len(taken))
            assert piece, "the daemon hung up"
            taken += piece
        return taken


@pytest.fixture
def stranger(daemon):
    with Stranger(daemon.directory) as one:
        yield one


def test_the_socket_is_its_owner_s_alone(daemon):
    mode = (daemon.directory / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_commands_go_through_the_daemon(daemon):
    with Submitter(daemon.directory) as submitter:
        assert submitter.through_daemon
        made = submitter.submit(PutInstitution("HB02", "Hubei"))
        again = submitter.submit(PutInstitution("HB02", "Hubei"))
        refused = submitter.submit(CutOff(20200101, False))
    assert (made.done, made.sequence > 0) == (True, True)
    assert (again.done, again.sequence) == (True, 0)
    assert not refused.done
    assert refused.text.startswith("the open business date is ")


def test_load_show_verify_and_cutoff_beside_the_daemon_equal_those_without(daemon, tmp_path):
    store = {"type": "store", "id": "S001", "merchant": HOTEL, "name": "湖畔一店"}
    stands = TERMINAL | {"id": "00000002", "store": "S001"}
    file = write_lines(tmp_path / "file", [*LINES, INSTITUTION | {"id": "HB03"}, store, stands])
    told = json.loads(must("load", daemon.directory, file, "--json"))
    assert (told["loaded"], told["unchanged"]) == (3, 6)
    assert "S001" in must("show", daemon.directory, "terminal", "00000002")
    assert "HB03" in must("show", daemon.directory, "institution", "HB03")
    status = json.loads(must("status", daemon.directory, "--json"))
    assert (status["daemon"], status["pid"]) == (True, daemon.process.pid)
    closed = json.loads(must("cutoff", daemon.directory, "--json"))["closed"]
    assert closed == status["date"]
    day = f"{closed // 10000}-{closed // 100 % 100:02}-{closed % 100:02}"
    done = run("cutoff", daemon.directory, "--date", day)
    assert done.exit_code == 1
    assert done.stderr.startswith("counterfoil: the open business date is ")
    assert must("verify", daemon.directory).splitlines()[-2] == (
        f"sequence {daemon_status(daemon.directory)['durable']}"
    )
    assert must("clock", "confirm", daemon.directory) == "the clock is confirmed\n"


def test_many_commands_are_pipelined_and_answered_in_order(daemon):
    commands = [PutInstitution(f"N{number:05}", "Name") for number in range(5000)]
    with Submitter(daemon.directory) as submitter:
        results = list(submitter.submit_many(commands))
    assert all(result.done for result in results)
    sequences = [result.sequence for result in results]
    assert sequences == list(range(sequences[0], sequences[0] + 5000))


NO_REQUEST = f"there is no such request: {', '.join(REQUESTS)} are known"
PROGRAM_VALUES = [
    "P09",
    "Nine",
    100,
    "none",
    True,
    "expire",
    0,
    "negative",
    False,
    999_999_999_999_999,
    (0, 1),
]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (b"\xc1", "a request has to be a MessagePack array"),
        (b"\x93\x01", "a request has to be a MessagePack array"),
        (b"\xda\x00\x02\xff\xff", "a request has to be a MessagePack array"),
        ({}, "a request has to be an array that begins with a number and a verb"),
        ([1], "a request has to be an array that begins with a number and a verb"),
        (["x", "status"], "a request has to be an array that begins with a number and a verb"),
        (
            [1, "stop"],
            NO_REQUEST,
        ),
        (
            [1, "execute"],
            NO_REQUEST,
        ),
        ([1, "execute", "nothing", []], "there is no such administration command"),
        ([1, "execute", "opened", [1, "x"]], "there is no such administration command"),
        ([1, "execute", "accrual", []], "there is no such administration command"),
        ([1, "execute", "pin check", ["M1", 1]], "there is no such administration command"),
        ([1, "execute", "institution", ["A"]], "a command of kind institution has 2 values, not 1"),
        (
            [1, "execute", "institution", ["A", 5]],
            "the value of name in a command of kind institution has another type",
        ),
        (
            [1, "execute", "program", [*PROGRAM_VALUES[:4], 1, *PROGRAM_VALUES[5:]]],
            "the value of settled in a command of kind program has another type",
        ),
        (
            [1, "execute", "program", [*PROGRAM_VALUES[:2], 2**63, *PROGRAM_VALUES[3:]]],
            "the value of points_per_yuan in a command of kind program has another type",
        ),
    ],
)
def test_what_is_no_command_is_answered_in_a_sentence(stranger, daemon, request_, sentence):
    before = daemon_status(daemon.directory)["sequence"]
    assert stranger.ask(request_)[1:] == ["error", sentence]
    assert stranger.ask([7, "status"])[1]["sequence"] == before


def test_a_frame_that_is_too_long_ends_the_connection_and_no_other(stranger, daemon):
    with Stranger(daemon.directory) as other:
        stranger.link.sendall(struct.pack(">I", FRAME_BYTES_MAX + 1))
        assert stranger.link.recv(1) == b""
        assert other.ask([1, "status"])[0] == 1


def test_a_request_byte_by_byte_and_many_in_one_write_are_the_same(stranger):
    for byte in frame([3, "status"]):
        stranger.link.sendall(bytes((byte,)))
    assert stranger.answer()[0] == 3
    stranger.link.sendall(b"".join(frame([number, "status"]) for number in range(200)))
    assert [stranger.answer()[0] for _ in range(200)] == list(range(200))


def test_a_peer_that_never_reads_is_not_read_for_ever(stranger, daemon):
    flood = frame([1, "status"]) * 3_000_000
    stranger.link.settimeout(1)
    with pytest.raises(TimeoutError):
        stranger.link.sendall(flood)
    assert daemon_status(daemon.directory)["sequence"] > 0


def test_one_too_many_is_told_so_and_served_once_others_have_ended(daemon):
    too_many = f"{CONNECTIONS_MAX} commands are at work beside the daemon: wait for one to end"
    with ExitStack() as crowd:
        for _ in range(CONNECTIONS_MAX):
            one = crowd.enter_context(Stranger(daemon.directory))
            assert one.ask([1, "status"])[0] == 1
        done = run("clock", "confirm", daemon.directory)
        assert (done.exit_code, done.stderr) == (1, f"counterfoil: {too_many}\n")
        late = [crowd.enter_context(Stranger(daemon.directory)) for _ in range(CONNECTIONS_MAX)]
        assert all(one.ask([5, "status"]) == [5, "error", too_many] for one in late)
        with Stranger(daemon.directory) as last:
            assert last.link.recv(1) == b""
    while True:
        with Stranger(daemon.directory) as one, suppress(AssertionError):
            if one.ask([1, "status"])[1] != "error":
                break


def test_the_socket_goes_with_the_daemon_and_a_stale_one_does_no_harm(loaded, tmp_path):
    running = Daemon(loaded)
    assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    assert (loaded / "control.sock").exists()
    file = write_lines(tmp_path / "file", LINES)
    assert must("load", loaded, file) == "loaded 0, unchanged 6, rejected 0\n"
    running = Daemon(loaded)
    assert daemon_status(loaded) is not None
    assert running.stop() == 0
    assert not (loaded / "control.sock").exists()
    assert daemon_status(loaded) is None
    assert json.loads(must("status", loaded, "--json"))["daemon"] is False


def test_a_daemon_that_dies_leaves_an_unknown_outcome_that_is_told(loaded):
    running = Daemon(loaded)
    commands = [PutInstitution(f"N{number:05}", "Name") for number in range(3000)]

    def killing():
        for number, command in enumerate(commands):
            if number == 2000:
                os.kill(running.process.pid, signal.SIGKILL)
            yield command

    with (
        Submitter(loaded) as submitter,
        pytest.raises(AnswerMissing, match="unknown: run the same again, it does nothing twice"),
    ):
        list(submitter.submit_many(killing()))
    running.process.wait(30)
    running.process.stdout.close()
    with Submitter(loaded) as submitter:
        assert not submitter.through_daemon
        assert all(result.done for result in submitter.submit_many(commands))
    must("verify", loaded)


def test_a_daemon_that_is_only_slow_is_not_told_to_be_gone(daemon):
    with Submitter(daemon.directory) as submitter:
        submitter._way._link.settimeout(0.5)
        os.kill(daemon.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(AnswerMissing) as slow:
                submitter.submit(PutInstitution("SLOW", "Slow"))
            with ExitStack() as crowd:
                with suppress(BlockingIOError):
                    while True:
                        crowd.enter_context(Stranger(daemon.directory))
                with pytest.raises(Refused, match="takes no further connection"):
                    daemon_status(daemon.directory)
        finally:
            os.kill(daemon.process.pid, signal.SIGCONT)
    said = str(slow.value)
    assert said.startswith("the daemon is there and did not answer for 60 s, with 1 commands")
    assert "run the same again, it does nothing twice" in said
    assert "went away" not in said


def test_a_second_daemon_is_refused_in_a_sentence(daemon):
    done = subprocess.run(
        [sys.executable, "-m", "clearing", "serve", str(daemon.directory), "--listen", "[::1]:0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("counterfoil: ")
    assert done.stderr.endswith("is in use by another process; stop that one first\n")


def test_no_daemon_no_clock(loaded):
    done = run("clock", "confirm", loaded)
    assert done.exit_code == 1
    assert "no daemon serves" in done.stderr


def test_values_of_a_command_survive_the_way(daemon):
    with Submitter(daemon.directory) as submitter:
        assert submitter.submit(PutProgram(*PROGRAM_VALUES)).done
    shown = json.loads(must("show", daemon.directory, "program", "P09", "--json"))
    assert (shown["name"], shown["points_per_yuan"], shown["settled"]) == ("Nine", 100, True)


def test_a_clock_far_ahead_takes_no_commands_until_it_is_confirmed(tmp_path, monkeypatch):
    two_days_ago = directories.wall_ms() - 2 * 86_400_000
    with monkeypatch.context() as earlier:
        earlier.setattr(directories, "wall_ms", lambda: two_days_ago)
        must("init", tmp_path / "data")
    running = Daemon(tmp_path / "data")
    before = daemon_status(tmp_path / "data")
    file = write_lines(tmp_path / "file", [INSTITUTION])
    refused = run("load", tmp_path / "data", file)
    must("clock", "confirm", tmp_path / "data")
    assert must("load", tmp_path / "data", file) == "loaded 1, unchanged 0, rejected 0\n"
    after = daemon_status(tmp_path / "data")
    assert running.stop() == 0
    assert refused.exit_code == 1
    assert "the daemon takes no commands now: the clock jumped" in refused.stderr
    assert after["date"] > before["date"], "the dates in between were closed"
    assert after["refusing"] == ()


def test_a_clock_may_be_confirmed_at_the_start(tmp_path, monkeypatch):
    two_days_ago = directories.wall_ms() - 2 * 86_400_000
    with monkeypatch.context() as earlier:
        earlier.setattr(directories, "wall_ms", lambda: two_days_ago)
        must("init", tmp_path / "data")
    running = Daemon(tmp_path / "data", "--confirm-clock")
    refusing = daemon_status(tmp_path / "data")["refusing"]
    assert running.stop() == 0
    assert refusing == ()


def test_a_terminal_is_locked_beside_the_daemon_and_an_operator_unlocked(daemon, tmp_path):
    operator = {"type": "operator", "merchant": HOTEL, "id": "007", "name": "Desk", "pin": "7777"}
    parameters = {"type": "parameters", "for": HOTEL, "version": "1", "entries": {"A": "b"}}
    lines = [operator | {"role": "supervisor"}, parameters]
    must("load", daemon.directory, write_lines(tmp_path / "desks", lines))
    why = ("--by", "lead", "--reason", "left open")
    done = must("terminal", daemon.directory, "lock", "00000001", *why)
    assert done == "terminal 00000001: enabled before, enabled locked now\n"
    assert must("terminal", daemon.directory, "lock", "00000001", *why).endswith("unchanged\n")
    shown = json.loads(must("show", daemon.directory, "terminal", "00000001", "--json"))
    assert shown["locked"] is True
    done = must("terminal", daemon.directory, "unlock", "00000001", *why, "--json")
    assert json.loads(done)["after"] == "enabled"
    done = must("operator", daemon.directory, "unlock", HOTEL, "007", *why)
    assert done.endswith("unchanged\n")
    missing = run("operator", daemon.directory, "unlock", HOTEL, "008", *why)
    assert missing.exit_code == 1
    assert "has no operator 008" in missing.stderr
    assert run("terminal", daemon.directory, "paint", "00000001", *why).exit_code == 2
