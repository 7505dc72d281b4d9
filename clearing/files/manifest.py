"""The manifest: what a set consists of, and a digest over itself.

JSON in one canonical spelling: keys sorted, one space of indent, UTF-8, a line feed at the end. The
key ``digest`` is the SHA-256 of the same spelling without that key, so that a changed byte shows
either in the digest or in the spelling.

``logical`` is a digest of the content alone: of the fields of the day's records and lines, not of
the bytes of any format and not of the software's version. Two versions that write the files
differently agree on it as long as they settle alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from clearing.files.folder import Written
from clearing.model import Day, Line

FORMAT = "counterfoil-settlement"
LAYOUT = 1


def spelled(content: dict[str, Any]) -> bytes:
    """Spell a manifest, or a part of one, in the canonical way."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, indent=1)
    return text.encode("utf-8", "replace") + b"\n"


def sealed(content: dict[str, Any]) -> bytes:
    """Spell a manifest with its digest."""
    return spelled({**content, "digest": hashlib.sha256(spelled(content)).hexdigest()})


class LinesDigest:
    """The logical digest of the lines of one party."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, line: Line) -> None:
        """Add a line; its fields are joined by a character that no field may hold."""
        self._digest.update(
            f"{line.party}\x1f{line.sequence}\x1f{line.rrn}\x1f{line.local}\x1f{line.date}\x1f"
            f"{line.merchant}\x1f{line.terminal}\x1f{line.batch}\x1f{line.stan}\x1f{line.channel}"
            f"\x1f{line.kind}\x1f{line.unit}\x1f{line.points}\x1f{line.sale}\x1f{line.money!r}\x1f"
            f"{line.member}\x1f{line.original}\x1f{line.text}\x1e".encode("utf-8", "replace")
        )

    def hex(self) -> str:
        """Give the digest of what was added so far."""
        return self._digest.hexdigest()


def logical_digest(day: Day, lines: Iterable[str]) -> str:
    """Digest of the day's content; `lines` are the parties' digests in order."""
    content = asdict(replace(day, parties=()))
    del content["version"], content["chain"]
    digest = hashlib.sha256(spelled(content))
    for party, its_lines in zip(day.parties, lines, strict=True):
        content = asdict(party)
        if not party.stores:
            del content["stores"]  # as it was before there were any
        digest.update(spelled(content))
        digest.update(its_lines.encode("ascii"))
    return digest.hexdigest()


@dataclass(slots=True)
class Manifest:
    """A manifest that was read back.

    Attributes:
        chain: the head of the journal's chain at the cut-off, ``SEQ:HASH``: by it a journal that
            was cut or written anew is found out.
        fault: what is wrong with its spelling or digest, or empty.
    """

    date: int
    run: int
    supersedes: int
    value_date: int
    closed: int
    version: str
    logical: str
    digest: str
    journal: dict[str, int]
    chain: str
    totals: dict[str, int]
    files: dict[str, Written]
    fault: str


class Unreadable(Exception):
    """The manifest cannot be read; one sentence."""


_JOURNAL = {"first", "last", "considered"}
_TOTALS = {"parties", "lines", "debit", "credit", "payable", "collect"}


def read(data: bytes) -> Manifest:
    """Read a manifest back.

    Raises:
        Unreadable: it is none, or of another format or layout.
    """
    try:
        content = json.loads(data)
        digest = content.pop("digest")
        found = _from(content, digest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unreadable("it cannot be read") from None
    if content.get("format") != FORMAT or content.get("layout") != LAYOUT:
        raise Unreadable("it is of another format or layout")
    if hashlib.sha256(spelled(content)).hexdigest() != digest:
        found.fault = "its digest differs from its content"
    elif sealed(content) != data:
        found.fault = "its spelling is changed"
    return found


def _from(content: dict[str, Any], digest: str) -> Manifest:
    """Take the content apart; every value has the type that it must have."""
    journal = {name: _whole(content["journal"][name]) for name in _JOURNAL}
    totals = {name: _whole(content["totals"][name]) for name in _TOTALS}
    written = [
        Written(str(each["name"]), _whole(each["size"]), _whole(each["records"]), each["sha256"])
        for each in content["files"]
    ]
    files = {each.name: each for each in written}
    if len(files) != len(written):
        raise ValueError("a file is named twice")
    return Manifest(
        date=_whole(content["date"]),
        run=_whole(content["run"]),
        supersedes=_whole(content["supersedes"]),
        value_date=_whole(content["value_date"]),
        closed=_whole(content["closed"]),
        version=str(content["version"]),
        logical=str(content["logical"]),
        digest=digest,
        journal=journal,
        chain=str(content["journal"]["chain"]),
        totals=totals,
        files=files,
        fault="",
    )


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError("a number has to be whole")
    return value


def make(day: Day, files: Iterable[Written], logical: str) -> bytes:
    """Make the manifest of a set."""
    return sealed(
        {
            "format": FORMAT,
            "layout": LAYOUT,
            "date": day.date,
            "run": day.run,
            "supersedes": day.supersedes,
            "value_date": day.value_date,
            "closed": day.closed,
            "version": day.version,
            "journal": {
                "first": day.first_sequence,
                "last": day.last_sequence,
                "considered": day.considered,
                "chain": day.chain,
            },
            "totals": {
                "parties": len(day.parties),
                "lines": sum(party.lines for party in day.parties),
                "debit": sum(party.debit for party in day.parties),
                "credit": sum(party.credit for party in day.parties),
                "payable": sum(party.payable for party in day.parties),
                "collect": sum(party.collect for party in day.parties),
            },
            "logical": logical,
            "files": [asdict(each) for each in sorted(files, key=lambda each: each.name)],
        }
    )
