"""The stages of a message one by one, under pytest-benchmark: ``make bench`` runs these first.

Figures to compare two versions of the code with (``--benchmark-compare``); what the daemon does as
a whole is measured by ``python -m benchmarks``.
"""

import json
from pathlib import Path

from engine.rules.points import Accrual
from ledger.book import Book
from posd.iso8583.compile import Codec
from posd.security import mac_calculator
from tests.engine.house import House, moment, token

VECTORS = Path(__file__).parent.parent / "tests" / "vectors.json"
MESSAGE = bytes.fromhex(json.loads(VECTORS.read_text())["messages"][0]["accrual_message"])


def test_decode(benchmark):
    codec = Codec()
    assert benchmark(codec.decode, MESSAGE).mti == "0200"


def test_encode(benchmark):
    codec = Codec()
    message = codec.decode(MESSAGE)
    assert benchmark(codec.encode, message.mti, message.fields) == MESSAGE


def test_mac(benchmark):
    mac = mac_calculator("aes", bytes(range(16)))
    assert len(benchmark(mac, MESSAGE)) == 8


def test_accrual(benchmark, tmp_path):
    folder = tmp_path / "book"
    Book.create(folder)
    book = Book.open(folder, follower=False)
    house = House(book)
    at = moment(20260302)
    house.open(20260302, at=at)
    house.program("P01", at)
    house.institution("HB01", at)
    terms = (20260101, "P01", (1, 1), (1, 1), (95, 100), 6, 0, 0, 0, False)
    house.merchant("HOTEL", at, (terms,))
    house.terminal("00000001", "HOTEL", at)
    house.member("M1", at, tokens=(("C", "6222020000000000018"),))
    card = token("C", "6222020000000000018")

    def sale():
        command = house.request(Accrual, "00000001", at, tokens=(card,), amount=12345)
        return (command, at), {}

    answer = benchmark.pedantic(house.machine.execute, setup=sale, rounds=5000)
    assert answer.approved
    book.close()
