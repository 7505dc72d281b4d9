"""Everything that a day leaves behind is looked through for what must not be there in clear.

The demonstration lives through a day with a crash in it, and is cleared. Then a till with secrets
of its own goes on in its directory: long PINs, that cannot occur by chance, an identity number,
codes issued and used. What is left afterwards (journal, tables, archive, backups, exports, feed,
logs, metrics, the day's files, what commands said) holds no card, phone, PIN, code or key but in
the files of `EXEMPT`, and these do hold them: looking finds what is there.
"""

import json
import lzma
import os
import re
import subprocess
import sys
import zipfile
from base64 import b64decode
from pathlib import Path

import pytest
from daemon_process import Daemon
from in_clear import Secrets, leaks

from engine import codes
from engine.directory import open_vault
from ledger import schema
from ledger.tables import Snapshot
from posd.security import generate_keys
from tests.independent.client import Link, Terminal
from tests.independent.conftest import HOTEL, HOUSES, ROOT, luhn, master_key
from tests.independent.messages import Member, by_phone, keyed

EXEMPT = {
    "data.key": "the key file: made to hold keys, mode 0600, kept apart from the data",
    "data/sample/sample.jsonl": "what the demonstration loads: the back office's own file, 0600",
    "data/sample/fleet.json": "what the terminals and customers of the demonstration know, 0600",
    "extra.jsonl": "what this test loads: the back office's own file, 0600",
    "coupons.csv": "codes for print, which `issue` was asked for, 0600",
    "recharge.csv": "the same",
}
"""Files whose purpose it is to hold secrets, and why; there is nothing else."""

MEMBER = Member("T0000001", luhn("999915800000001"), "13966660001", pin="904815736204")
NEW_PIN, OPERATOR_PIN, WRONG_PIN = "615029384756", "738291046513", "482910573628"
IDENTITY = "110105197703070039"
ENROLLED = "13966660002"
TILL, CAMPAIGN = "90000077", "CLEAR10"
TILL_KEY = master_key(TILL, "aes")
SERIAL = "358240051119999"

LINES = [
    *[line for line in HOUSES if line["id"] in {"HB01", HOTEL}],
    {"type": "terminal", "id": TILL, "merchant": HOTEL, "profile": "aes", "tmk": TILL_KEY.hex()}
    | {"charset": "gb18030", "serial": None},
    {"type": "terminal", "id": "90000078", "merchant": HOTEL, "profile": "aes"}
    | {"tmk": master_key("90000078", "aes").hex(), "charset": "gb18030", "serial": SERIAL},
    {"type": "operator", "merchant": HOTEL, "id": "001", "name": "Desk", "pin": OPERATOR_PIN},
    {"type": "member", "id": MEMBER.id, "cards": [MEMBER.card], "phone": MEMBER.phone}
    | {"pin": MEMBER.pin, "identity": IDENTITY},
    {
        "type": "balance",
        "member": MEMBER.id,
        "unit": "P01",
        "amount": 5000,
        "expires": "2099-12-31",
    },
    {"type": "campaign", "id": CAMPAIGN, "kind": "amount_off", "face_fen": 1000, "state": "live"}
    | {"min_sale_fen": 5000, "from": "2026-01-01", "to": "2099-12-31", "quantity": 1000}
    | {"merchants": [HOTEL], "funders": {HOTEL: "1/1"}},
]


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """The folder of a demonstration, and a day more in its directory."""
    folder = tmp_path_factory.mktemp("left") / "demo"
    options = ("--folder", folder, "--transactions", "900", "--afternoon", "1", "--no-wait")
    done = subprocess.run(
        [sys.executable, "-m", "tools.demo", *map(str, options)],
        cwd=ROOT, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "demo.out").write_text(done.stdout + done.stderr)
    daemon = Daemon(folder, folder / "serve.stderr")
    try:
        go_on(daemon)
    finally:
        daemon.kill_if_running()
    return folder


def go_on(daemon):
    """A till, the back office and the night, and everything that can be asked for written down."""
    folder, data = daemon.folder, daemon.directory
    extra = folder / "extra.jsonl"
    extra.touch(mode=0o600)
    extra.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    note(daemon, "load", data, extra)
    issue = ("issue", data, "coupons", "--campaign", CAMPAIGN, "--count", 20)
    note(daemon, *issue, "--output", folder / "coupons.csv")
    recharge = ("issue", data, "recharge-cards", "--batch", "R1", "--unit", "P01")
    recharge += ("--amount", 500, "--count", 20, "--expires", "2099-12-31")
    note(daemon, *recharge, "--output", folder / "recharge.csv")
    daemon.launch("--log-format", "json")
    daemon.await_ready()
    note(daemon, "log", data, "debug")
    trade(daemon)
    (folder / "metrics.out").write_text(daemon.page("metrics")[1])
    note(daemon, "status", data)
    daemon.crash_and_restart()
    note(daemon, "backup", data, folder / "full.backup", "--tables")
    # The demonstration has closed today, so the date that is open has not begun.
    date = str(json.loads(daemon.run("status", data, "--json").stdout)["date"])
    note(daemon, "cutoff", data, "--date", f"{date[:4]}-{date[4:6]}-{date[6:]}")
    note(daemon, "night", data, "--out", folder / "settlement")
    note(daemon, "backup", data, folder / "more.backup", "--since", folder / "full.backup")
    for kind, key in (("member", MEMBER.card), ("terminal", TILL), ("campaign", CAMPAIGN)):
        note(daemon, "show", data, kind, key)
    for form in ("jsonl", "csv", "beancount"):
        note(daemon, "export", data, "--format", form)
    note(daemon, "tail", data)
    note(daemon, "config", "show", data)
    note(daemon, "doctor", data)
    assert daemon.stop() == 0
    note(daemon, "archive", data)
    note(daemon, "verify", data)


def note(daemon, *words):
    """Run a command and keep what it says, right or wrong."""
    done = daemon.run(*words)
    place = daemon.folder / "said"
    place.mkdir(exist_ok=True)
    name = f"{len(list(place.iterdir())):02}-{words[0]}"
    (place / name).write_text(done.stdout + done.stderr)
    assert done.returncode == 0 or words[0] == "doctor", done.stdout + done.stderr
    return done.stdout


def trade(daemon):
    """Use every secret once, in a right and in a wrong way."""
    folder = daemon.folder
    till = Terminal("aes", TILL, HOTEL, TILL_KEY)
    till.link = Link(daemon.address)
    till.sign_on()
    issued = codes_in(folder / "coupons.csv")

    def with_pin(pin):
        field = {"22": "011", till.pin_field: till.pin_block(pin, MEMBER.card)}
        return till.redeem(keyed(MEMBER.card), 10, more=field).code

    assert with_pin(MEMBER.pin) == "00"
    assert with_pin(WRONG_PIN) == "55"
    assert till.change_pin(MEMBER, MEMBER.pin, NEW_PIN).code == "00"
    assert till.accrue(by_phone(MEMBER.phone), 1_000).code == "00"
    assert till.enrol(by_phone(ENROLLED)).code == "00"
    sale = {"4": "000000008000", "49": "156"}

    def use(code):
        coupon = [("12", code)]
        return till.ask(till.compose("0200", "900000", elements=coupon, more=sale)).code

    assert use(issued[0]) == "00"
    assert use(issued[0]) == "78"
    assert use("1234567890123456") == "76"
    # What cannot be decoded, and what nobody believes, is logged without what it says.
    assert till.accrue(keyed(luhn("999915800000009")), 1_000).code == "14"
    assert till.ask_under(till.accrual(keyed(MEMBER.card), 1_000), bytes(16)).code == "A0"
    till.link.close()
    bad = Link(daemon.address)
    bad.send(MEMBER.card.encode() * 4)
    bad.close()


def codes_in(file: Path):
    """The codes in a file that `issue` wrote."""
    return re.findall(r"\b\d{16,24}\b", file.read_text())


def secrets_of(folder: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    """Everything secret that the day knew: from what was loaded, and out of its own books."""
    vault = open_vault(folder / "data", folder / "data.key")
    numbers = {"a PIN": MEMBER.pin, "a new PIN": NEW_PIN, "a wrong PIN": WRONG_PIN}
    numbers |= {"an operator's PIN": OPERATOR_PIN, "an identity number": IDENTITY}
    numbers |= {"a serial": SERIAL}
    for file in ("coupons.csv", "recharge.csv"):
        numbers |= {f"code {code} of {file}": code for code in codes_in(folder / file)}
    keys = {}
    with Snapshot(folder / "data") as snapshot:
        for key, row in snapshot.table(schema.ALIAS):
            kind = schema.alias_parts(key)[0]
            clear = vault.unseal_token(kind, row.sealed)
            if kind in "CP":
                numbers[f"{kind} {clear}"] = clear
        for _, row in snapshot.table(schema.COUPON):
            if row.code:
                code = codes.clear(vault, row.code)
                numbers[f"code {code}"] = code
        for _, row in snapshot.table(schema.TERMINAL):
            keys[f"master key of {row.id}"] = vault.unseal(f"tmk:{row.id}", row.tmk)
            for number in (1, 2, 3):
                entropy = vault.entropy(f"{row.id}:{row.tmk_check}:{number}")
                made = generate_keys(row.profile, entropy)
                keys[f"PIN key {number} of {row.id}"] = made.pin_key
                keys[f"MAC key {number} of {row.id}"] = made.mac_key[:16]
    document = json.loads((folder / "data.key").read_text())
    keys["the master"] = b64decode(document["master"])
    for number, tree in enumerate(document["persons"]["trees"]):
        keys[f"root {number} of persons"] = b64decode(tree)[-16:]
    return numbers, keys


@pytest.fixture(scope="module")
def found(left):
    """Files and the secrets in them."""
    numbers, keys = secrets_of(left)
    assert len(numbers) > 2000
    assert len(keys) > 40 * 7
    return leaks(left, Secrets(numbers, keys))


def test_nothing_that_a_day_leaves_behind_holds_a_secret(found):
    assert {name: what for name, what in found.items() if name not in EXEMPT} == {}


def test_what_holds_secrets_by_its_purpose_is_found_and_private(left, found):
    assert set(EXEMPT) <= set(found)
    for name in EXEMPT:
        assert (left / name).stat().st_mode & 0o777 == 0o600, name


def test_a_secret_is_found_in_every_form_and_in_what_is_packed(tmp_path):
    card, key = MEMBER.card, TILL_KEY
    secrets = Secrets({"card": card, "phone": MEMBER.phone}, {"key": key})
    forms = {
        "text": f"paid with {card}.".encode(),
        "packed": b"\xff" + bytes.fromhex(card + "0" * (len(card) % 2)) + b"\xff",
        "packed odd": b"\x12" + bytes.fromhex("0" + MEMBER.phone) + b"\xee",
        "key": b"\0" + key,
        "hex": key.hex().upper().encode(),
        "xz": b"head" + lzma.compress(b"." * 99 + card.encode()),
    }
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sheet.xml", MEMBER.phone)
    (tmp_path / "harmless").write_bytes(os.urandom(1 << 16) + bytes(1 << 16))
    assert set(leaks(tmp_path, secrets)) == {*forms, "zip"}
