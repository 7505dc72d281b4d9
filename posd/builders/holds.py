"""Commands of hold, release and capture."""

from __future__ import annotations

from typing import Any

from engine.rules.holds import Capture, Hold, Release, ValueCapture, ValueHold
from ledger.model import MONEY
from posd.incoming import Incoming, Malformed, original_rrn


def hold(incoming: Incoming) -> Any:
    """Points set aside."""
    return Hold(
        *incoming.request(),
        incoming.tokens,
        incoming.unit(),
        incoming.amount(),
        incoming.pin,
    )


def release(incoming: Incoming) -> Any:
    """What is held is set free."""
    return Release(*incoming.request(), incoming.tokens, _held(incoming))


def capture(incoming: Incoming) -> Any:
    """What is held is spent."""
    return Capture(
        *incoming.request(),
        incoming.tokens,
        incoming.unit(),
        incoming.amount(),
        _held(incoming),
    )


def hold_value(incoming: Incoming) -> Any:
    """Stored value set aside."""
    if incoming.unit() != MONEY:
        raise Malformed("stored value is money")
    return ValueHold(
        *incoming.request(),
        incoming.tokens,
        incoming.amount(),
        incoming.pin,
    )


def capture_value(incoming: Incoming) -> Any:
    """Stored value that is held is spent."""
    return ValueCapture(
        *incoming.request(),
        incoming.tokens,
        incoming.unit(),
        incoming.amount(),
        _held(incoming),
    )


def _held(incoming: Incoming) -> int:
    """The sequence number of the hold that field 37 names."""
    original = original_rrn(incoming)
    if not original:
        raise Malformed("the hold is named in field 37")
    return original
