"""From a slider to its picture's data: a ``step`` with the demonstration model, through the real worker.

    python Testing/benchmarks/latency.py

Times are from writing the request to having read the arrays of its reply, in ms: median and 90th percentile.
The protocol's own share is a request that computes nothing (a small reply) plus handing over a volume and a
label map of 64³ voxels. Targets on 2 CPU cores: the protocol 20 ms, the whole 300 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import measure
import numpy as np

from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import open_array, release, volume_to_wire

PLACE = {"spacing": (6.0, 5.0, 5.0), "origin": (0.0, 0.0, 0.0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}


def timed(work: Callable[[], object], repeats: int) -> dict[str, float]:
    """Return median and 90th percentile in ms; the first run warms up and does not count."""
    work()
    milliseconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        milliseconds.append(1000 * (time.perf_counter() - begun))
    return {
        "median_ms": round(statistics.median(milliseconds), 1),
        "p90_ms": round(statistics.quantiles(milliseconds, n=10)[-1], 1),
    }


def hand_over(session: Path) -> None:
    """Write a volume and a label map, read them and remove them: what a reply with both costs."""
    for dtype in (np.int16, np.uint8):
        wire = volume_to_wire(session, np.zeros((64, 64, 64), dtype), PLACE)
        np.array(open_array(wire))
        release(wire)


def rows(repeats: int) -> list[dict]:
    """Measure everything in one worker."""
    with WorkerClient() as worker:
        parts: list[dict] = []
        worker.call("generate", model="demo", seed=1, on_part=parts.append)
        latent = parts[0]["latent"]

        def step(segment: bool) -> None:
            result = worker.call("step", model="demo", latent=latent, steps=[], segment=segment)
            for wire in filter(None, (result["volume"], result["labels"])):
                np.array(open_array(wire))
                release(wire)

        return [
            {"what": "small request", **timed(lambda: worker.call("hello"), repeats)},
            {"what": "hand-over of volume and labels", **timed(lambda: hand_over(worker.session), repeats)},
            {"what": "step, without segmentation", **timed(lambda: step(False), repeats)},
            {"what": "step, with segmentation", **timed(lambda: step(True), repeats)},
        ]


def main() -> None:
    """Print the table, or JSON for scripts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--repeats", type=int, default=50, help="default: 50")
    args = parser.parse_args()
    found = rows(args.repeats)
    if args.json:
        print(json.dumps({"machine": measure.machine(), "rows": found}, indent=2))
        return
    print("| what | median ms | p90 ms |\n|---|---|---|")
    for row in found:
        print(f"| {row['what']} | {row['median_ms']} | {row['p90_ms']} |")
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    main()
