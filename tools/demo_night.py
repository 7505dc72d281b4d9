"""The night of the demonstration: the closed date is netted, filed, checked and released.

What `counterfoil night` says is told, and held against two things that do not come from it: the set
of files, checked without the ledger, and the company's general ledger, which has to sum to zero.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.terms import add_days, spoken
from tools.demo_page import Section

PARTIES_SHOWN: Final = 20


@dataclass
class Night:
    """What came of the night.

    Attributes:
        cleared: What `counterfoil night` said of the date, as data.
        sweeps: And of the sweeps: name to what was posted.
        state: Of the run, after release.
        folder: Where its files are.
        files: How many there are.
        faults: Sentences on what was wrong.
    """

    cleared: dict[str, Any]
    sweeps: dict[str, int]
    state: str
    folder: Path
    files: int
    faults: list[str]


def clear_night(counterfoil: Callable[..., str], data: Path, folder: Path, closed: int) -> Night:
    """Clear a date that was cut off, beside the running daemon.

    Args:
        counterfoil: Runs a command and returns its output.
        data: The data directory.
        folder: Where the files go.
        closed: The business date, YYYYMMDD.
    """
    date = spoken(closed)
    # The next day, whatever it is: a demonstration on a Friday is paid on Saturday.
    pay = ("--value-date", spoken(add_days(closed, 1)))
    said = json.loads(counterfoil("night", data, "--out", folder, "--release", *pay, "--json"))
    sweeps = {swept["name"]: swept["done"] for swept in said["sweeps"]}
    faults = []
    if said["released"] != [date]:
        faults.append(f"the night released {said['released']}, not {date}")
    (standing,) = json.loads(counterfoil("clear", "status", data, "--date", date, "--json"))
    sums: dict[str, int] = {}
    for line in counterfoil("report", data, "general-ledger", "--json").splitlines():
        row = json.loads(line)
        sums[row["unit"]] = sums.get(row["unit"], 0) + row["closing"]
    faults += [
        f"the general ledger sums to {rest} in {unit}" for unit, rest in sums.items() if rest
    ]
    files = sum(1 for path in folder.rglob("*") if path.is_file())
    return Night(said["dates"][-1], sweeps, standing["state"], folder, files, faults)


SWEEPS: Final = {
    "holds": "holds that timed out: what was set aside is free again",
    "transfers": "transfers that a crash had cut in two, completed",
    "points": "members whose points ran out",
    "value": "members whose stored value ran out",
    "recharge": "batches of recharge cards that ran out: what was sold and never used",
    "coupons": "coupons that ran out",
    "tiers": "members whose tier ran out",
}
"""What a sweep posts, for people; one without a line here forgets what nobody can ask for."""


def about_sweeps(night: Night) -> Section:
    """Tell what became due by time alone."""
    text = (
        "`counterfoil night` does in order what is due once a date has ended: sweeps post what time"
        " alone has brought about, then each date that ended is cleared. A hold that nobody ended"
        " counts as free from its minute on; the sweep posts it."
    )
    rows = tuple((what, f"{night.sweeps.get(name, 0):,}") for name, what in SWEEPS.items())
    return Section("What the night swept", text, ("", "posted"), rows)


def about_night(night: Night) -> Section:
    """Tell merchants, nets and files."""
    cleared = night.cleared
    rows = [
        (
            party["name"],
            f"{party['lines']:,}",
            _yuan(party["net_fen"]),
            _yuan(party["payable_fen"]),
            _yuan(party["carried_forward_fen"]),
        )
        for party in cleared["parties"][:PARTIES_SHOWN]
        if party["lines"]
    ]
    payable = sum(party["payable_fen"] for party in cleared["parties"])
    text = (
        f"Run {cleared['run']} of {cleared['date']} is {night.state}: entries"
        f" {cleared['entries'][0]:,} to {cleared['entries'][1]:,} netted, {_yuan(payable)} yuan to"
        f" pay on {cleared['value_date']}, {cleared['exceptions']} exceptions."
        f" {night.files} files in {night.folder}: settlement file, details and statement of each"
        " merchant, summary, payments, lists, manifest; checked without the ledger."
    )
    head = ("merchant", "lines", "net, yuan", "payable", "carried forward")
    return Section("What the night settled", text, head, tuple(rows))


def _yuan(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100:,}.{abs(fen) % 100:02}"
