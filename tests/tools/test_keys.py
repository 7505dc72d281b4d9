"""`counterfoil keys`: a terminal's master key from the components of two people."""

import ctypes
import json
import resource

import pytest

from engine.directory import open_vault
from ledger import codec, schema
from ledger.tables import Snapshot
from posd import security
from tests.tools.conftest import CARD, MEMBER, TERMINAL, Daemon, must, run, write_lines
from tools.keys import SEALED_ANEW

ONE = "0123456789abcdeffedcba9876543210"
TWO = "a0a1a2a3a4a5a6a7b0b1b2b3b4b5b6b7"
BOTH = bytes(a ^ b for a, b in zip(bytes.fromhex(ONE), bytes.fromhex(TWO), strict=True))
ID = TERMINAL["id"]


def handed(folder, text, mode=0o600):
    path = folder / "component"
    path.unlink(missing_ok=True)
    path.touch(mode=mode)
    path.write_text(text + "\n")
    return path


def load(directory, text, part, by, **options):
    file = handed(directory.parent, text, **options)
    return run("keys", "component", directory, ID, "--part", part, "--by", by, "--from", file)


def key_of(directory):
    with Snapshot(directory) as snapshot:
        row = snapshot.view.get(schema.terminal(schema.TERMINAL, ID))
    return row, open_vault(directory).unseal(f"tmk:{ID}", row.tmk)


def check(text, profile="aes"):
    return security.check_value(profile, bytes.fromhex(text)).hex().upper()


def test_two_people_make_a_key_that_neither_knows(loaded):
    first = load(loaded, ONE, 1, "Anna")
    assert first.exit_code == 0, first.output
    assert f"check value {check(ONE)}" in first.output
    assert key_of(loaded)[1] != BOTH
    second = load(loaded, TWO, 2, "Bert")
    assert f"check value {check(TWO)}" in second.output
    row, key = key_of(loaded)
    assert key == BOTH
    assert row.tmk_check in second.output
    told = json.loads(must("keys", "show", loaded, ID, "--json"))
    assert told["check"] == row.tmk_check
    assert "part" not in told
    event = json.loads(must("tail", loaded).splitlines()[-1])
    assert event["facts"]["after"] == f"key {row.tmk_check} by Anna and Bert"
    # No component and no key is anywhere, in either form.
    secrets = [*map(bytes.fromhex, (ONE, TWO)), BOTH]
    for path in loaded.rglob("*"):
        data = path.read_bytes() if path.is_file() and path.name != "control.sock" else b""
        for secret in secrets:
            assert secret not in data
            assert secret.hex().encode() not in data.lower()
    assert must("verify", loaded)


@pytest.mark.parametrize(
    ("text", "part", "by", "sentence"),
    [
        (TWO, 2, "ANNA", "both components are of one person"),
        (ONE, 2, "Bert", "make no key of use"),
        ("00" * 16, 2, "Bert", "zeros alone"),
        ("12", 2, "Bert", "32 hexadecimal digits"),
        ("secret-secret-secret", 2, "Bert", "32 hexadecimal digits"),
        (TWO, 2, " ", "name of the custodian"),
    ],
)
def test_what_is_no_second_component_is_refused(loaded, text, part, by, sentence):
    before = key_of(loaded)[1]
    assert load(loaded, ONE, 1, "Anna").exit_code == 0
    done = load(loaded, text, part, by)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert "secret" not in done.stderr
    assert key_of(loaded)[1] == before


def test_the_same_part_again_begins_anew(loaded):
    before = key_of(loaded)[1]
    for who in ("Anna", "Bert"):
        assert "waits for part 2" in load(loaded, ONE, 1, who).output
    assert key_of(loaded)[1] == before
    assert "is in force" in load(loaded, TWO, 2, "Anna").output


def test_a_file_that_others_can_read_and_an_unknown_terminal_are_refused(loaded):
    assert "chmod 600" in load(loaded, ONE, 1, "Anna", mode=0o644).stderr
    done = run("keys", "component", loaded, "99999999", "--part", 1, "--by", "A")
    assert "no such terminal" in done.stderr


def test_a_component_is_typed_twice_at_a_prompt_that_shows_nothing(loaded):
    words = ("keys", "component", loaded, ID, "--part", 1, "--by", "Anna")
    done = run(*words, typed=f"{ONE}\n{ONE}\n")
    assert done.exit_code == 0, done.output
    assert ONE not in done.output


def test_a_tdes_key_has_odd_parity_and_is_never_single_des(loaded):
    must("load", loaded, write_lines(loaded.parent / "t", [TERMINAL | {"profile": "tdes-x919"}]))
    load(loaded, ONE, 1, "Anna")
    single = bytes(a ^ 1 for a in bytes.fromhex(ONE)[:8]) + bytes.fromhex(ONE)[8:]
    assert "make no key of use" in load(loaded, single.hex(), 2, "Bert").stderr
    assert "is in force" in load(loaded, TWO, 2, "Bert").output
    assert all(byte.bit_count() % 2 for byte in key_of(loaded)[1])


def test_who_holds_keys_leaves_no_core(loaded):
    open_vault(loaded)
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    get_dumpable = 3
    assert ctypes.CDLL(None).prctl(get_dumpable, 0, 0, 0, 0) == 0


def test_the_storage_key_is_rotated_beside_the_daemon(loaded, tmp_path):
    load(loaded, ONE, 1, "Anna")
    before = {key: row.sealed for key, row in rows(loaded, schema.ALIAS)}
    daemon = Daemon(loaded)
    try:
        more = MEMBER | {"id": "M0000002", "cards": ["6222020000000000026"]}
        more["phone"] = "13800000002"
        text = must("keys", "rotate", loaded)
        assert f"{len(before) + 2} values sealed anew" in text
        # What the daemon serves now is readable to it, and what it takes in is sealed anew.
        must("load", loaded, write_lines(tmp_path / "more.jsonl", [more]))
        shown = must("show", loaded, "member", CARD)
        assert "0018" in shown
        assert CARD not in shown
    finally:
        assert daemon.stop() == 0
    vault = open_vault(loaded)
    first, second = vault.sealing_ids
    assert first == vault.key_id != second
    for table, (field,) in codec.sealed_fields().items():
        for key, row in rows(loaded, table):
            sealed = getattr(row, field)
            assert not sealed or sealed[:4].hex() == second
            if sealed:
                assert SEALED_ANEW[table](vault, key, row) != sealed
    assert before.keys() < {key for key, _ in rows(loaded, schema.ALIAS)}
    assert "is in force" in load(loaded, TWO, 2, "Bert").output
    assert key_of(loaded)[1] == BOTH
    assert "0 values" in must("keys", "reseal", loaded)
    again = must("replay", loaded, "--into", tmp_path / "again")
    assert must("verify", loaded).splitlines()[-1] in again
    assert (loaded.parent / "data.key").stat().st_mode & 0o777 == 0o600


def test_every_table_that_holds_ciphertext_is_sealed_anew():
    assert set(SEALED_ANEW) == set(codec.sealed_fields())
    assert all(len(fields) == 1 for fields in codec.sealed_fields().values())


def test_a_daemon_takes_up_a_new_storage_key_by_itself(loaded):
    old, other = open_vault(loaded), open_vault(loaded)
    early = old.seal("token:C", b"1")
    name = other.rotate()
    assert old.unseal("token:C", other.seal("token:C", b"2")) == b"2"
    assert old.seal("token:C", b"3")[:4].hex() == name
    assert other.unseal("token:C", early) == b"1"
    assert old.token_digest("C", CARD) == open_vault(loaded).token_digest("C", CARD)


def rows(directory, table):
    with Snapshot(directory) as snapshot:
        return list(snapshot.table(table))
