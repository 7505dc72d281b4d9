"""A directory to play recorded traffic against: ``counterfoil replay DIR --prepare NEWDIR``.

NEWDIR gets what DIR was told by its operator (programs, merchants, terminals, members, opening
balances), by the same commands at their recorded times, and nothing that terminals did. Both use
one key file, so terminals keep their master keys and the player (`tools.playback`) can take cards
and phones out of DIR's ciphertexts. PINs are known to nobody; so each member that has one is
given another, `prepared_pin`, which follows from the key file and the member. Terminals are bound
to no device and no network there.

`SETUP` and `TRAFFIC` divide the commands that carry no identity of a terminal; one that is in
neither stops the work rather than be forgotten.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.catalogue import BY_KIND, command_of
from engine.machine import Machine
from engine.reasons import Reason
from engine.rules.reference import PutMember, PutTerminal
from engine.submit import result_of
from engine.vault import Vault
from ledger import codec
from ledger.book import Book
from ledger.journal import Reader
from ledger.tables import Snapshot
from tools.replay import make_empty

SETUP = frozenset(
    {
        "program",
        "institution",
        "merchant",
        "store",
        "terminal",
        "member",
        "opening balance",
        "calendar",
        "limit",
        "rate",
        "earn rule",
        "tier",
        "credit limit",
        "reason",
        "payee",
        "card product",
        "card batch",
        "cards",
        "card range",
        "operator",
        "parameters",
        "gift catalogue",
        "campaign",
        "campaign step",
        "coupon grant",
        "codes",
        "codes handed out",
        "codes imported",
        "codes taken back",
        "key component",
        "resealed",
        "lottery",
        "lottery approved",
        "recharge batch",
        "recharge cards",
    }
)
"""Commands by which the operator sets the house up."""

TRAFFIC = frozenset(
    {
        "pin check",
        "code resent",
        "recharge expiry",
        "adjustment proposed",
        "adjustment confirmed",
        "adjustment withdrawn",
        "points released",
        "operator unlocked",
        "terminal state",
        "sign-on",
        "keys confirmed",
        "cut-off",
        "opened",
        "hold time-out",
        "transfer in",
        "reward other",
        "transfer back",
        "value expiry",
        "value reactivation",
        "points expiry",
        "tier review",
        "batch pruning",
        "PIN unlock",
        "PIN",
        "member state",
        "member closed",
        "member forgotten",
        "names dropped",
        "member tokens",
        "card state",
        "tier grant",
        "gift order",
        "coupon expiry",
        "coupon inquiries",
        "lottery ended",
        "coupon step",
        "code cancelled",
        "receipt pruning",
        "run started",
        "run advanced",
        "carry forward",
        "post-back",
        "true-up",
        "payment",
        "discrepancy",
        "resolution",
    }
)
"""Commands that came of traffic or of the hour: they come up again by themselves, or not."""

FLUSH_ENTRIES = 4096
_PIN_DIGITS = 6

Progress = Callable[[int, int], None]


class Unsorted(Exception):
    """The journal holds a command of which it is not known whether it sets up or is traffic."""


@dataclass(slots=True)
class Prepared:
    """What a prepared directory was given.

    Attributes:
        commands: commands applied.
        refused: kind and sentence of those that cannot stand without the traffic before them.
    """

    commands: int
    refused: Counter[tuple[str, str]]


def prepared_pin(vault: Vault, member: str) -> str:
    """The PIN of a member in a prepared directory: six digits out of the key file."""
    number = int.from_bytes(vault.pin_digest(member, "prepared"), "big")
    return f"{number % 10**_PIN_DIGITS:0{_PIN_DIGITS}d}"


def prepare(source: Path, into: Path, vault: Vault, progress: Progress | None = None) -> Prepared:
    """Make a directory to play the recorded traffic of another one against.

    Args:
        source: the data directory, read only.
        into: a name that is free.
        vault: the key file of both.
        progress: called with (entries read, entries to read).

    Raises:
        engine.directory.DirectoryError: `source` is none, or `into` is there already.
        Unsorted: see `SETUP`.
        ledger.segment.JournalDamaged: the source's journal is damaged.
    """
    make_empty(source, into)
    try:
        book = Book.open(into, follower=False)
        try:
            return _apply(source, book, vault, progress)
        finally:
            book.close()
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def _apply(source: Path, book: Book, vault: Vault, progress: Progress | None) -> Prepared:
    with Snapshot(source) as snapshot:
        last = snapshot.sequence
    machine = Machine(book)
    done = Prepared(0, Counter())
    with Reader(source) as reader:
        for group in reader.groups(last, changes=False):
            for packed in group.entries:
                entry = codec.unpack_entry(packed)
                if not sets_up(entry.kind):
                    continue
                command = _playable(command_of(entry.kind, entry.command), vault)
                result = result_of(machine.execute(command, entry.at, entry.nonce, entry.trail[:2]))
                if result.reason == Reason.REFUSED:
                    done.refused[entry.kind, result.text] += 1
                done.commands += 1
                if book.sequence - book.durable >= FLUSH_ENTRIES:
                    book.flush()
            if progress:
                progress(group.last, last)
    book.flush()
    return done


def sets_up(kind: str) -> bool:
    """True for a command that sets the house up.

    Raises:
        Unsorted: neither `SETUP` nor `TRAFFIC` nor a terminal's request has it.
    """
    if kind in SETUP:
        return True
    if kind in TRAFFIC or BY_KIND[kind].identity != "none":
        return False
    raise Unsorted(f"it is not said whether a {kind} sets up or is traffic: see tools/prepare.py")


def _playable(command: Any, vault: Vault) -> Any:
    """The command with what a player can know: PINs, and no binding to devices and networks."""
    if isinstance(command, PutMember) and command.pin:
        command.pin = vault.pin_digest(command.id, prepared_pin(vault, command.id))
    elif isinstance(command, PutTerminal):
        command.serial, command.networks = b"", ()
    return command
