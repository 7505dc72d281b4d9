"""Custody of keys: a terminal's master key from two components of two people.

Neither component is anywhere in clear: the first waits sealed in a row of its own, the second comes
with the key that both make, sealed too, since a rule can open nothing. What the rule sees to is
that the two are different parts, by different people, of the same day, and that the first is still
the one that the key was made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.draft import Draft, amended
from engine.reasons import Reason
from engine.records import NO_KEYS, Keys, Terminal
from engine.rules.reference import refuse
from ledger import codec, schema

COMPONENT_MS: Final = 24 * 3_600_000
"""How long a first component waits for the second."""
SEAL_HEAD: Final = 16
"""Bytes of a ciphertext that name it: its key's, and its nonce."""


@dataclass(slots=True)
class Component:
    """A first component that waits for the second.

    Attributes:
        part: 1 or 2.
        by: whose it is.
        sealed: the component, sealed under the key file.
        check: its check value, hex.
        at: when it came, ms since 1970 UTC.
    """

    part: int
    by: str
    sealed: bytes
    check: str
    at: int


@dataclass(slots=True)
class LoadComponent:
    """A component of a terminal's master key is loaded by its custodian.

    Attributes:
        id: terminal id.
        part: 1 or 2.
        by: name of the custodian.
        check: check value of the component, hex.
        sealed: the component, sealed; empty for a second one, which needs no keeping.
        other_check: check value of the first component that a second was combined with, else empty.
        tmk: what both make, sealed; empty for a first one.
        tmk_check: its check value, hex; empty for a first one.
    """

    id: str
    part: int
    by: str
    check: str
    sealed: bytes
    other_check: str
    tmk: bytes
    tmk_check: str


def load_component(command: LoadComponent, draft: Draft) -> Reason:
    """Keep a first component, or put the key of both in force, which cancels the key sets."""
    key = schema.terminal(schema.TERMINAL, command.id)
    terminal: Terminal | None = draft.read(key)
    if terminal is None:
        return refuse(draft, f"terminal {command.id} is not registered; load it first")
    place = schema.terminal(schema.COMPONENT, command.id)
    waiting: Component | None = draft.read(place)
    if not command.tmk:
        row = Component(command.part, command.by, command.sealed, command.check, draft.at)
        draft.rows[place] = row
        draft.facts = (("before", _told(waiting)), ("after", _told(row)))
        return Reason.APPROVED
    if waiting is None or waiting.check != command.other_check:
        return refuse(draft, "the other component is not there any more; load it again")
    if draft.at - waiting.at > COMPONENT_MS:
        return refuse(draft, "the other component is older than a day; load both again")
    if waiting.part == command.part:
        return refuse(draft, f"part {command.part} is the one that is there; load the other one")
    if waiting.by.casefold() == command.by.casefold():
        return refuse(draft, "both components are of one person; somebody else has to load this")
    changed: Terminal = amended(
        terminal,
        tmk=command.tmk,
        tmk_check=command.tmk_check,
        revision=terminal.revision + 1,
    )
    draft.rows[key] = changed
    draft.rows[place] = None
    sets = schema.terminal(schema.KEYS, command.id)
    keys: Keys = draft.read(sets) or NO_KEYS
    draft.rows[sets] = Keys(keys.number + 1, False, 0, 0)
    draft.facts = (
        ("before", f"key {terminal.tmk_check}"),
        ("after", f"key {changed.tmk_check} by {waiting.by} and {command.by}"),
    )
    return Reason.APPROVED


@dataclass(slots=True)
class Reseal:
    """Ciphertexts are replaced by others of the same values, after a rotation of the storage key.

    Attributes:
        items: key of the row, how its ciphertext begins (`SEAL_HEAD` bytes, its key and nonce), the
            new ciphertext.
    """

    items: tuple[tuple[bytes, bytes, bytes], ...]


def reseal(command: Reseal, draft: Draft) -> Reason:
    """Replace the ciphertexts that are still those that were read; others have changed since."""
    fields = codec.sealed_fields()
    replaced = 0
    for key, head, sealed in command.items:
        row = draft.read(key)
        name = fields[key[0]][0]
        if row is not None and getattr(row, name)[:SEAL_HEAD] == head:
            draft.rows[key] = amended(row, **{name: sealed})
            replaced += 1
    if not replaced:
        return Reason.UNCHANGED
    draft.facts = (("replaced", replaced),)
    return Reason.APPROVED


def _told(row: Component | None) -> str:
    return "" if row is None else f"part {row.part} {row.check} by {row.by}"


codec.register(schema.COMPONENT, Component, sealed=("sealed",))
