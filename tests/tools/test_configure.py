"""`counterfoil config` and `log`: what is in force, what is wrong, and what a daemon takes live."""

import json
import signal
import time
import urllib.request

import pytest

from tests.tools.conftest import Daemon, must, run


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.delenv("COUNTERFOIL_KEY", raising=False)
    must("init", tmp_path / "data")
    return tmp_path / "data"


def configure(book, lines):
    path = book / "counterfoil.toml"
    head, _, _ = path.read_text().partition("[limits]\n")
    path.write_text(f"{head}[limits]\n{lines}\n")


def page(running, name):
    with urllib.request.urlopen(f"http://{running.metrics}/{name}", timeout=20) as answer:
        return answer.read().decode()


def test_a_new_directory_has_nothing_wrong_and_shows_where_values_come_from(book, monkeypatch):
    assert must("config", "check", book).endswith("nothing wrong\n")
    configure(book, "idle_ms = 30000")
    monkeypatch.setenv("COUNTERFOIL_GUARDS_GUESSES", "5")
    told = json.loads(must("config", "show", book, "--json"))
    assert told["limits.idle_ms"]["source"] == str(book / "counterfoil.toml")
    assert told["guards.guesses"] == {
        "value": 5,
        "source": "COUNTERFOIL_GUARDS_GUESSES",
        "live": True,
    }
    assert told["limits.drain_ms"]["source"] == "default"
    shown = must("config", "show", book).splitlines()
    assert ["limits.idle_ms", "30,000", "counterfoil.toml"] in [line.split()[:3] for line in shown]
    assert ["zone", "Asia/Shanghai", "counterfoil.toml"] in [line.split()[:3] for line in shown]


def test_all_mistakes_are_listed_with_status_1(book):
    configure(book, "idel_ms = 5\nframe_bytes = 1\nunread_bytes = 'many'")
    done = run("config", "check", book)
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 3
    assert json.loads(run("config", "check", book, "--json").stdout)["ok"] is False
    assert run("config", "show", book).exit_code == 1


def test_without_a_daemon_there_is_nothing_to_reload_or_to_log(book):
    for arguments in (("config", "reload", book), ("log", book, "debug")):
        done = run(*arguments)
        assert done.exit_code == 1
        assert "no daemon serves" in done.stderr


def test_a_daemon_takes_what_it_can_and_tells_what_it_cannot(book):
    configure(book, "idle_ms = 30000")
    running = Daemon(book)
    try:
        assert must("config", "reload", book) == "nothing has changed\n"
        configure(book, "idle_ms = 40000\nsegment_bytes = 9000000")
        told = must("config", "reload", book)
        assert told.splitlines() == [
            "limits.idle_ms: 30,000 before, 40,000 now",
            "limits.segment_bytes: still 134,217,728; 9,000,000 needs a restart",
        ]
        configure(book, "idle_ms = 0")
        done = run("config", "reload", book)
        assert done.exit_code == 1
        assert "nothing was reloaded" in done.stderr
        assert "idle_ms" in done.stderr
        configure(book, "connections = 777\nsegment_bytes = 9000000")
        running.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while "counterfoil_connections_max 777.0" not in page(running, "metrics"):
            assert time.monotonic() < deadline, "SIGHUP was not felt"
        assert must("log", book, "debug") == "logging from debug on\n"
        assert run("log", book, "loud").exit_code == 2
    finally:
        assert running.stop() == 0


def test_the_configuration_says_where_to_listen(book):
    path = book / "counterfoil.toml"
    path.write_text(
        path.read_text().replace('# metrics = "127.0.0.1:9583"', 'metrics = "127.0.0.2:0"')
    )
    told = json.loads(must("config", "show", book, "--json"))
    assert told["serve.metrics"]["value"] == "127.0.0.2:0"


def test_a_byte_order_mark_of_an_editor_is_no_mistake(book):
    path = book / "counterfoil.toml"
    path.write_text(path.read_text("utf-8"), "utf-8-sig")
    assert must("config", "check", book).endswith("nothing wrong\n")
