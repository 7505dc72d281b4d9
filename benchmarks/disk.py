"""Yardstick: how long the raw disk takes to make one group of the journal durable.

The access pattern is the journal's: a file that was filled with zeros and synced beforehand,
one sequential `pwrite` and one `fdatasync` a group. Nothing is allocated and the file's size
does not change, so only data blocks have to reach the disk. What the journal takes beyond
these times is its own work.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from time import perf_counter_ns

from benchmarks.load import Latencies

GROUP_SIZES = (4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024)
FILE_BYTES = 64 * 1024 * 1024


def measure(folder: Path, groups: int = 500) -> dict[str, dict[str, int]]:
    """Time `groups` synced writes of each size to a temporary file in `folder`.

    Args:
        folder: where the file is made and removed; its file system is what is measured.
        groups: writes for each size; the file is written round and round.

    Returns:
        For each group size in bytes: `median_us` and `p99_us`, microseconds for one write and
        its sync, and `bytes_per_s`, the bytes made durable in a second.

    Raises:
        OSError: the folder cannot be written, or has less than 64 MiB of room.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix="disk-yardstick-") as file:
        descriptor = file.fileno()
        zeros = bytes(1024 * 1024)
        for offset in range(0, FILE_BYTES, len(zeros)):
            os.pwrite(descriptor, zeros, offset)
        os.fsync(descriptor)
        return {str(size): _time_groups(descriptor, size, groups) for size in GROUP_SIZES}


def _time_groups(descriptor: int, size: int, groups: int) -> dict[str, int]:
    """Write and sync `groups` blocks of `size` bytes one after the other."""
    block = os.urandom(size)  # nothing that a disk could shorten
    took = Latencies()
    began = perf_counter_ns()
    for index in range(groups):
        start = perf_counter_ns()
        written = os.pwrite(descriptor, block, index * size % FILE_BYTES)
        os.fdatasync(descriptor)
        took.record(perf_counter_ns() - start)
        if written != size:
            raise OSError(f"the disk took {written} of {size} bytes")
    elapsed_ns = perf_counter_ns() - began
    return {
        "median_us": took.percentile(50),
        "p99_us": took.percentile(99),
        "bytes_per_s": groups * size * 1_000_000_000 // elapsed_ns,
    }


def main() -> None:
    """Print the times for the file system of a folder."""
    parser = argparse.ArgumentParser(description="synced sequential writes of the raw disk")
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    for size, figures in measure(parser.parse_args().folder).items():
        print(f"{int(size) // 1024:4d} KiB", json.dumps(figures))


if __name__ == "__main__":
    main()
