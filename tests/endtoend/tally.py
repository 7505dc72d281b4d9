"""What has to agree at the end: tills, tables, journal, audit, and the rules run again."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from daemon_process import Daemon
from line_traffic import Traffic


def check_books(daemon: Daemon, traffic: Traffic, folder: Path) -> None:
    """Compare everything with everything; the running daemon is stopped in order.

    Args:
        daemon: the daemon, running.
        traffic: its tills, with nothing left open.
        folder: where the commands may be run again.
    """
    assert not traffic.open_requests()
    assert traffic.balances(daemon.address) == traffic.expected()
    assert daemon.stop() == 0
    digest = daemon.digest()
    posted = Counter(_approvals(daemon))
    wanted = Counter(
        (sent.request.fields["41"], int(sent.request.batch), int(sent.request.stan))
        for sent in traffic.approved()
    )
    assert {key: posted[key] for key in wanted} == wanted
    assert daemon.replayed_digest(folder / "again") == digest
    assert "Traceback" not in daemon.log()


def _approvals(daemon: Daemon) -> Iterator[tuple[str, int, int]]:
    """Terminal, batch and STAN of every approval in the journal, reversals left out."""
    told = daemon.run("tail", daemon.directory)
    assert told.returncode == 0, told.stderr
    for line in told.stdout.splitlines():
        event = json.loads(line)
        command = event["command"]
        if event["response"] == "00" and "stan" in command and event["kind"] != "reversal":
            yield command["terminal"], command["batch"], command["stan"]
