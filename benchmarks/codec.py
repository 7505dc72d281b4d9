"""The codec against pyiso8583, in microseconds a message, on the same bytes.

The message is the accrual of the protocol's vectors: eleven fields, 72 bytes and the MAC. Each
figure is the median of several rounds of one loop, and the rounds of all three take turns, so that
a busy machine slows them alike. Run with `python -m benchmarks.codec`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import iso8583

from posd.iso8583 import interpret
from posd.iso8583.compile import Codec
from tests.posd.iso8583 import counterpart

VECTORS = Path(__file__).parents[1] / "tests" / "vectors.json"
ROUNDS = 9
CALLS = 4_000


def measure() -> dict[str, float]:
    """Return microseconds a call as `decode compiled` and so on, and two ratios.

    A ratio is pyiso8583's time over the compiled codec's: how many times faster ours is.
    """
    data = bytes.fromhex(json.loads(VECTORS.read_text())["messages"][0]["accrual_message"])
    codec = Codec()
    message = codec.decode(data)
    mti, fields = message.mti, message.fields
    document = counterpart.document(mti, fields)
    if codec.encode(mti, fields) != counterpart.encode(mti, fields):
        raise AssertionError("the codecs do not write the same bytes")
    figures = _measure_in_turns(
        {
            "decode compiled": lambda: codec.decode(data),
            "decode interpreted": lambda: interpret.decode(data),
            "decode pyiso8583": lambda: iso8583.decode(data, counterpart.SPEC),
            "encode compiled": lambda: codec.encode(mti, fields),
            "encode interpreted": lambda: interpret.encode(mti, fields),
            "encode pyiso8583": lambda: iso8583.encode(document, counterpart.SPEC),
        }
    )
    for way in ("decode", "encode"):
        figures[f"{way} ratio"] = figures[f"{way} pyiso8583"] / figures[f"{way} compiled"]
    return figures


def _measure_in_turns(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = perf_counter()
            for _ in range(CALLS):
                call()
            rounds[name].append((perf_counter() - start) / CALLS * 1e6)
    return {name: median(times) for name, times in rounds.items()}


def main() -> None:
    """Print the table."""
    figures = measure()
    print("µs a message   compiled  interpreted  pyiso8583  compiled is")
    for way in ("decode", "encode"):
        compiled, interpreted, other, ratio = (
            figures[f"{way} {name}"] for name in ("compiled", "interpreted", "pyiso8583", "ratio")
        )
        print(f"{way:14} {compiled:8.2f} {interpreted:12.2f} {other:10.2f}  {ratio:.1f} x as fast")


if __name__ == "__main__":
    main()
