"""A model with a direction, for the tests of Explore: the demonstration model, steered by its own seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SMALL_LUNGS = (16, 29, 13, 9, 1, 5, 17, 2, 32, 26)
LARGE_LUNGS = (8, 20, 24, 22, 30, 12, 6, 28, 14, 18)
"""Seeds of the demonstration model whose volumes have the smallest and the largest lungs of the first 32."""
DIRECTION = "lung volume"
RANGE_ML = 600.0


def write_steered_model(path: Path) -> Path:
    """Write the demonstration model with one direction more: from small lungs to large ones.

    Roughly calibrated: the tests look at what a panel does with an amount, not at how exact it is.
    """
    from HAGANCore.inference.model import load_model
    from HAGANCore.latent.direction import Calibration, Direction
    from HAGANCore.latent.store import add_directions
    from HAGANCore.models.registry import resolve_model

    demo = resolve_model("demo")
    model = load_model(demo, "cpu")

    def mean_of(seeds: tuple[int, ...]) -> np.ndarray:
        return np.mean([model.latent(seed, None, 1.0).z for seed in seeds], axis=0)

    vector = mean_of(LARGE_LUNGS) - mean_of(SMALL_LUNGS)
    direction = Direction(
        name=DIRECTION,
        unit="mL",
        vector=(vector / np.linalg.norm(vector)).astype(np.float32),
        target="lungs_ml",
        calibration=Calibration((-RANGE_ML, 0.0, RANGE_ML), (-1.3, 0.0, 1.3)),
        range=(-RANGE_ML, RANGE_ML),
        held_fixed=("bones_ml",),
        r2=0.9,
        samples=20,
        fitted_on={"model_sha256": model.file.networks_sha256, "seeds": [*SMALL_LUNGS, *LARGE_LUNGS]},
    )
    add_directions(demo, [direction], replace=True, out=path)
    return path
