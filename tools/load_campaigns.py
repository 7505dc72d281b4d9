"""Lines of `load` that say campaigns: their keys, and what each kind asks for.

What is wrong is told with the name of the key, as for every line (`tools.load_lines`).
"""

from __future__ import annotations

import re
from typing import Any, Final

from engine.campaigns import (
    KINDS,
    LAST_MINUTE,
    MINUTES,
    OPEN_KINDS,
    OPERATOR,
    REFUND_RULES,
    STACKING,
    STATES,
)
from engine.records import Ratio
from engine.rules.campaigns import PutCampaign
from tools import load_checks as check
from tools.load_checks import AMOUNT_MAX, REQUIRED, Check, Rejected

NAMES_MAX: Final = 1000
"""Merchants, categories or institutions that a campaign names."""
COUNT_MAX: Final = 1_000_000_000

_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


def _clock(text: str) -> int:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise Rejected("has to give times like 09:30")
    return int(found[1]) * 100 + int(found[2])


def moment(last: bool) -> Check:  # noqa: FBT001 - which end of a day a bare date stands for
    """A check for a date, or a date and time like ``2026-03-01T09:30``: YYYYMMDDhhmm."""

    def judge(value: Any) -> int:
        if type(value) is not str:
            raise Rejected("has to be a date in quotes, like 2026-12-31 or 2026-12-31T09:30")
        date, separator, clock = value.partition("T")
        minute = _clock(clock) if separator else (LAST_MINUTE if last else 0)
        day: int = check.day(date)
        return day * MINUTES + minute

    return judge


def _span(text: Any) -> tuple[int, int]:
    """Times like ``09:00-11:30``."""
    begin, separator, end = text.partition("-") if type(text) is str else ("", "", "")
    if not separator:
        raise Rejected("has to hold spans like 09:00-11:30")
    span = _clock(begin), _clock(end)
    if span[0] > span[1]:
        raise Rejected("has a span that ends before it begins")
    return span


def _slot(text: Any) -> tuple[int, int, int]:
    """A day and times like ``2026-03-01 19:00-22:00``."""
    day, separator, span = text.partition(" ") if type(text) is str else ("", "", "")
    if not separator:
        raise Rejected("has to hold slots like 2026-03-01 19:00-22:00")
    return (check.day(day), *_span(span))


def _funders(value: Any) -> tuple[tuple[str, Ratio], ...]:
    return tuple([row for row in check.parts(value) if row[0] != OPERATOR])


CAMPAIGN: Final[dict[str, tuple[Check, Any]]] = {
    "id": (check.ident, REQUIRED),
    "title": (check.text, ""),
    "kind": (check.choice(*KINDS), REQUIRED),
    "from": (moment(last=False), REQUIRED),
    "to": (moment(last=True), REQUIRED),
    "until": (check.day, 0),
    "valid_days": (check.whole(0, 36500), -1),
    "use_from": (check.day, 0),
    "face_fen": (check.whole(0, AMOUNT_MAX), 0),
    "percent": (check.part, (0, 1)),
    "cap_fen": (check.whole(0, AMOUNT_MAX), 0),
    "price_fen": (check.whole(0, AMOUNT_MAX), 0),
    "buy": (check.whole(0, 1000), 0),
    "free": (check.whole(0, 1000), 0),
    "uses": (check.whole(1, 10_000), 1),
    "quantity": (check.whole(0, COUNT_MAX), 0),
    "per_member": (check.whole(0, COUNT_MAX), 0),
    "per_day": (check.whole(0, COUNT_MAX), 0),
    "budget_fen": (check.whole(0, AMOUNT_MAX), 0),
    "min_sale_fen": (check.whole(0, AMOUNT_MAX), 0),
    "merchants": (check.list_of(check.merchant, NAMES_MAX), ()),
    "categories": (check.list_of(check.matching(r"\d{4}", "4 digits"), NAMES_MAX), ()),
    "institutions": (check.list_of(check.ident, NAMES_MAX), ()),
    "weekdays": (check.list_of(check.whole(1, 7), 7), ()),
    "hours": (check.list_of(_span, 24), ()),
    "slots": (check.list_of(_slot, 100), ()),
    "funders": (_funders, ()),
    "points_price": (check.whole(0, AMOUNT_MAX), 0),
    "program": (check.program, ""),
    "sold_fen": (check.whole(0, AMOUNT_MAX), 0),
    "bonus_points": (check.whole(0, AMOUNT_MAX), 0),
    "transferable": (check.flag, True),
    "holder": (check.choice("bearer", "bound"), "bearer"),
    "pin": (check.flag, False),
    "stacking": (check.choice(*STACKING), "alone"),
    "excludes": (check.list_of(check.ident, 100), ()),
    "refund_rule": (check.choice(*REFUND_RULES), "restore"),
    "grace_days": (check.whole(0, 3650), 0),
    "forfeit": (check.choice("breakage", "funders"), "breakage"),
    "approvals": (check.whole(1, 5), 1),
    "state": (check.choice(*STATES), "draft"),
}
"""Keys of a campaign's line in the order of the record's fields, the state last."""

NEEDED: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "amount_off": (("face_fen",),),
    "percent_off": (("percent",),),
    "voucher": (("face_fen",),),
    "special_price": (("price_fen",),),
    "buy_x_get_y": (("buy",), ("free",)),
    "session": (("slots",),),
    "vip": (("percent", "face_fen"),),
    "trial": (("per_member",),),
    "points": (("face_fen",), ("points_price",)),
    "shared": (("percent", "face_fen"),),
}
"""Kind to the keys that it needs, one of each group."""

_PRICED: Final = frozenset({"voucher", "special_price", "gift", "buy_x_get_y"})
UNUSED: Final[dict[str, frozenset[str]]] = {
    "price_fen": frozenset(KINDS) - {"special_price"},
    "buy": frozenset(KINDS) - {"buy_x_get_y"},
    "free": frozenset(KINDS) - {"buy_x_get_y"},
    "percent": _PRICED,
    "face_fen": frozenset({"special_price", "buy_x_get_y"}),
    "uses": OPEN_KINDS,
}
"""Key to the kinds that make nothing of it, and so may not have it."""

_NOTHING: Final = (0, (), (0, 1), "")


def command(values: dict[str, Any]) -> PutCampaign:
    """The command of a campaign's line.

    Raises:
        Rejected: keys do not go together; the sentence names them.
    """
    kind = values["kind"]
    for group in NEEDED.get(kind, ()):
        if all(values[name] in _NOTHING for name in group):
            raise Rejected(f"{' or '.join(group)} is missing, which the kind {kind} needs")
    for name, kinds in UNUSED.items():
        if kind in kinds and values[name] != CAMPAIGN[name][1]:
            raise Rejected(f"{name} says nothing of a campaign of the kind {kind}: leave it out")
    if values["percent"][0] and values["face_fen"]:
        raise Rejected("percent and face_fen exclude each other")
    if values["to"] < values["from"]:
        raise Rejected("to lies before from")
    if values["until"] and values["valid_days"] >= 0:
        raise Rejected("until and valid_days exclude each other")
    if values["until"] and values["until"] < values["from"] // MINUTES:
        raise Rejected("until lies before from")
    last = values["until"] or values["to"] // MINUTES
    if values["use_from"] > last and values["valid_days"] < 0:
        raise Rejected("use_from lies behind the last day of use")
    _check_price(values)
    values["title"] = values["title"] or values["id"]
    values["holder"] = values["holder"] == "bound"
    *terms, state = values.values()
    return PutCampaign(tuple(terms), state)


def _check_price(values: dict[str, Any]) -> None:
    kind = values["kind"]
    if values["points_price"] and values["sold_fen"]:
        raise Rejected("points_price and sold_fen exclude each other")
    if (values["points_price"] or values["bonus_points"]) and not values["program"]:
        raise Rejected("program is missing, of which the points are")
    if kind == "shared" and (values["points_price"] or values["sold_fen"]):
        raise Rejected("points_price and sold_fen have to be 0 for a code that is shared")
    if kind == "voucher" and values["sold_fen"] > values["face_fen"]:
        raise Rejected("sold_fen has to be at most face_fen")
    if values["refund_rule"] == "reissue" and not values["grace_days"]:
        raise Rejected("grace_days is missing, which the refund_rule reissue needs")
    if values["grace_days"] and values["refund_rule"] != "reissue":
        raise Rejected("grace_days says nothing without the refund_rule reissue: leave it out")
    if kind == "voucher" and values["uses"] != 1:
        raise Rejected("uses of a voucher are as many as its value lasts: leave it out")
