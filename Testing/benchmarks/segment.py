"""Finding lungs and bones in phantoms of 64³, 128³ and 256³ voxels.

    python Testing/benchmarks/segment.py

Each size runs in a process of its own, on the CPU. ``peak_mb`` is what the work takes above the process
with the volume in memory; ``ratio`` is how often its time fits into the target, 2 s, whatever the size.
Making the phantoms takes longer than finding their organs, and is not counted.
"""

from __future__ import annotations

import argparse
import time

import measure
import numpy as np

SIZES = (64, 128, 256)
TARGET_S = 2.0


def variants(args: argparse.Namespace) -> list[str]:
    """Return the sizes."""
    return [str(size) for size in SIZES]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which patient, and how often each volume is segmented."""
    parser.add_argument("--seed", type=int, default=1, help="which phantom (default: 1)")
    parser.add_argument("--repeats", type=int, default=9, help="the median of so many (default: 9)")


def measure_one(size: str, args: argparse.Namespace) -> dict[str, float]:
    """Segment one phantom a few times and keep the median time."""
    from HAGANCore.anatomy import segment
    from HAGANCore.phantoms import make_phantom

    volume = make_phantom(args.seed, int(size)).volume
    memory = measure.MemoryOfWork(on_cpu=True)
    seconds = []
    for _ in range(1 + args.repeats):
        start = time.perf_counter()
        segment(volume)
        seconds.append(time.perf_counter() - start)
    return {"seconds": round(float(np.median(seconds[1:])), 4), "peak_mb": memory.peak_mb()}


if __name__ == "__main__":
    measure.main(__doc__, variants, measure_one, add_arguments, TARGET_S)
