"""The trail of administration: who gave a command, and what it changed, as its entry keeps it.

A terminal's request names its terminal, and its postings say what it moved. Behind a command of
administration stands a person, and what it changes are rows: so its entry ends with a *trail*, the
operator's name, the account of the system that the kernel vouches for (`engine.giver`), and of each
row that was there before the fields that changed, before and after. A row that is new is told by
the command itself, what postings tell is not told again, and requests carry no trail at all.

Masked by construction: of bytes (digests, ciphertexts) no more is kept than that they are there, of
a card, phone or token its kind's letter and the first digits of its digest, of fields that are
ciphertext nothing. The trail is a function of command and rows, so a replay makes the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ledger import codec, schema
from ledger.model import values_of

Giver: TypeAlias = tuple[str, ...]
"""The operator's name and the account that it came from; nothing for what nobody gave."""
Change: TypeAlias = tuple[bytes, tuple[tuple[str, Any, Any], ...]]
"""Key of a row, and of each changed field its name, and its value before and after; no fields
where the row is gone."""

NOBODY: Final[Giver] = ()
DIGEST_DIGITS: Final = 8
SET: Final = "set"
"""Stands for bytes that are there."""

TOLD_ELSEWHERE: Final[frozenset[int]] = frozenset(
    {
        *(schema.ENTRY, schema.BALANCE, schema.POINTS, schema.LOTS, schema.VALUE, schema.OPENING),
        *(schema.IDENTITY, schema.UNDO, schema.BATCH, schema.LINK, schema.UPLOAD, schema.SITE),
        *(schema.SEQUEL, schema.TRANSIT, schema.COUNTER, schema.OFFLINE, schema.HOT_CARDS),
        *(schema.VERSION, schema.CLEARED, schema.CARRY, schema.POSTBACK, schema.TRUEUP),
        *(schema.STANDING, schema.EFFECT, schema.INQUIRED, schema.TAKEN, schema.RECEIPT),
        *(schema.GIFT_TAKEN, schema.DRAWS, schema.CODE_SERIES, schema.FORMER),
    }
)
"""Tables whose rows follow from postings, requests or other rows: a trail leaves them out."""
_LEFT_OUT: Final = frozenset({"revision", "programs"})
"""Fields that follow from others."""
_NUMBERS: Final = frozenset({4, 8})
"""Lengths of keys that are a number."""


def changes(read: Callable[[bytes], Any], rows: dict[bytes, Any]) -> tuple[Change, ...]:
    """What a command changed of the rows that were there.

    Args:
        read: reads a row as it was before.
        rows: the rows that the command leaves, None for one that is gone.
    """
    found: list[Change] = []
    for key, row in rows.items():
        if key[0] in TOLD_ELSEWHERE:
            continue
        old = read(key)
        if old is None or isinstance(old, (int, bytes)):
            continue
        if row is None:
            found.append((key, ()))
        elif fields := _fields(old, row, codec.sealed_of(key[0])):
            found.append((key, fields))
    return tuple(found)


def _fields(old: Any, row: Any, sealed: tuple[str, ...]) -> tuple[tuple[str, Any, Any], ...]:
    names: dict[str, Any] = type(row).__dataclass_fields__
    found: list[tuple[str, Any, Any]] = []
    for name in names:
        before, after = getattr(old, name), getattr(row, name)
        if before == after or name in _LEFT_OUT or name in sealed:
            continue
        if not _is_list(before) or not _is_list(after):
            found.append((name, _masked(before), _masked(after)))
            continue
        left = [each for each in before if each not in after]
        entered = [each for each in after if each not in before]
        if _are_versions(left, entered):
            for one, other in zip(left, entered, strict=True):
                label = values_of(one)[0]
                found += [
                    (f"{name} {label} {part}", was, now)
                    for part, was, now in _fields(one, other, ())
                ]
        else:
            found.append((name, _masked(tuple(left)), _masked(tuple(entered))))
    return tuple(found)


def _is_list(value: Any) -> bool:
    """Whether a field is a list of things, of which those matter that came or went."""
    return isinstance(value, tuple) and not any(isinstance(each, int) for each in value)


def _are_versions(left: list[Any], entered: list[Any]) -> bool:
    """Whether records came in the place of those that went: they begin with the same name."""
    return len(left) == len(entered) and all(
        _is_record(one) and type(one) is type(other) and values_of(one)[0] == values_of(other)[0]
        for one, other in zip(left, entered, strict=True)
    )


def _is_record(value: Any) -> bool:
    return value is not None and not isinstance(value, (int, str, bytes, tuple))


def _masked(value: Any) -> Any:
    if isinstance(value, bytes):
        return SET if value else ""
    if isinstance(value, tuple):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], bytes):  # noqa: PLR2004 - a token
            return short_token(value[0], value[1])
        return tuple([_masked(each) for each in value])
    if _is_record(value):
        return tuple([_masked(each) for each in values_of(value)])
    return value


def short_token(kind: str, digest: bytes) -> str:
    """A card, phone or token as its kind's letter and the start of its keyed digest."""
    return f"{kind}:{digest.hex()[:DIGEST_DIGITS]}"


# As people read it.


def row_name(key: bytes) -> str:
    """The table of a row and what names it there; of a digest its first digits."""
    table, rest = schema.NAMES[key[0]].replace("_", " "), key[1:]
    if key[0] == schema.ALIAS:
        return f"{table} {short_token(chr(rest[0]), rest[1:])}"
    if key[0] == schema.RUN:
        return "{} {}-{}".format(table, *schema.run_parts(key))
    if rest.isascii() and (text := rest.decode().replace("\x00", " ")).isprintable():
        return table if text in {"", table} else f"{table} {text}"
    if len(rest) in _NUMBERS:
        return f"{table} {int.from_bytes(rest, 'big')}"
    return f"{table} {rest.hex()[:DIGEST_DIGITS]}"


def told(change: Change) -> str:
    """A change in words: the row, then each field before and after."""
    key, fields = change
    if not fields:
        return f"{row_name(key)} is gone"
    return f"{row_name(key)}: " + ", ".join(
        f"{name} {_spoken(before)} → {_spoken(after)}" for name, before, after in fields
    )


def _spoken(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return f"({' '.join(map(_spoken, value))})" if value else "-"
    return "-" if value is None or value == "" else str(value)


def as_data(trail: tuple[Any, ...]) -> dict[str, Any] | None:
    """An entry's trail as plain data; None for none.

    Returns:
        ``operator``, ``account``, ``changes``: each a ``row`` and ``fields``, names with values
        before and after, null for a row that is gone.
    """
    if not trail:
        return None
    operator, account, changed = trail
    return {
        "operator": operator,
        "account": account,
        "changes": [
            {
                "row": row_name(key),
                "fields": {name: [before, after] for name, before, after in fields} or None,
            }
            for key, fields in changed
        ],
    }
