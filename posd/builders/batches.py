"""Commands of batch settlement and upload."""

from __future__ import annotations

from typing import Any

from engine.rules.terminals import Settlement, UploadItem
from posd.incoming import Incoming, Malformed, network_code, original_identity

SETTLEMENT = "201"
UPLOAD_END = "207"
TOTALS_LENGTH = 39


def settlement(incoming: Incoming) -> Any:
    """Batch settlement with the terminal's totals."""
    if network_code(incoming) != SETTLEMENT:
        raise Malformed("settlement has network code 201")
    totals = tuple(sorted(_totals(value) for value in incoming.totals))
    if len({line[0] for line in totals}) != len(totals):
        raise Malformed("totals of a unit twice")
    return Settlement(
        *incoming.request(),
        totals,
    )


def _totals(value: bytes) -> tuple[str, int, int, int, int]:
    text = value.decode("ascii", "replace")
    if len(text) != TOTALS_LENGTH or not (text[3:].isascii() and text[3:].isdecimal()):
        raise Malformed("totals are unit, count, amount, count, amount")
    return text[:3], int(text[3:9]), int(text[9:21]), int(text[21:27]), int(text[27:39])


def upload(incoming: Incoming) -> Any:
    """An item of a batch upload, or its end."""
    code = network_code(incoming)
    batch, stan = original_identity(incoming)
    if code not in {SETTLEMENT, UPLOAD_END} or (code == SETTLEMENT and not stan):
        raise Malformed("an uploaded item has network code 201 and its batch and STAN in field 61")
    fields = incoming.fields
    return UploadItem(
        *incoming.request(),
        batch,
        stan,
        fields.get(49, ""),
        int(fields.get(4, 0)),
        fields.get(37, ""),
        fields.get(39, ""),
        incoming.tokens,
        code == UPLOAD_END,
    )
