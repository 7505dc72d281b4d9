"""The key file and what rests on it: durability, refusals, digests, seals, RRNs, secrecy."""

import base64
import copy
import errno
import json
import os
import pickle
import random
import resource
import stat
from itertools import pairwise
from types import GetSetDescriptorType, MemberDescriptorType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.vault import (
    SEQUENCE_LIMIT,
    SHARD_LIMIT,
    TOKEN_KINDS,
    KeyFileError,
    SealBroken,
    Vault,
)

MASTER = bytes(range(32))
VAULT = Vault(MASTER)
OTHER = Vault(bytes(32))

sequences = st.integers(0, SEQUENCE_LIMIT - 1)
shards = st.integers(0, SHARD_LIMIT - 1)


@pytest.fixture(autouse=True)
def _core_limit():
    before = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "counterfoil.key"


# --- The key file -------------------------------------------------------------------------------


def test_a_key_file_opens_to_the_same_keys(path):
    made = Vault.create(path)
    opened = Vault.open(str(path))

    assert opened.key_id == made.key_id
    assert opened.token_digest("C", "6222") == made.token_digest("C", "6222")
    assert opened.content_digest(b"x") == made.content_digest(b"x")
    assert opened.pin_digest("1", "1234") == made.pin_digest("1", "1234")
    assert opened.rrn(7, 3) == made.rrn(7, 3)
    assert opened.unseal("label", made.seal("label", b"clear")) == b"clear"


def test_every_key_file_is_another(tmp_path):
    made = [Vault.create(tmp_path / f"{i}.key") for i in range(20)]

    assert len({v.key_id for v in made}) == 20
    assert len({v.token_digest("C", "6222") for v in made}) == 20


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_a_new_key_file_is_its_owners_alone_whatever_the_umask(path, umask):
    before = os.umask(umask)
    try:
        Vault.create(path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_file_is_never_overwritten(path):
    Vault.create(path)
    before = path.read_bytes()

    with pytest.raises(KeyFileError, match="never overwritten"):
        Vault.create(path)
    assert path.read_bytes() == before


def test_a_key_file_is_not_written_through_a_link(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(KeyFileError):
        Vault.create(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_new_key_file_and_its_name_are_synced_before_it_is_used(path, monkeypatch):
    synced = []
    fsync = os.fsync

    def watch(descriptor):
        status = os.fstat(descriptor)
        synced.append((stat.S_ISDIR(status.st_mode), status.st_ino, status.st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    Vault.create(path)

    file, folder = synced
    assert file == (False, path.stat().st_ino, path.stat().st_size)
    assert folder[:2] == (True, path.parent.stat().st_ino)


@pytest.mark.parametrize("failing", [1, 2])
def test_a_key_file_that_may_not_last_is_taken_away_again(path, monkeypatch, failing):
    calls = []

    def fail(_descriptor):
        calls.append(None)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyFileError, match="No space left"):
        Vault.create(path)
    assert not path.exists()


def test_a_folder_that_is_missing_is_said(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be created"):
        Vault.create(tmp_path / "missing" / "counterfoil.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o700, 0o610, 0o4600])
def test_a_key_file_with_a_wider_mode_is_refused_with_the_remedy(path, mode):
    Vault.create(path)
    path.chmod(mode)

    with pytest.raises(KeyFileError, match=f"{mode:04o}.*chmod 600"):
        Vault.open(path)

    path.chmod(0o600)
    Vault.open(path)


def test_a_key_file_may_be_read_only(path):
    made = Vault.create(path)
    path.chmod(0o400)

    assert Vault.open(path).key_id == made.key_id


def test_a_missing_key_file_is_said(path):
    with pytest.raises(KeyFileError, match="does not exist"):
        Vault.open(path)


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("pipe", "."):
        with pytest.raises(KeyFileError, match="not a regular file"):
            Vault.open(tmp_path / name)


def other_master(text):
    document = json.loads(text)
    document["master"] = base64.b64encode(bytes(32)).decode()
    return json.dumps(document)


def replaced(**members):
    return lambda text: json.dumps(json.loads(text) | members)


DAMAGES = {
    "empty": lambda _: "",
    "cut": lambda text: text[: len(text) // 2],
    "binary": lambda text: text + "\x80",
    "deep": lambda _: "[" * 4000,
    "a list": lambda text: f"[{text}]",
    "another master": other_master,
    "short master": replaced(master=base64.b64encode(bytes(31)).decode()),
    "no base64": replaced(master="*" * 44),
    "no ascii": replaced(master="\u00e9" * 44),
    "master a number": replaced(master=7),
    "another id": replaced(key_id="00000000"),
    "no id": replaced(key_id=None),
    "later format": replaced(format=2),
    "no format": replaced(format=None),
    "no persons": replaced(persons=None),
    "persons without trees": replaced(persons={"trees": [], "check": ""}),
    "persons cut": replaced(persons={"trees": ["AA==", "AA=="], "check": "00" * 8}),
    "persons changed": lambda text: text.replace('"check": "', '"check": "0'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_key_file_is_refused_and_not_shown(path, damage):
    Vault.create(path)
    master = json.loads(path.read_text())["master"]
    path.write_bytes(damage(path.read_text()).encode("latin-1"))

    with pytest.raises(KeyFileError, match=r"restore|use the version") as caught:
        Vault.open(path)

    seen = []
    error = caught.value
    while error is not None:
        seen += [repr(error), str(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    assert not any(master[:12] in text for text in seen)


def test_a_master_of_another_length_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(bytes(31))


# --- What data directories already hold ---------------------------------------------------------


def test_values_at_rest_keep_their_meaning_in_later_versions():
    assert VAULT.key_id == "1fd72349"
    assert VAULT.token_digest("K", "6222020000000000018").hex() == (
        "dbcad1d847cf6fd37acefde09448f91b"
    )
    assert VAULT.token_digest("C", "6222020000000000018").hex() == (
        "3221c85729f338c7403be2516ca8d9ce"
    )
    assert VAULT.content_digest(b"content").hex() == "6941c52401765623499698731aafe8e0"
    assert VAULT.pin_digest("7", "1234").hex() == "a90927da5ce8e0ec19d6803450baf773"
    assert [VAULT.rrn(n) for n in range(3)] == ["404919081869", "625720853784", "266379215911"]
    assert VAULT.rrn(SEQUENCE_LIMIT - 1, SHARD_LIMIT - 1) == "619737285163"
    sealed = "1fd7234929964acc6c43081e924bdfa020a14a9155f4a4c79dd64ad7990d98d6cf07fb8fce"
    assert VAULT.unseal("label", bytes.fromhex(sealed)) == b"clear"
    sealed = (
        "1fd723497e60e46abdd92b3b01cb66b853e355f51d33ac8536edc475aa3e89821ccbb3391773599d"
        "a846de48d30fe36ff12ab54efe0183ce"
    )
    assert VAULT.unseal_token("C", bytes.fromhex(sealed)) == "6222020000000000018"


# --- Digests ------------------------------------------------------------------------------------


def test_a_value_has_unrelated_digests_by_kind_and_key_file():
    digests = [v.token_digest(k, "13800138000") for v in (VAULT, OTHER) for k in TOKEN_KINDS]

    assert len(set(digests)) == 14
    assert {len(d) for d in digests} == {16}


@given(st.text(), st.text())
def test_texts_have_the_same_digest_only_if_they_are_the_same(one, other):
    same = VAULT.token_digest("P", one) == VAULT.token_digest("P", other)

    assert same == (one == other)


def test_a_text_that_is_no_unicode_has_a_digest_too():
    assert VAULT.token_digest("Q", "\udc80") != VAULT.token_digest("Q", "\udc81")


def test_an_unknown_kind_is_refused_without_the_value():
    with pytest.raises(ValueError, match="kind") as caught:
        VAULT.token_digest("X", "13800138000")
    assert "13800138000" not in str(caught.value)


def test_digests_do_not_depend_on_what_was_digested_before():
    first = VAULT.content_digest(b"one")
    VAULT.content_digest(b"two")
    VAULT.token_digest("C", "one")

    assert VAULT.content_digest(b"one") == first
    assert VAULT.content_digest(b"two") != first
    assert OTHER.content_digest(b"one") != first


def test_a_pin_digest_is_bound_to_its_member():
    digests = {
        VAULT.pin_digest("1", "2345"),
        VAULT.pin_digest("12", "345"),
        VAULT.pin_digest("2", "2345"),
        VAULT.pin_digest("1", "2346"),
        OTHER.pin_digest("1", "2345"),
    }

    assert len(digests) == 5
    assert VAULT.pin_digest("1", "2345") in digests


# --- Sealed values ------------------------------------------------------------------------------


@given(label=st.text(), clear=st.binary())
def test_a_sealed_value_opens_under_its_label(label, clear):
    assert VAULT.unseal(label, VAULT.seal(label, clear)) == clear


def test_equal_values_do_not_look_equal_once_sealed():
    sealed = {VAULT.seal("card", b"6222020000000000018") for _ in range(100)}

    assert len(sealed) == 100
    assert not any(b"6222" in s for s in sealed)


def test_a_flipped_bit_anywhere_in_a_sealed_value_is_found():
    sealed = VAULT.seal("card", b"6222020000000000018")
    for bit in range(len(sealed) * 8):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            VAULT.unseal("card", bytes(damaged))


def test_a_sealed_value_of_another_length_is_refused():
    sealed = VAULT.seal("card", b"6222")
    for size in range(len(sealed)):
        with pytest.raises(SealBroken):
            VAULT.unseal("card", sealed[:size])
    with pytest.raises(SealBroken):
        VAULT.unseal("card", sealed + b"\0")


def test_a_sealed_value_cannot_be_moved_to_another_label():
    with pytest.raises(SealBroken, match="label"):
        VAULT.unseal("member 2", VAULT.seal("member 1", b"clear"))


def test_a_value_of_another_key_file_is_told_from_a_damaged_one():
    with pytest.raises(SealBroken, match="another key file"):
        OTHER.unseal("card", VAULT.seal("card", b"clear"))


# --- Retrieval reference numbers ----------------------------------------------------------------


@given(sequences, shards)
def test_an_rrn_carries_its_sequence_number_and_shard(sequence, shard):
    rrn = VAULT.rrn(sequence, shard)

    assert len(rrn) == 12
    assert rrn.isdecimal()
    assert VAULT.sequence(rrn) == (shard, sequence)


@given(st.from_regex(r"[0-9]{12}", fullmatch=True))
def test_every_12_digits_are_the_rrn_of_one_pair(rrn):
    shard, sequence = VAULT.sequence(rrn)

    assert VAULT.rrn(sequence, shard) == rrn


def test_no_rrn_comes_twice():
    vault = Vault(MASTER)
    rrns = [vault.rrn(n, shard) for shard in (0, 1, 99) for n in range(5000)]

    assert len(set(rrns)) == len(rrns)


@given(
    start=st.integers(0, SEQUENCE_LIMIT - 300),
    steps=st.lists(st.integers(1, 90), min_size=1, max_size=300),
    seed=st.integers(0, 1000),
)
def test_the_order_in_which_rrns_are_asked_for_changes_nothing(start, steps, seed):
    asked, number = [], start
    for step in steps:
        number += step
        if number < SEQUENCE_LIMIT:
            asked.append(number)
    growing, shuffled = Vault(MASTER), Vault(MASTER)
    expected = {n: growing.rrn(n) for n in asked}
    random.Random(seed).shuffle(asked)

    assert {n: shuffled.rrn(n) for n in asked} == expected
    assert all(growing.sequence(rrn) == (0, n) for n, rrn in expected.items())


def test_rrns_run_on_to_the_last_number_of_a_shard_and_no_further():
    vault = Vault(MASTER)
    last = SEQUENCE_LIMIT - 1
    for shard in (0, SHARD_LIMIT - 1):
        for number in range(last - 200, last + 1):
            assert vault.sequence(vault.rrn(number, shard)) == (shard, number)
        with pytest.raises(ValueError, match="RRN"):
            vault.rrn(SEQUENCE_LIMIT, shard)


@pytest.mark.parametrize(("sequence", "shard"), [(-1, 0), (0, -1), (0, 100), (10**10, 0)])
def test_a_number_that_an_rrn_cannot_carry_is_refused(sequence, shard):
    with pytest.raises(ValueError, match="RRN"):
        VAULT.rrn(sequence, shard)


@pytest.mark.parametrize(
    "text",
    ["", "1" * 11, "1" * 13, "12345678901x", " 12345678901", "+12345678901", "1_2345678901",
     "\u0661" * 12, "\uff11" * 12, "\u00b2" * 12],
)  # fmt: skip
def test_a_text_that_is_not_12_digits_is_no_rrn(text):
    assert VAULT.sequence(text) is None


def test_following_rrns_show_no_step_and_no_favourite_digit():
    rrns = [int(VAULT.rrn(n)) for n in range(10_000)]
    steps = {(b - a) % 10**12 for a, b in pairwise(rrns)}
    leading = [sum(rrn // 10**11 == digit for rrn in rrns) for digit in range(10)]
    trailing = [sum(rrn % 10 == digit for rrn in rrns) for digit in range(10)]

    assert len(steps) == len(rrns) - 1
    # Expected 1000 each; 120 is four standard deviations, and the key is fixed.
    assert all(abs(seen - 1000) < 120 for seen in leading + trailing)


def test_rrns_of_another_key_file_are_others():
    same = [n for n in range(5000) if VAULT.rrn(n) == OTHER.rrn(n)]

    assert same == []


# --- Secrecy ------------------------------------------------------------------------------------


def test_a_vault_shows_its_key_id_only():
    assert repr(VAULT) == str(VAULT) == f"{VAULT}" == f"Vault({VAULT.key_id})"


def test_a_vault_can_be_neither_pickled_nor_copied():
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            attempt(VAULT)
    assert not hasattr(VAULT, "__dict__")


def test_a_vault_keeps_no_key_as_a_python_value():
    slots = (MemberDescriptorType, GetSetDescriptorType)  # as it is, and compiled
    names = [name for name, place in vars(Vault).items() if isinstance(place, slots)]
    kept = [getattr(VAULT, name) for name in names]
    assert len(kept) > 10
    # The trees of persons apart, which open nothing without the sealing keys.

    assert [v for v in kept if isinstance(v, bytes)] == [bytes.fromhex(VAULT.key_id)]
    assert not any(repr(MASTER)[2:-1] in repr(v) or MASTER.hex() in repr(v) for v in kept)


@pytest.mark.parametrize("way", ["create", "open"])
def test_a_process_with_a_key_file_writes_no_core_file(path, way):
    Vault.create(path)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    if way == "create":
        Vault.create(path.with_suffix(".other"))
    else:
        Vault.open(path)

    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, hard)
