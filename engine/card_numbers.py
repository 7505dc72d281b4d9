"""Numbers of cards: unguessable, never the same twice, and made again from the key file alone.

The digits between a product's prefix and the check digit are a keyed permutation of the card's
place among all cards of its product. So two batches never meet, a job that was interrupted goes on
with the same numbers, and without the key file no number tells the next one.

The permutation is a Feistel network over two parts of the digits with an AES-based function. The
parts are as equal as the digits allow, and ten rounds are more than format-preserving ciphers take
(NIST SP 800-38G has eight or ten).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from engine import feistel
from engine.vault import Vault

ROUNDS = 10
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
"""What a digit counts in every second place (ISO/IEC 7812-1): doubled, its digits added."""


class CardNumbers:
    """The numbers of a product's cards.

    Args:
        vault: the directory's key file.
        prefix: the first digits.
        length: digits of a number, its check digit included.
    """

    def __init__(self, vault: Vault, prefix: str, length: int) -> None:
        digits = length - len(prefix) - 1
        self._prefix = prefix
        self._digits = digits
        self._sizes = (10 ** (digits // 2), 10 ** (digits - digits // 2))
        key = vault.entropy(f"card numbers {prefix}/{length}")
        # ECB, for each block is a different number and the result never leaves as it is.
        self._encrypt: Callable[[bytes], bytes] = (
            Cipher(AES(key), modes.ECB()).encryptor().update  # noqa: S305 - see above
        )

    def numbers(self, first: int, count: int) -> list[str]:
        """The numbers of `count` cards, the first of which has the place `first`, from 0."""
        places = range(first, first + count)
        permuted = feistel.permuted(places, self._sizes, ROUNDS, self._scramble, words=2)
        width = self._digits
        prefix = self._prefix
        bodies = [f"{prefix}{number:0{width}}" for number in permuted]
        return [body + check_digit(body) for body in bodies]

    def _scramble(self, step: int, part: list[int]) -> tuple[int, ...]:
        """64 bits of AES for each value of a part, the round's number in the block beside it."""
        blocks = [0] * (2 * len(part))
        blocks[::2] = part
        blocks[1::2] = [step] * len(part)
        made = self._encrypt(struct.pack(f"<{len(blocks)}Q", *blocks))
        return struct.unpack("<" + "II8x" * len(part), made)


def check_digit(body: str) -> str:
    """The check digit of ISO/IEC 7812-1 for the digits before it."""
    places = body[::-1].encode("ascii")
    total = sum([_DOUBLED[digit - 48] for digit in places[::2]])
    total += sum(places[1::2]) - 48 * len(places[1::2])
    return str(-total % 10)
