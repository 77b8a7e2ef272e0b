"""The demonstration model against 200 held-out phantoms: is it varied, true in millilitres, faithful?

    python Testing/benchmarks/demo_model.py --model Resources/Models/demo.safetensors

Measures lungs and bones of generated and of held-out volumes with the project's own segmentation, the
MS-SSIM within each set (3 scales at 64³, Gaussian window 11), and how well the volumes of held-out
phantoms survive encoding. Prints the card's table; ``--json`` prints the figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from HAGANCore import load_model
from HAGANCore.anatomy import segment
from HAGANCore.evaluation.diversity import mean_pairwise_ms_ssim
from HAGANCore.imaging.volume import Volume
from HAGANCore.phantoms import make_phantom

HELD_OUT_SEEDS = 9_000_000
"""Far from the seeds of training cohorts."""
ORGANS = ("lungs", "bones")
TARGETS = {
    "mean ratio": (0.9, 1.1),
    "sd ratio": (0.6, float("inf")),
    "ms-ssim difference": (-0.05, 0.05),
    "lungs r": (0.9, 1.0),
    "bones r": (0.7, 1.0),
}


def held_out(size: int, index: int) -> tuple[Volume, dict[str, float]]:
    """Make one held-out phantom: its volume and its true millilitres."""
    phantom = make_phantom(HELD_OUT_SEEDS + index, size)
    return phantom.volume, {organ: phantom.millilitres[organ] for organ in ORGANS}


def millilitres(volume: Volume) -> dict[str, float]:
    """Measure one volume."""
    measured = segment(volume).measurements()
    return {organ: measured[f"{organ}_ml"] for organ in ORGANS}


def evaluate(model_name: str, count: int, jobs: int) -> dict:
    """Return all figures of the card."""
    model = load_model(model_name)
    profile, size = model.description.profile, model.description.architecture.size
    generated = [model.generate(seed=seed) for seed in range(count)]
    with ProcessPoolExecutor(jobs) as pool:
        scans, truths = zip(*pool.map(partial(held_out, size), range(count), chunksize=4), strict=True)
    reconstructed = [model.encode(scan).reconstruction for scan in scans]
    with ProcessPoolExecutor(jobs) as pool:
        measured = {
            name: list(pool.map(millilitres, volumes, chunksize=4))
            for name, volumes in (
                ("held-out", scans),
                ("generated", generated),
                ("reconstructed", reconstructed),
            )
        }
    figures: dict = {"count": count, "model_sha256": model.file.sha256, "organs": {}}
    for organ in ORGANS:
        real, made, again = (
            np.array([entry[organ] for entry in measured[name]])
            for name in ("held-out", "generated", "reconstructed")
        )
        truth = np.array([entry[organ] for entry in truths])
        figures["organs"][organ] = {
            "held-out mean": real.mean(),
            "held-out sd": real.std(),
            "generated mean": made.mean(),
            "generated sd": made.std(),
            "mean ratio": made.mean() / real.mean(),
            "sd ratio": made.std() / real.std(),
            "reconstruction r": float(np.corrcoef(again, truth)[0, 1]),
            "segmentation r": float(np.corrcoef(real, truth)[0, 1]),
        }
    for name, volumes in (("held-out", scans), ("generated", generated)):
        cubes = np.stack([profile.normalise(volume.array) for volume in volumes])
        figures[f"ms-ssim {name}"] = mean_pairwise_ms_ssim(cubes, pairs=2 * count)
    return figures


def rows(figures: dict) -> list[tuple[str, float, str, bool]]:
    """Return (figure, value, target, met) of everything that has a target."""
    similar = figures["ms-ssim generated"] - figures["ms-ssim held-out"]
    table = [("MS-SSIM generated - held-out", similar, "ms-ssim difference")]
    for organ, values in figures["organs"].items():
        table += [
            (f"{organ} mL, {name}, generated / held-out", values[f"{name} ratio"], f"{name} ratio")
            for name in ("mean", "sd")
        ]
        table.append(
            (f"{organ} mL, reconstruction against truth, r", values["reconstruction r"], f"{organ} r")
        )
    return [
        (label, value, f"{TARGETS[key][0]} to {TARGETS[key][1]}", TARGETS[key][0] <= value <= TARGETS[key][1])
        for label, value, key in table
    ]


def main() -> int:
    """Print the table; the exit code is 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = evaluate(args.model, args.count, args.jobs)
    if args.json:
        print(json.dumps(figures, indent=2, default=float))
    else:
        print("| figure | value | target | met |\n|---|---|---|---|")
        for label, value, target, met in rows(figures):
            print(f"| {label} | {value:.3f} | {target} | {'yes' if met else 'NO'} |")
    return 0 if all(met for *_, met in rows(figures)) else 1


if __name__ == "__main__":
    sys.exit(main())
