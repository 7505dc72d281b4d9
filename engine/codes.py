"""Codes of coupons and recharge cards: 16 to 24 digits, nothing of one follows from another.

A *produced* code is its place among all codes of its series and length, a shard, batch and serial
number, under a keyed permutation of decimal strings: FF1 of NIST SP 800-38G, with a key from the
key file and the series as tweak. So a batch of ten million codes is one record, a code is made
again from the key file alone, and who has a million codes cannot tell the next. A code that a
*claim* draws comes from the system's generator and is kept as ciphertext.

The last digit is a check digit by Damm's quasigroup, which catches every single wrong digit and
every transposition of neighbours (ISO/IEC 7064 MOD 11,10 misses one transposition in 45), so that
a typing mistake never hits somebody else's code.

What a guess is worth. A code of `length` digits has ``length - 1`` digits of payload. Batches of
one length hold together at most `produced_max` codes, so a guess with a right check digit hits one
with a chance of at most 10**-9, whatever was produced: 10**6 codes of 16 digits, 10**10 of 20.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from engine.commands import Pin
from engine.vault import Vault

LENGTH: Final = 20
"""Digits of a code that a claim draws, its check digit included."""
LENGTH_MIN: Final = 16
LENGTH_MAX: Final = 24
GUESS_DIGITS: Final = 9
"""A guess hits a produced code with a chance of at most 1 in 10 to this power."""

BATCH_MAX: Final = 99_999
"""Greatest number of a batch; 0 is no batch."""
SERIAL_MAX: Final = 99_999_999
"""Greatest serial number in a batch; they begin with 1."""
SHARD_MAX: Final = 99

COUPON: Final = "coupon"
RECHARGE: Final = "recharge"
SERIES: Final = (COUPON, RECHARGE)
"""What a code is for: one of another series leads nowhere."""

PIN_DIGITS: Final = 6
ROUNDS: Final = 10
"""Rounds of FF1 (SP 800-38G, algorithm 7)."""

_BLOCK_BYTES: Final = 16
_TWO_WORDS: Final = struct.Struct(">QQ")
_SHORT_BYTES: Final = 8
_SERIALS: Final = SERIAL_MAX + 1
_BATCHES: Final = BATCH_MAX + 1
_KIND: Final = "K"
_SEAL: Final = "token:K"
_RANDOM_BYTES: Final = 16
_PIN_BYTES: Final = 8

_DAMM: Final = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)
"""Damm's quasigroup of order 10 (H. M. Damm, Total anti-symmetrische Quasigruppen, 2004)."""

Encrypt = Callable[[bytes], bytes]


@dataclass(slots=True)
class Place:
    """What a produced code says: its shard, its batch, and its serial number in that."""

    shard: int
    batch: int
    serial: int


class DecimalCipher:
    """FF1 (NIST SP 800-38G) over strings of decimal digits of one length, under one tweak.

    The round function is CBC-MAC over two blocks, of which the first never changes, so that a round
    costs one block of AES; `encipher_many` makes the blocks of many numbers in one call.

    Args:
        encrypt: AES on whole blocks, any number of them a call.
        digits: length of the strings, 6 to 28.
        tweak: at most 16 bytes less what half a string takes and one.

    Raises:
        ValueError: the length or tweak is out of these bounds.
    """

    def __init__(self, encrypt: Encrypt, digits: int, tweak: bytes) -> None:
        above, below = digits // 2, digits - digits // 2
        number_bytes = ((10**below - 1).bit_length() + 7) // 8  # b of the standard
        self._output = 4 * -(-number_bytes // 4) + 4  # d of the standard
        padding = -(len(tweak) + number_bytes + 1) % _BLOCK_BYTES
        if not 6 <= digits <= 28 or len(tweak) + number_bytes + 1 > _BLOCK_BYTES:  # noqa: PLR2004
            raise ValueError("a string of 6 to 28 digits, and a tweak that fits in a block beside")
        self._encrypt = encrypt
        self._sizes: tuple[int, int] = (10**above, 10**below)
        header = struct.pack(
            ">BBB3sBBII",
            1,
            2,
            1,
            (10).to_bytes(3, "big"),
            ROUNDS,
            above % 256,
            digits,
            len(tweak),
        )
        first = int.from_bytes(encrypt(header), "big")
        fixed = first ^ int.from_bytes((tweak + bytes(padding)).ljust(_BLOCK_BYTES, b"\0"), "big")
        # Round number and half a string stand at the end of the second block, in its low 64 bits.
        mask = (1 << 64) - 1
        self._high = fixed >> 64
        self._low = [fixed & mask ^ (number << 8 * number_bytes) for number in range(ROUNDS)]

    def encipher(self, number: int) -> int:
        """The number that a number below 10**digits becomes."""
        return self.encipher_many([number])[0]

    def encipher_many(self, numbers: list[int]) -> list[int]:
        """The numbers that some numbers below 10**digits become."""
        above, below = self._sizes
        left = [number // below for number in numbers]
        right = [number % below for number in numbers]
        layout = struct.Struct(">" + "QQ" * len(numbers))
        for number in range(ROUNDS):
            if number % 2:
                added = self._scramble(layout, number, left)
                right = [(a + b) % below for a, b in zip(right, added, strict=True)]
            else:
                added = self._scramble(layout, number, right)
                left = [(a + b) % above for a, b in zip(left, added, strict=True)]
        return [a * below + b for a, b in zip(left, right, strict=True)]

    def decipher(self, number: int) -> int:
        """The number that became this one."""
        above, below = self._sizes
        left, right = divmod(number, below)
        encrypt, high = self._encrypt, self._high
        shift = 8 * (_BLOCK_BYTES - self._output)
        for step in range(ROUNDS - 1, -1, -1):
            part = left if step % 2 else right
            block = encrypt(_TWO_WORDS.pack(high, self._low[step] ^ part))
            added = int.from_bytes(block, "big") >> shift
            if step % 2:
                right = (right - added) % below
            else:
                left = (left - added) % above
        return left * below + right

    def _scramble(self, layout: struct.Struct, number: int, part: list[int]) -> list[int]:
        """The round function of each value of a part: `_output` bytes of AES as a number."""
        blocks = [self._high] * (2 * len(part))
        low = self._low[number]
        blocks[1::2] = [low ^ value for value in part]
        found = layout.unpack(self._encrypt(layout.pack(*blocks)))
        if self._output == _SHORT_BYTES:
            return list(found[::2])
        if self._output == _BLOCK_BYTES:
            return [a << 64 | b for a, b in zip(found[::2], found[1::2], strict=True)]
        return [a << 32 | b >> 32 for a, b in zip(found[::2], found[1::2], strict=True)]


class Codes:
    """The produced codes of one series and length.

    Args:
        vault: the directory's key file.
        length: digits of a code, check digit included, `LENGTH_MIN` to `LENGTH_MAX`.
        series: one of `SERIES`.
    """

    def __init__(self, vault: Vault, length: int, series: str = COUPON) -> None:
        self._digits = length - 1
        self._cipher = DecimalCipher(vault.cipher("codes FF1"), length - 1, series[:8].encode())

    def make(self, batch: int, first: int, count: int, shard: int = 0) -> list[str]:
        """The codes of `count` serial numbers of a batch, from `first` on.

        Raises:
            ValueError: shard, batch or a serial number is beyond what a code can carry.
        """
        last = first + count - 1
        if not (0 <= shard <= SHARD_MAX and 0 < batch <= BATCH_MAX and first > 0):
            raise ValueError("a code carries shards below 100 and batches from 1 to 99999")
        if last > SERIAL_MAX:
            raise ValueError("a batch has serial numbers up to 99999999")
        base = (shard * _BATCHES + batch) * _SERIALS
        enciphered = self._cipher.encipher_many(list(range(base + first, base + last + 1)))
        width = self._digits
        bodies = [f"{number:0{width}}" for number in enciphered]
        return [body + check_digit(body) for body in bodies]

    def place(self, code: str) -> Place | None:
        """What a code of this length with a right check digit says; None for most guesses."""
        rest, serial = divmod(self._cipher.decipher(int(code[:-1])), _SERIALS)
        shard, batch = divmod(rest, _BATCHES)
        if shard > SHARD_MAX or not batch or not serial:
            return None
        return Place(shard, batch, serial)


def produced_max(length: int) -> int:
    """Codes that all batches of a length may have together, see the module's head."""
    possible: int = 10 ** (length - 1 - GUESS_DIGITS)
    return possible


def check_digit(digits: str) -> str:
    """The check digit of a run of digits, by Damm's quasigroup."""
    state = 0
    for digit in digits.encode("ascii"):
        state = _DAMM[state][digit - 48]
    return str(state)


def well_formed(text: str) -> bool:
    """True for 16 to 24 digits of which the last is the check digit."""
    return (
        LENGTH_MIN <= len(text) <= LENGTH_MAX
        and text.isascii()
        and text.isdecimal()
        and check_digit(text[:-1]) == text[-1]
    )


def find(vault: Vault, text: str, series: str = COUPON) -> tuple[bytes, int, int] | None:
    """What a code says: its keyed digest, and batch and serial number of a produced one, else 0.

    A wrong check digit costs as much time as a right one, so that nobody learns from the clock.

    Returns:
        None for what cannot be a code: other than 16 to 24 digits, or a wrong check digit.
    """
    if not (LENGTH_MIN <= len(text) <= LENGTH_MAX and text.isascii() and text.isdecimal()):
        return None
    place = Codes(vault, len(text), series).place(text)
    digest = digest_of(vault, text)
    if check_digit(text[:-1]) != text[-1]:
        return None
    if place is None or place.shard:
        return digest, 0, 0
    return digest, place.batch, place.serial


def digest_of(vault: Vault, text: str) -> bytes:
    """The keyed digest of whatever was given as a code."""
    return vault.token_digest(_KIND, text)


def fresh(vault: Vault) -> tuple[bytes, bytes]:
    """A new code: its keyed digest, and itself sealed."""
    number = int.from_bytes(os.urandom(_RANDOM_BYTES), "big") % 10 ** (LENGTH - 1)
    digits = f"{number:0{LENGTH - 1}}"
    code = digits + check_digit(digits)
    return digest_of(vault, code), seal(vault, code)


def seal(vault: Vault, code: str) -> bytes:
    """A code as ciphertext, for keeping."""
    return vault.seal(_SEAL, code.encode())


def clear(vault: Vault, sealed: bytes) -> str:
    """A code that `fresh` or `seal` sealed."""
    return vault.unseal(_SEAL, sealed).decode()


def pin_of(vault: Vault, digest: bytes) -> str:
    """The PIN of the coupon with this digest: six digits, which follow from the key file."""
    drawn = vault.entropy(f"coupon PIN {digest.hex()}")
    return f"{int.from_bytes(drawn[:_PIN_BYTES], 'big') % 10**PIN_DIGITS:0{PIN_DIGITS}}"


def judge_pin(vault: Vault, digest: bytes, given: bytes | None) -> int:
    """The verdict on a coupon's PIN, see `engine.commands.Pin`; None where none was given."""
    if given is None:
        return int(Pin.ABSENT)
    right = compare_digest(pin_of(vault, digest).encode(), given)
    return int(Pin.RIGHT if right else Pin.WRONG)
