"""Codes: FF1 by the standard's own vectors, check digits, places, and how even the digits are."""

import random
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import codes
from engine.codes import LENGTH_MAX, LENGTH_MIN, Codes, Place
from engine.ff1 import DecimalCipher
from engine.vault import Vault

VAULT = Vault(bytes(range(32)))
OTHER = Vault(bytes(32))

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94")
TWEAK = bytes.fromhex("39383736353433323130")
LONG_TWEAK = bytes.fromhex("3737373770717273373737")
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


def encryptor(key):
    return Cipher(AES(key), modes.ECB()).encryptor().update  # noqa: S305 - as FF1 asks


def ff1_by_the_book(key, radix, tweak, numerals):
    """Algorithm 7 of SP 800-38G, step by step, for any radix: the oracle."""
    encrypt = encryptor(key)
    n, t = len(numerals), len(tweak)
    u = n // 2
    v = n - u
    a, b = numerals[:u], numerals[u:]

    def num(digits):
        total = 0
        for digit in digits:
            total = total * radix + digit
        return total

    size = ((radix**v - 1).bit_length() + 7) // 8
    d = 4 * -(-size // 4) + 4
    p = bytes([1, 2, 1]) + radix.to_bytes(3, "big") + bytes([10, u % 256])
    p += n.to_bytes(4, "big") + t.to_bytes(4, "big")
    for i in range(10):
        q = tweak + bytes((-t - size - 1) % 16) + bytes([i]) + num(b).to_bytes(size, "big")
        chained = bytes(16)
        for at in range(0, len(p + q), 16):
            block = (p + q)[at : at + 16]
            chained = encrypt(bytes(x ^ y for x, y in zip(chained, block, strict=True)))
        y = int.from_bytes(chained[:d], "big")
        m = v if i % 2 else u
        c = (num(a) + y) % radix**m
        digits = []
        for _ in range(m):
            c, digit = divmod(c, radix)
            digits.append(digit)
        a, b = b, digits[::-1]
    return a + b


SAMPLES = [  # NIST's FF1 samples 1 to 9
    (16, 10, b"", "0123456789", "2433477484"),
    (16, 10, TWEAK, "0123456789", "6124200773"),
    (16, 36, LONG_TWEAK, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
    (24, 10, b"", "0123456789", "2830668132"),
    (24, 10, TWEAK, "0123456789", "2496655549"),
    (24, 36, LONG_TWEAK, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
    (32, 10, b"", "0123456789", "6657667009"),
    (32, 10, TWEAK, "0123456789", "1001623463"),
    (32, 36, LONG_TWEAK, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
]


@pytest.mark.parametrize(("size", "radix", "tweak", "plain", "secret"), SAMPLES)
def test_the_oracle_gives_the_published_samples(size, radix, tweak, plain, secret):
    numerals = [LETTERS.index(letter) for letter in plain]
    found = ff1_by_the_book(KEY[:size], radix, tweak, numerals)
    assert "".join(LETTERS[digit] for digit in found) == secret


@pytest.mark.parametrize(
    ("size", "tweak", "plain", "secret"),
    [(size, tweak, p, s) for size, radix, tweak, p, s in SAMPLES if radix == 10],
)
def test_the_cipher_gives_the_published_samples(size, tweak, plain, secret):
    cipher = DecimalCipher(encryptor(KEY[:size]), 10, tweak)
    assert f"{cipher.encipher(int(plain)):010}" == secret
    assert f"{cipher.decipher(int(secret)):010}" == plain


@given(digits=st.integers(6, 28), data=st.data())
@settings(max_examples=60)
def test_the_cipher_and_the_oracle_agree_at_every_length(digits, data):
    tweak = data.draw(st.binary(max_size=8))
    numbers = data.draw(st.lists(st.integers(0, 10**digits - 1), min_size=1, max_size=3))
    cipher = DecimalCipher(encryptor(KEY), digits, tweak)
    found = cipher.encipher_many(numbers)
    for number, secret in zip(numbers, found, strict=True):
        plain = [int(digit) for digit in f"{number:0{digits}}"]
        book = ff1_by_the_book(KEY, 10, tweak, plain)
        assert f"{secret:0{digits}}" == "".join(map(str, book))
        assert cipher.decipher(secret) == number


def test_a_string_too_short_or_a_tweak_too_long_is_refused():
    for digits, tweak in ((5, b""), (29, b""), (20, bytes(11))):
        with pytest.raises(ValueError, match="6 to 28 digits"):
            DecimalCipher(encryptor(KEY), digits, tweak)


def test_the_check_digit_is_damms():
    assert codes.check_digit("572") == "4"


def checked(code):
    return codes.check_digit(code[:-1]) == code[-1]


@given(st.text("0123456789", min_size=LENGTH_MIN - 1, max_size=LENGTH_MAX - 1))
@settings(max_examples=30)
def test_every_wrong_digit_and_every_swap_of_neighbours_is_caught(body):
    code = body + codes.check_digit(body)
    assert checked(code)
    for at, right in enumerate(code):
        for wrong in "0123456789":
            if wrong != right:
                assert not checked(code[:at] + wrong + code[at + 1 :])
    for at, (a, b) in enumerate(pairwise(code)):
        if a != b:
            assert not checked(code[:at] + b + a + code[at + 2 :])


@given(
    length=st.integers(LENGTH_MIN, LENGTH_MAX),
    shard=st.integers(0, 99),
    batch=st.integers(1, codes.BATCH_MAX),
    serial=st.integers(1, codes.SERIAL_MAX),
)
@settings(max_examples=60)
def test_a_code_says_where_it_comes_from(length, shard, batch, serial):
    (code,) = Codes(VAULT, length).make(batch, serial, 1, shard)
    assert len(code) == length
    assert checked(code)
    assert Codes(VAULT, length).place(code) == Place(shard, batch, serial)
    assert Codes(OTHER, length).place(code) != Place(shard, batch, serial)
    assert Codes(VAULT, length, codes.RECHARGE).place(code) != Place(shard, batch, serial)
    found = codes.find(VAULT, code)
    assert found == (codes.digest_of(VAULT, code), *((0, 0) if shard else (batch, serial)))


@pytest.mark.parametrize("place", [(0, 1, 1, 0), (100_000, 1, 1, 0), (1, 0, 1, 0), (1, 1, 1, 100)])
def test_what_a_code_cannot_carry_is_refused(place):
    with pytest.raises(ValueError, match=r"carries|serial"):
        Codes(VAULT, 20).make(*place)
    with pytest.raises(ValueError, match="serial"):
        Codes(VAULT, 20).make(1, codes.SERIAL_MAX, 2)


@pytest.mark.parametrize(
    "text", ["", "1" * 15, "1" * 25, "12345678901234567x", "\u0661" * 16, "0000000000000001"]
)
def test_what_cannot_be_a_code_leads_nowhere(text):
    assert codes.find(VAULT, text) == (codes.digest_of(VAULT, text), 0, 0)


@pytest.mark.parametrize("length", [16, 20, 24])
def test_the_digits_of_codes_in_a_row_are_even(length):
    """Chi-square of each place's digits; 27.88 is the 0.1 % bound at nine degrees of freedom.

    The numbers follow from a fixed key; the bound is divided among the places.
    """
    count = 20_000
    made = Codes(VAULT, length).make(7, 1, count)
    assert len(set(made)) == count
    for place in range(length):
        column = "".join([code[place] for code in made])
        chi = sum((column.count(d) - count / 10) ** 2 / (count / 10) for d in "0123456789")
        assert chi < 38  # 0.1 % / 24 places


def test_neighbours_have_no_more_digits_in_common_than_chance():
    count, length = 20_000, 20
    made = Codes(VAULT, length).make(7, 1, count)
    same = sum(a == b for one, next_ in pairwise(made) for a, b in zip(one, next_, strict=True))
    expected = (count - 1) * length / 10
    assert abs(same - expected) < 5 * (expected * 0.9) ** 0.5


def test_guesses_among_the_most_codes_of_a_length_hit_nothing():
    """A batch as full as it may be: a guess must decode to one of its serial numbers to hit."""
    length = 16
    full = codes.produced_max(length)
    maker = Codes(VAULT, length)
    guesses = random.Random(8583)
    hits = 0
    for _ in range(5_000):
        body = f"{guesses.randrange(10 ** (length - 1)):0{length - 1}}"
        place = maker.place(body + codes.check_digit(body))
        hits += place is not None and place.batch == 1 and place.serial <= full
    assert full / 10 ** (length - 1) <= 1e-9
    assert hits == 0


def test_a_fresh_code_is_well_formed_and_sealed():
    digest, sealed = codes.fresh(VAULT)
    code = codes.clear(VAULT, sealed)
    assert checked(code)
    assert codes.digest_of(VAULT, code) == digest
    assert code.encode() not in sealed
    pin = codes.pin_of(VAULT, digest)
    assert [codes.judge_pin(VAULT, digest, given) for given in (None, pin.encode(), b"x")] == [
        0,
        1,
        2,
    ]
