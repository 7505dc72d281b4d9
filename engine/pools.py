"""Pools: caps that all members share, each a row (``architecture.md``, *Beyond one machine*).

A pool has a limit, the part of it that was granted to this shard, and what is used of that. One
shard alone is granted all. A pool of a period (a day, a month) starts anew when another period
begins; one without (a stock, a budget) has the period 0. Drawing never goes beyond what is granted;
what is given back after its period has passed is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.draft import Draft
from ledger import codec, schema


@dataclass(slots=True)
class Pool:
    """A shared cap.

    Attributes:
        period: local day YYYYMMDD or month YYYYMM to which `used` belongs; 0 for all time.
        limit: how much there is in a period, on all shards together.
        granted: how much of it this shard may give out.
        used: how much of that is given out.
    """

    period: int
    limit: int
    granted: int
    used: int


codec.register(schema.POOL, Pool)


def key_of(name: str) -> bytes:
    """Key of a pool's row."""
    return schema.named(schema.POOL, name)


def left(draft: Draft, name: str, limit: int, period: int = 0) -> int:
    """How much of a pool may still be drawn here; below zero after its limit was lowered."""
    pool = _find(draft, name)
    used = pool.used if pool is not None and pool.period == period else 0
    return limit - used


def draw(draft: Draft, name: str, limit: int, amount: int, period: int = 0) -> bool:
    """Draw from a pool.

    Args:
        draft: the command being decided.
        name: of the pool.
        limit: how much there is, by the rules of today.
        amount: how much is wanted.
        period: to which the amount belongs.

    Returns:
        False, and nothing drawn, where less is left.
    """
    drawn: dict[bytes, Any] = {}
    if not take(draft, name, limit, (period, amount), drawn):
        return False
    draft.rows.update(drawn)
    return True


def take(
    draft: Draft, name: str, limit: int, wanted: tuple[int, int], drawn: dict[bytes, Any]
) -> bool:
    """Note in `drawn` what a pool would be with a period's amount drawn, whatever is left.

    Args:
        draft: the command being decided.
        name: of the pool.
        limit: how much there is, by the rules of today.
        wanted: period and amount.
        drawn: rows by key; not among the draft's yet.

    Returns:
        False where less was left.
    """
    period, amount = wanted
    pool = _find(draft, name)
    used = amount + (pool.used if pool is not None and pool.period == period else 0)
    drawn[key_of(name)] = Pool(period, limit, limit, used)
    return used <= limit


def give_back(draft: Draft, name: str, amount: int, period: int = 0) -> None:
    """Return an amount, unless the pool's period is another by now."""
    pool = _find(draft, name)
    if pool is not None and pool.period == period:
        draft.rows[key_of(name)] = Pool(period, pool.limit, pool.granted, pool.used - amount)


def _find(draft: Draft, name: str) -> Pool | None:
    key = key_of(name)
    pool: Pool | None = draft.rows.get(key)
    if pool is None:
        pool = draft.read(key)
    return pool
