"""How long it takes to issue cards, and what it takes of memory: two sizes, to see how it grows.

``counterfoil issue`` runs as an operator runs it, a process of its own on a new data directory,
without a daemon. Memory is looked at in ``/proc`` while it runs: what the process keeps (anonymous
pages) apart from the pages of the tables' file, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZES = (250_000, 1_000_000)
PRODUCT = {"type": "card_product", "id": "GIFT", "name": "Gift", "prefix": "621234", "length": 16}
LOOK_SECONDS = 0.05
LINE_BYTES = 25
HEADER_BYTES = 14


def measure(folder: Path, count: int) -> dict[str, float]:
    """Issue a batch of `count` cards into a new directory under `folder`.

    Args:
        folder: where the directory is made and removed.
        count: cards.

    Returns:
        `seconds`, `kept_mib` and `mapped_mib` (the largest seen), `directory_mib`.

    Raises:
        RuntimeError: the output file does not have all cards.
    """
    place = folder / "issue"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    directory, output = place / "data", place / "cards.csv"
    products = place / "products.jsonl"
    products.write_text(json.dumps(PRODUCT) + "\n")
    _tool("init", directory)
    _tool("load", directory, products)
    began = time.monotonic()
    more = ("--product", "GIFT", "--count", count, "--output", output)
    job = subprocess.Popen(
        _command("issue", directory, "cards", *more), cwd=ROOT, stdout=subprocess.DEVNULL
    )
    kept = mapped = 0
    while job.poll() is None:
        anonymous, file = _resident(job.pid)
        kept, mapped = max(kept, anonymous), max(mapped, file)
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    if job.returncode or output.stat().st_size != HEADER_BYTES + LINE_BYTES * count:
        raise RuntimeError("the job did not issue all cards")
    size = sum(path.stat().st_blocks * 512 for path in directory.rglob("*"))
    shutil.rmtree(place)
    return {
        "seconds": round(seconds, 1),
        "kept_mib": kept >> 10,
        "mapped_mib": mapped >> 10,
        "directory_mib": size >> 20,
    }


def _resident(process: int) -> tuple[int, int]:
    """KiB of anonymous and of mapped pages of a process, zeros when it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return int(found.get("RssAnon", ["0"])[0]), int(found.get("RssFile", ["0"])[0])


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tools", *map(str, arguments)]


def _tool(*arguments: object) -> None:
    subprocess.run(_command(*arguments), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure both sizes and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("var/bench"))
    folder = parser.parse_args().folder
    for count in SIZES:
        print(count, measure(folder, count), flush=True)


if __name__ == "__main__":
    main()
