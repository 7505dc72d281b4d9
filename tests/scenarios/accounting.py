"""The table of ``accounting.md``, row by row: the kinds of accounts that each event posts to.

Legs are kinds of accounts with the sign that they have in an entry: ``Lot+ Issued-``. A kind with
``~`` may be there, with either sign; no other may. An entry shows a row when its command and its
legs are those of the row, and a scenario says all of its legs.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """An event of the table.

    Attributes:
        event: as the table calls it.
        commands: kinds of commands, separated by commas, that post it.
        legs: see above.
        title: words of a scenario's title, where legs alone do not tell the row from another.
    """

    event: str
    commands: str
    legs: str
    title: str = ""

    def is_shown_by(self, title: str, kind: str, postings: tuple) -> bool:
        """Whether an entry of a scenario is an example of this row."""
        words = self.legs.split()
        needed = {word for word in words if word[-1] != "~"}
        may = {word[:-1] + sign for word in words if word[-1] == "~" for sign in "+-"}
        found = {leg[0].split(":")[0] + ("+" if leg[2] > 0 else "-") for leg in postings}
        named = kind in self.commands.split(", ") and self.title in title
        return named and needed <= found <= needed | may


ROWS = (
    Row("accrual", "accrual", "Lot+ Issued- Pos- Fund+ Margin+"),
    Row("accrual, a debt is repaid first", "accrual", "Debt+ Issued- Pos- Fund+ Lot~ Margin~ Fee~"),
    Row("accrual, with a fee", "accrual", "Lot+ Issued- Pos- Fund+ Fee+ Margin~"),
    Row("accrual, one set for each funder of a bonus", "accrual",
        "Lot+ Issued- Pos- Fund+ Margin+ Promo- Fee~", "a set of legs for each"),
    Row("accrual, private program", "accrual", "Lot+ Issued-"),
    Row("accrual, private program with a fee", "accrual", "Lot+ Issued- Pos- Fee+ Pos~ Fee~"),
    Row("offline accrual", "offline accrual", "Lot+ Issued- Pos- Fund+ Margin~ Fee~"),
    Row("revenue share of a margin", "redemption",
        "Lot- Redeemed+ Fund- Pos+ Margin+ Margin- Pos~ Fee~"),
    Row("revenue share of a fee", "accrual",
        "Lot+ Issued- Pos- Fund+ Fee+ Fee- Pos+ Margin~"),
    Row("revenue share of a top-up", "top-up",
        "Lot+ Issued- Pos- Fund+ Margin+ Pos+ Margin-"),
    Row("revenue share of an exchange", "exchange",
        "Lot- Converted+ Lot+ Converted- Fund- Fund+ Margin+ Pos+ Margin-"),
    Row("revenue share of points → value", "conversion",
        "Lot- Converted+ Fund- Value+ Margin+ Pos+ Margin-"),
    Row("revenue share of a gift", "gift", "Lot- Redeemed+ Fund- Pos+ Margin+ Margin-"),
    Row("revenue share of a coupon's surplus", "coupon use", "Voucher- Pos+ Margin+ Margin-"),
    Row("revenue share of recharge cards", "recharge cards",
        "Pos- CardStock+ Margin+ Pos+ Margin-"),
    Row("redemption", "redemption", "Lot- Redeemed+ Fund- Pos+ Margin+"),
    Row("redemption, with a fee", "redemption", "Lot- Redeemed+ Fund- Pos+ Margin+ Pos- Fee+"),
    Row("redemption, private program", "redemption", "Lot- Redeemed+"),
    Row("hold", "hold", "Lot- Held+"),
    Row("release", "release, hold time-out", "Held- Lot+"),
    Row("capture of a part", "capture", "Held- Lot+ Redeemed+ Fund- Pos+ Margin~ Pos~ Fee~"),
    Row("void, the fee too", "void", "Lot+ Redeemed- Fund+ Pos- Margin- Pos+ Fee-"),
    Row("void of an accrual", "void", "Lot- Issued+ Pos+ Fund- Margin~ Pos~ Fee~"),
    Row("reversal", "reversal", "Lot- Issued+ Pos+ Fund- Margin~ Pos~ Fee~"),
    Row("refund of a redemption", "refund", "Lot+ Redeemed- Fund+ Pos- Margin-"),
    Row("refund of a redemption, the fee by the terms", "refund",
        "Lot+ Redeemed- Fund+ Pos- Margin- Pos+ Fee-"),
    Row("… its lot has expired: at once", "refund",
        "Lot+ Redeemed- Fund+ Pos- Margin~ Lot- Expired+ Fund- Breakage+"),
    Row("… reissued", "refund", "Lot+ Redeemed- Fund+ Pos- Margin-", "issued again"),
    Row("refund of an accrual, points there", "refund", "Lot- Issued+ Pos+ Fund- Margin-"),
    Row("… pending first", "refund", "Lot- Issued+ Pos+ Fund- Margin~ Fee~", "pending"),
    Row("… spent, policy negative", "refund", "Debt- Issued+ Pos+ Fund- Lot~ Margin~"),
    Row("… policy stop at zero", "refund", "Lot- Issued+ Pos+ Fund-", "stops at zero"),
    Row("write-off of debt", "adjustment confirmed", "Debt+ Adjusted- Margin- Fund+"),
    Row("write-off of debt, the account is closed", "member closed",
        "Debt+ Adjusted- Margin- Fund+"),
    Row("points top-up", "top-up", "Lot+ Issued- Pos- Fund+ Margin+"),
    Row("value top-up", "top-up", "Pos- Value+"),
    Row("purchase", "purchase", "Value- Pos+ Pos- Fee+"),
    Row("points → value", "conversion", "Lot- Converted+ Fund- Value+ Margin+"),
    Row("exchange", "exchange", "Lot- Converted+ Lot+ Converted- Fund- Fund+ Margin+"),
    Row("exchange of a program that is not settled", "exchange",
        "Lot- Converted+ Lot+ Converted- Pos- Fund+"),
    Row("transfer, first half", "transfer", "Lot- Transit+"),
    Row("transfer, second half", "transfer in", "Transit- Lot+"),
    Row("expiry of points", "points expiry", "Lot- Expired+ Fund- Breakage+"),
    Row("expiry of points, shares", "points expiry",
        "Lot- Expired+ Fund- Breakage+ Breakage- Pos+"),
    Row("expiry of points, private program", "points expiry", "Lot- Expired+"),
    Row("expiry of value", "value expiry", "Value- ValueExpired+"),
    Row("re-activation of value", "value reactivation", "ValueExpired- Value+"),
    Row("income of expired value", "adjustment confirmed", "ValueExpired- Breakage+"),
    Row("free coupon, other funders", "coupon use", "Pos+ Pos-"),
    Row("free coupon, the operator", "coupon use", "Pos+ Promo-"),
    Row("voucher sold", "coupon claim", "Pos- Voucher+"),
    Row("voucher used in parts", "coupon use", "Voucher- Pos+ Pos-", "in parts"),
    Row("voucher expired", "coupon expiry", "Voucher- Breakage+", "last day"),
    Row("voucher expired, back to the funders", "coupon expiry", "Voucher- Pos+ Promo+"),
    Row("coupon for points", "coupon claim", "Lot- Redeemed+ Fund- Voucher+"),
    Row("coupon for points, used", "coupon use", "Voucher- Pos+ Pos-", "until the coupon is used"),
    Row("coupon for points, surplus", "coupon use", "Voucher- Pos+ Margin+"),
    Row("coupon for points, expired", "coupon expiry", "Voucher- Breakage+", "paid with points"),
    Row("gift", "gift", "Lot- Redeemed+ Fund- Pos+ Margin+"),
    Row("lottery, its cost", "draw", "Lot- Redeemed+ Fund- Promo+"),
    Row("lottery, a prize of points", "draw",
        "Lot- Redeemed+ Fund- Promo+ Lot+ Issued- Promo- Fund+"),
    Row("recharge cards sold", "recharge cards", "Pos- CardStock+ Margin-"),
    Row("recharge card used, points", "recharge", "Lot+ Issued- CardStock- Fund+"),
    Row("recharge card used, value", "recharge", "CardStock- Value+"),
    Row("recharge cards expired", "recharge expiry", "CardStock- Breakage+"),
    Row("manual adjustment, given", "adjustment confirmed", "Lot+ Adjusted- Fund+ Promo-"),
    Row("manual adjustment, taken", "adjustment confirmed", "Lot- Adjusted+ Fund- Promo+"),
    Row("opening balance of points", "opening balance", "Lot+ OpeningPoints- Fund+ Opening-"),
    Row("opening balance of value", "opening balance", "Value+ Opening-"),
    Row("settlement released", "post-back", "Pos- Payable+"),
    Row("settlement confirmed", "payment", "Payable- Bank+"),
    Row("settlement refused by the bank after all", "payment, resolution", "Payable+ Bank-"),
    Row("nightly true-up", "true-up", "Fund- Rounding+"),
)  # fmt: skip
