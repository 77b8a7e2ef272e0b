"""Training iterations per second and memory, against a plain fp32 implementation with the same losses.

    python Testing/benchmarks/train.py --size 64

``plain`` is the published procedure as one would first write it: upsample then convolve, fp32, new
generated volumes for D and for G. ``ours`` is the default configuration in fp32 and in bfloat16.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import measure
import numpy as np
from plain import make_plain

WARM_UP, TIMED = 1, 3


def variants(args: argparse.Namespace) -> list[str]:
    """Return what is measured."""
    return ["plain fp32", "ours fp32", "ours bf16"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the size of the volumes and of the networks."""
    parser.add_argument("--size", type=int, default=64, help="edge of the volumes in voxels (default: 64)")
    parser.add_argument("--batch", type=int, default=4, help="volumes in each iteration (default: 4)")
    parser.add_argument("--width", type=int, default=32, help="generator width (default: 32, the paper's)")


def measure_one(name: str, args: argparse.Namespace) -> dict[str, float]:
    """Run a few iterations on random volumes; the time of one iteration does not depend on their content."""
    import torch

    from HAGANCore.cohorts.store import Cohort, CohortWriter
    from HAGANCore.devices import choose_device
    from HAGANCore.preparation.profiles import PROFILES
    from HAGANCore.training import PRESETS, Trainer

    config = PRESETS["reference" if name.startswith("plain") else "default"].changed(
        {
            "batch": args.batch,
            "generator_width": args.width,
            "discriminator_width": 16 * args.width,
            "ground_encoder_width": 8 * args.width,
            "latent": 32 * args.width,
            "precision": "bfloat16" if name.endswith("bf16") else "float32",
        }
    )
    memory = measure.MemoryOfWork()
    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        with CohortWriter(Path(folder) / "cohort", PROFILES["thorax-ct-fov"], args.size) as writer:
            for index in range(args.batch):
                writer.add(f"v{index}", random.uniform(-1, 1, (args.size,) * 3).astype(np.float32))
        cohort = Cohort.open(Path(folder) / "cohort")
        trainer = Trainer(cohort, Path(folder) / "run", config, choose_device("auto"))
        if name.startswith("plain"):
            make_plain(trainer.networks["generator"])
            make_plain(trainer.gan.averages["generator"])
        volumes = torch.from_numpy(np.stack([cohort.load(i) for i in range(args.batch)]))[:, None]
        volumes = volumes.to(trainer.device)
        labels = torch.full((args.batch,), -1, device=trainer.device)
        seconds = []
        for _ in range(WARM_UP + TIMED):
            start = time.perf_counter()
            losses = trainer.iterate(itertools.repeat((volumes, labels)))
            float(losses["loss_E^G"])  # wait for the device
            seconds.append(time.perf_counter() - start)
    return {"seconds": float(np.median(seconds[WARM_UP:])), "peak_mb": memory.peak_mb()}


if __name__ == "__main__":
    measure.main(__doc__, variants, measure_one, add_arguments)
