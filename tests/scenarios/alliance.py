"""Lines of scenarios that set up the alliance: the calendar, who takes part, what they begin with.

open 2026-03-01 cut-off 23:30 zone Europe/Berlin [batch-days 7] [offline-days 3]
    [offline-daily 500]
program P01 rate 100 expiry rolling:24m [private] [reissue 30] [zero] [phone-spends]
    [pin-above FEN]
institution ZJ01                             (HB01 is there)
merchant HOTEL from 2026-01-01 P01 earn 1/1 funding 1/1 settlement 95/100 fee 6 [min 10]
    [max 100] [refund-days 30] [refund-fee] [pin-above FEN] [burn-min 10] [burn-max 500]
    [tier-earn gold=2/1,silver=3/2]
    [hold 30] [pending 14]      (-1: until they are released)
    [refund-pin-above FEN] [of ZJ01] [category 5814]
    [margin-share HB01=1/4,issuer=1/4] [fee-share HB01=1/2]
    [fee-fixed FEN] [fee-tiers 10000=5,100000=3]     (from so many fen on, that many ‰)
    (more lines add terms)
terminal 00000001 at HOTEL
member M1 card A phone B [state frozen] [of tier gold]
balance M1 P01 5000 until 2027-12-31         (M1 156 5000: fen of stored value)
card A is lost
batch in force 999999 at terminal 00000001
"""

from engine.commands import Answer
from engine.draft import amended
from engine.records import ASKED_NEVER, CALENDAR, Link
from ledger import codec, schema
from tests.engine.house import token
from tests.scenarios.words import Words, day, options, ratio


def named_ratios(text: str) -> tuple[tuple[str, tuple[int, int]], ...]:
    """``gold=2/1,silver=3/2``."""
    pairs = [one.split("=") for one in text.split(",") if one]
    return tuple((tier, ratio(earn)) for tier, earn in sorted(pairs))


def fee_tiers(text: str) -> tuple[tuple[int, int], ...]:
    """``10000=5,100000=3``: from so many fen on, so many thousandths."""
    pairs = [one.split("=") for one in text.split(",") if one]
    return tuple(sorted((int(least), int(permille)) for least, permille in pairs))


class Alliance:
    """The part of a stage that sets these up."""

    def set_open(self, words: list[str], at: int) -> Answer:
        said = dict(zip(words[1::2], words[2::2], strict=True))
        self.zone = said.get("zone", self.zone)
        hours, minutes = (int(part) for part in said.get("cut-off", "24:00").split(":"))
        # The machine keeps an open date once there is one; a scenario starts with its own.
        calendar = self.book.view.get(CALENDAR)
        if calendar.date != day(words[0]):
            self.book.view.put(CALENDAR, codec.pack_record(amended(calendar, date=day(words[0]))))
        days = tuple(
            int(said.get(name, usual))
            for name, usual in (("batch-days", 7), ("offline-days", 3), ("offline-daily", 500))
        )
        return self.house.open(day(words[0]), hours * 60 + minutes, self.zone, at, days=days)

    def set_program(self, words: list[str], at: int) -> Answer:
        said = options(words[1:], "private", "zero", "phone-spends")
        return self.house.program(
            words[0],
            at,
            points_per_yuan=int(said.get("rate", 100)),
            expiry=said.get("expiry", "rolling:24m"),
            settled="private" not in said,
            after_expiry="reissue" if "reissue" in said else "expire",
            grace_days=int(said.get("reissue", 0)),
            clawback="zero" if "zero" in said else "negative",
            phone_spends="phone-spends" in said,
            breakage_share=ratio(said.get("breakage-share", "0/1")),
            pin_above=int(said.get("pin-above", ASKED_NEVER)),
        )

    def set_institution(self, words: list[str], at: int) -> Answer:
        return self.house.institution(words[0], at)

    def set_merchant(self, words: list[str], at: int) -> Answer:
        program = words.pop(3)
        said = options(words[1:], "refund-fee")
        row = (
            day(said["from"]),
            program,
            ratio(said.get("earn", "1/1")),
            ratio(said.get("funding", "1/1")),
            ratio(said.get("settlement", "1/1")),
            int(said.get("fee", 0)),
            int(said.get("min", 0)),
            int(said.get("max", 0)),
            int(said.get("refund-days", 0)),
            "refund-fee" in said,
            int(said.get("pin-above", ASKED_NEVER)),
            int(said.get("burn-min", 0)),
            int(said.get("burn-max", 0)),
            named_ratios(said.get("tier-earn", "")),
            int(said.get("hold", 30)),
            int(said.get("pending", 0)),
            ratio(said.get("top-up", "0/0")),
            int(said.get("refund-pin-above", ASKED_NEVER)),
            named_ratios(said.get("margin-share", "")),
            named_ratios(said.get("fee-share", "")),
            int(said.get("fee-fixed", 0)),
            fee_tiers(said.get("fee-tiers", "")),
        )
        rows = self.terms.setdefault(words[0], [])
        rows.append(row)
        kept = said.get("of", "HB01"), said.get("category", "7011")
        return self.house.merchant(words[0], at, tuple(rows), *kept)

    def set_only(self, words: list[str], at: int) -> Answer:
        """Terms in place of all that a merchant had."""
        self.terms.pop(words[0])
        return self.set_merchant(words, at)

    def set_store(self, words: list[str], at: int) -> Answer:
        return self.house.store(words[0], words[2], at)

    def set_terminal(self, words: list[str], at: int) -> Answer:
        self.terminal = self.terminal or words[0]
        return self.house.terminal(words[0], words[2], at, options(words[3:]).get("store", ""))

    def set_member(self, words: list[str], at: int) -> Answer:
        said = Words(" ".join(words[1:]))
        more = options([word for word in said.rest if word != "of"])
        return self.house.member(
            words[0],
            at,
            tuple(said.tokens),
            more.get("state", "active"),
            tier=more.get("tier", ""),
        )

    def set_balance(self, words: list[str], at: int) -> Answer:
        member, unit, amount, *until = words
        expiry = {"expiry": day(until[1])} if until else {}
        return self.house.balance(member, unit, int(amount), at, **expiry)

    def set_card(self, words: list[str], _at: int) -> None:
        """A card that was reported lost long ago: change the row."""
        key = schema.alias(*token("C", words[0]))
        row = amended(self.book.view.get(key), state=words[2])
        self.book.view.put(key, codec.pack_record(row))

    def set_batch(self, words: list[str], _at: int) -> None:
        """A terminal that has settled many batches already."""
        key = schema.terminal(schema.LINK, words[-1])
        self.book.view.put(key, codec.pack_record(Link(int(words[2]))))


SETTINGS = {
    "open": Alliance.set_open,
    "program": Alliance.set_program,
    "institution": Alliance.set_institution,
    "merchant": Alliance.set_merchant,
    "only": Alliance.set_only,
    "store": Alliance.set_store,
    "terminal": Alliance.set_terminal,
    "member": Alliance.set_member,
    "balance": Alliance.set_balance,
    "card": Alliance.set_card,
    "batch": Alliance.set_batch,
}
