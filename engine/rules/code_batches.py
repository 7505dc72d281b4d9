"""Batches of coupon codes: produced ones are one record, foreign ones get a row each.

Who produces codes opens a batch, which gives it a number; its codes follow from the key file
(`engine.codes`) and are written to a file without another word to the ledger. A code gets its row
when it is first presented. Foreign codes, and codes that are made for named members, have rows of
their own from the start; they come in chunks, sorted by digest, so that the tables are written in
runs. A batch is known by its name: the same again is told its number and nothing changes.

Who hands codes out, to a merchant or a distributor, says which and to whom. That is remembered
beside the batch, where no use of a code reads it: a code is good whoever has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from engine import campaigns, codes
from engine.campaigns import MINUTES, Campaign, CodeBatch
from engine.draft import Draft, amended
from engine.giver import NAME_MAX, is_name
from engine.ranges import RANGES_MAX, Ranges, counted, labelled, without
from engine.reasons import Reason
from engine.rules.reference import refuse
from ledger import codec, schema

CHUNK_MAX: Final = 1000
"""Codes of one command."""


Holder: TypeAlias = tuple[str, int]
"""Who has been given codes, and fen that each was sold for."""
NOBODY: Final[Holder] = ("", 0)


@dataclass(slots=True)
class CodeName:
    """The number of the batch with a name."""

    number: int


@dataclass(slots=True)
class CodeSeries:
    """What has been produced of a series of codes.

    Attributes:
        batches: the highest number of a batch.
        produced: length of a code, and codes of that length.
    """

    batches: int
    produced: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Handed:
    """Who has been given which codes of a batch.

    Attributes:
        ranges: serial numbers, and who has them with the fen that each was sold for (0 for what
            is not sold); in order, others are with nobody.
    """

    ranges: Ranges[Holder]


codec.register(schema.CODE_NAME, CodeName)
codec.register(schema.HANDED, Handed)
codec.register(schema.CODE_SERIES, CodeSeries)

NO_SERIES = CodeSeries(0, ())


@dataclass(slots=True)
class OpenCodes:
    """A batch of codes.

    Attributes:
        name: of the batch, for who runs the job again.
        campaign: whose.
        count: how many.
        length: digits of a code; 0 for foreign ones.
        key: name of the key file under which they are made.
        rows: True where each has its own row; a code without one then leads nowhere.
    """

    name: str
    campaign: str
    count: int
    length: int
    key: str
    rows: bool


@dataclass(slots=True)
class ImportCodes:
    """Codes of a batch that have rows: keyed digest and ciphertext of each."""

    number: int
    codes: tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class CodesAndHolder:
    """Coupon codes of a batch, and who gives them to customers.

    Attributes:
        name: of the batch.
        first, last: serial numbers; 0 for the last of the batch.
        holder: a merchant, or a distributor's name.
    """

    name: str
    first: int
    last: int
    holder: str


@dataclass(slots=True)
class HandOut(CodesAndHolder):
    """Codes are handed out."""


@dataclass(slots=True)
class TakeBack(CodesAndHolder):
    """Codes that were handed out come back."""


def open_codes(command: OpenCodes, draft: Draft) -> Reason:
    """Give a batch its number; the same batch again is told it."""
    place = schema.named(schema.CODE_NAME, command.name)
    known: CodeName | None = draft.read(place)
    if known is not None:
        row: CodeBatch = draft.read(schema.codes(known.number))
        if row != _batch_of(command):
            text = f"batch {command.name} is of {row.count} codes of {row.campaign}; name another"
            return refuse(draft, text)
        draft.facts = (("number", known.number),)
        return Reason.UNCHANGED
    campaign = campaigns.campaign_of(draft, command.campaign)
    if campaign is None:
        return refuse(draft, f"campaign {command.campaign} is not registered; load it first")
    if campaign.kind == "shared" and command.count > 1:
        return refuse(draft, "a shared campaign has one code for all: a batch of it has no more")
    number, bad = take_number(draft, codes.COUPON, command.count, command.length)
    if bad:
        return refuse(draft, bad)
    draft.rows[place] = CodeName(number)
    draft.rows[schema.codes(number)] = _batch_of(command)
    draft.facts = (("number", number),)
    return Reason.APPROVED


def _batch_of(command: OpenCodes) -> CodeBatch:
    return CodeBatch(command.campaign, command.count, command.length, command.key, command.rows)


def take_number(draft: Draft, series: str, count: int, length: int) -> tuple[int, str]:
    """The number of a new batch of a series, or why it cannot be opened.

    Args:
        draft: the command being decided.
        series: one of `engine.codes.SERIES`.
        count: codes of the batch.
        length: digits of a code; 0 for foreign ones.
    """
    place = schema.named(schema.CODE_SERIES, series)
    row: CodeSeries = draft.read(place) or NO_SERIES
    if row.batches >= codes.BATCH_MAX:
        return 0, f"there are {codes.BATCH_MAX} batches already, which is the most"
    if not 0 < count <= codes.SERIAL_MAX:
        return 0, f"a batch has 1 to {codes.SERIAL_MAX} codes"
    produced = dict(row.produced)
    if length:
        if not codes.LENGTH_MIN <= length <= codes.LENGTH_MAX:
            return 0, f"a code has {codes.LENGTH_MIN} to {codes.LENGTH_MAX} digits"
        produced[length] = produced.get(length, 0) + count
        if produced[length] > codes.produced_max(length):
            most = codes.produced_max(length)
            return (
                0,
                f"of {length} digits there can be {most} codes before one is guessed: use more",
            )
    draft.rows[place] = CodeSeries(row.batches + 1, tuple(sorted(produced.items())))
    return row.batches + 1, ""


def import_codes(command: ImportCodes, draft: Draft) -> Reason:
    """Give codes of a batch their rows; one that is a coupon's already is left out and told."""
    batch: CodeBatch | None = draft.read(schema.codes(command.number))
    if batch is None or not batch.imported:
        return refuse(draft, f"batch {command.number} takes no codes")
    if len(command.codes) > CHUNK_MAX:
        return refuse(draft, f"a command has at most {CHUNK_MAX} codes")
    campaign: Campaign | None = campaigns.campaign_of(draft, batch.campaign)
    if campaign is None:
        return Reason.CAMPAIGN_UNKNOWN
    coupon = amended(
        campaigns.new_coupon(campaign, draft),
        batch=command.number,
        until=campaign.until or campaign.end // MINUTES,
    )
    taken: list[int] = []
    new: dict[bytes, Any] = {}
    for place, (digest, sealed) in enumerate(command.codes):
        key = schema.coupon(digest)
        known = draft.read(key)
        if known is None and key not in new:
            new[key] = amended(coupon, code=sealed)
        elif known is None or known.batch != command.number:
            taken.append(place)
    draft.rows.update(new)
    draft.facts = (("taken", tuple(taken)),)
    return Reason.APPROVED if new else Reason.UNCHANGED


# Handing out.


def hand_out(command: HandOut, draft: Draft) -> Reason:
    """Note who has been given codes; those that somebody else has are refused."""
    return _move(command, draft, back=False)


def take_back(command: TakeBack, draft: Draft) -> Reason:
    """Note that codes came back from who had them."""
    return _move(command, draft, back=True)


def _move(command: CodesAndHolder, draft: Draft, *, back: bool) -> Reason:
    known: CodeName | None = None
    if ":" not in command.name:  # names of recharge batches have one
        known = draft.read(schema.named(schema.CODE_NAME, command.name))
    if known is None:
        return refuse(draft, f"there is no batch {command.name} of coupon codes")
    batch: CodeBatch = draft.read(schema.codes(known.number))
    first, last = command.first, command.last or batch.count
    if not 1 <= first <= last <= batch.count:
        return refuse(draft, f"batch {command.name} has the codes 1 to {batch.count}")
    if batch.imported and last - first + 1 < batch.count:
        text = f"codes of batch {command.name} have no serial numbers: name all of them"
        return refuse(draft, text)
    if not is_name(command.holder):
        return refuse(draft, f"who has the codes is told in 1 to {NAME_MAX} printable characters")
    place = schema.handed(codes.COUPON, known.number)
    ranges = handed_out(draft.read, place)
    before = counted(ranges, first, last, NOBODY)
    holder = (command.holder, 0)
    others = sorted(who for who, _ in before.keys() - {holder, NOBODY})
    if others:
        told = ", ".join(others)
        return refuse(draft, f"codes of the range are with {told}: they have to come back first")
    moved = -before.get(holder, 0) if back else before.get(NOBODY, 0)
    draft.facts = (("campaign", batch.campaign), ("distributed", moved), ("last", last))
    if not moved:
        return Reason.UNCHANGED
    after = without(ranges, first, last) if back else labelled(ranges, first, last, holder)
    if len(after) > RANGES_MAX:
        return refuse(draft, f"a batch is handed out in at most {RANGES_MAX} ranges")
    draft.rows[place] = Handed(after)
    return Reason.APPROVED


def handed_out(read: Callable[[bytes], Any], place: bytes) -> Ranges[Holder]:
    """Who has been given which codes of the batch with this key of its own."""
    row: Handed | None = read(place)
    return row.ranges if row is not None else ()
