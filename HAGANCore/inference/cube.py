"""The network's cube in the unit of its profile; one that shows nothing is an error, not a volume.

Weights that are finite one by one can still overflow together. The result would be NaN, which becomes 0 in
whole numbers: a volume of one grey value that looks like a result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import HaganError
from ..progress import Progress, no_progress


def make_cube(
    generator: Any,
    latent: tuple[Tensor, Tensor | None],
    unit: str,
    window: tuple[float, float],
    preview: bool = False,
    progress: Progress = no_progress,
) -> np.ndarray:
    """Return the volume of a latent, slab by slab.

    Args:
        generator: makes the slabs; a StreamedGenerator or a WholeGenerator.
        latent: z (1, latent), and the class probabilities (1, classes) of a conditional model.
        unit: of the values; ``HU`` gives whole numbers.
        window: what -1 and 1 stand for.
        preview: the low-resolution volume instead.
        progress: called for every slab.

    Returns:
        (R, R, R), or (R/4, R/4, R/4) for a preview; int16 for HU, else float32.

    Raises:
        HaganError: a value is not finite, or all are the same.
    """
    progress(0.0, "common features")
    features = generator.features(*latent)
    seen = _Seen(unit)
    if preview:
        array = _in_unit(generator.low(features), unit, window, seen)
    else:
        size = generator.architecture.size
        array = np.empty((size, size, size), np.int16 if unit == "HU" else np.float32)
        for first, slab in generator.slabs(features):
            last = first + len(slab)
            array[first:last] = _in_unit(slab, unit, window, seen)
            progress(last / size, "generating")
    seen.require_contrast()
    return array


class _Seen:
    """The least and the greatest value so far: one pass over each slab, far less than making it."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._least, self._greatest = math.inf, -math.inf

    def add(self, values: Tensor) -> None:
        """Take note of a slab.

        Raises:
            HaganError: a value is not finite.
        """
        least, greatest = (float(value) for value in torch.aminmax(values))  # NaN where any value is
        if not math.isfinite(least + greatest):
            raise HaganError(
                f"The model computes a value that is not finite ({least + greatest}), so there is no volume: "
                "its weights are damaged or too large. Use another model file."
            )
        self._least, self._greatest = min(self._least, least), max(self._greatest, greatest)

    def require_contrast(self) -> None:
        """Make sure that the volume has more than one value.

        Raises:
            HaganError: it has not.
        """
        if self._least == self._greatest:
            raise HaganError(
                f"The model makes a volume of one value, {self._least:g} {self._unit} in every voxel, which "
                "shows nothing: its weights are damaged or were never trained. Use another model file."
            )


def _in_unit(slab: Tensor, unit: str, window: tuple[float, float], seen: _Seen) -> np.ndarray:
    """Return [-1, 1] as values of the window, whole numbers for HU; overwrites ``slab``."""
    lower, upper = window
    values = slab.add_(1).mul_((upper - lower) / 2).add_(lower)
    if unit == "HU":
        values.round_()
    seen.add(values)  # before NaN becomes a whole number
    return (values.to(torch.int16) if unit == "HU" else values).cpu().numpy()
