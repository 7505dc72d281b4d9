"""Inquiries of coupons leave no entry of their own: the daemon counts them, and says when."""

import json

import pytest
from daemon_process import Daemon, reference, until

from tests.independent.client import Link, Terminal
from tests.independent.conftest import HOTEL, master_key
from tests.independent.messages import keyed

TILL = "00000001"
CAMPAIGN = {
    "type": "campaign",
    "id": "SPRING",
    "kind": "amount_off",
    "face_fen": 1000,
    "from": "2026-01-01",
    "to": "2126-12-31",
    "state": "live",
}


class House:
    """A daemon, a till and a coupon."""

    def __init__(self, folder):
        self.daemon = Daemon(folder)
        lines, (self.member,) = reference(1, 1)
        self.daemon.prepare([*lines, CAMPAIGN])
        self.till = Terminal("aes", TILL, HOTEL, master_key(TILL, "aes"))

    def open(self, seconds):
        """Serve, noting inquiries after some seconds, and sign on."""
        self.daemon.environment["COUNTERFOIL_SERVE_INQUIRIES_SECONDS"] = str(seconds)
        self.daemon.start()
        if self.till.link is not None:
            self.till.link.close()
        self.till.link = Link(self.daemon.address)
        self.till.sign_on()

    def claim(self):
        request = self.till.compose(
            "0200", "910000", keyed(self.member.card), elements=[("14", "SPRING")]
        )
        reply = self.till.ask(request)
        assert reply.code == "00"
        self.code = reply.values("38")[0]

    def inquire(self, times):
        for _ in range(times):
            asked = self.till.compose("0100", "390000", elements=[("12", self.code)])
            assert self.till.ask(asked).code == "00"

    def inquired(self):
        """What the campaign and its report say; the same."""
        told = self.daemon.run("show", self.daemon.directory, "campaign", "SPRING", "--json")
        shown = json.loads(told.stdout)["effect"]["inquired"]
        report = self.daemon.run("report", self.daemon.directory, "campaign-effect", "--json")
        days = [json.loads(line) for line in report.stdout.splitlines()]
        assert sum(day["inquired"] for day in days) == shown
        return shown


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.till.link.close()
    house.daemon.kill_if_running()


def test_an_orderly_stop_notes_inquiries_and_a_crash_loses_the_last_of_them(house, tmp_path):
    daemon = house.daemon
    house.open(3600)
    house.claim()
    house.inquire(3)
    assert daemon.metric("_coupon_inquiries_waiting") == 3
    assert house.inquired() == 0
    assert daemon.stop() == 0
    assert house.inquired() == 3
    house.open(1)
    house.inquire(2)
    until(lambda: daemon.metric("_coupon_inquiries_waiting") == 0, "they are never noted")
    daemon.kill()
    assert house.inquired() == 5
    house.open(3600)
    house.inquire(1)
    daemon.kill()
    assert house.inquired() == 5, "what was counted since the last time is lost"
    assert daemon.replayed_digest(tmp_path / "again") == daemon.digest()
