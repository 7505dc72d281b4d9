"""Commands of sales that were made offline."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from engine.rules.offline import OfflineAccrual
from posd.incoming import Incoming, Malformed

TIME_DIGITS = 14


def offline_accrual(incoming: Incoming) -> Any:
    """Points for a sale of an earlier time."""
    if incoming.unit() != "156":
        raise Malformed("the sale of an accrual is in money")
    if "1E" in incoming.tlv:
        raise Malformed("what has a reason code is no sale, and is not made offline")
    return OfflineAccrual(
        *incoming.request(),
        incoming.tokens,
        incoming.amount(),
        _time_of_sale(incoming),
    )


def _time_of_sale(incoming: Incoming) -> int:
    text = incoming.tlv.get("1G", b"").decode("ascii", "replace")
    if len(text) != TIME_DIGITS or not (text.isascii() and text.isdecimal()):
        raise Malformed("an offline sale says its time in element 1G, 14 digits")
    try:
        datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007 - only whether there is such a time
    except ValueError:
        raise Malformed("the time of an offline sale is none") from None
    return int(text)
