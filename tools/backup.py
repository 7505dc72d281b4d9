"""``counterfoil backup`` and ``counterfoil restore``: `ledger.backup`, `ledger.restore`.

A backup to a file is written under a temporary name, synced and renamed, and then noted
(`ledger.notes`): up to which entry there is a backup, which `archive` asks before it prunes. What
becomes of a pipe cannot be known here, so it does not count for that. The key file is never
inside: it has to be kept elsewhere, and without it a backup is of no use.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final
from zoneinfo import ZoneInfo

import click

import engine.catalogue  # noqa: F401 - announces the records, whose ciphertext no digest counts
from clearing.calendar import HOLIDAYS
from clearing.console import Refusal, directory_argument, echo_json, json_option
from clearing.files import manifest
from clearing.files.folder import MANIFEST
from engine.directory import (
    CONFIGURATION,
    DirectoryError,
    ledger_limits,
    read_configuration,
    require_directory,
    wall_ms,
)
from ledger.backup import BackupRefused, Head, chain_differs, read_head, write_backup
from ledger.keeping import KeepingBusy
from ledger.notes import note, noted
from ledger.restore import Point, RestoreRefused, restore
from ledger.storage import MEBIBYTE, Storage
from ledger.stream import StreamBroken
from tools.cli import bulk_work, nobody_reads, progress_bar

_LOOK_BYTES: Final = 16 * MEBIBYTE
_SEQUENCE_DIGITS: Final = 19
_CHAIN: Final = re.compile(r"(\d{1,19}):([0-9a-f]{64})")
_SENTENCES: Final = (BackupRefused, KeepingBusy, RestoreRefused, StreamBroken)


@contextmanager
def sentences() -> Iterator[None]:
    """Turn what is refused into its sentence and exit status 1."""
    try:
        yield
    except (*_SENTENCES, FileExistsError) as error:
        raise Refusal(str(error)) from error


@contextmanager
def full_disk(place: str, remedy: str) -> Iterator[None]:
    """Turn the system's word of a full disk into a sentence that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise Refusal(f"{place} is full, nothing was made: {remedy}") from error


def kept_backup(directory: Path) -> int:
    """The last entry of the newest backup to a file; 0 where none is noted."""
    return noted(directory, "backup").get("kept", 0)


def _since(directory: Path, text: str | None) -> int:
    """The entry from which an increment counts: a number, or the end of an earlier backup."""
    if text is None:
        return 0
    if text.isascii() and text.isdigit() and len(text) <= _SEQUENCE_DIGITS:
        return int(text)
    head = head_of(Path(text))
    if wrong := chain_differs(directory, head.sequence, head.chain):
        raise Refusal(f"{text} does not belong to {directory}: {wrong}")
    return head.sequence


def head_of(path: Path) -> Head:
    """The head of a backup in a file."""
    with sentences(), path.open("rb") as file:
        return read_head(file, str(path))


class _Room:
    """Stops a backup before it takes the room that the daemon on the same disk needs."""

    def __init__(self, directory: Path, target: Path) -> None:
        limits = ledger_limits(read_configuration(directory))
        same = target.stat().st_dev == directory.stat().st_dev
        self._keep = limits.disk_free_bytes_min + limits.segment_bytes if same else 0
        self._target = target
        self._left = 0

    def look(self, size: int) -> None:
        self._left -= size
        if self._left > 0:
            return
        self._left = _LOOK_BYTES
        free = Storage().free_bytes(self._target) - self._keep - _LOOK_BYTES
        if free < 0:
            raise Refusal(
                f"the disk of {self._target} has no room for the backup: free"
                f" {-free // MEBIBYTE + 1} MiB at least, or name another disk"
            )


def _require_folder(path: Path) -> None:
    """Refuse a name whose folder is not there."""
    if not path.parent.is_dir():
        raise Refusal(f"{path.parent} is not a folder: make it first, or name another")


@contextmanager
def _output(directory: Path, file: str) -> Iterator[tuple[BinaryIO, Callable[[int], None] | None]]:
    """Where the stream goes: a pipe, or a file that is there whole or not at all."""
    if file == "-":
        try:
            yield sys.stdout.buffer, None
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            nobody_reads()
            raise Refusal(
                "whoever read the backup went away before its end: see why, and take another"
            ) from None
        return
    path = Path(file)
    if path.exists():
        raise Refusal(f"{path} is there already: name a new file")
    _require_folder(path)
    made = path.with_name(f".{path.name}.part")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            yield opened, _Room(directory, path.parent).look
            opened.flush()
            os.fsync(opened.fileno())
        made.rename(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    Storage().sync_folder(path.parent)


@click.command()
@directory_argument
@click.argument("file", metavar="FILE|-")
@click.option("--since", metavar="SEQ|FILE", help="An increment behind an entry or a backup.")
@click.option("--tables", is_flag=True, help="Take the tables along: larger, sooner restored.")
@json_option
def backup(directory: Path, file: str, since: str | None, *, tables: bool, as_json: bool) -> None:
    """Write a backup of DIR to a new FILE, or - for standard output. DIR may be in use.

    The key file is never inside: keep a copy of it apart.
    """
    require_directory(directory)
    known = read_configuration(directory)
    behind = _since(directory, since)
    own = (directory / name for name in (CONFIGURATION, HOLIDAYS))
    files = {path.name: path.read_bytes() for path in own if path.exists()}
    with sentences(), bulk_work(), progress_bar("segments") as progress:
        room = full_disk(f"the disk of {file}", "free some, or name another disk")
        with room, _output(directory, file) as (stream, look):
            head = write_backup(
                directory,
                stream,
                since=behind,
                tables=tables,
                files=files,
                key_id=known.key_id,
                zone=known.zone,
                made=wall_ms(),
                progress=progress,
                look=look,
            )
        kept = kept_backup(directory) if file == "-" else head.sequence
        note(directory, "backup", sequence=head.sequence, kept=kept)
    if as_json and file != "-":
        echo_json(
            {
                "since": head.since,
                "sequence": head.sequence,
                "chain": head.chain_note,
                "digest": head.digest,
                "key_id": head.key_id,
            }
        )
        return
    told = f"behind entry {head.since}, " if head.since else ""
    click.echo(f"backed up {told}up to entry {head.sequence}", err=file == "-")
    click.echo(f"chain {head.chain_note}\ndigest {head.digest}", err=file == "-")


@click.command("restore")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@directory_argument
@click.option("--to", "sequence", type=click.IntRange(1), metavar="SEQ", help="Stop at this entry.")
@click.option("--at", "moment", metavar="TIME", help="Stop at this time, YYYY-MM-DDTHH:MM:SS.")
@json_option
def restoring(
    files: tuple[str, ...],
    directory: Path,
    sequence: int | None,
    moment: str | None,
    *,
    as_json: bool,
) -> None:
    """Make a new DIR of a backup and the increments behind it.

    FILE may be - for standard input. A time without a zone is in the operator's.
    """
    point = Point(sequence or 0, _moment(moment, files) if moment else 0)
    _require_folder(directory)
    if directory.exists() and directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
    with ExitStack() as stack:
        stack.enter_context(sentences())
        remedy = "free some, or restore to another disk"
        stack.enter_context(full_disk(f"the disk of {directory.parent}", remedy))
        sources: list[tuple[str, BinaryIO]] = [
            ("standard input", sys.stdin.buffer)
            if name == "-"
            else (name, stack.enter_context(Path(name).open("rb")))
            for name in files
        ]
        stack.enter_context(bulk_work())
        progress = stack.enter_context(progress_bar("entries"))
        done = restore(sources, directory, point if sequence or moment else None, progress)
    if as_json:
        told = {"sequence": done.sequence, "digest": done.digest, "compared": done.compared}
        echo_json({**told, "key_id": done.key_id})
        return
    how = "equal to the backup's" if done.compared else "before the end of the backup"
    click.echo(f"restored {directory} up to entry {done.sequence}, {how}")
    click.echo(f"key file {done.key_id} belongs to it")
    click.echo(f"digest {done.digest}")


def _moment(text: str, files: tuple[str, ...]) -> int:
    """Milliseconds since 1970 of a local time; the zone is that of the first backup."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("has to be YYYY-MM-DDTHH:MM:SS", param_hint="--at") from None
    if moment.tzinfo is None:
        if files[0] == "-":
            raise click.BadParameter("needs a zone, like +08:00, with -", param_hint="--at")
        moment = moment.replace(tzinfo=_zone_of(Path(files[0])))
    return int(moment.timestamp() * 1000)


def _zone_of(path: Path) -> ZoneInfo:
    return ZoneInfo(head_of(path).zone)


def judge_chain(directory: Path, against: str) -> str:
    """What is wrong with a directory's journal by a note of its chain; empty for nothing.

    Args:
        directory: the data directory.
        against: ``SEQ:HASH``, or the path of a backup, of a settlement set or of its manifest.

    Raises:
        DirectoryError: it is none of them.
    """
    path = Path(against)
    path = path / MANIFEST if path.is_dir() else path
    if path.name == MANIFEST and path.is_file():
        against = _noted_in(path)
    if matched := _CHAIN.fullmatch(against):
        return chain_differs(directory, int(matched[1]), bytes.fromhex(matched[2]))
    if not path.is_file():
        raise DirectoryError(f"{against} is neither SEQ:HASH nor a backup nor a settlement set")
    head = head_of(path)
    return chain_differs(directory, head.sequence, head.chain)


def _noted_in(path: Path) -> str:
    """The note of the chain in a manifest.

    Raises:
        DirectoryError: it is damaged.
    """
    try:
        found = manifest.read(path.read_bytes())
    except manifest.Unreadable as fault:
        raise DirectoryError(f"{path}: {fault}") from None
    if found.fault or not _CHAIN.fullmatch(found.chain):
        raise DirectoryError(f"{path}: {found.fault or 'it notes no chain'}")
    return found.chain
