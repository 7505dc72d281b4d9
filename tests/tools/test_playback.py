"""Recorded traffic as load: a directory prepared, the messages sent again, the codes compared."""

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from engine import codes
from engine.catalogue import RULES
from engine.commands import Pin
from engine.directory import open_machine, open_vault
from engine.rules.cards import CardReplacement, LossReport
from engine.rules.code_batches import OpenCodes
from engine.rules.coupons import Claim, Handover, Use
from engine.rules.exchange import Exchange
from engine.rules.gifts import GiftExchange
from engine.rules.holds import Capture, Hold, Release, ValueCapture, ValueHold
from engine.rules.lotteries import Draw
from engine.rules.members import Enrolment, PinChange
from engine.rules.offline import OfflineAccrual
from engine.rules.points import Accrual, Redemption
from engine.rules.recharge import MoveRecharge, OpenRecharge, Recharge
from engine.rules.refund import Refund
from engine.rules.rewards import Reward
from engine.rules.terminals import Settlement, UploadItem
from engine.rules.transfers import Transfer
from engine.rules.undo import Reversal, Void
from engine.rules.value import Conversion, Purchase, TopUp
from ledger import codec, schema
from tests.tools.conftest import CARD, HOTEL, LINES, PHONE, Daemon, must, run, write_lines
from tools.prepare import SETUP, TRAFFIC
from tools.recorded import MESSAGES

NEW_CARD = "6222020000000000034"
THIRD_CARD = "6222020000000000042"
FRIENDS_CARD = "6222020000000000059"
MORE = [
    {"type": "program", "id": "P02", "name": "Miles", "points_per_yuan": 300},
    {"type": "rate", "unit": "P01", "target": "P02", "from": "2026-01-01", "rate": "3/1"},
    {"type": "reason", "program": "P01", "code": "FRIEND", "points": 10, "other_points": 30},
    {"type": "member", "id": "M0000002", "cards": [FRIENDS_CARD]},
    {
        "type": "gift",
        "sku": "MUG",
        "name": "Mug",
        "owner": HOTEL,
        "program": "P01",
        "prices": [{"from": "2026-01-01", "points": 40, "agreed_fen": 30}],
        "stock": 3,
    },
    {
        "type": "lottery",
        "id": "WHEEL",
        "name": "Wheel",
        "program": "P01",
        "cost": 5,
        "from": "2026-01-01",
        "to": "2126-12-31",
        "prizes": [{"id": "PEN", "name": "Pen", "odds": "1/1", "stock": 1}],
        "per_member": 2,
        "state": "live",
    },
    {
        "type": "campaign",
        "id": "SPRING",
        "kind": "amount_off",
        "face_fen": 1000,
        "from": "2026-01-01",
        "to": "2126-12-31",
        "per_member": 1,
        "transferable": True,
        "state": "live",
    },
]
MORE.append(MORE[-1] | {"id": "PRINT", "per_member": 0})
ENTRIES = bytes((schema.ENTRY,))
OTHER = {
    "type": "terminal",
    "id": "00000002",
    "merchant": HOTEL,
    "profile": "tdes-x919",
    "tmk": "00112233445566778899aabbccddeeff",
}


class Counter:
    """The machine, as two terminals use it."""

    def __init__(self, directory):
        self.vault = open_vault(directory)
        self.book, self.machine = open_machine(directory, follower=False)
        self.at = self.book.last_at
        self.sequences = {}

    def card(self, number):
        return (("C", self.vault.token_digest("C", number)),)

    def sealed(self, number):
        return self.vault.seal_token("C", number)[1]

    def do(self, name, terminal, batch, stan, kind, *values, function="220065"):
        content = self.vault.content_digest(f"{terminal}{stan}{name}".encode())
        command = kind(terminal, HOTEL, batch, stan, content, function, *values)
        answer = self.machine.execute(command, self.at + len(self.sequences))
        self.sequences[name] = answer.sequence


def trade_points(counter):
    do, vault, sequences = counter.do, counter.vault, counter.sequences
    one, two = "00000001", "00000002"
    card = counter.card(CARD)
    both = (*card, ("P", vault.token_digest("P", PHONE)))
    nobody = counter.card("6222020000000000026")
    do("earned", one, 1, 1, Accrual, card, 12345)
    do("nothing", one, 1, 2, Accrual, both, 0)
    do("nobody", one, 1, 3, Accrual, nobody, 500)
    do("spent", two, 1, 1, Redemption, both, "P01", 300, Pin.RIGHT, function="006500")
    do("wrong", two, 1, 2, Redemption, card, "P01", 1, Pin.WRONG, function="006500")
    do("too much", two, 1, 3, Redemption, card, "156", 9999999, Pin.ABSENT, function="006500")
    do("back", one, 1, 4, Refund, (), "P01", 100, sequences["spent"], function="200000")
    do("voided", one, 1, 5, Accrual, card, 1000)
    do("void", one, 1, 6, Void, card, "156", 1000, sequences["voided"], 1, 5, function="200000")
    do("unvoid", one, 1, 6, Reversal, card, "156", 1000, "98", function="200000")
    do("never", two, 1, 90, Reversal, card, "156", 1000, "98")
    do("strange", two, 1, 4, Refund, (), "P01", 100, -1, function="200000")


def trade_the_rest(counter):
    do, vault, sequences = counter.do, counter.vault, counter.sequences
    two = "00000002"
    card = counter.card(CARD)
    new = counter.card(NEW_CARD)
    sealed = (counter.sealed(NEW_CARD),)
    do("new", two, 1, 5, Enrolment, new, sealed, True, function="980000")
    do("loaded", two, 1, 10, TopUp, card, "156", 5000, "R-1", function="210060")
    do("topped", two, 1, 11, TopUp, card, "P01", 10, "", function="210065")
    do("bought", two, 1, 12, Purchase, card, 1200, Pin.ABSENT, "R-2", function="006000")
    do("converted", two, 1, 13, Conversion, card, "P01", 100, Pin.ABSENT, function="406560")
    digest = vault.pin_digest("M0000001", "654321")
    do("pin", two, 1, 6, PinChange, card, Pin.RIGHT, digest, function="990000")
    do("lost", two, 1, 14, LossReport, new, function="960000")
    third = (counter.card(THIRD_CARD)[0][1], counter.sealed(THIRD_CARD))
    do("new card", two, 1, 15, CardReplacement, new, *third, True, Pin.ABSENT, function="970000")
    differing = (("P01", 1, 1, 0, 0),)
    do("settled", two, 1, 7, Settlement, differing, function="")
    rrn = vault.rrn(sequences["spent"])
    do("item", two, 1, 8, UploadItem, 1, 1, "P01", 300, rrn, "00", card, False, function="006500")
    do("end", two, 1, 9, UploadItem, 0, 0, "", 0, "", "", (), True, function="000000")
    do("after", two, 2, 1, Accrual, (("C", third[0]),), 700)


def trade_between(counter):
    """What concerns two members, two programs, two messages, or an earlier time."""
    do, sequences = counter.do, counter.sequences
    one, two = "00000001", "00000002"
    card, friend, made = counter.card(CARD), counter.card(FRIENDS_CARD), {}
    sold = datetime.fromtimestamp(counter.at / 1000 - 3600, ZoneInfo("Asia/Shanghai"))
    told = (card, 500, int(f"{sold:%Y%m%d%H%M%S}"))
    do("offline", one, 1, 20, OfflineAccrual, *told)
    do("referred", one, 1, 21, Reward, card, 0, "FRIEND", friend)
    do("no reason", one, 1, 22, Reward, card, 0, "NONE", ())
    do("given", one, 1, 23, Transfer, card, friend, "P01", 70, Pin.ABSENT, function="406565")
    # By the other till: only once the points are there.
    do("passed on", two, 2, 2, Redemption, friend, "P01", 100, Pin.ABSENT, function="006500")
    said = (card, "P01", 40, "P02", Pin.ABSENT)
    do("exchanged", one, 1, 24, Exchange, *said, function="406565")
    do("held", one, 1, 25, Hold, card, "P01", 50, Pin.ABSENT, function="036500")
    captured = ((), "P01", 20, sequences["held"])
    do("captured", two, 2, 3, Capture, *captured, function="006500")
    do("held again", one, 1, 26, Hold, card, "156", 2, Pin.ABSENT, function="036500")
    do("released", two, 2, 4, Release, (), sequences["held again"], function="200000")
    do("too late", two, 2, 5, Capture, (), "156", 2, sequences["held again"], function="006500")
    do("kept", two, 2, 6, ValueHold, card, 900, Pin.ABSENT, function="036000")
    taken = (card, "156", 400, sequences["kept"])
    do("taken", two, 2, 7, ValueCapture, *taken, function="006000")
    do("mug", two, 2, 8, GiftExchange, card, "MUG", 2, "", 0, Pin.ABSENT, function="936500")
    for name, stan in (("coupon", 10), ("second", 11)):
        code = (*codes.fresh(counter.vault), Pin.ABSENT)
        do(name, two, 2, stan, Claim, card, "SPRING", "", 0, *code, function="910000")
        made[name] = code[0]
    given = (made["coupon"], 0, 0, "", 0, *codes.fresh(counter.vault), Pin.ABSENT)
    do("sent", two, 2, 12, Handover, card, friend, *given, function="920000")
    used = (5_000, 0, "", Pin.ABSENT)
    do("old code", one, 1, 27, Use, (), made["coupon"], 0, 0, *used, function="900000")
    do("taken off", one, 1, 28, Use, (), given[5], 0, 0, *used, function="900000")
    again = (sequences["taken off"], 1, 28, "", Pin.ABSENT, given[5])
    do("put back", one, 1, 29, Void, (), "156", 5_000, *again, function="200000")
    do("wrong PIN", one, 1, 30, Use, (), given[5], 0, 0, 5_000, 0, "", Pin.WRONG, function="900000")
    do("unknown", one, 1, 31, Use, (), b"x" * 16, 0, 0, *used, function="900000")
    for number in (1, 2, 3):
        drawn = (card, "WHEEL", "", 0, number, bytes([number]) * 32, Pin.ABSENT)
        do(f"draw {number}", two, 2, 20 + number, Draw, *drawn, function="946500")
    do("no mug", two, 2, 9, GiftExchange, card, "MUG", 2, "", 0, Pin.ABSENT, function="936500")


def trade_codes(counter):
    """Codes that were produced: recharge cards, and coupons that nobody has claimed."""
    do, vault, machine, sequences = counter.do, counter.vault, counter.machine, counter.sequences
    one, day = "00000001", 20991231
    cards = {"R1": ("P01", 500), "R2": ("156", 800)}
    for name, worth in cards.items():
        assert machine.execute(OpenRecharge(name, 9, 20, "", *worth, day), counter.at).approved
        for last, state, seller in ((9, "sold", HOTEL), (8, "active", "")):
            moved = MoveRecharge(name, 1, last, state, seller, 400)
            assert machine.execute(moved, counter.at).approved
    assert machine.execute(OpenCodes("C1", "PRINT", 9, 18, "", rows=False), counter.at).approved

    def place(series, length, batch, serial):
        code = codes.Codes(vault, length, series).make(batch, serial, 1)[0]
        return codes.digest_of(vault, code), batch, serial

    card = counter.card(CARD)

    def recharge(name, stan, number, serial, unit="P01", amount=0):
        told = place(codes.RECHARGE, 20, number, serial)
        function = "210060" if unit == "156" else "210065"
        do(name, one, 1, stan, Recharge, card, unit, amount, *told, function=function)
        return told[0]

    code = recharge("recharged", 40, 1, 1)
    recharge("used twice", 41, 1, 1)
    gone = (sequences["recharged"], 1, 40, "", Pin.ABSENT, code)
    do("voided card", one, 1, 42, Void, card, "P01", 0, *gone, function="200000")
    back = (card, "P01", 0, "98", code)
    do("card again", one, 1, 42, Reversal, *back, function="200000")
    do("card free", one, 1, 40, Reversal, *back, function="210065")
    recharge("free again", 43, 1, 1, amount=500)
    recharge("other amount", 44, 1, 2, amount=501)
    recharge("not active", 45, 1, 9)
    recharge("in money", 46, 2, 1, "156", 800)
    recharge("other unit", 47, 2, 2, "P01")
    do("no card", one, 1, 48, Recharge, card, "P01", 0, b"y" * 16, 0, 0, function="210065")
    told = place(codes.COUPON, 18, 1, 3)
    used = (5_000, 0, "", Pin.ABSENT)
    do("printed", one, 1, 49, Use, (), *told, *used, function="900000")
    gone = (0, 1, 49, "", Pin.ABSENT, told[0])
    do("print voided", one, 1, 50, Void, (), "156", 5_000, *gone, function="200000")
    do("print used", one, 1, 51, Use, (), *told, *used, function="900000")
    do("other print", one, 1, 52, Use, (), *place(codes.COUPON, 18, 1, 4), *used, function="900000")
    gone = (sequences["print used"], 1, 51, "", Pin.ABSENT, told[0])
    do("print free", one, 1, 53, Void, (), "156", 5_000, *gone, function="200000")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A directory in which two terminals did one of everything."""
    folder = tmp_path_factory.mktemp("recorded")
    directory = folder / "data"
    must("init", directory)
    must("load", directory, write_lines(folder / "lines", [*LINES, OTHER, *MORE]))
    counter = Counter(directory)
    trade_points(counter)
    trade_the_rest(counter)
    trade_between(counter)
    trade_codes(counter)
    recorded_kinds = {codec.unpack_entry(row).kind for _, row in counter.book.view.rows(ENTRIES)}
    assert recorded_kinds >= set(MESSAGES)
    counter.book.close()
    assert all(counter.sequences.values())
    return directory, len(counter.sequences)


def played(recorded, target, *options):
    daemon = Daemon(target, "--confirm-clock")
    try:
        return run("replay", recorded, "--to", daemon.address, *options)
    finally:
        assert daemon.stop() == 0


def test_every_message_is_answered_with_the_recorded_code(recorded, tmp_path):
    source, count = recorded
    must("replay", source, "--prepare", tmp_path / "target")
    done = played(source, tmp_path / "target", "--json")
    report = json.loads(done.stdout)
    assert report["differing"] == []
    assert (report["sent"], report["equal"], report["unanswered"]) == (count, count, 0)
    assert report["latency_us"]["p50"] > 0
    assert done.exit_code == 0
    # What the member has is the same to the lot.
    for directory in (source, tmp_path / "target"):
        must("verify", directory)
    for member in ("M0000001", "M0000002"):
        lots = [
            [one["lots"] for one in json.loads(must("show", directory, *of))["balances"]]
            for of in (("member", member, "--json"),)
            for directory in (source, tmp_path / "target")
        ]
        assert lots[0] == lots[1]


def test_what_comes_out_otherwise_is_counted_and_named(recorded, tmp_path):
    source, count = recorded
    must("replay", source, "--prepare", tmp_path / "target")
    poor = json.loads(json.dumps(LINES[3])) | {"enabled": False, "serial": None, "networks": []}
    must("load", tmp_path / "target", write_lines(tmp_path / "lines", [poor]))
    done = played(source, tmp_path / "target")
    assert done.exit_code == 1
    assert "accrual: recorded 00, now 58 (entry" in done.output
    assert f"sent {count} messages" in done.output


def test_a_pace_keeps_the_recorded_intervals(recorded, tmp_path):
    source, count = recorded
    must("replay", source, "--prepare", tmp_path / "target")
    done = played(source, tmp_path / "target", "--json", "--speed", "1")
    report = json.loads(done.stdout)
    assert report["equal"] == count
    # A message a millisecond, by the clock of the recorded run.
    assert report["seconds"] >= (count - 1) / 1000


def test_refusals_are_sentences(recorded, tmp_path):
    source, _ = recorded
    nobody = run("replay", source, "--to", "127.0.0.1:1")
    assert nobody.exit_code == 1
    assert "nobody answers at 127.0.0.1:1: start the daemon first" in nobody.output
    taken = run("replay", source, "--prepare", source)
    assert taken.exit_code == 1
    assert "is there already" in taken.output
    for wrong in (
        ("--to", "nowhere"),
        ("--to", "127.0.0.1:1", "--speed", "fast"),
        ("--to", "127.0.0.1:1", "--speed", "-1"),
        ("--speed", "2"),
        ("--prepare", tmp_path / "x", "--into", tmp_path / "y"),
        (),
    ):
        assert run("replay", source, *wrong).exit_code == 2


def test_every_command_is_setup_or_traffic_and_every_request_can_be_told():
    for rule in RULES:
        if rule.identity == "none":
            assert (rule.kind in SETUP) != (rule.kind in TRAFFIC), rule.kind
        else:
            assert rule.kind in MESSAGES, rule.kind
