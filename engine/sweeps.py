"""Sweeps: what becomes due because time has passed, found by looking through a table.

A line of `SWEEPS` names a table and what tells, from a row of it, which commands may be due. A
sweep reads a snapshot, in pieces, and sends the commands to the machine (`engine.submit`), where
each is decided again by point reads: a candidate whose row has changed meanwhile is ``UNCHANGED``
and leaves no entry. So a sweep that was interrupted is simply run again, and two at a time do no
harm. The rules never depend on a sweep having run: what is due counts as such from its hour on, a
sweep only posts it.

Beside a daemon few commands are on their way at a time, so that terminals are not held up; the
snapshot of a piece is closed before its commands are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from engine.reasons import Reason
from engine.rules import coupons, expiry, holds, pruning, recharge, tiers, transfers, value
from engine.submit import Submitter
from ledger import schema

WINDOW: Final = 64
"""Commands of a sweep that may be with the daemon unanswered."""
PIECE_COMMANDS: Final = 20_000
"""Commands that are gathered, in memory, before they are sent."""
PIECE_ROWS: Final = 500_000
"""Rows looked at under one snapshot: a reader that stays long makes the tables' file grow."""
TEXTS_MAX: Final = 20
"""Sentences of refusals that a report keeps."""

Candidates = Callable[[bytes, Any, int, int], Iterable[Any]]
"""Key and row of the table, local date YYYYMMDD and time in ms to the commands that may be due."""
Progress = Callable[[int, int], None]
"""Told how many rows were looked at and how many commands were sent."""


@dataclass(slots=True)
class Sweep:
    """A line of the table.

    Attributes:
        name: what it takes care of, one word, as the command line calls it.
        table: number of the table that is looked through.
        candidates: the commands that may be due for a row. It may err on the side of too many.
        together: makes fewer commands of those of many rows.
        posted: for how many of its candidates a command posted something, by its facts.
    """

    name: str
    table: int
    candidates: Candidates
    together: Callable[[list[Any]], list[Any]] = list
    posted: Callable[[dict[str, Any]], int] = lambda _: 1

    def commands(self, rows: Iterable[tuple[bytes, Any]], today: int, at: int) -> list[Any]:
        """The commands that may be due for some rows; arguments as in `run`."""
        found: list[Any] = []
        for key, row in rows:
            found.extend(self.candidates(key, row, today, at))
        return self.together(found)


SWEEPS: tuple[Sweep, ...] = (
    Sweep("holds", schema.POINTS, holds.over),
    Sweep("transfers", schema.TRANSIT, transfers.still_open),
    Sweep("points", schema.POINTS, expiry.lapsed),
    Sweep("value", schema.VALUE, value.lapsed),
    Sweep("recharge", schema.RECHARGE_BATCH, recharge.lapsed),
    Sweep(
        "coupons",
        schema.COUPON,
        coupons.lapsed,
        together=coupons.together,
        posted=lambda facts: len(facts["expired"]),
    ),
    Sweep("tiers", schema.STANDING, tiers.lapsed),
    Sweep("receipts", schema.RECEIPT, pruning.old_receipt),
    Sweep("batches", schema.BATCH, pruning.prunable),
)
"""All sweeps, in the order in which they run."""

BY_NAME: Final = {sweep.name: sweep for sweep in SWEEPS}

if len(BY_NAME) != len(SWEEPS):
    raise ImportError("two sweeps have the same name")


@dataclass(slots=True)
class Swept:
    """What a sweep came to.

    Attributes:
        name: the sweep's.
        rows: rows of the table that were looked at.
        due: candidates that were sent, or would have been.
        done: those that something was posted for.
        refused: commands that a rule declined.
        texts: why, in sentences, the first few.
    """

    name: str
    rows: int = 0
    due: int = 0
    done: int = 0
    refused: int = 0
    texts: list[str] = field(default_factory=list)


def run(
    submitter: Submitter,
    sweep: Sweep,
    today: int,
    at: int,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Swept:
    """Run one sweep to the end of its table.

    Args:
        submitter: the way to the ledger.
        sweep: which one.
        today: local date YYYYMMDD that candidates are judged by; commands go by their own time.
        at: the same moment in ms since 1970 UTC.
        dry_run: only count what may be due.
        progress: told after each piece.

    Raises:
        engine.submit.Refused, engine.submit.AnswerMissing: the daemon takes no commands, went
            away or is slow; run the sweep again.
    """
    swept = Swept(sweep.name)
    after: bytes | None = b""
    while after is not None:
        commands, after = _piece(submitter, sweep, today, at, after, swept)
        swept.due += len(commands)
        if not dry_run:
            _send(submitter, sweep, commands, swept)
        if progress is not None:
            progress(swept.rows, swept.due)
    return swept


def _piece(
    submitter: Submitter, sweep: Sweep, today: int, at: int, after: bytes, swept: Swept
) -> tuple[list[Any], bytes | None]:
    """Gather the commands of the next rows, and the key to go on behind; None at the end."""
    commands: list[Any] = []
    rows = submitter.scan(sweep.table, after)
    with closing(rows):
        for count, (key, row) in enumerate(rows, 1):
            swept.rows += 1
            commands.extend(sweep.candidates(key, row, today, at))
            if len(commands) >= PIECE_COMMANDS or count >= PIECE_ROWS:
                return commands, key
    return commands, None


def _send(submitter: Submitter, sweep: Sweep, commands: list[Any], swept: Swept) -> None:
    for result in submitter.submit_many(sweep.together(commands), WINDOW):
        if result.reason == Reason.APPROVED:
            swept.done += sweep.posted(result.facts)
        elif not result.done:
            swept.refused += 1
            if len(swept.texts) < TEXTS_MAX:
                swept.texts.append(result.text)
