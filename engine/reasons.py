"""Why a command was approved or declined: the engine's own words, richer than the wire's.

Numbers are in order of precedence within a family, go into the journal and are never reused. The
wire's code and text of each is `posd.responses`' business; which of them leave the identity of a
request free is said here, since it decides what is journaled.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Reason(IntEnum):
    """Outcome of a command."""

    APPROVED = 0
    UNCHANGED = 1
    # the function itself
    FORM = 10
    FUNCTION_UNKNOWN = 11
    FUNCTION_OFF = 12
    # exactly once
    OTHER_CONTENT = 20
    REVERSED_BEFORE_ARRIVAL = 21
    BATCH_NOT_IN_FORCE = 22
    STAN_EXHAUSTED = 23
    ORIGINAL_UNKNOWN = 24
    ORIGINALS_DISAGREE = 25
    BATCH_SETTLED = 26
    # who
    MEMBER_MISSING = 30
    MEMBER_UNKNOWN = 31
    MEMBERS_DIFFER = 32
    OTHER_MEMBER = 33
    MEMBER_KNOWN = 34
    CARD_LOST = 35
    CARD_BLOCKED = 36
    MEMBER_CLOSED = 37
    CARD_NUMBER_BAD = 38
    # entitlement
    NO_TERMS = 40
    PROGRAM_NOT_HERE = 41
    UNIT_NOT_HERE = 42
    # amounts
    AMOUNT_ZERO = 50
    AMOUNT_DIFFERS = 51
    UNIT_DIFFERS = 52
    REFUND_EXCEEDS = 53
    ALREADY_UNDONE = 54
    NOT_UNDOABLE = 55
    TOO_LATE = 56
    AMOUNT_TOO_LARGE = 57
    # PIN
    PIN_BLOCK_BAD = 60
    PIN_MISSING = 61
    PIN_WRONG = 62
    PIN_LOCKED = 63
    # funds
    NOT_ENOUGH = 70
    # stored value and its cards
    CARD_NOT_ACTIVE = 100
    CARD_EXPIRED = 101
    NOT_RELOADABLE = 102
    CARD_NOT_IN_STOCK = 103
    OVER_FACE_VALUE = 104
    CONVERTS_TO_NOTHING = 105
    PROGRAM_NOT_SETTLED = 106
    LOSS_NOT_REPORTABLE = 107
    # settlement
    TOTALS_DIFFER = 80
    # sweeps, inquiries
    TOO_MANY_TERMINALS = 190
    SALE_TOO_OLD = 191
    SALE_IN_FUTURE = 192
    TOO_MANY_ADVICES = 193
    # administration
    REFUSED = 90
    # holds and transfers
    HOLD_ENDED = 120
    HOLD_TIMED_OUT = 121
    HOLD_EXCEEDED = 122
    HOLDS_FULL = 123
    TO_ONESELF = 124
    NO_RATE = 125
    EXCHANGE_TOO_SMALL = 126
    # cards
    NO_CARD = 140
    CARD_TAKEN = 141
    CARD_UNCLEAR = 142
    CARDS_TOO_MANY = 143
    # limits
    LIMIT_BELOW = 160
    LIMIT_AMOUNT = 161
    LIMIT_COUNT = 162
    POOL_EXHAUSTED = 163
    CREDIT_EXCEEDED = 164
    REWARD_UNKNOWN = 165
    # campaigns and coupons
    CAMPAIGN_UNKNOWN = 220
    CAMPAIGN_NOT_LIVE = 221
    CAMPAIGN_EARLY = 222
    CAMPAIGN_OVER = 223
    COUPON_UNKNOWN = 224
    COUPON_USED = 225
    COUPON_VOID = 226
    COUPON_EARLY = 227
    COUPON_EXPIRED = 228
    COUPON_NOT_HOLDER = 229
    COUPON_NOT_HERE = 230
    COUPON_NOT_NOW = 231
    COUPON_NOT_TRANSFERABLE = 232
    COUPON_DIFFERS = 233
    COUPONS_EXCLUDED = 234
    COUPON_PIN_MISSING = 235
    COUPON_PIN_WRONG = 236
    COUPON_LOCKED = 237
    SALE_TOO_SMALL = 238
    PIECES_TOO_FEW = 239
    TAKEN_ENOUGH = 240
    QUANTITY_EXHAUSTED = 241
    DAY_EXHAUSTED = 242
    BUDGET_EXHAUSTED = 243
    COUPON_USED_SINCE = 244
    CODE_TAKEN = 245
    # gifts, lotteries, recharge cards
    GIFT_UNKNOWN = 260
    GIFT_NOT_OFFERED = 261
    GIFT_SOLD_OUT = 262
    GIFTS_ENOUGH = 263
    GIFT_HANDED_OVER = 264
    QUANTITY_ZERO = 265
    LOTTERY_UNKNOWN = 266
    LOTTERY_EARLY = 267
    LOTTERY_OVER = 268
    DRAWS_ENOUGH = 269
    DRAW_AGAIN = 270
    RECHARGE_USED = 271
    RECHARGE_NOT_ACTIVE = 272
    RECHARGE_EXPIRED = 273
    # operators at the till
    OPERATOR_MISSING = 200
    OPERATOR_NOT_ALLOWED = 201
    OPERATOR_PIN_MISSING = 202
    OPERATOR_PIN_WRONG = 203
    OPERATOR_LOCKED = 204


UNSTORED: Final = frozenset(
    {
        Reason.UNCHANGED,
        Reason.FORM,
        Reason.FUNCTION_UNKNOWN,
        Reason.FUNCTION_OFF,
        Reason.OTHER_CONTENT,
        Reason.REVERSED_BEFORE_ARRIVAL,
        Reason.BATCH_NOT_IN_FORCE,
        Reason.STAN_EXHAUSTED,
        Reason.MEMBER_MISSING,
        Reason.PIN_BLOCK_BAD,
        Reason.TOO_MANY_TERMINALS,
        Reason.OPERATOR_MISSING,
        Reason.OPERATOR_NOT_ALLOWED,
        Reason.REFUSED,
        Reason.CODE_TAKEN,
        Reason.DRAW_AGAIN,
    }
)
"""Outcomes that are answered and not remembered (``protocol.md``, section 6, rule 2)."""
