"""The verbs of campaigns and coupons, for `tests.scenarios.stage`.

Setting the stage::

    campaign SPRING amount_off face 10.00 [from 2026-01-01] [to 2026-12-31T18:00] [min-sale 50.00]
        [funders HOTEL=1/2,operator=1/2] [at HOTEL,SHOP] [percent 1/10] [points 500] [program P01]
        [bound] [pin] [fixed] [state draft] …     (keys of ``LOAD.md``; amounts in yuan)
    codes 7 of SPRING 10                          (a batch of produced codes 7.1 to 7.10)

Acts; a coupon has the name of its claim, a produced one is ``batch.serial``::

    claim SPRING card A as C1
    use C1 60.00 yuan [card A] [pieces 3] [reference R1] [coupon-pin wrong] as U1
    hand-over C1 card C [card A] as C2            (the first is who gets it)
    coupon-grant SPRING M1 as C3
    coupon-inquiry C1 60.00 yuan                  (expectations: coupon …, worth …)
    coupon-expiry C1
    coupon-inquiries SPRING 3                     (the daemon notes so many)
    campaign-step approve SPRING by ANNA
    coupon-step unlock C1 by ANNA                 (or cancel, also of 7.3)

Expectations::

    discount 10.00
    coupon C1 is live[, 2 left][, 30.00 yuan left][, until 2026-12-31]
    effect of SPRING: issued 1 claimed 1 used 1 [inquired 2]
"""

import re
from typing import Any

from engine.campaigns import CodeBatch, Effect, inquired
from engine.commands import Answer, Pin
from engine.rules import campaigns, coupons
from engine.rules.coupon_inquiry import NoteInquiries, look
from ledger import codec, schema
from tests.engine.house import sealed, token
from tests.scenarios.words import day, fen, options, ratio
from tools.load_campaigns import CAMPAIGN

COUPON_PINS = {"right": Pin.RIGHT, "wrong": Pin.WRONG}
FLAGS = {"bound": ("holder", True), "pin": ("pin", True), "fixed": ("transferable", False)}
MONEY_KEYS = {"face": "face_fen", "cap": "cap_fen", "price": "price_fen", "sold": "sold_fen"} | {
    "min-sale": "min_sale_fen",
    "budget": "budget_fen",
}
NAMES = {
    "points": "points_price",
    "bonus": "bonus_points",
    "refund": "refund_rule",
    "grace": "grace_days",
    "valid-days": "valid_days",
    "per-member": "per_member",
    "per-day": "per_day",
    "at": "merchants",
}
LISTS = {"merchants", "categories", "institutions", "excludes"}


def minute(text: str, clock: str) -> int:
    date, _, said = text.partition("T")
    return day(date) * 10_000 + int((said or clock).replace(":", ""))


def span(text: str) -> tuple[int, int]:
    begin, end = text.replace(":", "").split("-")
    return int(begin), int(end)


def slot(text: str) -> tuple[int, int, int]:
    """``2026-03-01/19:00-22:00``."""
    date, times = text.split("/")
    return (day(date), *span(times))


READERS = {
    "from": lambda text: minute(text, "0000"),
    "to": lambda text: minute(text, "2359"),
    "until": day,
    "use_from": day,
    "percent": ratio,
    "funders": lambda text: tuple(
        (party, ratio(part)) for party, part in (one.split("=") for one in text.split(","))
    ),
    "hours": lambda text: tuple(span(one) for one in text.split(",")),
    "weekdays": lambda text: tuple(int(one) for one in text.split(",")),
    "slots": lambda text: tuple(slot(one) for one in text.split(",")),
}


def campaign(words: list[str]) -> campaigns.PutCampaign:
    """The command of a line ``SPRING amount_off face 10.00 …``."""
    name, kind, *rest = words
    values: dict[str, Any] = {key: default for key, (_, default) in CAMPAIGN.items()}
    values |= {"id": name, "title": name, "kind": kind, "state": "live", "holder": False}
    values |= {"from": 202601010000, "to": 202612312359}
    for word, text in options(rest, *FLAGS).items():
        if word in FLAGS:
            key, value = FLAGS[word]
            values[key] = value
        elif word in MONEY_KEYS:
            values[MONEY_KEYS[word]] = fen(text)
        else:
            key = NAMES.get(word, word)
            if key in READERS:
                values[key] = READERS[key](text)
            elif key in LISTS:
                values[key] = tuple(text.split(","))
            else:
                values[key] = int(text) if text.isdecimal() else text
    if values["funders"]:
        values["funders"] = tuple(row for row in values["funders"] if row[0] != "operator")
    *terms, state = values.values()
    return campaigns.PutCampaign(tuple(terms), state)


class Couponing:
    """The part of a stage that knows campaigns and coupons."""

    def set_campaign(self, words: list[str], at: int) -> Answer:
        self.answer = self.house.execute(campaign(words), at)
        return self.answer

    def set_codes(self, words: list[str], _at: int) -> None:
        number, _, name, count = words
        row = CodeBatch(name, int(count), 20, "", imported=False)
        self.book.view.put(schema.codes(int(number)), codec.pack_record(row))

    def code(self, name: str) -> dict[str, Any]:
        """Digest, batch and serial number of a coupon's code."""
        batch, dot, serial = name.partition(".")
        made = {"code_batch": int(batch), "serial": int(serial)} if dot else {}
        return {"coupon": token("K", name)[1], "code_batch": 0, "serial": 0} | made

    def claim(self, words: Any) -> Any:
        name = words.valued.get("as", "nobody's")
        return self.request(
            coupons.Claim,
            words,
            tokens=words.named(),
            campaign=words.rest[0],
            unit=words.unit,
            amount=words.amount or 0,
            code=token("K", words.valued.get("code", name))[1],
            sealed=sealed(name),
            pin=self.pin(words),
        )

    def coupon_grant(self, words: Any) -> Any:
        name = words.valued["as"]
        code = token("K", words.valued.get("code", name))[1]
        return coupons.Grant(words.rest[1], words.rest[0], code, sealed(name))

    def use(self, words: Any) -> Any:
        return self.request(
            coupons.Use,
            words,
            tokens=words.named(),
            **self.code(words.rest[0]),
            amount=words.amount,
            quantity=int(words.valued.get("pieces", 0)),
            reference=words.valued.get("reference", ""),
            coupon_pin=self.coupon_pin(words),
        )

    def coupon_pin(self, words: Any) -> int:
        return int(COUPON_PINS.get(words.valued.get("coupon-pin"), Pin.ABSENT))

    def hand_over(self, words: Any) -> Any:
        other, *holder = words.named()
        return self.request(
            coupons.Handover,
            words,
            tokens=tuple(holder),
            other=(other,),
            **self.code(words.rest[0]),
            unit="",
            amount=0,
            code=token("K", words.valued.get("code", words.valued.get("as", "nobody's")))[1],
            sealed=sealed("code"),
            coupon_pin=self.coupon_pin(words),
        )

    def coupon_expiry(self, words: Any) -> Any:
        return coupons.ExpireCoupons(tuple(self.code(name)["coupon"] for name in words.rest))

    def coupon_inquiries(self, words: Any) -> Any:
        name, count = words.rest
        return NoteInquiries(((name, int(count)),))

    def campaign_step(self, words: Any) -> Any:
        step, name = words.rest
        return campaigns.MoveCampaign(name, step, words.valued.get("by", ""))

    def coupon_step(self, words: Any) -> Any:
        step, name = words.rest
        named = self.code(name)
        if step == "cancel" and named["code_batch"]:
            return campaigns.CancelCode(*named.values(), words.valued.get("by", ""), "stolen")
        coupon = named["coupon"]
        return campaigns.MoveCoupon(coupon, step, words.valued.get("by", ""), "asked for")

    def expect_discount(self, amount: str) -> None:
        self.same("the discount", self.facts().get("discount"), fen(amount))

    def expect_coupon(self, name: str, state: str, more: str) -> None:
        row = self.book.view.get(schema.coupon(self.code(name)["coupon"]))
        self.same("the coupon's state", row.state if row else "unknown", state)
        for one in filter(None, more.split(", ")):
            number, *rest = one.split()
            if number == "until":
                self.same("until", row.until, day(rest[0]))
            elif rest == ["left"]:
                self.same("uses left", row.uses_left, int(number))
            elif rest == ["yuan", "left"]:
                self.same("value left", row.value_left, fen(number))
            else:
                self.same("paid", (row.cost, row.money), (fen(number), fen(rest[1])))

    def expect_worth(self, name: str, sale: str, at: str, more: str) -> None:
        """``C1 at SHOP on 60.00: live, 10.00 off``."""
        draft = self.house.machine.look(self.at)
        reason = look(draft, tuple(self.code(name).values()), at, fen(sale), 0)
        facts = dict(draft.facts)
        told = f"{facts['status']}, {facts['discount'] / 100:.2f} off" if not reason else "unknown"
        self.same("the inquiry", told, more)

    def expect_effect(self, name: str, said: str) -> None:
        row = self.book.view.get(schema.named(schema.EFFECT, name)) or Effect(*[0] * 9)
        for key, number in re.findall(r"(\w+) ([\d.-]+)", said):
            wanted = fen(number) if key in {"discount", "sales"} else int(number)
            asked = key == "inquired"
            found = inquired(self.book.view.get, name) if asked else getattr(row, key)
            self.same(key, found, wanted)

    def expect_campaign(self, name: str, state: str) -> None:
        row = self.book.view.get(schema.named(schema.CAMPAIGN, name))
        self.same("the campaign's state", row.state, state)


SETTINGS = {"campaign": Couponing.set_campaign, "codes": Couponing.set_codes}

ACTS = {
    "claim": Couponing.claim,
    "coupon-grant": Couponing.coupon_grant,
    "use": Couponing.use,
    "hand-over": Couponing.hand_over,
    "coupon-expiry": Couponing.coupon_expiry,
    "coupon-inquiries": Couponing.coupon_inquiries,
    "campaign-step": Couponing.campaign_step,
    "coupon-step": Couponing.coupon_step,
}

EXPECTATIONS = [
    (r"discount ([\d.]+)", Couponing.expect_discount),
    (r"coupon (\S+) is (\w+)(?:, (?=.))?(.*)", Couponing.expect_coupon),
    (r"inquiry of (\S+) on ([\d.]+) at (\w+): (.+)", Couponing.expect_worth),
    (r"effect of (\w+): (.+)", Couponing.expect_effect),
    (r"campaign (\w+) is (\w+)", Couponing.expect_campaign),
]
