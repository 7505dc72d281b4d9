"""A hundred tills, one code: whatever dies meanwhile, it is used once.

Each round a fresh coupon's code goes to every till, and all use it at the same moment, over lines
of their own and behind controllers; the daemon is killed somewhere among the replies. Afterwards
all messages are sent again, twice. Who was answered is answered the same again; one till in all is
told 00, the others that the coupon is used; and the books hold one discount a round.
"""

import json
import os
from random import Random

from daemon_process import Daemon, reference
from line_traffic import Traffic, pump, stable

from tests.independent.client import Link
from tests.independent.conftest import HOTEL

LONG = bool(os.environ.get("COUNTERFOIL_LONG"))
TILLS = 100
ROUNDS = 40 if LONG else 4
DISCOUNT = 1000
CAMPAIGN = {
    "type": "campaign",
    "id": "ONCE",
    "kind": "amount_off",
    "face_fen": DISCOUNT,
    "from": "2026-01-01",
    "to": "2126-12-31",
    "funders": {HOTEL: "1/1"},
    "state": "live",
}


def answers(traffic, address, requests, enough=lambda _: False):
    """Send requests, all at once, and read what comes: reply and bytes by request."""
    placed = traffic.lines(address)
    for sent in requests:
        placed[traffic.till_of(sent)].waiting.append(sent)
    lines = list(dict.fromkeys(placed.values()))
    pump(lines, enough)
    found = {}
    for line in lines:
        line.close()
        for sent, body in line.answers:
            found[sent] = (traffic.till_of(sent).read(sent, body), body)
    return found


class Tills(Traffic):
    """Tills that use one coupon."""

    def till_of(self, sent):
        return self.tills[int(sent.request.fields["41"]) - 1]

    def claim(self, address, member):
        till = self.tills[0]
        request = till.compose("0200", "910000", member, elements=[("14", "ONCE")])
        link = Link(address)
        reply = till.ask(request, link)
        link.close()
        assert reply.code == "00"
        return reply.values("38")[0]

    def uses(self, code):
        more = {"4": "000000006000", "49": "156"}
        elements = [("12", code)]
        return [
            till.sealed(till.compose("0200", "900000", elements=elements, more=more))
            for till in self.tills
        ]


def test_one_of_a_hundred_tills_uses_a_code_whatever_dies(tmp_path):
    daemon = Daemon(tmp_path)
    lines, members = reference(TILLS, 1)
    daemon.prepare([*lines, CAMPAIGN])
    source = Random(20260301)
    tills = Tills(members, TILLS, seed=1)
    try:
        daemon.start()
        tills.sign_on(daemon.address)
        for number in range(ROUNDS):
            requests = tills.uses(tills.claim(daemon.address, members[0]))
            strike = source.randrange(1, TILLS) if number % 2 else 1

            def kill(count, strike=strike):
                if count >= strike and daemon.running:
                    daemon.kill()
                return False

            first = answers(tills, daemon.address, requests, kill)
            if daemon.running:
                daemon.kill()
            daemon.start()
            again = answers(tills, daemon.address, requests)
            once_more = answers(tills, daemon.address, requests)
            assert len(again) == len(once_more) == TILLS
            for sent, (_, body) in first.items():
                assert stable(again[sent][1]) == stable(body)
            codes = sorted(reply.code for reply, _ in again.values())
            assert codes == ["00"] + ["78"] * (TILLS - 1)
            for sent, (_, body) in again.items():
                assert stable(once_more[sent][1]) == stable(body)
        assert daemon.stop() == 0
        digest = daemon.digest()
        told = daemon.run("tail", daemon.directory)
        uses = [
            event
            for event in map(json.loads, told.stdout.splitlines())
            if event["kind"] == "coupon use" and event["response"] == "00"
        ]
        assert len(uses) == ROUNDS
        shown = json.loads(
            daemon.run("show", daemon.directory, "campaign", "ONCE", "--json").stdout
        )
        assert shown["effect"]["used"] == ROUNDS
        assert shown["effect"]["discount_fen"] == ROUNDS * DISCOUNT
        assert daemon.replayed_digest(tmp_path / "again") == digest
    finally:
        daemon.kill_if_running()
