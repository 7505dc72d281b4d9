"""One day of a small alliance, from the first sign-on to the proof that it can be replayed."""

import json

from .conftest import YEAR, must
from .messages import CNY, keyed, swiped


def at_the_counter(till, member):
    """Earn, spend, repeat, reverse before and after, void, refund in parts."""
    assert till.sign_on().code == "00"
    earned = till.accrue(member, 12345)
    assert (earned.points, earned.available()) == ("+123", 5123)
    spent = till.redeem(swiped(member.card), 1001, CNY)
    assert (spent.points, spent.available()) == ("-1001", 4122)

    assert till.ask(spent.request).business == spent.business
    assert till.ask(spent.request.but({"4": f"{1002:012d}"})).code == "94"
    assert till.balance(member) == 4122

    late = till.accrual(member, 50000)
    assert [till.reverse(late).code, till.ask(late).code] == ["25", "22"]
    taken_back = till.accrue(member, 50000)
    assert till.reverse(taken_back.request).code == "00"
    assert till.balance(member) == 4122

    assert till.void(till.redeem(member, 22)).available() == 4122
    assert till.refund(spent.rrn, 500, CNY).code == "00"
    assert till.refund(spent.rrn, 502, CNY).code == "64"
    assert till.refund(spent.rrn, 501, CNY).code == "00"
    assert till.balance(member) == 5123
    return {"P01": (1, 1001, 3, 123 + 500 + 501)}


def rubbish(world, till, member):
    """A damaged MAC, a foreign key, an unknown terminal, half a frame, half a message."""
    assert till.exchange(till.damaged(till.accrual(member, 100))).code == "A0"
    assert till.ask_under(till.accrual(member, 100), bytes(range(1, 9)) * 2).code == "A0"
    encoded = till.sealed(till.accrual(member, 100)).frame.encode()
    short = (len(encoded) - 12).to_bytes(2) + encoded[2:-10]
    for data in (short, b"\xff\xff" + encoded):
        line = world.link()
        line.send(data)
        assert line.was_closed_without_a_word()


def test_a_day_is_lived_crashed_through_settled_verified_and_replayed(world, daemon, tmp_path):
    kinds = ("aes", "tdes-x919", "tdes-cup", "aes")
    tills = [(world.terminal(kind), world.member()) for kind in kinds]
    totals = {till: at_the_counter(till, member) for till, member in tills}
    rubbish(world, *tills[-1])
    newcomer = keyed(world.stranger())
    assert tills[0][0].enrol(newcomer).code == "00"

    daemon.crash_and_restart()
    for till, member in tills:
        till.link = world.link()
        assert till.balance(member) == 5123
        settled = till.settle(totals[till])
        assert (settled.code, settled.batch) == ("00", "000002")
        till.batch = settled.batch
    last = tills[0][0].accrue(newcomer, 12345)
    assert last.available() == 123

    _shows_without_cards(daemon, tills[0][1], last.rrn)
    daemon.digest()  # beside the running daemon
    assert daemon.stop() == 0
    digest = daemon.digest()
    again = tmp_path / "again"
    must(daemon.run("replay", daemon.directory, "--into", again))
    assert daemon.digest(again) == digest

    daemon.start()
    till, member = tills[0]
    till.link = world.link()
    assert till.ask(last.request).business == last.business
    assert till.balance(member) == 5123


def _shows_without_cards(daemon, member, rrn):
    for kind, key in (("member", member.id), ("transaction", rrn), ("terminal", "00000001")):
        shown = must(daemon.run("show", daemon.directory, kind, key, "--json"))
        assert json.loads(shown)
        assert member.card not in shown
        assert member.phone not in shown


def test_loading_the_same_data_again_changes_nothing(world, daemon):
    member, till = world.member(), world.till()
    must(daemon.run("load", daemon.directory, daemon.folder / "reference.jsonl"))
    assert till.balance(member) == member.opening


def test_another_opening_balance_is_rejected_and_the_rest_is_loaded(world, daemon):
    member, till = world.member(), world.till()
    opening = next(line for line in world.lines if line.get("member") == member.id)
    lines = [{**opening, "amount": 1}, {**opening, "expires": f"{YEAR + 2}-12-31", "amount": 7}]
    extra = daemon.folder / "extra.jsonl"
    extra.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = daemon.run("load", daemon.directory, extra)
    assert done.returncode == 1, done.stdout + done.stderr
    assert till.balance(member) == member.opening + 7


def test_keys_in_clear_are_taken_from_a_private_file_only(world, daemon):
    terminal = next(line for line in world.lines if line["type"] == "terminal")
    extra = daemon.folder / "readable.jsonl"
    extra.write_text(json.dumps({**terminal, "id": "55555555"}) + "\n")
    extra.chmod(0o644)
    done = daemon.run("load", daemon.directory, extra)
    assert done.returncode == 1, done.stdout + done.stderr
    assert terminal["tmk"] not in (done.stdout + done.stderr).lower()
    stranger = world.terminal()
    stranger.terminal_id = "55555555"
    assert stranger.echo().code == "97"
