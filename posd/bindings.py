"""Messages to commands: which message type and processing code is which transaction.

`BINDINGS` is the table of ``protocol.md``, section 4: dispatch is by message type (its first three
digits, so that repeats go with their originals) and the first two digits of field 3; four where
the account debited makes another transaction of it, all six where the one credited does. What has
no row is 12.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from posd import inquiries
from posd.builders import (
    batches,
    cards,
    coupons,
    gifts,
    holds,
    members,
    offline,
    points,
    transfers,
    undo,
    value,
)
from posd.incoming import Incoming
from posd.inquiries import Inquire


@dataclass(slots=True)
class Binding:
    """A row of the table.

    Attributes:
        name: of the transaction, as metrics and logs call it.
        build: makes the command; None for a message that changes nothing.
        financial: True when an approval carries 15, 37, 38, 4, 49 and 54.
        member: True when a member has to be named.
        information: True when an information desk may send it.
        inquire: reads the answer, for a message that changes nothing; None for a command.
    """

    name: str
    build: Callable[[Incoming], Any] | None
    financial: bool
    member: bool
    information: bool
    inquire: Inquire | None = None


ANY: Final = ""
BINDINGS: Final[dict[tuple[str, str], Binding]] = {
    ("010", "31"): Binding("balance", None, False, True, True, inquiries.balance),
    ("010", "38"): Binding("day_totals", None, False, False, True, inquiries.day_totals),
    ("010", "32"): Binding("rate", None, False, False, True, inquiries.rate),
    ("010", "39"): Binding("coupon_inquiry", None, False, False, True, inquiries.coupon),
    ("010", "0365"): Binding("hold", holds.hold, True, True, False),
    ("010", "0360"): Binding("hold", holds.hold_value, True, True, False),
    ("010", "20"): Binding("release", holds.release, True, False, False),
    ("020", "22"): Binding("accrual", points.accrual, True, True, False),
    ("020", "00"): Binding("redemption", points.redemption, True, True, False),
    ("020", "0060"): Binding("purchase", value.purchase, True, True, False),
    ("020", "20"): Binding("void", undo.void, True, False, False),
    ("020", "21"): Binding("top_up", value.top_up, True, True, False),
    ("020", "406560"): Binding("conversion", value.conversion, True, True, False),
    ("020", "406565"): Binding("transfer", transfers.transfer_or_exchange, True, True, False),
    ("020", "91"): Binding("coupon_issue", coupons.claim, True, True, False),
    ("020", "90"): Binding("coupon_redemption", coupons.redemption, True, False, False),
    ("020", "92"): Binding("coupon_transfer", coupons.transfer, True, False, False),
    ("020", "93"): Binding("gift", gifts.gift_exchange, True, True, False),
    ("020", "94"): Binding("lottery", gifts.lottery_draw, True, True, False),
    ("022", "20"): Binding("refund", undo.refund, True, False, False),
    ("022", "0065"): Binding("capture", holds.capture, True, False, False),
    ("022", "0060"): Binding("capture", holds.capture_value, True, False, False),
    ("022", "22"): Binding("offline_accrual", offline.offline_accrual, True, True, False),
    ("032", ANY): Binding("upload", batches.upload, False, False, False),
    ("040", ANY): Binding("reversal", undo.reversal, True, False, False),
    ("050", ANY): Binding("settlement", batches.settlement, False, False, False),
    ("060", "96"): Binding("loss_report", cards.loss_report, False, True, False),
    ("060", "97"): Binding("card_replacement", cards.replacement, False, True, False),
    ("060", "98"): Binding("enrolment", members.enrolment, False, True, False),
    ("060", "99"): Binding("pin_change", members.pin_change, False, True, False),
}


def find(mti: str, function: str) -> Binding | None:
    """The row for a message, None where the protocol has none."""
    known = _FOUND.get(function)
    if known is not None and mti in known:
        return known[mti]
    kind = mti[:3]
    found = (
        BINDINGS.get((kind, function[:6]))
        or BINDINGS.get((kind, function[:4]))
        or BINDINGS.get((kind, function[:2]))
        or BINDINGS.get((kind, ANY))
    )
    if known is not None:
        if len(known) < TYPES_MAX:
            known[mti] = found
    elif len(_FOUND) < FOUND_MAX:
        _FOUND[function] = {mti: found}
    return found


FOUND_MAX: Final = 1024
TYPES_MAX: Final = 64
_FOUND: Final[dict[str, dict[str, Binding | None]]] = {}
"""By processing code and message type what was looked up before; both are the peer's to choose, so
that there are bounds: `FOUND_MAX` codes, and `TYPES_MAX` types of each."""
