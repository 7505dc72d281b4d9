"""What the documents tell people to type works as typed, in a folder of its own."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELL_BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE_S = 240


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def section(document, heading):
    """The shell of a section of a document, all its blocks one after another."""
    text = (ROOT / document).read_text(encoding="utf-8")
    body = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = SHELL_BLOCK.findall(body)
    assert blocks
    return "".join(blocks)


def typed(shell, folder, ports):
    """Run what a person would type; the output, in which each command stands before its own.

    The folder looks like the project's. Fixed ports are replaced, for others may use them.
    """
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (folder / "posd").symlink_to(ROOT / "posd")
    for number, port in ports.items():
        shell = shell.replace(number, port)
    listening = f"--listen 127.0.0.1:{ports['8583']} --metrics 127.0.0.1:{ports['9583']}"
    shell = re.sub(r"(serve \w+)(?: --listen 0\.0\.0\.0:\d+)? &", rf"\1 {listening} &", shell)
    done = subprocess.run(
        ["/bin/bash", "-v"],
        input=f"trap 'kill $(jobs -p) 2>/dev/null' EXIT\n{shell}",
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    assert "Error" not in done.stdout, done.stdout
    assert "not found" not in done.stdout, done.stdout
    return done.stdout


@pytest.fixture
def ports():
    return dict(zip(("8583", "9583", "8584", "9584"), free_ports(4), strict=True))


def test_the_first_evening_of_the_readme(tmp_path, ports):
    told = typed(section("README.md", "A first evening"), tmp_path, ports)
    for expected in (
        "loaded 6, unchanged 0, rejected 0",
        'counterfoil_replies_total{code="00",transaction="accrual"}',
        "equal to the backup's",
        "the till says 0",
        "all equal",
        "answered with the recorded code",
        "stopped with 0",
        "FILED",
        "CONFIRMED",
        "\ngood\n",
        "Lakeside Hotel",
    ):
        assert expected in told, told
    assert re.search(r"\b(\d+) of \1 balances are what the terminals believe", told), told
    assert "FAILED" not in told


def test_the_steps_to_certify_a_terminal(tmp_path, ports):
    told = typed(section("posd/EXAMPLES.md", "How to certify a terminal"), tmp_path, ports)
    for expected in ("rejected 0", "balances are what the terminals believe", "unchanged"):
        assert expected in told, told
    assert re.search(r"cards 1 to 10 of batch \w+ are active", told)
    assert "digest" in told
