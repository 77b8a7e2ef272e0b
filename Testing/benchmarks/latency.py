"""From a slider to its picture's data: a ``step`` with the demonstration model, through the real worker.

    python Testing/benchmarks/latency.py

Times are from writing the request to having read the arrays of its reply, in ms: median and 90th percentile.
The protocol's own share is a request that computes nothing (a small reply) plus handing over a volume and a
label map of 64³ voxels. Targets on 2 CPU cores: the protocol 20 ms, the whole 300 ms; ``scene_latency.py``
adds the module's panel, the scene and its views.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import measure
import numpy as np

from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import open_array, release, volume_to_wire

PROTOCOL_MS, WHOLE_MS = 20.0, 300.0
"""The targets on two cores."""
PLACE = {"spacing": (6.0, 5.0, 5.0), "origin": (0.0, 0.0, 0.0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}


def timed(work: Callable[[], object], repeats: int) -> list[float]:
    """Return how long each of ``repeats`` runs took, in ms; one run before them warms up."""
    work()
    milliseconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        milliseconds.append(1000 * (time.perf_counter() - begun))
    return milliseconds


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

        small = timed(lambda: worker.call("hello"), repeats)
        handed = timed(lambda: hand_over(worker.session), repeats)
        return [
            measure.latency("small request", small),
            measure.latency("hand-over of volume and labels", handed),
            measure.latency(
                "both: the protocol's share",
                [sum(pair) for pair in zip(small, handed, strict=True)],
                PROTOCOL_MS,
            ),
            measure.latency("step, without segmentation", timed(lambda: step(False), repeats)),
            measure.latency("step, with segmentation", timed(lambda: step(True), repeats), WHOLE_MS),
        ]


def main() -> None:
    """Print the table, or JSON for scripts."""
    parser = measure.parser_of(__doc__)
    measure.add_repeats(parser, 50, "requests of each kind")
    args = parser.parse_args()
    found = rows(args.repeats)
    if args.json:
        print(json.dumps({"machine": measure.machine(), "rows": found}, indent=2))
    else:
        measure.print_latencies(found)


if __name__ == "__main__":
    main()
