"""What a scrape tells beside the counters of messages: the book, the follower, the night's jobs.

`GAUGES` and `COUNTERS` are the tables: name, documentation, and how the value is read, all when
asked. Jobs that run beside the daemon are known by the notes that they leave (`ledger.notes`) and,
where the journal knows better, by rows: how far clearing has come is a point read. Time stamps are
seconds since 1970 UTC and 0 for never, so that an alert on their age needs no second case.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from engine.settlement import FAILED, STATES, Cleared, Run
from engine.terms import add_days
from ledger import schema
from ledger.book import Book
from ledger.notes import noted
from posd.link import Links
from posd.pipeline import Pipeline, monotonic_ms

ONLINE_MS: Final = 600_000
"""A terminal is online while its last message is no older than this."""
LOOKS_MAX: Final = 3600
"""Looks at the follower that are remembered, one a second: the longest lag that is told."""
CHECKS_MAX: Final = 64
"""Checks of a verification, or of a clearing, that are told."""
NANOSECONDS: Final = 1e9
BEHIND_MAX: Final = 400
"""Dates that are counted as not cleared; past that it is as bad as it can be."""


class Lag:
    """How long the tables are behind, from looks at the newest and the applied entry."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, int]] = deque(maxlen=LOOKS_MAX)
        self.seconds = 0.0

    def look(self, now: int, newest: int, applied: int) -> None:
        """Note what is the newest entry at monotonic `now` ms, and what the tables hold."""
        looks = self._looks
        if newest > applied and (not looks or looks[-1][1] != newest):
            looks.append((now, newest))
        while looks and looks[0][1] <= applied:
            looks.popleft()
        self.seconds = (now - looks[0][0]) / 1000 if looks else 0.0


@dataclass(slots=True)
class Clearing:
    """How far clearing has come.

    Attributes:
        state: of the newest run; empty when there is none.
        behind: business dates that are closed and not released.
        unconfirmed: payments of the newest run without a confirmation.
    """

    state: str
    behind: int
    unconfirmed: int


def clearing_state(read: Callable[[bytes], Any], open_date: int, first_date: int) -> Clearing:
    """How far clearing has come, by point reads.

    Args:
        read: point reads of the newest rows.
        open_date: the open business date.
        first_date: the date from which on dates count where no run was made yet.
    """
    newest: Cleared | None = read(schema.cleared(0))
    if newest is None:
        return Clearing("", _dates(first_date, open_date), 0)
    date = newest.number
    number: Cleared | None = read(schema.cleared(date))
    run: Run | None = read(schema.run(date, number.number)) if number is not None else None
    if run is None:
        return Clearing("", _dates(date, open_date), 0)
    since = add_days(date, 1) if run.final else date
    return Clearing(run.state, _dates(since, open_date), run.unconfirmed)


def _dates(first: int, end: int) -> int:
    """Dates from `first` up to before `end`."""
    count = 0
    while 0 < first < end and count < BEHIND_MAX:
        first = add_days(first, 1)
        count += 1
    return count


class Observed:
    """A Prometheus collector over what is not a counter of messages.

    Args:
        folder: the data directory.
        book, pipeline, links: of the daemon.
    """

    def __init__(self, folder: Path, book: Book, pipeline: Pipeline, links: Links) -> None:
        self.folder = folder
        self.book = book
        self.pipeline = pipeline
        self.links = links
        self.lag = Lag()
        self.first_date = pipeline.machine.date

    def look(self) -> None:
        """Once a second."""
        self.lag.look(monotonic_ms(), self.book.durable, self.book.applied)

    def clearing(self) -> Clearing:
        """How far clearing has come."""
        return clearing_state(self.book.view.get, self.pipeline.machine.date, self.first_date)

    def online(self) -> int:
        """Terminals heard in the last ten minutes."""
        return self.links.host.heard_since(monotonic_ms() - ONLINE_MS)

    def describe(self) -> list[Any]:
        """Nothing before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, for one scrape."""
        for name, (documentation, value) in GAUGES.items():
            yield GaugeMetricFamily(f"counterfoil_{name}", documentation, value=value(self))
        for name, (documentation, value) in COUNTERS.items():
            yield CounterMetricFamily(f"counterfoil_{name}", documentation, value=value(self))
        yield from self._night()

    def _night(self) -> Iterator[Metric]:
        """What jobs have left."""
        clearing = self.clearing()
        for name, (documentation, amount) in CLEARING.items():
            yield GaugeMetricFamily(f"counterfoil_{name}", documentation, value=amount(clearing))
        state = GaugeMetricFamily(
            "counterfoil_clearing_state",
            "1 for the state of the newest run of clearing.",
            labels=["state"],
        )
        for one in (*STATES, FAILED):
            state.add_metric([one], float(one == clearing.state))
        yield state
        notes = {name: noted(self.folder, name) for name in ("backup", "follower", "sweep")}
        verified = noted(self.folder, "verify")
        notes["verify"] = verified
        for name, (documentation, note, key, unit) in NOTED.items():
            yield GaugeMetricFamily(
                f"counterfoil_{name}", documentation, value=notes[note].get(key, 0) / unit
            )
        for name, (documentation, note, key, unit) in NOTED_COUNTERS.items():
            yield CounterMetricFamily(
                f"counterfoil_{name}", documentation, value=notes[note].get(key, 0) / unit
            )
        yield _checks(
            "verify_check_failed", "1 for a check of the last verification that failed.", verified
        )
        yield _checks(
            "clearing_check_failed",
            "1 for a check of the date cleared last that failed.",
            noted(self.folder, "clearing"),
        )


def _checks(name: str, documentation: str, told: dict[str, int]) -> Metric:
    """The checks that a note tells of, each with 1 where it failed."""
    checks = GaugeMetricFamily(f"counterfoil_{name}", documentation, labels=["check"])
    for key in [key for key in sorted(told) if key.startswith("check ")][:CHECKS_MAX]:
        checks.add_metric([key.removeprefix("check ")], told[key])
    return checks


Value = Callable[[Observed], float]


def _business_date(seen: Observed) -> float:
    date = seen.pipeline.machine.date
    if not date:
        return 0.0
    return datetime.strptime(str(date), "%Y%m%d").replace(tzinfo=UTC).timestamp()


GAUGES: Final[dict[str, tuple[str, Value]]] = {
    "connections": ("Open connections.", lambda seen: len(seen.links.open)),
    "connections_max": ("Connections at a time.", lambda seen: seen.links.limits.connections),
    "terminals_online": (
        "Terminals whose last message under a right MAC is no older than ten minutes.",
        lambda seen: seen.online(),
    ),
    "waiting_replies": (
        "Replies, or reads, that wait for the open group to be durable.",
        lambda seen: seen.pipeline.waiting,
    ),
    "coupon_inquiries_waiting": (
        "Coupon inquiries that the journal does not hold yet.",
        lambda seen: seen.links.host.inquired.waiting,
    ),
    "overlay_records": ("Records not yet in the tables.", lambda seen: seen.book.overlay_size),
    "overlay_records_max": (
        "Records past which new work is answered 91.",
        lambda seen: seen.book.limits.overlay_records,
    ),
    "follower_lag_entries": (
        "Entries that the tables are behind the journal.",
        lambda seen: seen.book.sequence - seen.book.applied,
    ),
    "follower_lag_seconds": (
        "Age of the oldest entry that the tables do not hold.",
        lambda seen: seen.lag.seconds,
    ),
    "follower_alive": ("1 while the follower runs.", lambda seen: seen.book.follower_alive),
    "sequence": ("Sequence number of the newest entry.", lambda seen: seen.book.sequence),
    "group_entries": ("Entries of the last group.", lambda seen: seen.book.stats.group_entries),
    "refusing": ("1 while new work is answered 91.", lambda seen: seen.pipeline.shut),
    "clock_suspect": (
        "1 while the clock waits to be confirmed.",
        lambda seen: seen.pipeline.clock_suspect,
    ),
    "disk_low": ("1 while the disk has too little room.", lambda seen: seen.book.disk_low),
    "disk_free_bytes": (
        "Room on the disk of the data directory.",
        lambda seen: seen.book.disk_free_bytes,
    ),
    "business_date_timestamp_seconds": (
        "The open business date, as its midnight in UTC.",
        _business_date,
    ),
}
"""Gauges of the daemon itself."""

COUNTERS: Final[dict[str, tuple[str, Value]]] = {
    "groups": ("Groups made durable.", lambda seen: seen.book.stats.groups),
    "entries": ("Entries made durable.", lambda seen: seen.book.stats.entries),
    "journal_bytes": ("Bytes written to the journal.", lambda seen: seen.book.stats.bytes),
    "follower_starts": (
        "How often the follower was started.",
        lambda seen: seen.book.stats.follower_starts,
    ),
    "rest_seconds": (
        "Time that the loop rested between turns, so that more messages are handled together.",
        lambda seen: seen.pipeline.pace.rested_ns / NANOSECONDS,
    ),
}
"""Counters of the daemon itself."""

CLEARING: Final[dict[str, tuple[str, Callable[[Clearing], float]]]] = {
    "clearing_behind_dates": (
        "Business dates that are closed and whose clearing is not released.",
        lambda clearing: clearing.behind,
    ),
    "clearing_unconfirmed_payments": (
        "Payments of the newest run that no confirmation has come for.",
        lambda clearing: clearing.unconfirmed,
    ),
}
"""How far clearing has come."""

NOTED: Final[dict[str, tuple[str, str, str, float]]] = {
    "backup_timestamp_seconds": ("When the last backup ended.", "backup", "at", 1),
    "backup_sequence": ("The last entry in the last backup.", "backup", "sequence", 1),
    "verify_timestamp_seconds": ("When the last verification ended.", "verify", "at", 1),
    "verify_sequence": ("The entry that it is true for.", "verify", "sequence", 1),
    "verify_failed_checks": ("Checks that failed in it.", "verify", "failed", 1),
    "sweep_timestamp_seconds": ("When the last sweep ended.", "sweep", "at", 1),
    "follower_fold_timestamp_seconds": ("When the follower last folded.", "follower", "at", 1),
}
"""Gauges from notes: documentation, note, number in it, and by what it is divided."""

NOTED_COUNTERS: Final[dict[str, tuple[str, str, str, float]]] = {
    "follower_folds": ("Folds of the follower.", "follower", "folds", 1),
    "follower_folded_entries": ("Entries folded by it.", "follower", "entries", 1),
    "follower_fold_seconds": ("Time it spent on folds.", "follower", "ns", NANOSECONDS),
}
"""Counters from notes; they begin anew with each follower."""
