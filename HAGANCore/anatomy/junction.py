"""The surface between right and left lung, where they touch before the heart or behind the gullet.

In each axial slice the path from front to back that crosses the least air: through the mediastinum, and where
the lungs touch along the junction line, which is lighter than lung even where it is thinner than a voxel
(dynamic programming as in Hu, Hoffman and Reinhardt, IEEE TMI 20 (2001) 490, doi 10.1109/42.929615).
"""

from __future__ import annotations

import numpy as np

from .grid import HU, Mask, Triple

_ASIDE = 60.0
"""mm to either side of the spine within which the path runs; a lung reaches further out in every slice."""
_STRAY = 0.003
"""Cost of a step in each mm away from the spine: decides only where nothing else does."""
_ALONG = 8.0
"""mm of the Gaussian by which costs are averaged over slices: where no line is seen between lungs that
touch, the path would else leap from slice to slice."""


def left_of_junction(air: Mask, hu: HU, middle: float, spacing: Triple) -> Mask:
    """Return what lies to the left of the junction; ``air`` is the air in the lungs.

    ``air`` and ``hu`` are (z, y, x) in canonical orientation, ``middle`` the x index of the spine.
    """
    first = max(0, round(middle - _ASIDE / spacing[2]))
    last = min(air.shape[2], round(middle + _ASIDE / spacing[2]) + 1)
    band = slice(first, max(last, first + 1))
    stray = _STRAY * spacing[2] * np.abs(np.arange(air.shape[2])[band] - middle)
    # A voxel of lung costs 5, one that the junction fills to a third 3, tissue nothing.
    cost = np.where(air[:, :, band], (-300.0 - hu[:, :, band]) / 100.0, 0.0) + stray
    path = first + _cheapest_paths(_smoothed_along(cost, spacing[0]))
    return np.arange(air.shape[2]) >= path[:, :, None]


def _smoothed_along(cost: np.ndarray, mm: float) -> np.ndarray:
    """Return the costs (z, y, x) averaged over neighbouring slices, which are ``mm`` apart."""
    reach = min(round(2.5 * _ALONG / mm), len(cost) - 1)
    index = np.arange(len(cost))
    smoothed, weights = np.zeros_like(cost), 0.0
    for offset in range(-reach, reach + 1):
        weight = float(np.exp(-0.5 * (offset * mm / _ALONG) ** 2))
        smoothed += weight * cost[np.clip(index + offset, 0, len(cost) - 1)]
        weights += weight
    return smoothed / weights


def _cheapest_paths(cost: np.ndarray) -> np.ndarray:
    """Return x (z, y) of the path through ``cost`` (z, y, x) that steps at most one voxel aside by row."""
    slices, rows, columns = cost.shape
    total = cost[:, 0]
    came_from = np.zeros((rows, slices, columns), np.int8)
    for y in range(1, rows):
        padded = np.pad(total, ((0, 0), (1, 1)), constant_values=np.inf)
        steps = np.stack([padded[:, 1:-1], padded[:, :-2], padded[:, 2:]])  # straight on first, where equal
        best = steps.argmin(0)
        came_from[y] = np.array([0, -1, 1], np.int8)[best]
        total = cost[:, y] + np.take_along_axis(steps, best[None], 0)[0]
    path = np.empty((slices, rows), np.int64)
    path[:, -1] = total.argmin(1)
    for y in range(rows - 1, 0, -1):
        path[:, y - 1] = path[:, y] + came_from[y, np.arange(slices), path[:, y]]
    return path
