"""Plays a scenario: a text that staff of settlement can read, on a book in memory.

A file has scenarios, each under a line ``== title``; a line ``usual`` stands for the lines of
``usual.txt``. Lines that begin at the margin set the stage
or act, indented lines below an act say what must have come of it, ``#`` begins a remark.

Lines that set the stage stand before the first act, or in an act after ``load``; the modules of the
families say theirs.

Acts: ``at DATE TIME [terminal T] VERB …``; see `ACTS`. An act can be named with ``as NAME`` and
referred to later. Money is written ``123.45 yuan``, points ``1001 P01``; legs are whole fen or
points.
"""

import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from engine import batches
from engine.commands import Answer, Pin, bare
from engine.draft import amended
from engine.reasons import Reason
from engine.records import NEW_BATCH
from engine.rules import members, points, reference, refund, terminals, undo
from ledger import codec, schema
from ledger.model import MONEY
from posd.responses import RESPONSES
from tests.engine.house import House, identified, moment, sealed, token
from tests.engine.memory_book import MemoryBook
from tests.scenarios import (
    accounts,
    alliance,
    cards,
    clearing_verbs,
    code_batches,
    coupons,
    desks,
    gifts,
    holds,
    limits,
    lotteries,
    recharge,
    sweeps,
    tiers,
)
from tests.scenarios.accounts import Accounts
from tests.scenarios.alliance import Alliance
from tests.scenarios.cards import Cards
from tests.scenarios.code_batches import CodeBatches
from tests.scenarios.coupons import Couponing
from tests.scenarios.desks import Desks
from tests.scenarios.gifts import Gifts
from tests.scenarios.holds import Holds
from tests.scenarios.limits import LimitsOnStage
from tests.scenarios.lotteries import Lotteries
from tests.scenarios.recharge import Recharging
from tests.scenarios.sweeps import Sweeping
from tests.scenarios.tiers import Tiers
from tests.scenarios.value import (
    VALUE_ACTS,
    VALUE_EXPECTATIONS,
    VALUE_SETTINGS,
    ValueStage,
)
from tests.scenarios.words import Words, day

PINS = {"right": Pin.RIGHT, "wrong": Pin.WRONG, "bad": Pin.BAD_BLOCK}
BEGINNING = moment(20260101, "00:00")
UNKNOWN_RRN = -1
USUAL = "usual: usual"
NOTHING_DUE = Answer(bare(Reason.UNCHANGED), 0, 0, False)


class Wrong(AssertionError):
    """What came of an act is not what the scenario says."""


def scenarios(folder: Path) -> list[tuple[str, list[str]]]:
    """All scenarios of a folder: ``file: title`` and lines."""
    found: list[tuple[str, list[str]]] = []
    for path in sorted(folder.glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = line.split("#")[0].rstrip()
            if text.startswith("== "):
                found.append((f"{path.stem}: {text[3:]}", []))
            elif text:
                found[-1][1].append(text)
    usual = dict(found).get(USUAL, [])
    return [
        (title, [put for line in lines for put in (usual if line == "usual" else [line])])
        for title, lines in found
        if title != USUAL
    ]


class Stage(
    Accounts,
    Alliance,
    Cards,
    CodeBatches,
    Couponing,
    Tiers,
    Desks,
    Gifts,
    Holds,
    Lotteries,
    Recharging,
    Sweeping,
    LimitsOnStage,
    ValueStage,
):
    """One scenario being played, on a book in memory unless another is given."""

    def __init__(self, book: Any = None) -> None:
        self.book = MemoryBook() if book is None else book
        self.house = House(self.book)
        self.terms: dict[str, list[tuple]] = {}
        self.tier_rules: dict[str, list[tuple]] = {}
        self.sent: dict[str, Any] = {}
        self.sequences: dict[str, int] = {}
        self.terminal = ""
        self.at = BEGINNING
        self.before = 0
        self.swept = False
        self.answer: Answer | None = None
        self.legs: Counter | None = None
        self.told: list[int] = []
        self.house.open(20260301, at=BEGINNING)
        self.house.institution("HB01", BEGINNING)
        self.zone = "Asia/Shanghai"

    def play(self, lines: list[str]) -> None:
        for line in lines:
            try:
                if line.startswith(" "):
                    self.expect(line.strip())
                else:
                    self.check_legs()
                    self.do(line)
            except Wrong as wrong:
                raise Wrong(f"at the line {line.strip()!r}: {wrong}") from None
        self.check_legs()

    def do(self, line: str) -> None:
        if not line.startswith("at "):
            self.set_stage(line)
            return
        _, date, clock, act = line.split(maxsplit=3)
        self.at = moment(day(date), clock, self.zone)
        self.before = self.book.sequence
        if act.startswith("terminal "):
            _, self.terminal, act = act.split(maxsplit=2)
        verb, _, rest = act.partition(" ")
        if verb == "load":
            self.set_stage(rest, self.at)
            return
        words = Words(rest)
        command = ACTS[verb](self, words)
        self.swept = isinstance(command, list)
        if self.swept:
            self.answer = NOTHING_DUE
            for one in command:
                self.answer = self.house.execute(one, self.at)
            return
        self.answer = self.house.execute(command, self.at)
        if "as" in words.valued:
            self.sent[words.valued["as"]] = command
            self.sequences[words.valued["as"]] = self.answer.sequence

    # Setting the stage.

    def set_stage(self, line: str, at: int = BEGINNING) -> None:
        verb, _, rest = line.partition(" ")
        self.answer = SETTINGS[verb](self, rest.split(), at)

    # Acts: each makes the command.

    def request(self, cls: Any, words: Words, **said: Any) -> Any:
        if "merchant" in words.valued:
            said["merchant"] = words.valued["merchant"]
        return self.house.request(
            cls, self.terminal, self.at, words.number("batch"), words.number("stan"), **said
        )

    def pin(self, words: Words) -> int:
        return self.verdict(words.valued.get("pin"))

    def verdict(self, word: str | None) -> int:
        return int(PINS[word]) if word is not None else int(Pin.ABSENT)

    def accrual(self, words: Words) -> Any:
        return self.request(points.Accrual, words, tokens=words.named(), amount=words.amount)

    def redemption(self, words: Words) -> Any:
        return self.request(
            points.Redemption,
            words,
            tokens=words.named(),
            unit=words.unit,
            amount=words.amount,
            pin=self.pin(words),
        )

    def _as_original(self, words: Words) -> dict[str, Any]:
        """Member, unit and amount as the original had them, but for what the act says."""
        original = self.sent.get(words.rest[0])
        amount = getattr(original, "amount", 0)
        unit = getattr(original, "unit", MONEY if hasattr(original, "amount") else "")
        tokens = words.named() or getattr(original, "tokens", ())
        if words.amount is not None:
            amount, unit = words.amount, words.unit
        return {"tokens": tokens, "unit": unit, "amount": amount}

    def _coupon(self, words: Words, original: Any) -> bytes:
        """The coupon of the original, but for what the act says."""
        if "coupon" in words.valued:
            return token("K", words.valued["coupon"])[1]
        return getattr(original, "coupon", b"")

    def void(self, words: Words) -> Any:
        name = words.rest[0]
        way = words.valued.get("by", "rrn")
        original = self.sent.get(name)
        by_stan = (original.batch, original.stan) if way != "rrn" else (0, 0)
        sequence = self.sequences.get(words.rest[-1], UNKNOWN_RRN) if way != "stan" else 0
        return self.request(
            undo.Void,
            words,
            **self._as_original(words),
            original=sequence,
            original_batch=by_stan[0],
            original_stan=by_stan[1],
            coupon=self._coupon(words, original),
            **self.operator(words),
        )

    def refund(self, words: Words) -> Any:
        return self.request(
            refund.Refund,
            words,
            tokens=words.named(),
            unit=words.unit,
            amount=words.amount,
            original=self.sequences.get(words.rest[0], UNKNOWN_RRN),
            **self.operator(words),
        )

    def reversal(self, words: Words) -> Any:
        original = self.sent.get(words.rest[0])
        if original is None:  # one that never arrived: "reversal unseen accrual …"
            original = getattr(self, words.rest[1].replace("-", "_"))(words)
            self.sent[words.rest[0]] = original
        said = self._as_original(words)
        return identified(
            undo.Reversal(
                original.terminal,
                original.merchant,
                original.batch,
                original.stan,
                b"",
                original.function,
                *said.values(),
                "98",
                self._coupon(words, original),
            )
        )

    def repeat(self, words: Words) -> Any:
        """The same message again; with another amount or card, the same identity only."""
        command = self.sent[words.rest[0]]
        changes: dict[str, Any] = {}
        if words.amount is not None:
            changes["amount"] = words.amount
        if words.tokens:
            changes["tokens"] = words.named()
        names = {field.name for field in fields(command)}
        if "pin" in names and "pin" in words.valued:
            changes["pin"] = self.pin(words)
        return identified(amended(command, **changes))

    def enrolment(self, words: Words) -> Any:
        return self.request(
            members.Enrolment,
            words,
            tokens=words.named(),
            sealed=tuple(sealed(value) for _, value in words.tokens),
            numbers_valid="misread" not in words.rest,
            covers=self.covers(words),
        )

    def pin_change(self, words: Words) -> Any:
        return self.request(
            members.PinChange,
            words,
            tokens=words.named(),
            pin=self.pin(words),
            new_pin=b"" if "misread" in words.rest else b"a new digest",
        )

    def settlement(self, words: Words) -> Any:
        """``settlement P01 D 1/10 C 2/246``."""
        text = " ".join(words.rest)
        found = re.findall(r"(\w{3}) D (\d+)/(\d+) C (\d+)/(\d+)", text)
        totals = tuple((unit, *(int(figure) for figure in figures)) for unit, *figures in found)
        return self.request(terminals.Settlement, words, totals=totals)

    def upload(self, words: Words) -> Any:
        item = self.sent.get(words.rest[0])
        said = self._as_original(words)
        return self.request(
            terminals.UploadItem,
            words,
            original_batch=item.batch if item else 0,
            original_stan=item.stan if item else 0,
            unit=said["unit"],
            amount=said["amount"],
            rrn="",
            response="00",
            tokens=said["tokens"],
            last=words.rest[-1] == "end",
        )

    def inquiry(self, words: Words) -> Any:
        member = self.book.view.get(schema.alias(*words.named()[0])).member
        return members.PinCheck(member, self.pin(words))

    def cut_off(self, words: Words) -> Any:
        return reference.CutOff(day(words.rest[0]), automatic=False)

    def sign_on(self, words: Words) -> Any:
        return terminals.SignOn(self.terminal, int(words.rest[0]), "1.0", "7")

    def keys(self, words: Words) -> Any:
        return terminals.ConfirmKeys(self.terminal, int(words.rest[0]))

    def opened(self, words: Words) -> Any:
        return reference.Opened(int(words.rest[0]), "0.1.0")

    def entry(self, sequence: int) -> Any:
        """The journal entry of this number."""
        return self.book.entry(sequence)

    # What must have come of it.

    def expect(self, line: str) -> None:
        for pattern, check in EXPECTATIONS:
            found = re.fullmatch(pattern, line)
            if found:
                check(self, *found.groups())
                return
        raise Wrong("no expectation reads like this")

    def same(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            raise Wrong(f"{what} is {found}, not {wanted}")

    def facts(self) -> dict[str, Any]:
        return dict(self.answer.outcome.facts)

    def expect_approved(self, again: str | None, moved: str | None) -> None:
        reason = Reason(self.answer.outcome.reason)
        self.same("the outcome", reason.name, Reason.APPROVED.name)
        self.same("a repeat", self.answer.repeated, bool(again))
        if moved:
            self.same("points moved", self.facts().get("moved"), moved)

    def expect_declined(self, again: str | None, name: str, code: str) -> None:
        reason = Reason(self.answer.outcome.reason)
        self.same("the outcome", reason.name, name)
        self.same("the response code", RESPONSES[reason][0], code)
        self.same("a repeat", self.answer.repeated, bool(again))
        if self.answer.sequence and not again:
            self.same("legs", self.entry(self.answer.sequence).postings, ())

    def expect_unchanged(self) -> None:
        self.same("the outcome", Reason(self.answer.outcome.reason).name, Reason.UNCHANGED.name)

    def expect_leg(self, account: str, unit: str, amount: str) -> None:
        self.legs = self.legs if self.legs is not None else Counter()
        *parts, last = account.split(":")
        if last in self.sequences:  # Held:…:H1, by the name of the hold
            account = ":".join((*parts, str(self.sequences[last])))
        self.legs[account, unit, int(amount)] += 1

    def expect_no_legs(self) -> None:
        self.legs = Counter()

    def check_legs(self) -> None:
        """The legs said are all the legs, in any order; those of a sweep are all that it made."""
        wanted, self.legs = self.legs, None
        if wanted is None:
            return
        sequence = self.answer.sequence
        swept = range(self.before + 1, sequence + 1) if self.swept else ()
        made = swept or ([sequence] if sequence else ())
        found = Counter(leg for one in made for leg in self.entry(one).postings)
        if found != wanted:
            extra, missing = found - wanted, wanted - found
            raise Wrong(f"legs not said: {sorted(extra)}; legs missing: {sorted(missing)}")
        self.told += made

    def expect_no_entry(self) -> None:
        self.same("the last entry", self.book.sequence, self.before)

    def expect_points(self, member: str, amount: str, unit: str, ledger: str | None) -> None:
        purse = self.house.purse(member, unit)
        today = self.house.machine.clock.date(self.at)
        purse.ripen(today)
        self.same("available", purse.available(today), int(amount))
        self.same("in the ledger", purse.ledger(), int(ledger or amount))

    def expect_reply_balance(self, unit: str, available: str, ledger: str | None) -> None:
        wanted = ("points", unit, int(available), int(ledger or available))
        if wanted not in self.answer.outcome.balances:
            raise Wrong(f"the reply tells {self.answer.outcome.balances}")

    def expect_account(self, account: str, amount: str) -> None:
        self.same("the balance", self.house.account(account), int(amount))

    def expect_totals(self, number: str, lines: str) -> None:
        row = self.book.view.get(schema.batch(self.terminal, int(number)))
        wanted = [
            (unit, *(int(figure) for figure in figures))
            for unit, *figures in re.findall(r"(\w{3}) D (\d+)/(\d+) C (\d+)/(\d+)", lines)
        ]
        self.same("totals", list(batches.whole(row or NEW_BATCH)), wanted)

    def expect_batch_state(self, number: str, state: str) -> None:
        row = self.book.view.get(schema.batch(self.terminal, int(number)))
        self.same("the state", row.state, state)

    def expect_in_force(self, number: str) -> None:
        found = self.house.batch_in_force(self.terminal, self.at)
        self.same("the batch in force", found, int(number))

    def expect_date(self, date: str) -> None:
        self.same("the date", self.house.machine.date, day(date))

    def expect_cut_offs(self, dates: str) -> None:
        entries = [self.entry(n) for n in range(self.before + 1, self.book.sequence + 1)]
        found = [entry.command[0] for entry in entries if entry.kind == "cut-off"]
        self.same("cut-offs", found, [day(date) for date in dates.split()])

    def expect_fact(self, name: str, value: str) -> None:
        self.same(name, str(self.facts().get(name, "")), value)

    def expect_totals_told(self, lines: str) -> None:
        told = " ".join(f"{u} D {a}/{b} C {c}/{d}" for u, a, b, c, d in self.facts()["totals"])
        self.same("the host's totals", told, lines)

    def expect_upload(self, name: str, amount: str, unit: str) -> None:
        item = self.sent[name]
        prefix = schema.upload(self.terminal, item.batch, item.stan, 0)[:-4]
        rows = [codec.unpack_row(*row) for row in self.book.view.rows(prefix)]
        self.same("the item", [(row.amount, row.unit) for row in rows], [(int(amount), unit)])

    def expect_keys(self, number: str, previous: str) -> None:
        row = self.book.view.get(schema.terminal(schema.KEYS, self.terminal))
        self.same("keys", (row.number, row.previous), (int(number), int(previous)))


SETTINGS = {
    **alliance.SETTINGS,
    **cards.SETTINGS,
    **coupons.SETTINGS,
    **tiers.SETTINGS,
    **VALUE_SETTINGS,
    **limits.SETTINGS,
    **gifts.SETTINGS,
    **lotteries.SETTINGS,
    **holds.SETTINGS,
    **desks.SETTINGS,
}

ACTS = {
    "accrual": Stage.accrual,
    "redemption": Stage.redemption,
    "void": Stage.void,
    "refund": Stage.refund,
    "reversal": Stage.reversal,
    "repeat": Stage.repeat,
    "enrolment": Stage.enrolment,
    "pin-change": Stage.pin_change,
    "settlement": Stage.settlement,
    "upload": Stage.upload,
    "inquiry": Stage.inquiry,
    "cut-off": Stage.cut_off,
    "sign-on": Stage.sign_on,
    "keys": Stage.keys,
    "opened": Stage.opened,
    **accounts.ACTS,
    **cards.ACTS,
    **coupons.ACTS,
    **sweeps.ACTS,
    **tiers.ACTS,
    **clearing_verbs.ACTS,
    **VALUE_ACTS,
    **code_batches.ACTS,
    **gifts.ACTS,
    **recharge.ACTS,
    **lotteries.ACTS,
    **holds.ACTS,
    **limits.ACTS,
    **desks.ACTS,
}

_DATE = r"\d{4}-\d\d-\d\d"
EXPECTATIONS = [
    (r"approved( again)?(?:, ([+-]\d+))?", Stage.expect_approved),
    (r"declined( again)? ([A-Z_]+) (\w\w)", Stage.expect_declined),
    (r"unchanged", Stage.expect_unchanged),
    *sweeps.EXPECTATIONS,
    (r"(\w+:\S+|Opening|Bank|Rounding|Suspense) (156|P\d\d) ([+-]\d+)", Stage.expect_leg),
    (r"no legs", Stage.expect_no_legs),
    (r"no entry", Stage.expect_no_entry),
    (r"([\w.]+) has (-?\d+) (P\d\d)(?:, (-?\d+) in the ledger)?", Stage.expect_points),
    (r"reply tells (P\d\d) (-?\d+)(?: (-?\d+))?", Stage.expect_reply_balance),
    (r"(\w+:\S+|Opening) = (-?\d+)", Stage.expect_account),
    (r"batch (\d+) totals ?(.*)", Stage.expect_totals),
    (r"batch (\d+) is (open|settled|disputed)", Stage.expect_batch_state),
    (r"batch in force (\d+)", Stage.expect_in_force),
    (rf"business date ({_DATE})", Stage.expect_date),
    (rf"cut-offs written ((?:{_DATE} ?)+)", Stage.expect_cut_offs),
    (r"event (.+)", Stage.expect_event),
    (r"no event", Stage.expect_no_event),
    (
        r"(exception|kept|text|program|undid|blocked|tier|taken|seed_hash|expected_cost_fen) (.+)",
        Stage.expect_fact,
    ),
    (r"host says (.+)", Stage.expect_totals_told),
    (r"uploaded (\w+): (\d+) (\w+)", Stage.expect_upload),
    (r"keys (\d+), before (\d+)", Stage.expect_keys),
    *accounts.EXPECTATIONS,
    *coupons.EXPECTATIONS,
    *cards.EXPECTATIONS,
    *tiers.EXPECTATIONS,
    *desks.EXPECTATIONS,
    *VALUE_EXPECTATIONS,
    *code_batches.EXPECTATIONS,
    *gifts.EXPECTATIONS,
    *lotteries.EXPECTATIONS,
    *holds.EXPECTATIONS,
]
