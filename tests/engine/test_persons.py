"""Keys that can be destroyed one by one, the names that rest on them, and forgetting in a vault."""

import base64
import json
import os

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from hypothesis import given
from hypothesis import strategies as st

from engine.keytree import KEY_BYTES, POSITION_BYTES, KeyTree
from engine.persons import Persons
from engine.vault import PERSONAL_KINDS, Forgotten, KeyFileError, SealBroken, Vault

ROOT = bytes(range(32))
CARD, OTHER = "6222020000000000018", "6222020000000000026"

positions = st.binary(min_size=POSITION_BYTES, max_size=POSITION_BYTES)
digests = st.binary(min_size=16, max_size=16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "counterfoil.key"


# --- The tree -----------------------------------------------------------------------------------


@given(st.lists(positions, max_size=6, unique=True), st.lists(positions, max_size=6))
def test_a_destroyed_leaf_is_gone_and_every_other_is_as_it_was(destroyed, others):
    whole = KeyTree.rooted(ROOT[:KEY_BYTES])
    # Neighbours are the hard case: their paths are one but for the last step.
    others += [one[:-1] + bytes((one[-1] ^ 1,)) for one in destroyed]
    tree = whole
    for position in destroyed:
        tree = KeyTree.unpacked(tree.without([position]).packed())
    assert tree.packed() == whole.without(destroyed).packed()
    for position in destroyed:
        assert tree.leaf(position) is None
        assert tree.without([position]).packed() == tree.packed()
    for position in {*others} - {*destroyed}:
        assert tree.leaf(position) == tree.leaf(position) == whole.leaf(position)


def test_what_leads_to_a_destroyed_leaf_is_in_no_node_that_is_left():
    whole, position = KeyTree.rooted(ROOT[:KEY_BYTES]), bytes(range(POSITION_BYTES))
    left = whole.without([position]).packed()
    assert whole.leaf(position) not in left
    assert ROOT[:KEY_BYTES] not in left
    # Fifteen siblings at each of ten steps, and no node on the path itself.
    assert len(KeyTree.unpacked(left)) == 150
    way = {bytes((steps,)).hex() + position.hex()[:steps].ljust(10, "0") for steps in range(11)}
    assert not way & {head.hex() for head in KeyTree.unpacked(left)._nodes}


@given(st.lists(positions, min_size=1, max_size=40), st.data())
def test_leaves_are_the_same_together_and_alone(several, data):
    whole = KeyTree.rooted(ROOT[:KEY_BYTES])
    tree = whole.without(data.draw(st.lists(st.sampled_from(several), max_size=3)))
    alone = [KeyTree.unpacked(tree.packed()).leaf(position) for position in several]
    assert tree.leaves(several) == alone
    assert tree.leaves(several) == alone  # once more, over what was kept


def test_a_leaf_is_reached_by_the_steps_that_are_described():
    # ledger/FORMAT.md, with another implementation of the cipher's use.
    encrypt = Cipher(AES(b"counterfoil tree"), modes.ECB()).encryptor().update  # noqa: S305
    position = bytes.fromhex("0f1e2d3c4b")
    key = ROOT[:KEY_BYTES]
    for digit in position.hex():
        block = key[:15] + bytes((key[15] ^ int(digit, 16),))
        key = bytes(a ^ b for a, b in zip(encrypt(block), block, strict=True))
    assert KeyTree.rooted(ROOT[:KEY_BYTES]).leaf(position) == key


def test_leaves_look_like_nothing_in_common():
    tree = KeyTree.rooted(ROOT[:KEY_BYTES])
    leaves = {tree.leaf(number.to_bytes(POSITION_BYTES, "big")) for number in range(2000)}
    assert len(leaves) == 2000


@given(st.binary(max_size=80))
def test_bytes_that_are_no_tree_are_refused_or_are_one(data):
    try:
        tree = KeyTree.unpacked(data)
    except ValueError:
        return
    assert tree.packed() == KeyTree.unpacked(tree.packed()).packed()
    assert tree.leaf(bytes(POSITION_BYTES)) is None or len(tree)


# --- Names --------------------------------------------------------------------------------------


@given(digests, digests)
def test_names_are_as_different_as_digests(one, other):
    persons = Persons.rooted(ROOT)
    assert (persons.name(one) == persons.name(other)) == (one == other)
    assert persons.name(one) == Persons.rooted(ROOT).name(one)
    assert persons.name(one) != one


@given(st.lists(digests, min_size=1, max_size=20), st.booleans())
def test_names_are_the_same_together_and_alone(several, forgotten):
    persons = Persons.rooted(ROOT)
    if forgotten:
        persons = persons.without([(several[0], persons.place(several[0])[1])])
    assert persons.names(several) == [persons.name(digest) for digest in several]


@given(digests, digests)
def test_a_number_that_comes_back_has_another_name_and_can_be_forgotten_again(one, other):
    persons = Persons.rooted(ROOT)
    seen = {persons.name(one)}
    kept = persons.name(other)
    for _ in range(3):
        place = persons.place(one)[1]
        persons = persons.without([(one, place)])
        assert persons.key(place) is None
        assert persons.name(one) not in seen
        seen.add(persons.name(one))
        if one[:POSITION_BYTES] != other[:POSITION_BYTES]:
            assert persons.name(other) == kept


@given(digests)
def test_trees_come_back_from_the_key_file_as_they_were(digest):
    persons = Persons.rooted(ROOT).without([(bytes(16), bytes(POSITION_BYTES))])
    again = Persons.of_document(json.loads(json.dumps(persons.document())))
    assert again is not None
    assert again.name(digest) == persons.name(digest)
    assert again.place(digest) == persons.place(digest)
    assert again.name(bytes(16)) == persons.name(bytes(16))


# --- Forgetting ---------------------------------------------------------------------------------


def test_what_is_expected_has_the_same_name_until_it_is_forgotten(path):
    vault = Vault.create(path)
    name, sealed = vault.seal_token("C", CARD)
    vault.expect(["C" + CARD, "P" + CARD])
    assert vault.token_digest("C", CARD) == name
    assert vault.token_digest("P", CARD) == Vault.open(path).token_digest("P", CARD) != name
    vault.forget_tokens([("C", sealed)])
    assert vault.token_digest("C", CARD) == Vault.open(path).token_digest("C", CARD) != name


@pytest.mark.parametrize("kind", sorted(PERSONAL_KINDS))
def test_a_forgotten_token_opens_under_no_key_that_is_left(path, kind):
    vault = Vault.create(path)
    name, sealed = vault.seal_token(kind, CARD)
    other, other_sealed = vault.seal_token(kind, OTHER)
    assert name == vault.token_digest(kind, CARD)
    assert vault.unseal_token(kind, sealed) == ("" if kind == "I" else CARD)
    early = Vault.open(path)

    assert vault.forget_tokens([(kind, sealed)]) == 1

    for now in (vault, Vault.open(path)):
        assert now.token_digest(kind, CARD) != name
        assert now.token_digest(kind, OTHER) == other
        assert now.unseal_token(kind, other_sealed) == vault.unseal_token(kind, other_sealed)
        with pytest.raises(Forgotten):
            now.unseal_token(kind, sealed)
        with pytest.raises(Forgotten):
            now.reseal_token(kind, sealed)
    # Who had the file open goes on until told so.
    assert early.token_digest(kind, CARD) == name
    early.refresh()
    assert early.token_digest(kind, CARD) == Vault.open(path).token_digest(kind, CARD) != name
    assert vault.forget_tokens([(kind, sealed)]) == 0


def test_every_ciphertext_of_a_token_is_forgotten_with_one_of_them(path):
    vault = Vault.create(path)
    sealed = [vault.seal_token("P", "13800000001")[1] for _ in range(3)]
    vault.rotate()
    sealed.append(vault.reseal_token("P", sealed[0]))
    assert len(set(sealed)) == 4
    vault.forget_tokens([("P", sealed[1])])
    for one in sealed:
        with pytest.raises(Forgotten):
            Vault.open(path).unseal_token("P", one)


def test_kinds_and_key_files_are_kept_apart(path):
    vault = Vault.create(path)
    sealed = vault.seal_token("C", CARD)[1]
    with pytest.raises(SealBroken, match="another label"):
        vault.unseal_token("P", sealed)
    for cut in range(len(sealed)):
        with pytest.raises(SealBroken):
            vault.unseal_token("C", sealed[:cut])
    with pytest.raises(SealBroken, match="another key file"):
        Vault(bytes(32)).unseal_token("C", sealed)


def test_the_name_of_a_person_does_not_follow_from_the_master(path):
    vault = Vault.create(path)
    document = json.loads(path.read_text())
    from_master = Vault(base64.b64decode(document["master"]))
    assert from_master.token_digest("K", CARD) == vault.token_digest("K", CARD)
    assert from_master.token_digest("C", CARD) != vault.token_digest("C", CARD)


def test_the_key_file_before_is_overwritten_unless_it_has_another_name(path):
    vault = Vault.create(path)
    sealed = [vault.seal_token("C", number)[1] for number in (CARD, OTHER)]
    with path.open("rb") as before:
        vault.forget_tokens([("C", sealed[0])])
        assert set(before.read()) == {0}
    kept = path.with_suffix(".link")
    os.link(path, kept)
    held = kept.read_bytes()
    vault.forget_tokens([("C", sealed[1])])
    assert kept.read_bytes() == held
    assert path.read_bytes() != held
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_file_that_cannot_be_replaced_forgets_nothing(path, monkeypatch):
    vault = Vault.create(path)
    name, sealed = vault.seal_token("C", CARD)
    monkeypatch.setattr("engine.keyfile.SIZE_MAX", 2000)
    with pytest.raises(KeyFileError, match="larger than"):
        vault.forget_tokens([("C", sealed)])
    assert vault.token_digest("C", CARD) == name
    assert Vault.open(path).unseal_token("C", sealed) == CARD
