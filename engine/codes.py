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
_STEPS: Final[list[int]] = [10 * entry for row in _DAMM for entry in row]
"""The same, row behind row, each entry ten times: where the row that it leads to begins."""
_ZERO: Final = 48


@dataclass(slots=True)
class Place:
    """What a produced code says: its shard, its batch, and its serial number in that."""

    shard: int
    batch: int
    serial: int


class Codes:
    """The produced codes of one series and length.

    Args:
        vault: the directory's key file.
        length: digits of a code, check digit included, `LENGTH_MIN` to `LENGTH_MAX`.
        series: one of `SERIES`.
    """

    def __init__(self, vault: Vault, length: int, series: str = COUPON) -> None:
        self._digits = length - 1
        self._cipher = vault.decimal_cipher("codes FF1", length - 1, series[:8].encode())

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
    steps = _STEPS
    state = 0
    for digit in digits:
        state = steps[state + ord(digit) - _ZERO]
    return str(state // 10)


def find(vault: Vault, text: str, series: str = COUPON) -> tuple[bytes, int, int]:
    """What a code says: its keyed digest, and batch and serial number of a produced one, else 0.

    Foreign codes, which are of any form, have a digest alone. A wrong check digit costs as much
    time as a right one, so that nobody learns from the clock.
    """
    digest = digest_of(vault, text)
    if not (LENGTH_MIN <= len(text) <= LENGTH_MAX and text.isascii() and text.isdecimal()):
        return digest, 0, 0
    place = Codes(vault, len(text), series).place(text)
    mistyped = check_digit(text[:-1]) != text[-1]
    if place is None or place.shard or mistyped:
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
