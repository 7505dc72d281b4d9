"""Lines of `load` to commands: the keys of each type with their checks and defaults.

`TYPES` is the table; ``LOAD.md`` beside this file explains it. Clear card numbers, phones, PINs and
keys end here: what goes on are digests and ciphertexts.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable
from typing import Any, Final

from engine.cards import LENGTH_MAX, LENGTH_MIN, cover_of
from engine.gifts import UNLIMITED
from engine.ladder import PERIOD_MONTHS_MAX
from engine.lotteries import SEED_BYTES, seal_seed
from engine.records import ASKED_NEVER, NEVER, Terminal
from engine.rulebook import ANY, PERIODS, SCOPES
from engine.rules import (
    clearing,
    desks,
    earning,
    exchange,
    gifts,
    limits,
    lotteries,
    products,
    reference,
    rewards,
    tiers,
    value,
)
from engine.vault import Vault, operator_owner
from ledger import schema
from posd import security
from tools import load_campaigns
from tools import load_checks as check
from tools.load_checks import AMOUNT_MAX, NAME_MAX, Check, Rejected

TOKENS_MAX: Final = 100
_REQUIRED: Final = check.REQUIRED


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


def _tier_rules(value: Any) -> tuple[tuple[Any, ...], ...]:
    if type(value) is not list:
        raise Rejected("has to be a list of rules")
    rows = []
    for number, one in enumerate(value, 1):
        if type(one) is not dict:
            raise Rejected(f"number {number} has to be an object")
        try:
            said = _values(one, TIER_RULE)
        except Rejected as fault:
            raise Rejected(f"number {number}: {fault}") from None
        if not said["spending_fen"] and not said["visits"]:
            raise Rejected(f"number {number} has to ask for spending_fen or visits")
        rows.append((*list(said.values())[:3], said["needs"] == "both", *list(said.values())[4:]))
    if len({row[0] for row in rows}) != len(rows):
        raise Rejected("has two from the same day")
    return tuple(rows)


def _prizes(value: Any) -> tuple[tuple[Any, ...], ...]:
    if type(value) is not list:
        raise Rejected("has to be a list of prizes")
    rows = []
    for number, one in enumerate(value, 1):
        if type(one) is not dict:
            raise Rejected(f"number {number} has to be an object")
        try:
            rows.append(tuple(_values(one, LOTTERY_PRIZE).values()))
        except Rejected as fault:
            raise Rejected(f"number {number}: {fault}") from None
    return tuple(rows)


def _gift_prices(value: Any) -> tuple[tuple[int, int, int], ...]:
    if type(value) is not list:
        raise Rejected("has to be a list of prices")
    rows = []
    for number, one in enumerate(value, 1):
        if type(one) is not dict:
            raise Rejected(f"number {number} has to be an object")
        try:
            rows.append(tuple(_values(one, GIFT_PRICE).values()))
        except Rejected as fault:
            raise Rejected(f"number {number}: {fault}") from None
    if len({row[0] for row in rows}) != len(rows):
        raise Rejected("has two from the same day")
    return tuple(sorted(rows))


_VERSION = check.matching(r"[\x21-\x7e]{1,40}", "1 to 40 ASCII characters")
_ENTRY_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}", re.ASCII).fullmatch
ENTRIES_MAX: Final = 1000
ENTRY_BYTES_MAX: Final = 200


def _scope(value: Any) -> tuple[str, str]:
    """Whom parameters are for: ``any``, a merchant's id, or a terminal's."""
    for scope, judge in (("merchant", check.merchant), ("terminal", check.terminal)):
        try:
            return scope, judge(value)
        except Rejected:
            continue
    if value == "any":
        return "any", ""
    raise Rejected("has to be any, a merchant's id or a terminal's")


def _entries(value: Any) -> tuple[tuple[str, str], ...]:
    if type(value) is not dict or len(value) > ENTRIES_MAX:
        raise Rejected(f"has to be an object of at most {ENTRIES_MAX} names and texts")
    for name, text in value.items():
        if not _ENTRY_NAME(name):
            raise Rejected("has names of 1 to 32 letters, digits, _, . or -")
        if type(text) is not str or len(text.encode()) > ENTRY_BYTES_MAX:
            raise Rejected(f"has texts of at most {ENTRY_BYTES_MAX} bytes")
    return tuple(value.items())


Fields = dict[str, tuple[Check, Any]]

TERMS: Final[Fields] = {
    "from": (check.day, _REQUIRED),
    "program": (check.program, _REQUIRED),
    "earn": (check.ratio, _REQUIRED),
    "funding_fen_per_point": (check.ratio, _REQUIRED),
    "settlement": (check.part, _REQUIRED),
    "fee_permille": (check.whole(0, 1000), 0),
    "fee_min_fen": (check.whole(0, AMOUNT_MAX), 0),
    "fee_max_fen": (check.whole(0, AMOUNT_MAX), 0),
    "refund_days": (check.whole(0, 3650), 0),
    "refund_fee": (check.flag, False),
    "pin_above_fen": (check.whole(0, AMOUNT_MAX), ASKED_NEVER),
    "burn_min_points": (check.whole(0, AMOUNT_MAX), 0),
    "burn_max_points": (check.whole(0, AMOUNT_MAX), 0),
    "tier_earn": (check.ratios, ()),
    "hold_minutes": (check.whole(1, 1440), 30),
    "pending_days": (check.whole(-1, 3650), 0),
    "top_up_fen_per_point": (check.ratio, (0, 0)),
    "refund_pin_above_fen": (check.whole(0, AMOUNT_MAX), ASKED_NEVER),
    "margin_share": (check.parts, ()),
    "fee_share": (check.parts, ()),
    "fee_fixed_fen": (check.whole(0, AMOUNT_MAX), 0),
    "fee_tiers": (check.fee_tiers, ()),
}

WHAT: Final = (
    "accrual",
    "reward",
    "redemption",
    "top_up",
    "purchase",
    "hold",
    "transfer",
    "conversion",
    "exchange",
    "coupon",
    "gift",
    "lottery",
    ANY,
)
"""What a limit may be about; the words that rules give to `engine.limits.check`."""

TIER_RULE: Final[Fields] = {
    "from": (check.day, _REQUIRED),
    "spending_fen": (check.whole(0, AMOUNT_MAX), 0),
    "visits": (check.whole(0, 1_000_000), 0),
    "needs": (check.choice("both", "either"), "either"),
    "period_months": (check.whole(1, PERIOD_MONTHS_MAX), 12),
    "keep_months": (check.whole(0, 120), 12),
}

GIFT_PRICE: Final[Fields] = {
    "from": (check.day, _REQUIRED),
    "points": (check.whole(0, AMOUNT_MAX), _REQUIRED),
    "agreed_fen": (check.whole(0, AMOUNT_MAX), _REQUIRED),
}

LOTTERY_PRIZE: Final[Fields] = {
    "id": (check.ident, _REQUIRED),
    "name": (check.text, _REQUIRED),
    "odds": (check.part, _REQUIRED),
    "stock": (check.whole(0, AMOUNT_MAX), UNLIMITED),
    "points": (check.whole(0, AMOUNT_MAX), 0),
    "worth_fen": (check.whole(0, AMOUNT_MAX), 0),
}

TYPES: Final[dict[str, Fields]] = {
    "program": {
        "id": (check.program, _REQUIRED),
        "name": (check.text, _REQUIRED),
        "points_per_yuan": (check.whole(1, 1_000_000), _REQUIRED),
        "expiry": (check.expiry, "none"),
        "settled": (check.flag, True),
        "after_expiry": (check.choice("expire", "reissue"), "expire"),
        "grace_days": (check.whole(0, 3650), 0),
        "clawback": (check.choice("negative", "zero"), "negative"),
        "phone_spends": (check.flag, False),
        "pin_above_fen": (check.whole(0, AMOUNT_MAX), ASKED_NEVER),
        "breakage_share": (check.part, (0, 1)),
    },
    "institution": {"id": (check.ident, _REQUIRED), "name": (check.text, _REQUIRED)},
    "merchant": {
        "id": (check.merchant, _REQUIRED),
        "name": (check.text, _REQUIRED),
        "institution": (check.ident, _REQUIRED),
        "category": (check.matching(r"\d{4}", "4 digits in quotes"), "0000"),
        "terms": (_terms, ()),
        "enabled": (check.flag, True),
        "operators": (check.flag, False),
    },
    "operator": {
        "merchant": (check.merchant, _REQUIRED),
        "id": (check.matching(r"[A-Za-z0-9]{3}", "3 letters or digits"), _REQUIRED),
        "name": (check.text, _REQUIRED),
        "pin": (check.pin, ""),
        "role": (check.choice("cashier", "supervisor"), "cashier"),
        "enabled": (check.flag, True),
    },
    "parameters": {
        "for": (_scope, ("any", "")),
        "version": (_VERSION, _REQUIRED),
        "software": (_VERSION, ""),
        "entries": (_entries, ()),
    },
    "account": {
        "party": (check.ident, _REQUIRED),
        "kind": (check.choice("merchant", "institution", "sponsor", "channel"), "merchant"),
        "name": (check.text, ""),
        "account_name": (check.text, _REQUIRED),
        "number": (check.matching(r"\d{5,34}", "5 to 34 digits in quotes"), _REQUIRED),
        "bank": (check.matching(r"[0-9A-Z]{6,14}", "a bank code of 6 to 14 characters"), _REQUIRED),
    },
    "store": {
        "id": (check.ident, _REQUIRED),
        "merchant": (check.merchant, _REQUIRED),
        "name": (check.text, _REQUIRED),
    },
    "terminal": {
        "id": (check.terminal, _REQUIRED),
        "merchant": (check.merchant, _REQUIRED),
        "profile": (check.choice("aes", "tdes-x919", "tdes-cup"), "aes"),
        "tmk": (check.key, _REQUIRED),
        "charset": (check.choice("gb18030", "utf-8"), "gb18030"),
        "networks": (check.list_of(check.network, 100), ()),
        "serial": (check.serial, ""),
        "role": (check.choice("sales", "information"), "sales"),
        "enabled": (check.flag, True),
        "store": (check.ident, ""),
    },
    "member": {
        "id": (check.ident, _REQUIRED),
        "cards": (check.list_of(check.card, TOKENS_MAX), ()),
        "phone": (check.phone, ""),
        "tokens": (check.list_of(check.token, TOKENS_MAX), ()),
        "identity": (check.identity, ""),
        "tier": (check.ident, ""),
        "state": (check.choice("active", "frozen", "closed"), ""),
        "pin": (check.pin, ""),
    },
    "rate": {
        "unit": (check.program, _REQUIRED),
        "target": (check.program, _REQUIRED),
        "from": (check.day, _REQUIRED),
        "rate": (check.ratio, _REQUIRED),
        "owner": (check.merchant, ""),
    },
    "card_product": {
        "id": (check.ident, _REQUIRED),
        "name": (check.text, _REQUIRED),
        "named": (check.flag, False),
        "reloadable": (check.flag, True),
        "face_max_fen": (check.whole(0, AMOUNT_MAX), 0),
        "validity": (check.validity, "none"),
        "loss_reportable": (check.flag, True),
        "stock": (check.flag, True),
        "activation": (check.choice("operator", "top-up"), "operator"),
        "pin_above_fen": (check.whole(0, AMOUNT_MAX), ASKED_NEVER),
        "prefix": (check.card_prefix, _REQUIRED),
        "length": (check.whole(LENGTH_MIN, LENGTH_MAX), 16),
    },
    "card_range": {
        "batch": (check.ident, _REQUIRED),
        "first": (check.whole(1, 10**7 - 1), _REQUIRED),
        "last": (check.whole(1, 10**7 - 1), _REQUIRED),
        "state": (check.choice(*products.STEPS), _REQUIRED),
    },
    "reactivation": {
        "member": (check.member, _REQUIRED),
        "expires": (check.day, _REQUIRED),
    },
    "tier": {
        "id": (check.ident, _REQUIRED),
        "name": (check.text, _REQUIRED),
        "rank": (check.whole(1, 99), _REQUIRED),
        "rules": (_tier_rules, ()),
    },
    "balance": {
        "member": (check.ident, _REQUIRED),
        "unit": (check.unit, _REQUIRED),
        "amount": (check.whole(0, AMOUNT_MAX), _REQUIRED),
        "expires": (check.day, NEVER),
    },
    "earn_rule": {
        "program": (check.program, _REQUIRED),
        "id": (check.ident, _REQUIRED),
        "scope": (check.choice("any", "merchant", "category", "institution"), "any"),
        "key": (check.ident, ""),
        "tier": (check.ident, ""),
        "multiplier": (check.ratio, _REQUIRED),
        "funder": (check.ident, ""),
        "stacks": (check.flag, True),
        "priority": (check.whole(0, 999), 100),
        "from": (check.day, 0),
        "until": (check.day, NEVER),
    },
    "campaign": load_campaigns.CAMPAIGN,
    "credit": {
        "party": (check.merchant, _REQUIRED),
        "limit_fen": (check.whole(0, AMOUNT_MAX), -1),
    },
    "reason": {
        "program": (check.program, _REQUIRED),
        "code": (check.reason_code, _REQUIRED),
        "points": (check.whole(0, AMOUNT_MAX), 0),
        "rate": (check.ratio, (0, 1)),
        "per_day": (check.whole(0, 1_000_000), 1),
        "funder": (check.ident, ""),
        "from": (check.day, 0),
        "until": (check.day, NEVER),
        "other_points": (check.whole(0, AMOUNT_MAX), 0),
    },
    "gift": {
        "sku": (check.ident, _REQUIRED),
        "name": (check.text, _REQUIRED),
        "owner": (check.merchant, _REQUIRED),
        "program": (check.program, _REQUIRED),
        "prices": (_gift_prices, _REQUIRED),
        "stock": (check.whole(0, AMOUNT_MAX), UNLIMITED),
        "per_member": (check.whole(0, 1_000_000), 0),
        "enabled": (check.flag, True),
    },
    "lottery": {
        "id": (check.ident, _REQUIRED),
        "name": (check.text, _REQUIRED),
        "program": (check.program, _REQUIRED),
        "cost": (check.whole(0, AMOUNT_MAX), _REQUIRED),
        "from": (check.day, _REQUIRED),
        "to": (check.day, _REQUIRED),
        "prizes": (_prizes, _REQUIRED),
        "when_out": (check.choice("next", "none"), "none"),
        "per_member": (check.whole(0, 1_000_000), 0),
        "state": (check.choice("draft", "live"), "draft"),
    },
    "limit": {
        "id": (check.ident, _REQUIRED),
        "scope": (check.choice(*SCOPES), _REQUIRED),
        "key": (check.ident, ""),
        "what": (check.choice(*WHAT), ANY),
        "unit": (check.unit, _REQUIRED),
        "per": (check.choice(*PERIODS), "transaction"),
        "min_amount": (check.whole(0, AMOUNT_MAX), 0),
        "max_amount": (check.whole(0, AMOUNT_MAX), 0),
        "max_count": (check.whole(0, AMOUNT_MAX), 0),
        "hard": (check.flag, True),
        "from": (check.day, 0),
        "until": (check.day, NEVER),
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
    for name, (judge, default) in known.items():
        value = row.get(name)
        if name in row:
            used += 1
        if value is None:
            if default is _REQUIRED:
                raise Rejected(f"{name} is missing")
            values[name] = default
            continue
        try:
            values[name] = judge(value)
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
            "account": lambda values: clearing.PutPayee(*values.values()),
            "store": lambda values: reference.PutStore(*values.values()),
            "terminal": self._terminal,
            "member": self._member,
            "rate": lambda values: exchange.PutRate(*values.values()),
            "tier": lambda values: tiers.PutTier(*values.values()),
            "operator": self._operator,
            "parameters": _parameters,
            "gift": lambda values: gifts.PutGift(*values.values()),
            "lottery": self._lottery,
            "limit": _limit,
            "card_product": lambda values: products.PutCardProduct(*values.values()),
            "card_range": lambda values: products.MoveCards(*values.values()),
            "reactivation": lambda values: value.ReactivateValue(*values.values()),
            "reason": lambda values: rewards.PutReason(*values.values()),
            "balance": lambda values: reference.OpeningBalance(*values.values()),
            "earn_rule": _earn_rule,
            "campaign": load_campaigns.command,
            "credit": lambda values: earning.PutCredit(*values.values()),
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
        if type(kind) is not str or kind not in TYPES:
            raise Rejected(
                "type is missing" if kind is None else _unknown("type", str(kind), TYPES)
            )
        return self._makers[kind](_values(row, TYPES[kind]))

    def _operator(self, values: dict[str, Any]) -> desks.PutOperator:
        merchant, operator, pin = values["merchant"], values["id"], values["pin"]
        if pin:
            owner = operator_owner(merchant, operator)
            values["pin"] = self._vault.pin_digest(owner, pin)
        else:
            values["pin"] = b""
        return desks.PutOperator(*values.values())

    def _lottery(self, values: dict[str, Any]) -> lotteries.PutLottery:
        live = values.pop("state") == "live"
        values["when_out"] = values["when_out"] == "next"
        sealed, seed_hash = b"", ""
        if live:
            # Unused where the lottery was approved before.
            sealed, seed_hash = seal_seed(self._vault, values["id"], os.urandom(SEED_BYTES))
        said: tuple[Any, ...] = (*values.values(), live, sealed, seed_hash)
        return lotteries.PutLottery(*said)

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
            values["store"],
        )

    def _member(self, values: dict[str, Any]) -> reference.PutMember:
        vault, member, pin = self._vault, values["id"], values["pin"]
        clear = [("C", card) for card in values["cards"]]
        if values["phone"]:
            clear.append(("P", values["phone"]))
        clear += [(token[0], token[1:]) for token in values["tokens"]]
        if values["identity"]:
            clear.append(("I", values["identity"].upper()))
        tokens, sealed, covers = [], [], []
        for kind, clear_text in dict.fromkeys(clear):
            covers.append(cover_of(clear_text) if kind == "C" else "")
            name, ciphertext = vault.seal_token(kind, clear_text)
            tokens.append((kind, name))
            # The ciphertext of a token that is there already is never replaced.
            there = self._read(schema.alias(kind, name)) is not None
            sealed.append(b"" if there else ciphertext)
        return reference.PutMember(
            member,
            values["tier"],
            values["state"],
            vault.pin_digest(member, pin) if pin else b"",
            tuple(tokens),
            tuple(sealed),
            tuple(covers) if any(covers) else (),
        )


def _limit(values: dict[str, Any]) -> limits.PutLimit:
    if not (values["min_amount"] or values["max_amount"] or values["max_count"]):
        raise Rejected("has no bound: give min_amount, max_amount or max_count")
    if values["max_count"] and values["per"] == "transaction":
        raise Rejected("max_count counts in a day or month: give per")
    return limits.PutLimit(*values.values())


def _earn_rule(values: dict[str, Any]) -> earning.PutEarnRule:
    if (values["scope"] == "any") != (not values["key"]):
        raise Rejected("key names the merchant, category or institution that scope says")
    above, below = values["multiplier"]
    if values["funder"] and above < below:
        raise Rejected("multiplier of a rule with a funder has to be at least 1")
    return earning.PutEarnRule(*values.values())


def _parameters(values: dict[str, Any]) -> desks.PutParameters:
    scope, key = values.pop("for")
    return desks.PutParameters(scope, key, *values.values())
