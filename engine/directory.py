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

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from engine.configuration import (
    CONFIGURATION,
    DEFAULT_CUTOFF,
    DEFAULT_ZONE,
    KEY_VARIABLE,
    Configuration,
    DirectoryError,
    check_value,
    configuration_text,
    ledger_limits,
    read_configuration,
)
from engine.giver import giver_here
from engine.machine import Machine
from engine.rules.reference import Opened, SetCalendar
from engine.terms import Clock
from engine.vault import Vault
from ledger.book import Book, Limits
from ledger.format import FormatUnknown, require_format
from ledger.storage import Storage

__all__ = [
    "CONFIGURATION",
    "DEFAULT_CUTOFF",
    "DEFAULT_ZONE",
    "KEY_VARIABLE",
    "START_AHEAD_MS_MAX",
    "VERSION",
    "Configuration",
    "DirectoryError",
    "begin",
    "control_address",
    "copy_configuration",
    "init_directory",
    "key_path",
    "ledger_limits",
    "open_machine",
    "open_vault",
    "read_configuration",
    "require_directory",
    "wall_ms",
]

VERSION = "0.1.0"
"""Version of the software, as the ``opened`` entries tell it."""

START_AHEAD_MS_MAX = 12 * 3_600_000
"""A clock further ahead of the last entry than this is not trusted with an entry of its own."""

_CONTROL = "control.sock"


def wall_ms() -> int:
    """Wall clock in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


# Opening.


REMEDIES: Final = {
    "journal": "find it, or restore the directory from a backup",
    "tables": "make it empty (mkdir {}/tables), and the next start folds the journal into it anew",
}
"""Folders that a book has to have, and what to do where one is missing."""


def require_directory(directory: Path) -> None:
    """Refuse what is not a data directory.

    Raises:
        DirectoryError: `directory` holds no book, a part of one, or one of a newer format.
    """
    lacking = [name for name in REMEDIES if not (directory / name).is_dir()]
    if lacking and not (directory / CONFIGURATION).is_file():
        raise DirectoryError(
            f"{directory} is not a data directory: make one with `counterfoil init {directory}`"
        )
    if lacking:
        remedy = REMEDIES[lacking[0]].format(directory)
        raise DirectoryError(f"the folder {lacking[0]} of {directory} is missing: {remedy}")
    try:
        require_format(directory)
    except FormatUnknown as error:
        raise DirectoryError(str(error)) from None


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
        engine.giver.OperatorUnfit: who opens it says a name that is none.
        ledger.book.BookInUse: another process has it open.
        ledger.book.JournalDamaged, ledger.book.OutcomeUnknown, OSError: see `Book.open`.
    """
    require_directory(directory)
    known = configuration or read_configuration(directory)
    bounds = limits or ledger_limits(known)
    book = Book.open(directory, follower=follower, progress=progress, limits=bounds)
    try:
        machine = begin(book, known)
    except BaseException:
        book.close(fold=False)
        raise
    return book, machine


def begin(book: Book, known: Configuration) -> Machine:
    """Journal, durably, that a book was opened, and what a configuration says of its calendar.

    Returns:
        The machine on it.

    Raises:
        engine.giver.OperatorUnfit, ledger.book.OutcomeUnknown, OSError: see `open_machine`.
    """
    machine = Machine(book)
    at = wall_ms()
    if book.last_at and at - book.last_at > START_AHEAD_MS_MAX:
        at = book.last_at
    machine.execute(Opened(book.epoch, VERSION), at)
    today = Clock(known.zone).date(at)
    calendar = SetCalendar(today, known.cutoff_minutes, known.zone, **known.days)
    machine.execute(calendar, at, giver=giver_here())
    machine.complete_transfers(at)
    book.flush()
    return machine


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
    for setting, value in (("zone", zone), ("cutoff", cutoff)):
        check_value(setting, value)
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
            said = {"key": told, "key_id": vault.key_id, "zone": zone, "cutoff": cutoff}
            _write_configuration(book, configuration_text(said))
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
    key = str(read_configuration(source).key.resolve())
    _write_configuration(directory, configuration_text(_said(source) | {"key": key}))


def configure(directory: Path, settings: Mapping[str, Any]) -> None:
    """Set something in a directory's configuration; a daemon takes it when it starts.

    Args:
        directory: the data directory.
        settings: values by the names of settings.

    Raises:
        DirectoryError: see `read_configuration`; or a value that the setting does not take.
        OSError: it cannot be written.
    """
    for name, value in settings.items():
        check_value(name, value)
    _write_configuration(directory, configuration_text(_said(directory) | dict(settings)))


def _said(directory: Path) -> dict[str, Any]:
    """What a directory's configuration says, defaults left out."""
    path = str(directory / CONFIGURATION)
    settings = read_configuration(directory).settings
    return {name: one.value for name, one in settings.items() if one.source == path}


def _require_free(directory: Path) -> None:
    if not directory.parent.is_dir():
        raise DirectoryError(f"{directory.parent} does not exist: make that folder first")
    if directory.exists() and not directory.is_dir():
        raise DirectoryError(f"{directory} is there already: name a new data directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise DirectoryError(f"{directory} is there already and not empty: name a new one")


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
