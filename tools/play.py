"""``counterfoil replay --prepare`` and ``--to``: options in, a report out.

The work is done by `tools.prepare` and `tools.playback`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import uvloop

from clearing.console import Refusal
from engine.directory import open_vault
from tools.playback import DaemonGone, Playback, Played
from tools.prepare import Prepared, Unsorted, prepare
from tools.simulate import quantiles

Progress = Callable[[int, int], None]


def prepare_directory(
    source: Path, into: Path, key: Path | None, progress: Progress | None, *, as_json: bool
) -> None:
    """Make the directory and say what it was given."""
    try:
        done = prepare(source, into, open_vault(source, key), progress)
    except Unsorted as error:
        raise Refusal(str(error)) from None
    if as_json:
        print(json.dumps(_prepared(done)))
        return
    print(f"prepared {into}: {done.commands} commands")
    for (kind, why), count in done.refused.most_common():
        print(f"  {count} x {kind} refused: {why}")


def play(
    source: Path,
    address: str,
    speed: str | None,
    key: Path | None,
    progress: Progress | None,
    *,
    as_json: bool,
) -> None:
    """Play the traffic and compare; exit status 1 where a code differs or an answer is missing."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal():
        raise click.UsageError("the daemon's address is HOST:PORT")
    vault = open_vault(source, key)
    playback = Playback(source, vault, host.strip("[]"), int(port), _speed(speed))
    try:
        played = uvloop.run(playback.run(progress))
    except DaemonGone as error:
        raise Refusal(str(error)) from None
    report = report_of(played)
    if as_json:
        print(json.dumps(report))
    else:
        _show(report)
    sys.exit(0 if played.equal == played.sent and not played.unanswered else 1)


def _speed(text: str | None) -> float:
    if text is None or text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise click.UsageError("--speed is a number above 0, or max")
    return speed


def _prepared(done: Prepared) -> dict[str, Any]:
    return {
        "commands": done.commands,
        "refused": [
            {"kind": kind, "why": why, "count": count}
            for (kind, why), count in done.refused.most_common()
        ],
    }


def report_of(played: Played) -> dict[str, Any]:
    """What a playback came to, as plain data; latencies in microseconds."""
    return {
        "sent": played.sent,
        "equal": played.equal,
        "unanswered": played.unanswered,
        "passed_over": dict(played.passed_over),
        "differing": [
            {
                "kind": kind,
                "recorded": before,
                "now": now,
                "count": count,
                "entries": played.examples[kind, before, now],
            }
            for (kind, before, now), count in played.differing.most_common()
        ],
        "seconds": round(played.seconds, 3),
        "rate": round(played.sent / played.seconds) if played.seconds else 0,
        "latency_us": quantiles(played.latencies_us),
    }


def _show(report: dict[str, Any]) -> None:
    print(
        f"sent {report['sent']} messages in {report['seconds']} s, {report['rate']} a second; "
        f"{report['equal']} answered with the recorded code"
    )
    latencies = "  ".join(f"{name} {us / 1000:.2f} ms" for name, us in report["latency_us"].items())
    if latencies:
        print(f"latency  {latencies}")
    for line in report["differing"]:
        entries = ", ".join(str(number) for number in line["entries"])
        print(
            f"  {line['count']} x {line['kind']}: recorded {line['recorded']}, now {line['now']} "
            f"(entry {entries})"
        )
    for kind, count in report["passed_over"].items():
        print(f"  {count} x {kind}: cannot be sent again")
    if report["unanswered"]:
        print(f"  {report['unanswered']} without an answer")
