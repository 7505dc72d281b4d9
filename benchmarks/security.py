"""Cost of the cryptography on the daemon's path, in microseconds a call.

Each figure is the median of several rounds of one long loop; the loop's own cost is in it. Run
with `python -m benchmarks.security`.
"""

from collections.abc import Callable
from functools import partial
from itertools import count
from statistics import median
from time import perf_counter

from engine.vault import Vault
from posd.security import (
    AES_PROFILE,
    ENTROPY_SIZE,
    PROFILES,
    generate_keys,
    mac_calculator,
    pin_block,
    read_pin_block,
)

MESSAGE = bytes(range(100))
"""A message of the size that an accrual has with all its usual fields."""
CARD = "6222020000000000018"
TURN = 64
"""Messages of a turn of the daemon, each of which names a card."""
_ROUNDS = 7
_CALLS = 20_000


def measure() -> dict[str, float]:
    """Return microseconds a call by name."""
    entropy = bytes(range(ENTROPY_SIZE))
    figures = {}
    for profile in PROFILES:
        mac = mac_calculator(profile, generate_keys(profile, entropy).mac_key)
        figures[f"mac {profile}, 100 bytes"] = _time(partial(mac, MESSAGE))
    for profile in PROFILES:
        figures[f"read_pin_block {profile}"] = _time(_pin_reader(profile, entropy), calls=2_000)

    vault = Vault(entropy)
    figures["token_digest"] = _time(lambda: vault.token_digest("C", CARD))
    numbers = count()

    def expect() -> None:
        vault.expect([f"C62220200{next(numbers):011d}" for _ in range(TURN)])

    figures[f"token_digest, each of {TURN} that a turn names"] = _time(expect, calls=500) / TURN
    vault.expect([])
    figures["seal_token"] = _time(lambda: vault.seal_token("C", CARD))
    figures["content_digest, 100 bytes"] = _time(lambda: vault.content_digest(MESSAGE))
    figures["pin_digest"] = _time(lambda: vault.pin_digest("000000000001", "1234"))
    sealed = vault.seal("card", MESSAGE)
    figures["seal, 100 bytes"] = _time(lambda: vault.seal("card", MESSAGE))
    figures["unseal, 100 bytes"] = _time(lambda: vault.unseal("card", sealed))
    growing = count()
    figures["rrn, growing by 1"] = _time(lambda: vault.rrn(next(growing)))
    scattered = count(step=1_000_003)
    figures["rrn, scattered"] = _time(lambda: vault.rrn(next(scattered) % 10**10))
    number = vault.rrn(1)
    figures["sequence"] = _time(lambda: vault.sequence(number))
    return figures


def _pin_reader(profile: str, entropy: bytes) -> Callable[[], object]:
    key = generate_keys(profile, entropy).pin_key
    block = pin_block(profile, key, "1234", CARD, bytes(8) if profile == AES_PROFILE else b"")
    return lambda: read_pin_block(profile, key, block, CARD)


def _time(call: Callable[[], object], calls: int = _CALLS) -> float:
    def one_round() -> float:
        start = perf_counter()
        for _ in range(calls):
            call()
        return (perf_counter() - start) / calls * 1e6

    return median(one_round() for _ in range(_ROUNDS))


def main() -> None:
    """Print the figures as a table."""
    for name, microseconds in measure().items():
        print(f"{name:28} {microseconds:7.2f} µs")


if __name__ == "__main__":
    main()
