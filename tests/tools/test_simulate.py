"""The simulated terminals: frames to the byte, making good what went wrong, books that agree."""

import asyncio
import itertools
import json
import sys
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from posd import security
from posd.framing import Deframer, Frame
from posd.iso8583.compile import Codec
from posd.iso8583.tlv import parse_tlv
from tools.fleet import DEFAULT_MIX, Conduct, FleetError, fleet_of, read_fleet, with_check_digit
from tools.fleet_run import Pace, Run
from tools.simulate import books_of, chart, command, differing, quantiles, report_of
from tools.terminal import Registration, Terminal
from tools.till import Till
from tools.till_books import Presented

sys.path.insert(0, str(Path(__file__).parent))
from till_host import PROGRAM, TillHost

PROFILES = security.PROFILES
VECTORS = json.loads((Path(__file__).parents[1] / "vectors.json").read_text())["messages"]
MERCHANT = "104110045110012"
CARD = "6222020000000000018"
CODEC = Codec()


def registration(number=1, profile="aes"):
    tmk = Random(f"tmk {number}").randbytes(16)
    return Registration(f"{number:08d}", MERCHANT, profile, tmk, number.to_bytes(2, "big"))


class Counter:
    """One terminal and the host in memory."""

    def __init__(self, profile="aes"):
        self.registration = registration(profile=profile)
        self.terminal = Terminal(self.registration, Random(7).randbytes)
        self.host = TillHost([self.registration], [CARD])
        assert self.ask(self.terminal.due(0)).code == "00"

    def ask(self, data):
        return self.terminal.receive(framed(self.host.answer(data)))

    def make_good(self):
        answers = []
        while data := self.terminal.due(0):
            answers.append(self.ask(data))
        return answers

    def accrue(self, fen=12345):
        return self.ask(self.terminal.accrue(Presented("M1", card=CARD), fen, 0))

    def redeem(self, points=1000):
        return self.ask(self.terminal.redeem(Presented("M1", card=CARD), PROGRAM, points, 0))

    @property
    def believed(self):
        return 5000 + self.terminal.books.members["M1", PROGRAM]

    @property
    def booked(self):
        return self.host.balances[CARD]


def framed(data):
    (one,) = Deframer().feed(data)
    return one


def message(data):
    return CODEC.decode(framed(data).message)


@pytest.fixture(params=PROFILES)
def counter(request):
    return Counter(request.param)


# --- Frames -------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["profile"])
def test_sign_on_and_accrual_are_the_published_frames(vector):
    tmk = bytes.fromhex(vector["tmk"])
    profile = vector["profile"]
    terminal = Terminal(
        Registration("00000001", MERCHANT, profile, tmk, b"\x00\x01"), Random(1).randbytes
    )
    sign_on = terminal.due(0)
    assert framed(sign_on).message.hex() == vector["sign_on_message"]

    fields = {11: "000001", 12: "120000", 13: "0101", 39: "00", 41: "00000001", 42: MERCHANT}
    fields |= {60: vector["sign_on_fields"]["60"], 62: bytes.fromhex(vector["field_62"])}
    key = security.sign_on_key(tmk) if profile == "aes" else bytes.fromhex(vector["mac_key"])
    body = CODEC.encode("0810", fields | {64: bytes(8)})[:-8]
    reply = body + security.mac_calculator(profile, key)(body)
    assert terminal.receive(Frame(b"\x60\x00\x01\x12\x34", bytes(6), reply)).settled

    terminal.stan = 0
    assert terminal.accrue(Presented("M1", card=CARD), 12345, 0).hex() == vector["accrual_frame"]


def test_a_pin_travels_in_the_block_of_the_profile_bound_to_the_card(counter):
    swiped = Presented("M1", track=f"{CARD}D49121010000000", pin="123456")
    sent = message(counter.terminal.redeem(swiped, PROGRAM, 100, 0)).fields
    keys, _ = counter.host.keys[counter.registration.id]
    profile = counter.registration.profile
    block = sent[110 if profile == "aes" else 52]
    assert security.read_pin_block(profile, keys.pin_key, block, CARD) == "123456"
    assert sent[22] == "021"
    assert (128 in sent) == (profile == "aes")


def test_a_phone_is_named_in_element_10(counter):
    sent = message(counter.terminal.accrue(Presented("M1", phone="13800000000"), 100, 0)).fields
    assert parse_tlv(sent[48]) == [("10", b"P13800000000")]
    assert 2 not in sent


# --- Making good --------------------------------------------------------------------------


def test_no_answer_is_reversed_until_answered_before_anything_new(counter):
    original = message(counter.terminal.accrue(Presented("M1", card=CARD), 500, 0))
    counter.terminal.give_up()
    assert counter.terminal.owing == "reversal"
    for mti in ("0400", "0401", "0401"):
        sent = message(counter.terminal.due(0))
        assert sent.mti == mti
        kept = (2, 3, 4, 11, 41, 42, 49, 60)
        assert [sent.fields[n] for n in kept] == [original.fields[n] for n in kept]
        assert sent.fields[39] == "98"
        counter.terminal.give_up()
    assert [answer.code for answer in counter.make_good()] == ["25"]
    assert (counter.terminal.owing, counter.believed) == ("", 5000)


def test_a_reversal_undoes_what_was_booked_and_not_answered(counter):
    counter.host.answer(counter.terminal.accrue(Presented("M1", card=CARD), 50000, 0))
    counter.terminal.give_up()
    assert counter.booked == 5500
    assert [answer.code for answer in counter.make_good()] == ["00"]
    assert (counter.booked, counter.believed) == (5000, 5000)


def test_a_repeat_brings_the_stored_reply_and_is_booked_once(counter):
    data = counter.terminal.accrue(Presented("M1", card=CARD), 50000, 0)
    lost = counter.terminal.lose(framed(counter.host.answer(data)), repeat=True)
    assert (lost.lost, lost.settled) == (True, False)
    again = counter.terminal.due(0)
    assert message(again).mti == "0201"
    answer = counter.ask(again)
    assert (answer.code, answer.moved, answer.repeated, answer.differs) == ("00", 500, True, False)
    assert (counter.booked, counter.believed) == (5500, 5500)


def test_a_repeat_answered_otherwise_is_noticed(counter):
    data = counter.terminal.accrue(Presented("M1", card=CARD), 50000, 0)
    counter.terminal.lose(framed(counter.host.answer(data)), repeat=True)
    counter.host.forced.append({39: "51"})
    assert counter.ask(counter.terminal.due(0)).differs


def test_a_refund_cannot_be_reversed_and_is_repeated(counter):
    counter.redeem(1000)
    sale = counter.terminal.posted[-1]
    data = counter.terminal.refund(sale, 400, 0)
    counter.terminal.lose(framed(counter.host.answer(data)))
    again = counter.terminal.due(0)
    assert message(again).mti == "0221"
    assert counter.ask(again).moved == 400
    assert (counter.booked, counter.believed) == (4400, 4400)


def test_an_inquiry_without_an_answer_is_forgotten(counter):
    counter.terminal.balance(Presented("M1", card=CARD), 0)
    counter.terminal.give_up()
    assert counter.terminal.due(0) is None


@pytest.mark.parametrize("code", ["91", "96", "77", "A0"])
def test_an_answer_that_settles_nothing_leaves_the_reversal_owed(counter, code):
    counter.host.answer(counter.terminal.accrue(Presented("M1", card=CARD), 50000, 0))
    counter.terminal.give_up()
    counter.host.forced.append({39: code})
    assert not counter.ask(counter.terminal.due(0)).settled
    assert counter.terminal.owing == "reversal"
    assert counter.make_good()[-1].settled
    assert counter.booked == 5000


def test_77_leads_to_a_sign_on_and_the_message_again_in_the_batch_of_the_reply(counter):
    counter.host.batches[counter.registration.id] = 5
    assert not counter.accrue(50000).settled
    kinds = [(answer.kind, answer.code) for answer in counter.make_good()]
    assert kinds == [("sign-on", "00"), ("accrual", "00")]
    refused, sent = (one.fields for one in counter.host.seen if one.mti == "0200")
    assert sent[60][2:8] == "000005"
    assert (sent[4], sent[11]) == (refused[4], "000004")
    assert counter.believed == counter.booked == 5500


def test_a_repeat_that_came_after_its_batch_was_retired_is_sent_as_a_new_request(counter):
    counter.terminal.accrue(Presented("M1", card=CARD), 50000, 0)
    counter.terminal.give_up(repeat=True)
    counter.host.batches[counter.registration.id] = 5
    answers = [(answer.kind, answer.code) for answer in counter.make_good()]
    assert answers == [("accrual", "77"), ("sign-on", "00"), ("accrual", "00")]
    assert counter.host.seen[-1].mti == "0200"
    assert counter.host.seen[-1].fields[60][2:8] == "000005"
    assert counter.believed == counter.booked == 5500


def test_94_moves_the_stan_of_a_terminal_without_memory_on(counter):
    counter.accrue(100)
    counter.terminal.stan = 1
    counter.host.forced.append({39: "94"})
    assert not counter.accrue(200).settled
    assert counter.make_good()[-1].code == "00"
    assert counter.terminal.stan > 900


# --- What it believes ---------------------------------------------------------------------


def test_a_reply_with_a_wrong_mac_is_not_believed(counter):
    data = bytearray(counter.host.answer(counter.terminal.accrue(Presented("M1", CARD), 500, 0)))
    data[-1] ^= 1
    assert counter.terminal.receive(framed(bytes(data))) is None
    assert (counter.terminal.forged, counter.terminal.busy) == (1, True)


def test_an_approval_without_a_mac_is_not_believed_but_a_refusal_is(counter):
    sent = framed(counter.terminal.accrue(Presented("M1", CARD), 500, 0))
    sent_message = CODEC.decode(sent.message)
    approval = counter.host.reply(sent, sent_message, {39: "00"}, None)
    assert counter.terminal.receive(framed(approval)) is None
    refusal = counter.host.reply(sent, sent_message, {39: "58"}, None)
    answer = counter.terminal.receive(framed(refusal))
    assert (answer.code, answer.settled) == ("58", True)


def test_a_late_reply_to_an_earlier_message_is_a_stray(counter):
    late = framed(counter.host.answer(counter.terminal.accrue(Presented("M1", CARD), 500, 0)))
    counter.terminal.give_up()
    reversal = counter.terminal.due(0)
    assert counter.terminal.receive(late) is None
    assert counter.terminal.strays == 1
    assert counter.ask(reversal).settled


def test_keys_wrapped_under_another_master_key_are_not_taken(counter):
    other = TillHost([registration(2, counter.registration.profile)], [CARD])
    stranger = security.wrap_keys(
        counter.registration.profile, bytes(range(16)), other.keys["00000002"][0]
    )
    sign_on = framed(counter.terminal.sign_on(0))
    mac = other.keys["00000002"][1]
    told = counter.host.reply(sign_on, CODEC.decode(sign_on.message), {39: "00", 62: stranger}, mac)
    assert counter.terminal.receive(framed(told)) is None
    counter.terminal.give_up()
    assert counter.accrue().code == "00"


def test_void_and_refunds_take_back_what_the_original_moved(counter):
    counter.accrue(12345)
    counter.redeem(1000)
    accrual, redemption = counter.terminal.posted
    assert counter.ask(counter.terminal.void(accrual, 0)).moved == -123
    parts = [333, 333, 334]
    moved = [counter.ask(counter.terminal.refund(redemption, p, 0)).moved for p in parts]
    assert sum(moved) == 1000
    assert counter.believed == counter.booked == 5000
    assert counter.terminal.totals == {PROGRAM: [1, 1000, 3, 1000]}
    assert counter.terminal.books.redeemed[MERCHANT, PROGRAM] == 0
    assert counter.terminal.books.issued[MERCHANT, PROGRAM] == 0


def test_settlement_closes_the_batch_with_the_terminals_totals(counter):
    counter.accrue(12345)
    counter.redeem(1000)
    assert counter.ask(counter.terminal.settle(0)).code == "00"
    assert (counter.terminal.batch, counter.terminal.totals) == (2, {})
    assert counter.accrue().code == "00"


def test_differing_totals_lead_to_an_upload_of_each_item(counter):
    counter.accrue(12345)
    counter.redeem(1000)
    counter.host.totals[counter.registration.id][0] += 1
    assert counter.ask(counter.terminal.settle(0)).code == "95"
    assert [answer.kind for answer in counter.make_good()] == ["upload"] * 3
    items = [(one.fields[3], one.fields[61], one.fields[4]) for one in counter.host.uploaded]
    assert items == [
        ("220065", "000001000002", "000000012345"),
        ("006500", "000001000003", "000000001000"),
    ]
    assert counter.host.seen[-1].fields[60][8:] == "207"
    assert (counter.terminal.batch, counter.terminal.disputed) == (2, 1)


def test_secrets_and_cards_are_in_no_repr():
    one = Presented("M1", card=CARD, phone="13800000000", pin="1234")
    shown = repr([one, registration(), Counter().terminal])
    assert CARD not in shown
    assert "13800000000" not in shown
    assert registration().tmk.hex() not in shown


# --- Fleets -------------------------------------------------------------------------------

TERMINALS = 5
CARDS = [with_check_digit(f"999915000000{number:03d}") for number in range(20)]


def fleet_data(**changes):
    data = {
        "seed": 3,
        "timeout_s": 5,
        "terminals": [
            {
                "id": f"{number:08d}",
                "merchant": MERCHANT,
                "profile": PROFILES[number % 3],
                "tmk": registration(number).tmk.hex(),
                "address": f"{number:04x}",
                "link": "direct" if number < 3 else "nac-1",
                "units": [PROGRAM],
            }
            for number in range(1, TERMINALS + 1)
        ],
        "members": [
            {
                "id": f"M{number}",
                "card": card,
                "phone": f"138{number:08d}",
                "pin": "1234" if number % 2 else "",
                "balances": {PROGRAM: 5000},
            }
            for number, card in enumerate(CARDS)
        ],
        "mix": {"accrual": 40, "redeem_points": 20, "balance": 5, "void": 15, "refund": 15,
                "enrol": 2, "wrong_pin": 2, "settle": 3, "stranger": 1},
    }  # fmt: skip
    return data | changes


def trade(seed, conduct, count=120):
    """Tills and a host without a network; returns host, tills and every frame sent."""
    fleet = fleet_of(fleet_data())
    host = TillHost([place.registration for place in fleet.placements], CARDS)
    codec = Codec()
    tills = [Till(fleet, place, seed, conduct, codec) for place in fleet.placements]
    line = Random(f"{seed} line")
    frames = []

    def exchange(till, data, *, lossless=False):
        frames.append(data)
        # Some requests never arrive.
        if not lossless and line.random() < conduct.drop:
            till.terminal.give_up()
            return
        till.take(framed(host.answer(data)), careful=lossless)

    def make_good(till):
        for _ in range(200):
            data = till.terminal.due(0)
            if data is None:
                return
            exchange(till, data)
        pytest.fail("a terminal cannot make good what went wrong")

    for _ in range(count):
        for till in tills:
            make_good(till)
            exchange(till, till.next_frame(0))
    for till in tills:
        make_good(till)
        exchange(till, till.terminal.settle(0), lossless=True)
        make_good(till)
    return host, tills, frames


def test_the_same_seed_gives_the_same_frames_and_another_seed_others():
    conduct = Conduct(0.1, 0.1)
    frames = [trade(seed, conduct, 40)[2] for seed in (1, 1, 2)]
    assert frames[0] == frames[1]
    assert frames[0] != frames[2]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.0, 0.1, 0.3]))
def test_whatever_is_lost_the_books_agree_and_nothing_stays_unknown(seed, drop, repeat):
    host, tills, _ = trade(seed, Conduct(drop, repeat), 60)
    believed = {f"M{number}": 5000 for number in range(len(CARDS))}
    cards = {f"M{number}": card for number, card in enumerate(CARDS)}
    for till in tills:
        assert not till.terminal.owing
        assert till.terminal.disputed == 0
        cards |= {name: one.card for name, one in till.newcomers.items()}
        for (member, _), points in till.terminal.books.members.items():
            believed[member] = believed.get(member, 0) + points
    assert believed == {name: host.balances[cards[name]] for name in believed}


def test_every_kind_of_transaction_comes_about():
    host, _, _ = trade(1, Conduct(0.1, 0.1))
    kinds = {(one.mti, one.fields.get(3)) for one in host.seen}
    for wanted in (
        ("0800", None), ("0200", "220065"), ("0200", "006500"), ("0200", "200000"),
        ("0220", "200000"), ("0100", "310000"), ("0600", "980000"), ("0400", "220065"),
        ("0201", "220065"), ("0221", "200000"), ("0401", "220065"), ("0500", None),
    ):  # fmt: skip
        assert wanted in kinds


def test_a_fleet_of_one_member_and_one_program_finds_something_to_do_for_each_kind():
    one = fleet_data()["members"][:1]
    fleet = fleet_of(fleet_data(members=one, mix=DEFAULT_MIX, referral={"code": "R", "points": 5}))
    host = TillHost([place.registration for place in fleet.placements], CARDS)
    till = Till(fleet, fleet.placements[0], 1, Conduct(), Codec())
    till.take(framed(host.answer(till.terminal.due(0))))
    sent = set()
    for _ in range(600):
        sent.add(message(till.next_frame(0)).fields.get(3))
        till.terminal.give_up()
        till.terminal._owed = None  # whatever it was, it is forgotten
    assert {"220065", "006500", "210060", "210065", "036500", "036000"} <= sent
    assert "406565" not in sent


class Line(asyncio.Protocol):
    """A link to the host in memory: replies of one read leave in reverse order; it may break."""

    def __init__(self, host, breaks):
        self.host, self.breaks, self.deframer = host, breaks, Deframer()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        replies = []
        for request in self.deframer.feed(data):
            length = len(request.tpdu + request.header + request.message).to_bytes(2, "big")
            whole = length + request.tpdu + request.header + request.message
            replies.append(self.host.answer(whole))
            if next(self.breaks) % 97 == 0:
                self.transport.abort()
                return
        self.transport.writelines(reversed(replies))


def run_fleet(pace, conduct=Conduct(), *, breaks=False):  # noqa: B008 - frozen
    fleet = fleet_of(fleet_data())
    host = TillHost([place.registration for place in fleet.placements], CARDS)
    return host, run_with(fleet, host, pace, conduct, breaks=breaks)


def run_with(fleet, host, pace, conduct=Conduct(), *, breaks=False):  # noqa: B008 - frozen
    numbers = itertools.count(1) if breaks else itertools.repeat(1)

    async def work():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Line(host, numbers), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        run = Run(fleet, *address, pace, conduct)
        await run.work()
        server.close()
        return run

    return asyncio.run(work())


def test_a_closed_loop_over_links_that_break_ends_with_equal_books():
    pace = Pace(transactions=600, audit=True, patience_s=5)
    host, run = run_fleet(pace, Conduct(0.05, 0.05), breaks=True)
    report = report_of(run, run.before, audit=True)
    assert report["ok"], report
    assert report["audited"] == len(CARDS) + sum(len(till.newcomers) for till in run.tills)
    assert report["transactions"] >= 600
    assert report["outages"] > 3
    assert report["unanswered"] >= report["outages"]
    assert report["repeats"] > 0
    assert report["disputed_batches"] == 0
    assert set(host.batches.values()).isdisjoint({1})


def test_an_open_loop_sends_as_many_as_were_due():
    _, run = run_fleet(Pace(rate=2000, transactions=300))
    report = report_of(run, {}, audit=False)
    assert report["transactions"] == 300
    # The sign-ons before and the settlements after are not measured.
    assert len(run.tally.latencies_us) == 300


def test_a_second_run_in_an_open_batch_begins_beyond_the_stans_of_the_first():
    host, run = run_fleet(Pace(transactions=40, first_stan=500, settle=False))
    assert min(int(one.fields[11]) for one in host.seen) == 500
    assert all(till.terminal.batch == 1 for till in run.tills)


def test_an_audit_finds_a_point_too_many():
    host, run = run_fleet(Pace(transactions=50, audit=True))
    run.after["M3"][PROGRAM] += 1
    report = report_of(run, run.before, audit=True)
    assert [row["member"] for row in report["differences"]] == ["M3"]
    assert not report["ok"]
    books = books_of(run, run.before)
    assert books["members"]["M3"][PROGRAM] == host.balances[CARDS[3]]


def test_a_daemon_that_stays_away_is_said_and_ends_the_run():
    fleet = fleet_of(fleet_data())
    run = Run(fleet, "127.0.0.1", 9, Pace(transactions=10, patience_s=0.1), Conduct())
    asyncio.run(run.work())
    assert set(run.failures.values()) == {"the daemon stayed away"}
    assert not report_of(run, {}, audit=False)["ok"]


def test_a_terminal_that_is_refused_gives_up_and_says_why():
    fleet = fleet_of(fleet_data())
    host = TillHost([place.registration for place in fleet.placements], CARDS)
    host.sign_on = lambda request, message: host.reply(request, message, {39: "58"}, None)
    run = run_with(fleet, host, Pace(transactions=10, patience_s=0.2))
    assert len(run.failures) == TERMINALS
    assert all("response 58" in why for why in run.failures.values())
    assert run.tally.started == 0


# --- Files, figures, command --------------------------------------------------------------


def test_a_fleet_reads_the_same_from_json_and_toml(tmp_path):
    data = fleet_data()
    (tmp_path / "fleet.json").write_text(json.dumps(data))
    rows = ["seed = 3", "timeout_s = 5", "[mix]"]
    rows += [f"{kind} = {weight}" for kind, weight in data["mix"].items()]
    for table in ("terminals", "members"):
        for row in data[table]:
            rows.append(f"[[{table}]]")
            rows += [f"{key} = {json.dumps(row[key])}" for key in row if key != "balances"]
            if "balances" in row:
                rows.append(f"balances = {{ {PROGRAM} = 5000 }}")
    (tmp_path / "fleet.toml").write_text("\n".join(rows))
    assert read_fleet(tmp_path / "fleet.json") == read_fleet(tmp_path / "fleet.toml")
    marked = tmp_path / "marked.json"
    marked.write_text((tmp_path / "fleet.json").read_text("utf-8"), "utf-8-sig")
    assert read_fleet(marked) == read_fleet(tmp_path / "fleet.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mix": {"acrual": 1}}, "no 'acrual'"),
        ({"members": []}, "at least one terminal and one member"),
        ({"terminals": [fleet_data()["terminals"][4]] * 2}, "share a link and an address"),
        ({"terminals": [{"id": "1"}]}, "lacks 'merchant'"),
        ({"think_ms": 5}, "wrong form"),
    ],
)
def test_a_fleet_file_that_cannot_be_used_is_refused_in_a_sentence(tmp_path, change, said):
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(fleet_data(**change)))
    with pytest.raises(FleetError, match=said):
        read_fleet(path)


def test_quantiles_are_of_the_nearest_rank():
    assert quantiles(range(1, 1001)) == {"p50": 500, "p99": 990, "p99.9": 999, "max": 1000}
    assert quantiles([7]) == {"p50": 7, "p99": 7, "p99.9": 7, "max": 7}
    assert quantiles([]) == {}


@pytest.mark.parametrize("latencies", [[], [0], [1000], [120, 130, 4000, 90000]])
def test_the_chart_is_a_drawing_with_a_bar_for_each_latency_seen(latencies):
    root = ET.fromstring(chart(latencies))  # noqa: S314 - our own
    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) >= (1 if latencies else 0)
    assert f"Latency of {len(latencies)} messages" in "".join(root.itertext())


def test_zero_and_an_absent_program_are_the_same_balance():
    assert differing({"M1": {"P01": 0}}, {"M1": {}}) == []
    assert len(differing({"M1": {}}, {})) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--fleet", "x.json"], "HOST:PORT"),
        (["h:1", "--fleet", "x.json", "--rate", "5", "--closed"], "either at a rate"),
        (["h:1", "--fleet", "x.json", "--drop-replies", "0.6", "--repeat", "0.6"], "never finish"),
    ],
)
def test_wrong_usage_is_status_2(arguments, said):
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_a_missing_fleet_file_is_status_1_and_a_sentence():
    done = CliRunner().invoke(command, ["h:1", "--fleet", "/nowhere/fleet.json"])
    assert done.exit_code == 1
    assert "cannot be read" in done.output
