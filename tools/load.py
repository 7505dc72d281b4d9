"""Reference data and opening balances from JSON Lines into the ledger: ``counterfoil load``.

Each line is one object with a ``type``; `TYPES` has the keys of each type with their checks and
defaults, and ``LOAD.md`` beside this file explains them. A line becomes one command
(`engine.rules.reference`) or is rejected with a sentence that names the key and never its value.
Clear card numbers, phones, PINs and keys end here: what goes on are digests and ciphertexts.

The file is streamed: memory does not grow with its length. Results come some way behind the
commands (`engine.submit`), so that a million members load in groups and not one by one.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

from engine.reasons import Reason
from engine.records import NEVER, Ratio, Terminal
from engine.rules import reference
from engine.submit import Result, Submitter
from engine.vault import Vault
from ledger import schema
from ledger.model import MONEY
from posd import security

LINE_BYTES_MAX: Final = 1 << 20
AMOUNT_MAX: Final = 999_999_999_999
TOKENS_MAX: Final = 100
NAME_MAX: Final = 100
REJECTED_MAX: Final = 10_000
"""Rejected lines that a report keeps; further ones are counted."""

_REQUIRED: Final = object()
_RATIO_MAX: Final = 10**9
_PRIVATE_MODE: Final = 0o600


class Rejected(Exception):
    """A line that is not applied; one sentence with the key at fault, without its value."""


@dataclass(slots=True)
class Report:
    """What became of a file's lines.

    Attributes:
        loaded: lines that changed the books.
        unchanged: lines that the books said already.
        rejected: line numbers, from 1, and reasons; the first `REJECTED_MAX`.
        rejected_count: all rejected lines.
    """

    loaded: int
    unchanged: int
    rejected: tuple[tuple[int, str], ...]
    rejected_count: int


# Checks. Each returns the value as the command wants it, or raises Rejected with what it has to be.

Check = Callable[[Any], Any]


def _matching(pattern: str, what: str) -> Check:
    matches = re.compile(pattern, re.ASCII).fullmatch

    def check(value: Any) -> str:
        if type(value) is str and matches(value):
            return value
        raise Rejected(f"has to be {what}")

    return check


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        # A JSON true is an int to Python, and a float is never an amount.
        if type(value) is int and least <= value <= most:
            return value
        raise Rejected(f"has to be a whole number from {least} to {most}")

    return check


def _choice(*words: str) -> Check:
    def check(value: Any) -> str:
        if type(value) is str and value in words:
            return value
        raise Rejected(f"has to be one of {', '.join(words)}")

    return check


def _flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise Rejected("has to be true or false")


def _name(value: Any) -> str:
    """A text for people; the ideographic space is one of its letters."""
    if (
        type(value) is str
        and value
        and value.replace("\u3000", " ").isprintable()
        and (len(value) <= NAME_MAX)
    ):
        return value
    raise Rejected(f"has to be a text of 1 to {NAME_MAX} printable characters")


def _ratio(value: Any) -> Ratio:
    if type(value) is str:
        return _parse_ratio(value)
    raise Rejected('has to be a ratio in quotes, like "1/1"')


@lru_cache(maxsize=1024)
def _parse_ratio(text: str) -> Ratio:
    found = re.fullmatch(r"(\d{1,10})/(\d{1,10})", text, re.ASCII)
    if found is None:
        raise Rejected('has to be a ratio in quotes, like "1/1"')
    above, below = int(found[1]), int(found[2])
    if not below or above > _RATIO_MAX or below > _RATIO_MAX:
        raise Rejected(f"has to be a ratio of numbers up to {_RATIO_MAX}, the second not 0")
    return above, below


def _part(value: Any) -> Ratio:
    above, below = _ratio(value)
    if above > below:
        raise Rejected("has to be a ratio of at most 1")
    return above, below


def _day(value: Any) -> int:
    if type(value) is str:
        return _parse_day(value)
    raise Rejected("has to be a date in quotes, like 2026-12-31")


@lru_cache(maxsize=4096)
def _parse_day(text: str) -> int:
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", text, re.ASCII)
    try:
        day = date(*map(int, found.groups())) if found else None
    except ValueError:
        day = None
    if day is None:
        raise Rejected("has to be a date in quotes, like 2026-12-31")
    return day.year * 10000 + day.month * 100 + day.day


def _network(value: Any) -> str:
    try:
        if type(value) is str:
            return str(ipaddress.ip_network(value))
    except ValueError:
        pass
    raise Rejected("has to be a network like 127.0.0.0/8, without bits behind its length")


def _list_of(check: Check, most: int) -> Check:
    def check_all(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > most:
            raise Rejected(f"has to be a list of at most {most}")
        return tuple([check(one) for one in value])

    return check_all


def _terms(value: Any) -> tuple[tuple[Any, ...], ...]:
    if type(value) is not list:
        raise Rejected("has to be a list of terms")
    rows = []
    for number, one in enumerate(value, 1):
        if type(one) is not dict:
            raise Rejected(f"number {number} has to be an object")
        try:
            rows.append(tuple(_values(one, TERMS).values()))
        except Rejected as fault:
            raise Rejected(f"number {number}: {fault}") from None
    if len({row[:2] for row in rows}) != len(rows):
        raise Rejected("has two for the same program from the same day")
    return tuple(rows)


_id = _matching(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", "1 to 32 letters, digits, _ or -")
_program = _matching(r"P(0[1-9]|[1-9]\d)", "P01 to P99")
_merchant = _matching(r"[A-Za-z0-9]{15}", "15 letters or digits")
_terminal = _matching(r"[A-Za-z0-9]{8}", "8 letters or digits")
_card = _matching(r"\d{8,19}", "8 to 19 digits in quotes")
_phone = _matching(r"\d{5,15}", "5 to 15 digits in quotes")
_token = _matching(r"[QU][\x21-\x7e]{1,40}", "Q or U and 1 to 40 characters behind it")
_pin = _matching(r"\d{4,12}", "4 to 12 digits in quotes")
_key = _matching(r"[0-9A-Fa-f]{32}", "32 hexadecimal digits")
_serial = _matching(r"[\x21-\x7e]{1,40}", "1 to 40 ASCII characters")
_unit = _matching(r"156|P(0[1-9]|[1-9]\d)", "P01 to P99")
_expiry = _matching(
    r"none|rolling:[1-9]\d{0,2}m|calendar:[1-9]\d?y",
    "none, rolling:24m or calendar:1y with the length of your choice",
)

Fields = dict[str, tuple[Check, Any]]

TERMS: Final[Fields] = {
    "from": (_day, _REQUIRED),
    "program": (_program, _REQUIRED),
    "earn": (_ratio, _REQUIRED),
    "funding_fen_per_point": (_ratio, _REQUIRED),
    "settlement": (_part, _REQUIRED),
    "fee_permille": (_whole(0, 1000), 0),
    "fee_min_fen": (_whole(0, AMOUNT_MAX), 0),
    "fee_max_fen": (_whole(0, AMOUNT_MAX), 0),
    "refund_days": (_whole(0, 3650), 0),
    "refund_fee": (_flag, False),
}

TYPES: Final[dict[str, Fields]] = {
    "program": {
        "id": (_program, _REQUIRED),
        "name": (_name, _REQUIRED),
        "points_per_yuan": (_whole(1, 1_000_000), _REQUIRED),
        "expiry": (_expiry, "none"),
        "settled": (_flag, True),
        "after_expiry": (_choice("expire", "reissue"), "expire"),
        "grace_days": (_whole(0, 3650), 0),
        "clawback": (_choice("negative", "zero"), "negative"),
        "phone_spends": (_flag, False),
    },
    "institution": {"id": (_id, _REQUIRED), "name": (_name, _REQUIRED)},
    "merchant": {
        "id": (_merchant, _REQUIRED),
        "name": (_name, _REQUIRED),
        "institution": (_id, _REQUIRED),
        "category": (_matching(r"\d{4}", "4 digits in quotes"), "0000"),
        "terms": (_terms, ()),
        "enabled": (_flag, True),
    },
    "terminal": {
        "id": (_terminal, _REQUIRED),
        "merchant": (_merchant, _REQUIRED),
        "profile": (_choice("aes", "tdes-x919", "tdes-cup"), "aes"),
        "tmk": (_key, _REQUIRED),
        "charset": (_choice("gb18030", "utf-8"), "gb18030"),
        "networks": (_list_of(_network, 100), ()),
        "serial": (_serial, ""),
        "role": (_choice("sales", "information"), "sales"),
        "enabled": (_flag, True),
    },
    "member": {
        "id": (_id, _REQUIRED),
        "cards": (_list_of(_card, TOKENS_MAX), ()),
        "phone": (_phone, ""),
        "tokens": (_list_of(_token, TOKENS_MAX), ()),
        "tier": (_id, "base"),
        "state": (_choice("active", "frozen", "closed"), "active"),
        "pin": (_pin, ""),
    },
    "balance": {
        "member": (_id, _REQUIRED),
        "unit": (_unit, _REQUIRED),
        "amount": (_whole(0, AMOUNT_MAX), _REQUIRED),
        "expires": (_day, NEVER),
    },
}
"""Types of lines: their keys in the order of the command's fields, each with check and default."""


def _values(row: dict[str, Any], known: Fields) -> dict[str, Any]:
    """The values of a line by key, checked, in the order of the table.

    Raises:
        Rejected: a key is unknown, missing or has a value that it may not have.
    """
    values = {}
    used = 0
    for name, (check, default) in known.items():
        value = row.get(name)
        if name in row:
            used += 1
        if value is None:
            if default is _REQUIRED:
                raise Rejected(f"{name} is missing")
            values[name] = default
            continue
        try:
            values[name] = check(value)
        except Rejected as fault:
            raise Rejected(f"{name} {fault}") from None
    if used != len(row):
        raise Rejected(_unknown("key", next(name for name in row if name not in known), known))
    return values


def _unknown(what: str, name: str, known: Any) -> str:
    nearest = difflib.get_close_matches(name, list(known), 1, 0.4)
    # A name that is none may be a value in the wrong place.
    shown = name if name.isidentifier() and len(name) <= NAME_MAX else "of such a name"
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    return f"there is no {what} {shown}; {hint}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise Rejected("a key is there twice")
    return row


_decode = json.JSONDecoder(object_pairs_hook=_unique).decode


class Lines:
    """Lines to commands.

    Args:
        vault: makes digests and ciphertexts.
        read: rows that are there already, where they can be had, so that nothing is sealed twice.
        private: whether keys in clear are taken from this file.
    """

    def __init__(self, vault: Vault, read: Callable[[bytes], Any | None], *, private: bool) -> None:
        self._vault = vault
        self._read = read
        self._private = private
        self._makers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "program": lambda values: reference.PutProgram(*values.values()),
            "institution": lambda values: reference.PutInstitution(*values.values()),
            "merchant": lambda values: reference.PutMerchant(*values.values()),
            "terminal": self._terminal,
            "member": self._member,
            "balance": _balance,
        }

    def command(self, line: bytes) -> Any:
        """The command that a line asks for.

        Raises:
            Rejected: it is not a valid line.
        """
        try:
            row = _decode(line.decode())
        except UnicodeDecodeError:
            raise Rejected("the line is not UTF-8") from None
        except (ValueError, RecursionError):
            raise Rejected("the line is not valid JSON") from None
        if type(row) is not dict:
            raise Rejected("the line is not a JSON object")
        kind = row.pop("type", None)
        if kind == "campaign":
            raise Rejected("campaigns are not built yet: leave these lines out")
        if type(kind) is not str or kind not in TYPES:
            raise Rejected(
                "type is missing" if kind is None else _unknown("type", str(kind), TYPES)
            )
        return self._makers[kind](_values(row, TYPES[kind]))

    def _terminal(self, values: dict[str, Any]) -> reference.PutTerminal:
        if not self._private:
            raise Rejected(
                "tmk in clear is taken from a file of mode 0600 only: run chmod 600 on the file"
            )
        vault, terminal, profile = self._vault, values["id"], values["profile"]
        key = bytes.fromhex(values["tmk"])
        check = security.check_value(profile, key).hex()
        known: Terminal | None = self._read(schema.terminal(schema.TERMINAL, terminal))
        sealed = (
            known.tmk
            if known is not None and (known.tmk_check, known.profile) == (check, profile)
            else vault.seal(f"tmk:{terminal}", key)
        )
        serial = values["serial"]
        return reference.PutTerminal(
            terminal,
            values["merchant"],
            profile,
            sealed,
            check,
            values["charset"],
            values["networks"],
            vault.token_digest("D", serial) if serial else b"",
            values["role"],
            values["enabled"],
        )

    def _member(self, values: dict[str, Any]) -> reference.PutMember:
        vault, member, pin = self._vault, values["id"], values["pin"]
        clear = [("C", card) for card in values["cards"]]
        if values["phone"]:
            clear.append(("P", values["phone"]))
        clear += [(token[0], token[1:]) for token in values["tokens"]]
        tokens, sealed = [], []
        for kind, value in dict.fromkeys(clear):
            digest = vault.token_digest(kind, value)
            tokens.append((kind, digest))
            # The ciphertext of a token that is there already is never replaced.
            there = self._read(schema.alias(kind, digest)) is not None
            sealed.append(b"" if there else vault.seal(f"token:{kind}", value.encode()))
        return reference.PutMember(
            member,
            values["tier"],
            values["state"],
            vault.pin_digest(member, pin) if pin else b"",
            tuple(tokens),
            tuple(sealed),
        )


def _balance(values: dict[str, Any]) -> reference.OpeningBalance:
    if values["unit"] == MONEY:
        raise Rejected("unit 156, stored value, is not built yet: load balances of points only")
    return reference.OpeningBalance(*values.values())


# The file.


def load(
    submitter: Submitter,
    vault: Vault,
    path: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    rejected: Callable[[int, str], None] | None = None,
) -> Report:
    """Load a file.

    Args:
        submitter: the way to the ledger.
        vault: the directory's key file.
        path: JSON Lines in UTF-8; empty lines are skipped.
        progress: called now and then with (bytes read, bytes of the file).
        rejected: called with line number and reason of each rejected line, as they are found.

    Raises:
        OSError: the file cannot be read.
        engine.submit.Refused, engine.submit.AnswerMissing: see there.
    """
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        private = stat.S_ISREG(state.st_mode) and not stat.S_IMODE(state.st_mode) & ~_PRIVATE_MODE
        lines = Lines(vault, submitter.read, private=private)
        job = _Job(lines, file, state.st_size, progress, rejected)
        for result in submitter.submit_many(job.commands()):
            job.take(result)
    return Report(job.loaded, job.unchanged, tuple(job.rejected), job.rejected_count)


class _Job:
    """One run over a file: which line each result belongs to, and the counts."""

    def __init__(
        self,
        lines: Lines,
        file: BinaryIO,
        size: int,
        progress: Callable[[int, int], None] | None,
        rejected: Callable[[int, str], None] | None,
    ) -> None:
        self._lines = lines
        self._file = file
        self._size = size
        self._progress = progress
        self._tell = rejected
        self._waiting: deque[tuple[int, str]] = deque()
        self.loaded = self.unchanged = self.rejected_count = 0
        self.rejected: list[tuple[int, str]] = []

    def commands(self) -> Iterator[Any]:
        """Read the file; yield its commands and note the lines that have none."""
        make, waiting, file = self._lines.command, self._waiting, self._file
        number = read = 0
        while line := file.readline(LINE_BYTES_MAX):
            number += 1
            read += len(line)
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not number & 0xFFF and self._progress:
                self._progress(read, self._size)
            if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                self._reject(number, f"the line is longer than {LINE_BYTES_MAX} bytes")
                while (more := file.readline(LINE_BYTES_MAX)) and not more.endswith(b"\n"):
                    read += len(more)
                continue
            if not line.strip():
                continue
            try:
                command = make(line)
            except Rejected as fault:
                self._reject(number, str(fault))
                continue
            waiting.append((number, ""))
            yield command
        if self._progress:
            self._progress(self._size, self._size)

    def take(self, result: Result) -> None:
        """Count the next result."""
        number, _ = self._waiting.popleft()
        if result.reason == Reason.APPROVED:
            self.loaded += 1
        elif result.reason == Reason.UNCHANGED:
            self.unchanged += 1
        else:
            self._waiting.appendleft((number, result.text))
        self._tell_rejected()

    def _reject(self, number: int, why: str) -> None:
        self._waiting.append((number, why))
        self._tell_rejected()

    def _tell_rejected(self) -> None:
        """Tell the rejected lines that no unanswered line stands before: in order of the file."""
        waiting = self._waiting
        while waiting and waiting[0][1]:
            number, why = waiting.popleft()
            self.rejected_count += 1
            if len(self.rejected) < REJECTED_MAX:
                self.rejected.append((number, why))
            if self._tell:
                self._tell(number, why)
