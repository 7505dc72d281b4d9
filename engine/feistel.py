"""Keyed permutations of whole numbers, many at a time: a Feistel network over two parts of each.

A number is a left part and a right part. Every round adds to one part, modulo its size, a keyed
function of the other: the even rounds to the left part, the odd ones to the right. Whatever that
function is, the rounds can be undone one after the other, so that no two numbers become the same.
How many rounds are enough depends on the key and on what an attacker sees; who uses it says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

_WORD: Final = 1 << 32

RoundFunction: TypeAlias = Callable[[int, list[int]], tuple[int, ...]]
"""The number of a round, from 0, and a part of each number, to what is added to the other part."""


def permuted(
    numbers: Sequence[int],
    sizes: tuple[int, int],
    rounds: int,
    function: RoundFunction,
    *,
    words: int = 1,
) -> list[int]:
    """What some numbers become.

    Args:
        numbers: each below the product of the sizes.
        sizes: how many values the left and the right part have.
        rounds: how many there are.
        function: keyed, and called once a round for all numbers.
        words: 2 where the function tells each value of 64 bits as two of 32 bits, the lower first;
            compiled code works on those without a number object.
    """
    above, below = sizes
    left = [number // below for number in numbers]
    right = [number % below for number in numbers]
    for step in range(rounds):
        if step % 2:
            _add(right, function(step, left), below, words)
        else:
            _add(left, function(step, right), above, words)
    return [a * below + b for a, b in zip(left, right, strict=True)]


def _add(parts: list[int], added: tuple[int, ...], size: int, words: int) -> None:
    """Add to each part, modulo a size."""
    if words == 1:
        for place, value in enumerate(added):
            parts[place] = (parts[place] + value) % size
        return
    upper = _WORD % size
    for place, part in enumerate(parts):
        # Taken modulo `size` first, the product is small enough for a machine word.
        more = added[2 * place + 1] % size * upper
        parts[place] = (part + added[2 * place] + more) % size
