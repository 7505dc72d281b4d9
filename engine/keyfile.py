"""The key file as a file: made once, replaced whole, and judged before it is believed.

It is JSON, mode 0600. What is in it is the business of `engine.vault`; here it is kept from being
overwritten by accident, from being half written, and from lying open to others. Whoever replaces it
holds a lock on it meanwhile, so that no change is lost, and overwrites what was there with zeros
before its room is given back: that is all that can be done from here about a disk that keeps older
states of a file (a journaling or copying file system, flash memory, snapshots).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

KEY_BYTES: Final = 32
"""Bytes of the master and of every sealing key."""
SIZE_MAX: Final = 64 << 20
"""Bytes of a key file at most."""

_MODE: Final = 0o600

Document = dict[str, Any]


class KeyFileError(Exception):
    """A key file cannot be made or used; the text is one sentence with what to do about it."""


def create(path: Path, document: Document) -> None:
    """Write a key file that must not exist yet, durably.

    Raises:
        KeyFileError: it exists already or cannot be written.
    """
    _write_new(path, _packed(document))


def read(path: Path) -> Document | None:
    """The content of a key file; None where it is not the JSON object that one is.

    Raises:
        KeyFileError: the file is missing, no file, cannot be read, or is open to others.
    """
    return _parse(_read(path))


def replace(path: Path, change: Callable[[Document], Document]) -> None:
    """Replace a key file by what `change` makes of its content, whole and durably.

    Raises:
        KeyFileError: it cannot be read or replaced, or `change` refuses.
    """
    with _locked(path) as descriptor:
        document = read(path)
        if document is None:
            raise KeyFileError(f"{path} is not a key file or is damaged: restore it from its copy")
        content = _packed(change(document))
        if len(content) > SIZE_MAX:
            raise KeyFileError(f"{path} would become larger than {SIZE_MAX >> 20} MiB")
        made = path.with_name(f".{path.name}.next")
        made.unlink(missing_ok=True)
        _write_new(made, content)
        try:
            made.replace(path)
            _sync_folder(path.parent)
            _blank(descriptor)
        except OSError as error:
            raise KeyFileError(f"{path} cannot be replaced ({error.strerror})") from None


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The descriptor of a key file that nobody else replaces meanwhile."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise KeyFileError(
                f"{path} cannot be opened for writing ({error.strerror}): run as its owner"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _blank(descriptor: int) -> None:
    """Overwrite a file that was replaced, unless it goes on under another name (a hard link)."""
    if os.fstat(descriptor).st_nlink:
        return
    os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
    os.fsync(descriptor)


def _packed(document: Document) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet, and its name in the folder, down to the disk."""
    try:
        # O_EXCL neither overwrites a key nor follows a link that somebody put there.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        raise KeyFileError(
            f"{path} exists already: a key file is never overwritten, so choose another name"
        ) from None
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be created ({error.strerror}): choose a folder that can be written"
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, _MODE)  # whatever the umask took away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError as error:
        # Half a key file would only stand in the way of the next try.
        with contextlib.suppress(OSError):
            path.unlink()
        raise KeyFileError(
            f"{path} cannot be written ({error.strerror}): make room or choose another disk"
        ) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    """Return the content of a key file after judging its mode, of the file actually opened."""
    while True:
        try:
            # Without O_NONBLOCK a pipe put in the file's place would hang the start.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            raise KeyFileError(f"{path} does not exist: name the key file of this data") from None
        except OSError as error:
            raise KeyFileError(
                f"{path} cannot be opened ({error.strerror}): run as the owner of the key file"
            ) from None
        try:
            state = os.fstat(descriptor)
            _judge_mode(path, state.st_mode)
            content = os.read(descriptor, min(state.st_size, SIZE_MAX))
            if os.fstat(descriptor).st_nlink:
                return content
            # It was replaced meanwhile, and perhaps blanked: its successor is read.
        except OSError as error:
            raise KeyFileError(
                f"{path} cannot be read ({error.strerror}): restore it from its copy"
            ) from None
        finally:
            os.close(descriptor)


def _judge_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise KeyFileError(f"{path} is not a regular file: name the key file itself")
    if stat.S_IMODE(mode) & ~_MODE:
        raise KeyFileError(
            f"{path} has mode {stat.S_IMODE(mode):04o}, open to more than its owner needs: "
            f"run chmod 600 {path}"
        )


def _parse(content: bytes) -> Document | None:
    """Return the JSON object in a key file, None if there is none.

    A value instead of an exception: the parser's own exceptions carry the text they failed on.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def decode_key(text: object) -> bytes | None:
    """Return a key written in base64, None if it is not one."""
    if not isinstance(text, str):
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None
