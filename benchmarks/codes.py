"""Coupon codes: how many a second go to the file, and what they cost at rest.

``python -m benchmarks.codes [--count 10000000]`` makes a directory in a temporary folder, produces
a batch with `counterfoil issue`, and prints codes a second, the bytes of the file, and by how much
the data directory grew; then how long it takes to tell what a code says, right or mistyped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from click.testing import CliRunner

from engine import codes
from engine.directory import open_vault
from tools.cli import main

CAMPAIGN = {
    "type": "campaign",
    "id": "BENCH",
    "kind": "amount_off",
    "face_fen": 100,
    "from": "2020-01-01",
    "to": "2120-12-31",
    "state": "live",
}
LOOKS = 20_000


def cli(*arguments: object) -> str:
    """Run a command that has to succeed."""
    result = CliRunner().invoke(main, [str(one) for one in arguments])
    if result.exit_code:
        raise SystemExit(result.output)
    return result.output


def size_of(folder: Path) -> int:
    """Bytes that a folder's files hold on disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def measure(count: int, length: int, folder: Path) -> None:
    """Produce a batch, and print what came of it."""
    data = folder / "data"
    cli("init", data)
    (folder / "campaign.jsonl").write_text(json.dumps(CAMPAIGN) + "\n")
    cli("load", data, folder / "campaign.jsonl")
    before = size_of(data)
    output = folder / "codes.csv"
    begun, busy = time.perf_counter(), time.process_time()
    said = ("--campaign", "BENCH", "--count", count, "--length", length, "--output", output)
    cli("issue", data, "coupons", *said)
    seconds, spent = time.perf_counter() - begun, time.process_time() - busy
    grown = size_of(data) - before
    print(f"{count} codes of {length} digits in {seconds:.1f} s: {count / seconds:,.0f} codes/s")
    print(f"{spent:.1f} s of one processor: {count / spent:,.0f} codes a second of it")
    print(f"file: {output.stat().st_size / count:.0f} bytes a code")
    print(f"data directory grew by {grown} bytes: {grown / count:.4f} a code that nobody touched")
    vault = open_vault(data, None)
    with output.open() as lines:
        next(lines)
        some = [line.split(",")[1].strip() for line, _ in zip(lines, range(LOOKS), strict=False)]
    for name, texts in (
        ("right", some),
        ("mistyped", [text[:-1] + str((int(text[-1]) + 1) % 10) for text in some]),
    ):
        begun = time.perf_counter()
        for text in texts:
            codes.find(vault, text)
        look = (time.perf_counter() - begun) / len(texts)
        print(f"what a {name} code says: {look * 1e6:.1f} µs")


def run() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--length", type=int, default=codes.LENGTH)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(said.count, said.length, Path(folder))


if __name__ == "__main__":
    run()
