"""A data directory: the book, its configuration, the control socket, and the key file beside it.

``DIR/counterfoil.toml`` says where the key file is, in which zone the operator lives and when a
business date ends; `Configuration` is what it says. Everything else in DIR is the ledger's
(`ledger.book.Book.create`) and the daemon's control socket.

The key file is named by an option, else by the variable ``COUNTERFOIL_KEY``, else by the
configuration, and has to be the one that the directory was made with: under another one no member
would be found and nothing could be unsealed.

Whoever opens the book for writing does it here (`open_machine`), which journals ``opened`` first.
Is the clock more than half a day ahead of the last entry, ``opened`` takes that entry's time: a
wrong clock must not close business dates before somebody has looked at it.

The path of a Unix socket has at most 107 bytes, less than a path may have. `control_address`
therefore names the socket through ``/proc/self/fd``: the kernel resolves it when it binds or
connects, no working directory changes and no link is left behind.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.machine import Machine
from engine.rules.reference import Opened, SetCalendar
from engine.terms import Clock
from engine.vault import Vault
from ledger.book import Book, Limits
from ledger.storage import Storage

VERSION = "0.1.0"
"""Version of the software, as the ``opened`` entries tell it."""

CONFIGURATION = "counterfoil.toml"
KEY_VARIABLE = "COUNTERFOIL_KEY"
DEFAULT_ZONE = "Asia/Shanghai"
DEFAULT_CUTOFF = "24:00"
START_AHEAD_MS_MAX = 12 * 3_600_000
"""A clock further ahead of the last entry than this is not trusted with an entry of its own."""

_CONTROL = "control.sock"
_DAYS = {
    "batch_days": (7, 1, 365),
    "offline_days": (3, 0, 365),
    "offline_daily": (500, 0, 999_999),
}
"""Whole numbers of the calendar: default, least, most."""

_KEYS = {"key", "key_id", "zone", "cutoff", "limits", "clearing", *_DAYS}
_CUTOFF_MINUTES_MAX = 36 * 60

_TEMPLATE = """\
# Configuration of a Counterfoil data directory.

# The key file; a relative path is relative to this directory. Keep a copy of it apart from the
# data: without it no card or phone can be looked up and no key or card number can be read.
key = {key}
# Which key file it has to be.
key_id = {key_id}

# The operator's time zone, an IANA name: local dates decide on terms, expiry and business dates.
zone = {zone}
# When a business date ends, hours and minutes after the local midnight it began with.
cutoff = {cutoff}

# After how many days a batch that a terminal left open is retired.
batch_days = {batch_days}
# How many days old a sale that a terminal made offline may be when its advice comes in, and how
# many such advices of a terminal are taken on a day.
offline_days = {offline_days}
offline_daily = {offline_daily}

# Who settles at night, and how: operator = "name", account_name, account_number and bank_code of
# the account that payments are made from (texts), working_days = 1 from a business date to its
# value date, collect_limit_fen = 0: from how much owed on a party is asked to pay (0: never, what
# is owed is netted with the next date).
[clearing]

# Bounds of the daemon; what is not named here keeps its default. Of its links, whole numbers:
# connections = 20000, frame_bytes = 4096, idle_ms = 600000, half_frame_ms = 10000,
# unread_bytes = 1048576, drain_ms = 60000
# Of the ledger, whole numbers but for the seconds:
# segment_bytes = 134217728, segment_bytes_alone = 8388608, overlay_records = 400000,
# overlay_bytes = 1073741824, tail_entries = 50000, fold_seconds = 2.0, fold_entries = 200000,
# fold_records = 100000, reference_rows = 200000, disk_free_bytes_min = 67108864,
# disk_check_seconds = 1.0
[limits]
"""


class DirectoryError(Exception):
    """A data directory cannot be made or used; one sentence with what to do about it."""


@dataclass(slots=True)
class Configuration:
    """What a data directory's configuration says.

    Attributes:
        key: path of the key file.
        key_id: which key file it has to be; empty when any will do.
        zone: IANA name of the operator's time zone.
        cutoff_minutes: minutes after local midnight at which a business date ends.
        days: ``batch_days``, ``offline_days``, ``offline_daily``: see `engine.records.Calendar`.
        limits: bounds of the daemon's links and of the ledger by name.
        clearing: who settles and how; `clearing.settings` reads it.
    """

    key: Path
    key_id: str
    zone: str
    cutoff_minutes: int
    days: dict[str, int]
    limits: dict[str, int | float]
    clearing: dict[str, Any]


def wall_ms() -> int:
    """Wall clock in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


# Configuration.


def read_configuration(directory: Path, file: Path | None = None) -> Configuration:
    """Read the configuration of a data directory.

    Args:
        directory: the data directory.
        file: another file in place of the directory's own.

    Raises:
        DirectoryError: there is none, or it does not hold what it should.
    """
    path = file or directory / CONFIGURATION
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DirectoryError(
            f"{path} does not exist: name a data directory, or make one with `counterfoil init`"
        ) from None
    except OSError as error:
        raise DirectoryError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DirectoryError(f"{path} is not valid TOML: {error}") from None
    unknown = sorted(set(document) - _KEYS)
    if unknown:
        known = ", ".join(sorted(_KEYS))
        raise DirectoryError(f"{path} has the unknown key {unknown[0]!r}; known are {known}")
    base = directory.resolve()
    return Configuration(
        Path(os.path.normpath(base / _text(document, "key", f"../{base.name}.key", path))),
        _text(document, "key_id", "", path),
        _zone(_text(document, "zone", DEFAULT_ZONE, path)),
        cutoff_minutes(_text(document, "cutoff", DEFAULT_CUTOFF, path)),
        {name: _number(document, name, path) for name in _DAYS},
        _limits(document.get("limits", {}), path),
        _clearing(document.get("clearing", {}), path),
    )


def _clearing(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DirectoryError(f"clearing in {path} has to be a table")
    return value


def _text(document: dict[str, Any], name: str, default: str, path: Path) -> str:
    value = document.get(name, default)
    if not isinstance(value, str):
        raise DirectoryError(f"{name} in {path} has to be a text in quotes")
    return value


def _number(document: dict[str, Any], name: str, path: Path) -> int:
    default, least, most = _DAYS[name]
    value = document.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise DirectoryError(f"{name} in {path} has to be a whole number from {least} to {most}")
    return value


def _limits(value: Any, path: Path) -> dict[str, int | float]:
    if not isinstance(value, dict) or not all(type(one) in {int, float} for one in value.values()):
        raise DirectoryError(f"limits in {path} has to be a table of numbers")
    return value


def ledger_limits(configuration: Configuration) -> Limits:
    """The bounds of the ledger, as the configuration has them.

    Raises:
        DirectoryError: one of them is not a number above 0, or not a whole one where it has to be.
    """
    known = {field.name: field.default for field in fields(Limits)}
    named = {name: value for name, value in configuration.limits.items() if name in known}
    for name, value in named.items():
        if value <= 0 or (isinstance(value, float) and not isinstance(known[name], float)):
            kind = "number" if isinstance(known[name], float) else "whole number"
            raise DirectoryError(f"{name} in limits has to be a {kind} above 0")
    return Limits(**named)  # type: ignore[arg-type]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DirectoryError(
            f"there is no time zone {name!r}: name one as IANA does, like {DEFAULT_ZONE}"
        ) from None
    return name


def cutoff_minutes(text: str) -> int:
    """Minutes after midnight of ``HH:MM``, from 00:01 to 36:00.

    Raises:
        DirectoryError: it is not of that form.
    """
    hours, colon, minutes = text.partition(":")
    digits = hours + minutes
    if colon and len(hours) == len(minutes) == len("00") and digits.isascii() and digits.isdigit():
        total = int(hours) * 60 + int(minutes)
        if int(minutes) < 60 and 0 < total <= _CUTOFF_MINUTES_MAX:  # noqa: PLR2004 - a clock
            return total
    raise DirectoryError(f"the cut-off {text!r} has to be HH:MM between 00:01 and 36:00")


# Opening.


def require_directory(directory: Path) -> None:
    """Refuse what is not a data directory.

    Raises:
        DirectoryError: `directory` holds no book.
    """
    if not (directory / "journal").is_dir() or not (directory / "tables").is_dir():
        raise DirectoryError(
            f"{directory} is not a data directory: make one with `counterfoil init {directory}`"
        )


def key_path(configuration: Configuration, key: Path | None = None) -> Path:
    """Where the key file is: the option, else the variable, else the configuration."""
    named = key or os.environ.get(KEY_VARIABLE)
    return Path(named) if named else configuration.key


def open_vault(
    directory: Path, key: Path | None = None, configuration: Configuration | None = None
) -> Vault:
    """Open the key file of a data directory.

    Args:
        directory: the data directory.
        key: the key file as named on the command line, if it was.
        configuration: in place of the directory's own.

    Raises:
        DirectoryError: this is not a data directory, or the file is that of another one.
        engine.vault.KeyFileError: the file is missing, damaged, or open to others.
    """
    require_directory(directory)
    known = configuration or read_configuration(directory)
    wanted = known.key_id
    path = key_path(known, key)
    vault = Vault.open(path)
    if wanted and vault.key_id != wanted:
        raise DirectoryError(
            f"{path} is key file {vault.key_id}, but {directory} was made with {wanted}: name"
            f" that one with --key or {KEY_VARIABLE}"
        )
    return vault


def open_machine(
    directory: Path,
    *,
    follower: bool = True,
    progress: Callable[[int, int], None] | None = None,
    limits: Limits | None = None,
    configuration: Configuration | None = None,
) -> tuple[Book, Machine]:
    """Open a directory's book for writing and journal that it was opened, durably.

    Args:
        directory: the data directory.
        follower: start a process that keeps the tables up, as the daemon does.
        progress: called with (entries folded, entries to fold) while a long tail is folded.
        limits: other bounds of the ledger than those of the configuration.
        configuration: in place of the directory's own.

    Returns:
        The book, which the caller closes, and the machine on it.

    Raises:
        DirectoryError: this is not a data directory.
        ledger.book.BookInUse: another process has it open.
        ledger.book.JournalDamaged, ledger.book.OutcomeUnknown, OSError: see `Book.open`.
    """
    require_directory(directory)
    known = configuration or read_configuration(directory)
    bounds = limits or ledger_limits(known)
    book = Book.open(directory, follower=follower, progress=progress, limits=bounds)
    try:
        machine = Machine(book)
        at = wall_ms()
        if book.last_at and at - book.last_at > START_AHEAD_MS_MAX:
            at = book.last_at
        machine.execute(Opened(book.epoch, VERSION), at)
        today = Clock(known.zone).date(at)
        calendar = SetCalendar(today, known.cutoff_minutes, known.zone, **known.days)
        machine.execute(calendar, at)
        machine.complete_transfers(at)
        book.flush()
    except BaseException:
        book.close(fold=False)
        raise
    return book, machine


# Making.


def init_directory(
    directory: Path,
    key: Path | None = None,
    *,
    zone: str = DEFAULT_ZONE,
    cutoff: str = DEFAULT_CUTOFF,
) -> Vault:
    """Make a data directory and its key file; both are there whole, or neither is.

    Args:
        directory: a name that is free, or an empty folder.
        key: path of the new key file; by default the variable's, else `directory` with ``.key``
            behind its name.
        zone: IANA name of the operator's time zone.
        cutoff: ``HH:MM`` after local midnight at which a business date ends.

    Raises:
        DirectoryError: the name is taken, or an argument is not valid.
        engine.vault.KeyFileError: the key file exists already or cannot be written.
        OSError: the disk or the folder does not take it.
    """
    directory = directory.resolve()
    _require_free(directory)
    _zone(zone)
    cutoff_minutes(cutoff)
    named = key or os.environ.get(KEY_VARIABLE)
    default = directory.with_name(f"{directory.name}.key")
    place = Path(named).resolve() if named else default
    told = f"../{default.name}" if place == default else str(place)
    staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    made_key = place
    try:
        book = staging / "book"
        Book.create(book)
        if directory in place.parents:
            told = str(place.relative_to(directory))
            made_key = book / told
            made_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        vault = Vault.create(made_key)
        try:
            _write_configuration(book, _configuration_text(told, vault.key_id, zone, cutoff))
            open_machine(book, follower=False)[0].close()
            book.rename(directory)
        except BaseException:
            with suppress(OSError):
                made_key.unlink()
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    Storage().sync_folder(directory.parent)
    return vault


def copy_configuration(source: Path, directory: Path) -> None:
    """Give a new directory the configuration of another one, and so its key file.

    Raises:
        DirectoryError: see `read_configuration`.
        OSError: it cannot be written.
    """
    known = read_configuration(source)
    hours, minutes = divmod(known.cutoff_minutes, 60)
    text = _configuration_text(
        str(known.key.resolve()), known.key_id, known.zone, f"{hours:02}:{minutes:02}", known.days
    )
    text += "".join(f"{name} = {value}\n" for name, value in known.limits.items())
    _write_configuration(directory, text)


def _require_free(directory: Path) -> None:
    if not directory.parent.is_dir():
        raise DirectoryError(f"{directory.parent} does not exist: make that folder first")
    if directory.exists() and not directory.is_dir():
        raise DirectoryError(f"{directory} is there already: name a new data directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise DirectoryError(f"{directory} is there already and not empty: name a new one")


def _configuration_text(
    key: str, key_id: str, zone: str, cutoff: str, days: dict[str, int] | None = None
) -> str:
    values = {"key": key, "key_id": key_id, "zone": zone, "cutoff": cutoff}
    # What JSON writes for a text is a TOML text too, as long as nothing is escaped in pairs.
    quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    numbers = days or {name: default for name, (default, _, _) in _DAYS.items()}
    return _TEMPLATE.format(**quoted, **numbers)


def _write_configuration(book: Path, text: str) -> None:
    path = book / CONFIGURATION
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o600)


# The control socket.


@contextmanager
def control_address(directory: Path) -> Iterator[str]:
    """The address of a directory's control socket, to bind or connect within this context.

    Raises:
        OSError: the directory cannot be opened.
    """
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_CONTROL}"
    finally:
        os.close(descriptor)
