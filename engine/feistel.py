"""Keyed permutations of whole numbers, many at a time: a Feistel network over two parts of each.

A number is a left part and a right part. Every round adds to one part, modulo its size, a keyed
function of the other: the even rounds to the left part, the odd ones to the right. Whatever that
function is, the rounds can be undone one after the other, so that no two numbers become the same.
How many rounds are enough depends on the key and on what an attacker sees; who uses it says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

RoundFunction: TypeAlias = Callable[[int, list[int]], Sequence[int]]
"""The number of a round, from 0, and a part of each number, to what is added to the other part."""


def permuted(
    numbers: Sequence[int], sizes: tuple[int, int], rounds: int, function: RoundFunction
) -> list[int]:
    """What some numbers become.

    Args:
        numbers: each below the product of the sizes.
        sizes: how many values the left and the right part have.
        rounds: how many there are.
        function: keyed, and called once a round for all numbers.
    """
    above, below = sizes
    left = [number // below for number in numbers]
    right = [number % below for number in numbers]
    for step in range(rounds):
        if step % 2:
            _add(right, function(step, left), below)
        else:
            _add(left, function(step, right), above)
    return [a * below + b for a, b in zip(left, right, strict=True)]


def _add(parts: list[int], added: Sequence[int], size: int) -> None:
    """Add to each part, modulo a size."""
    for place, value in enumerate(added):
        parts[place] = (parts[place] + value) % size
