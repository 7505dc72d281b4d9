"""MACs, key sets and PIN blocks: published vectors, textbook recomputation, hostile input."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from posd.security import (
    ENTROPY_SIZE,
    PROFILES,
    KeyBlockError,
    PinBlockError,
    SessionKeys,
    check_value,
    generate_keys,
    mac_calculator,
    pin_block,
    read_pin_block,
    sign_on_key,
    unwrap_keys,
    wrap_keys,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors.json").read_text())
MESSAGES = pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda v: v["profile"])
PROFILE = pytest.mark.parametrize("profile", PROFILES)

TMK = bytes.fromhex("0123456789abcdeffedcba9876543210")
ENTROPY = bytes(range(100, 100 + ENTROPY_SIZE))
CARD = "6222020000000000018"
FILL = bytes.fromhex("ffffffffffffffff")


def fill_of(profile):
    return FILL if profile == "aes" else b""


def ecb(algorithm):
    return Cipher(algorithm, modes.ECB())  # noqa: S305  (single blocks, put together by hand)


def des(key, block):
    """One block of single DES, in a context of its own."""
    return ecb(TripleDES(key * 3)).encryptor().update(block)


def undo_des(key, block):
    return ecb(TripleDES(key * 3)).decryptor().update(block)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def textbook_x919(key, message):
    padded = (message or b"\0") + bytes(-len(message or b"\0") % 8)
    state = bytes(8)
    for at in range(0, len(padded), 8):
        state = des(key[:8], xor(state, padded[at : at + 8]))
    return des(key[:8], undo_des(key[8:], state))


def textbook_cup(key, message):
    padded = message + bytes(-len(message) % 8)
    state = bytes(8)
    for at in range(0, len(padded), 8):
        state = xor(state, padded[at : at + 8])
    text = state.hex().upper().encode()
    return des(key, xor(des(key, text[:8]), text[8:])).hex().upper().encode()[:8]


# --- Vectors of the protocol --------------------------------------------------------------------


@MESSAGES
def test_field_62_of_the_vectors_is_made_and_read(vector):
    tmk, field_62 = bytes.fromhex(vector["tmk"]), bytes.fromhex(vector["field_62"])
    keys = SessionKeys(bytes.fromhex(vector["pin_key"]), bytes.fromhex(vector["mac_key"]))

    assert wrap_keys(vector["profile"], tmk, keys) == field_62
    assert unwrap_keys(vector["profile"], tmk, field_62) == keys


@MESSAGES
def test_macs_of_the_vectors_over_whole_messages(vector):
    message = bytes.fromhex(vector["accrual_message"])
    mac = mac_calculator(vector["profile"], bytes.fromhex(vector["mac_key"]))

    assert [mac(message[:-8]) for _ in range(3)] == [message[-8:]] * 3


def test_sign_on_of_the_vectors():
    vector = VECTORS["messages"][0]
    key = sign_on_key(bytes.fromhex(vector["tmk"]))
    message = bytes.fromhex(vector["sign_on_message"])

    assert key.hex() == vector["sign_on_key"]
    assert mac_calculator("aes", key)(message[:-8]) == message[-8:]


def test_published_unionpay_sign_on():
    vector = VECTORS["cup_published"]
    tmk, field_62 = bytes.fromhex(vector["tmk"]), bytes.fromhex(vector["field_62"])
    keys = unwrap_keys("tdes-cup", tmk, field_62)

    assert keys.pin_key.hex().upper() == vector["pin_key"]
    assert keys.mac_key.hex().upper() == vector["mac_key"]
    assert wrap_keys("tdes-cup", tmk, keys) == field_62


# --- MACs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "mac"),
    [
        (0, "bb1d6929e9593728"),
        (16, "070a16b46b4d4144"),
        (40, "dfa66747de9ae630"),
        (64, "51f0bebf7e3b9d92"),
    ],
)
def test_aes_mac_is_rfc_4493(size, mac):
    message = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")

    assert mac_calculator("aes", key)(message[:size]).hex() == mac


@given(key=st.binary(min_size=16, max_size=16), messages=st.lists(st.binary(max_size=70)))
def test_aes_macs_of_many_messages_are_those_of_the_library(key, messages):
    mac = mac_calculator("aes", key)

    for message in messages:
        cmac = CMAC(AES(key))
        cmac.update(message)
        assert mac(message) == cmac.finalize()[:8]


@pytest.mark.parametrize(
    ("key", "message", "mac"),
    [
        # The test vector of Bouncy Castle's ISO9797Alg3Mac.
        ("7ca110454a1a6e570131d9619dc1376e", b"Hello World !!!!".hex(), "f09b856213bab83b"),
        # ICAO Doc 9303 part 11, appendix D.3 (its padding method 2 written out).
        (
            "7962d9ece03d1acd4c76089dce131543",
            "72c29c2371cc9bdb65b779b8e8d37b29ecc154aa56a8799fae2f498f76ed92f28000000000000000",
            "5f1448eea8ad90a7",
        ),
    ],
)
def test_x919_mac_is_iso_9797_1_algorithm_3(key, message, mac):
    calculator = mac_calculator("tdes-x919", bytes.fromhex(key))

    assert calculator(bytes.fromhex(message)).hex() == mac


@given(key=st.binary(min_size=16, max_size=16), messages=st.lists(st.binary(max_size=70)))
def test_x919_calls_on_one_calculator_do_not_touch_each_other(key, messages):
    mac = mac_calculator("tdes-x919", key)

    assert [mac(m) for m in messages] == [textbook_x919(key, m) for m in messages]


@given(key=st.binary(min_size=8, max_size=8), messages=st.lists(st.binary(max_size=70)))
def test_cup_mac_is_the_published_procedure(key, messages):
    mac = mac_calculator("tdes-cup", key)

    assert [mac(m) for m in messages] == [textbook_cup(key, m) for m in messages]


@PROFILE
def test_two_calculators_of_one_key_agree_whatever_ran_before(profile):
    key = generate_keys(profile, ENTROPY).mac_key
    used, fresh = mac_calculator(profile, key), mac_calculator(profile, key)
    for size in (100, 3, 8, 4096, 0, 16):
        used(bytes(size))

    assert used(b"the same message, longer than a block") == fresh(
        b"the same message, longer than a block"
    )


@PROFILE
def test_a_mac_has_8_bytes_and_changes_with_every_byte(profile):
    mac = mac_calculator(profile, generate_keys(profile, ENTROPY).mac_key)
    message = bytes(range(45))
    changed = [message[:i] + b"\xff" + message[i + 1 :] for i in range(len(message))]

    macs = {mac(m) for m in [message, *changed]}

    assert len(macs) == len(message) + 1
    assert {len(m) for m in macs} == {8}


@pytest.mark.parametrize(
    ("profile", "size"),
    [("aes", 8), ("aes", 32), ("tdes-x919", 8), ("tdes-x919", 24), ("tdes-cup", 16), ("tdes", 16)],
)
def test_a_mac_key_of_another_length_or_profile_is_refused(profile, size):
    with pytest.raises(ValueError, match=r"bytes|profile"):
        mac_calculator(profile, bytes(size))


# --- Key sets -----------------------------------------------------------------------------------


def test_aes_wrap_is_rfc_3394():
    master = bytes(range(16))
    keys = SessionKeys(bytes.fromhex("00112233445566778899aabbccddeeff"), bytes(16))

    field_62 = wrap_keys("aes", master, keys)

    assert field_62[:24].hex() == "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"


@PROFILE
@given(tmk=st.binary(min_size=16, max_size=16), entropy=st.binary(min_size=32, max_size=32))
def test_every_key_set_survives_its_delivery(profile, tmk, entropy):
    keys = generate_keys(profile, entropy)

    assert unwrap_keys(profile, tmk, wrap_keys(profile, tmk, keys)) == keys


@PROFILE
def test_key_sets_follow_their_entropy(profile):
    keys = generate_keys(profile, ENTROPY)

    assert generate_keys(profile, ENTROPY) == keys
    assert generate_keys(profile, bytes(reversed(ENTROPY))) != keys
    assert keys.pin_key != keys.mac_key
    assert len(keys.pin_key) == 16
    assert len(keys.mac_key) == (8 if profile == "tdes-cup" else 16)


@given(entropy=st.binary(min_size=32, max_size=32))
def test_des_keys_have_odd_parity_and_keep_the_other_bits(entropy):
    keys = generate_keys("tdes-x919", entropy)
    both = keys.pin_key + keys.mac_key

    assert all(byte.bit_count() % 2 == 1 for byte in both)
    assert [byte >> 1 for byte in both] == [byte >> 1 for byte in entropy]


@pytest.mark.parametrize(
    ("profile", "key", "value"),
    [
        ("tdes-x919", "0123456789abcdeffedcba9876543210", "08d7b4fb"),
        ("tdes-cup", "0123456789abcdef", "d5d44ff7"),
    ],
)
def test_well_known_check_values(profile, key, value):
    assert check_value(profile, bytes.fromhex(key)).hex() == value


@PROFILE
def test_a_flipped_bit_anywhere_in_field_62_is_found(profile):
    field_62 = wrap_keys(profile, TMK, generate_keys(profile, ENTROPY))
    for bit in range(len(field_62) * 8):
        damaged = bytearray(field_62)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(KeyBlockError):
            unwrap_keys(profile, TMK, bytes(damaged))


@PROFILE
def test_field_62_of_another_length_or_master_key_is_refused(profile):
    field_62 = wrap_keys(profile, TMK, generate_keys(profile, ENTROPY))
    for damaged in (b"", field_62[:-1], field_62 + b"\0"):
        with pytest.raises(KeyBlockError):
            unwrap_keys(profile, TMK, damaged)
    with pytest.raises(KeyBlockError):
        unwrap_keys(profile, bytes(16), field_62)


@PROFILE
def test_lengths_that_only_a_host_fault_gives_are_value_errors(profile):
    keys = generate_keys(profile, ENTROPY)
    with pytest.raises(ValueError, match="master key"):
        wrap_keys(profile, TMK[:8], keys)
    with pytest.raises(ValueError, match="MAC key"):
        wrap_keys(profile, TMK, SessionKeys(keys.pin_key, keys.mac_key + b"\0"))
    with pytest.raises(ValueError, match="entropy"):
        generate_keys(profile, ENTROPY[:-1])
    with pytest.raises(ValueError, match="master key"):
        sign_on_key(TMK + b"\0")


# --- PIN blocks ---------------------------------------------------------------------------------


def test_published_format_0_block():
    # The usual worked example: PIN 1234, card 5544332211009966.
    block = pin_block("tdes-x919", TMK, "1234", "5544332211009966")

    clear = ecb(TripleDES(TMK + TMK[:8])).decryptor().update(block)
    assert clear.hex() == "041277cddeeff669"


def test_published_format_4_block():
    key = bytes.fromhex("00112233445566778899aabbccddeeff")
    block = pin_block("aes", key, "1234", "1234567890123456789", FILL)

    assert block.hex() == "28b41fddd29b743e93124bd8e32d921e"
    assert read_pin_block("aes", key, block, "1234567890123456789") == "1234"


@pytest.mark.parametrize(
    ("pan", "field"),
    [
        ("1", "00000000000010000000000000000000"),
        ("12345678901", "00123456789010000000000000000000"),
        ("123456789012", "01234567890120000000000000000000"),
        ("1234567890123", "11234567890123000000000000000000"),
        ("1234567890123456789", "71234567890123456789000000000000"),
    ],
)
def test_format_4_binds_the_whole_card_number(pan, field):
    block = pin_block("aes", TMK, "123456789012", pan, FILL)

    decrypt = ecb(AES(TMK)).decryptor().update
    clear = decrypt(xor(decrypt(block), bytes.fromhex(field)))
    assert clear.hex() == "4c123456789012aaffffffffffffffff"


@PROFILE
@given(
    pin=st.text("0123456789", min_size=4, max_size=12),
    pan=st.text("0123456789", min_size=1, max_size=19),
    fill=st.binary(min_size=8, max_size=8),
)
def test_every_pin_survives_its_block(profile, pin, pan, fill):
    block = pin_block(profile, TMK, pin, pan, fill if profile == "aes" else b"")

    assert len(block) == (16 if profile == "aes" else 8)
    assert read_pin_block(profile, TMK, block, pan) == pin


def sealed_clear(profile, nibbles):
    """A block whose first sixteen clear nibbles are these, whatever they mean."""
    if profile == "aes":
        encrypt = ecb(AES(TMK)).encryptor().update
        field = bytes.fromhex("7" + CARD + "0" * 12)
        return encrypt(xor(encrypt(bytes.fromhex(nibbles) + FILL), field))
    encrypt = ecb(TripleDES(TMK + TMK[:8])).encryptor().update
    return encrypt(xor(bytes.fromhex(nibbles), bytes.fromhex("0000" + CARD[6:18])))


@pytest.mark.parametrize(("profile", "control", "fill"), [("tdes-x919", 0, "f"), ("aes", 4, "a")])
@pytest.mark.parametrize(
    "damage", ["control", "too short", "too long", "length 15", "hex digit", "fill", "no fill"]
)
def test_each_fixed_nibble_of_a_pin_block_is_judged(profile, control, fill, damage):
    good = f"{control}41234" + fill * 10
    bad = {
        "control": f"{control ^ 1}41234" + fill * 10,
        "too short": f"{control}3123" + fill * 11,
        "too long": f"{control}d1234567890123" + fill,
        "length 15": f"{control}f12345678901234",
        "hex digit": f"{control}4123b" + fill * 10,
        "fill": f"{control}41234" + fill * 9 + "0",
        "no fill": f"{control}412341234567890",
    }[damage]

    assert read_pin_block(profile, TMK, sealed_clear(profile, good), CARD) == "1234"
    with pytest.raises(PinBlockError):
        read_pin_block(profile, TMK, sealed_clear(profile, bad), CARD)


@PROFILE
def test_a_block_is_bound_to_its_card_and_key(profile):
    block = pin_block(profile, TMK, "1234", CARD, fill_of(profile))
    with pytest.raises(PinBlockError):
        read_pin_block(profile, TMK, block, "6222020000000000026")
    with pytest.raises(PinBlockError):
        read_pin_block(profile, bytes(16), block, CARD)


@PROFILE
@pytest.mark.parametrize("size", [0, 7, 8, 9, 15, 16, 17])
def test_a_block_of_another_length_is_refused(profile, size):
    if size == (16 if profile == "aes" else 8):
        size = 24
    with pytest.raises(PinBlockError):
        read_pin_block(profile, TMK, bytes(size), CARD)


@PROFILE
@given(block=st.binary(max_size=20), pan=st.text(max_size=21))
def test_no_block_and_card_number_lead_to_another_error(profile, block, pan):
    try:
        pin = read_pin_block(profile, TMK, block, pan)
    except PinBlockError:
        return
    assert 4 <= len(pin) <= 12
    assert pin.isdecimal()


@PROFILE
@pytest.mark.parametrize("pin", ["", "123", "1234567890123", "12a4", "١٢٣٤", "12 4", "+123"])
def test_a_pin_that_is_not_4_to_12_digits_is_refused(profile, pin):
    with pytest.raises(PinBlockError):
        pin_block(profile, TMK, pin, CARD, fill_of(profile))


@PROFILE
@pytest.mark.parametrize("pan", ["", "1" * 20, "6222x", "\uff16\uff12\uff12\uff12"])
def test_a_card_number_that_is_none_is_refused(profile, pan):
    block = pin_block(profile, TMK, "1234", CARD, fill_of(profile))
    with pytest.raises(PinBlockError):
        pin_block(profile, TMK, "1234", pan, fill_of(profile))
    with pytest.raises(PinBlockError):
        read_pin_block(profile, TMK, block, pan)


# --- Secrecy ------------------------------------------------------------------------------------


def test_key_sets_show_nothing():
    keys = generate_keys("aes", ENTROPY)
    for text in (repr(keys), str(keys), f"{keys}", repr([keys])):
        assert "hidden" in text
        for key in (keys.pin_key, keys.mac_key):
            assert repr(key) not in text
            assert key.hex() not in text


@PROFILE
def test_errors_show_no_key_pin_or_card(profile):
    keys = generate_keys(profile, ENTROPY)
    field_62 = wrap_keys(profile, TMK, keys)
    block = pin_block(profile, keys.pin_key, "9071", CARD, fill_of(profile))
    wrong = [
        lambda: unwrap_keys(profile, bytes(16), field_62),
        lambda: unwrap_keys(profile, TMK[:8], field_62),
        lambda: unwrap_keys(profile, TMK, field_62[1:]),
        lambda: mac_calculator(profile, keys.mac_key + b"x"),
        lambda: check_value(profile, keys.mac_key + b"x"),
        lambda: read_pin_block(profile, TMK, block, CARD),
        lambda: read_pin_block(profile, keys.pin_key, block, CARD + "1"),
        lambda: pin_block(profile, keys.pin_key, "9071x", CARD, fill_of(profile)),
        lambda: mac_calculator(keys.mac_key.hex(), keys.mac_key),
    ]
    secrets = [TMK, keys.pin_key, keys.mac_key, field_62, block]
    for call in wrong:
        with pytest.raises((KeyBlockError, PinBlockError, ValueError)) as caught:
            call()
        text = repr(caught.value) + str(caught.value)
        for secret in secrets:
            assert secret.hex() not in text
            assert repr(secret) not in text
        assert "9071" not in text
        assert CARD not in text


def test_the_module_loads_without_a_warning():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import posd.security"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert (done.returncode, done.stderr) == (0, "")
