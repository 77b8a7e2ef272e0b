"""The texture of the lungs: fine structure, gravity and emphysema, fixed in the patient."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .grid import Array, Canvas
from .thorax import Thorax

_COUNT = 48


class Lattice:
    """Smooth random numbers fixed in space: a lattice of normal deviates, looked up between its points.

    It repeats after 48 steps, far enough for no eye to see it.
    """

    def __init__(self, rng: np.random.Generator, step: float) -> None:
        self.step = step
        values = rng.standard_normal((_COUNT,) * 3, dtype=np.float32)
        for axis in range(3):
            values = 0.25 * (np.roll(values, 1, axis) + 2 * values + np.roll(values, -1, axis))
        self.values = values / values.std()

    def at(self, x: Array, y: Array, z: Array) -> Array:
        """Return the field at points of the patient frame (N,), trilinear."""
        result = np.zeros(x.shape, np.float32)
        places = [c / np.float32(self.step) for c in (z, y, x)]
        low = [np.floor(p).astype(np.int32) for p in places]
        share = [(p - i).astype(np.float32) for p, i in zip(places, low, strict=True)]
        for corner in range(8):
            bits = (corner >> 2 & 1, corner >> 1 & 1, corner & 1)
            weight = np.ones(x.shape, np.float32)
            for bit, part in zip(bits, share, strict=True):
                weight = weight * (part if bit else 1 - part)
            result += (
                weight * self.values[tuple((i + bit) % _COUNT for i, bit in zip(low, bits, strict=True))]
            )
        return result


class Parenchyma:
    """Attenuation of the lungs of one patient, as a field over the patient's frame."""

    def __init__(
        self,
        thorax: Thorax,
        inside: npt.NDArray[np.float64],
        rng: np.random.Generator,
    ) -> None:
        self.parameters, self.thorax = thorax.parameters, thorax
        self._coarse, self._fine = Lattice(rng, 8.0), Lattice(rng, 4.0)
        x, y, z = inside.astype(np.float32).T
        self._limit = float(np.quantile(self._proneness(x, y, z), 1 - self.parameters.emphysema))

    def _proneness(self, x: Array, y: Array, z: Array) -> Array:
        """Return where emphysema comes first: in clusters, the upper lobes before the lower."""
        level = z / np.float32(self.thorax.height)
        return 0.7 * self._coarse.at(x, y, z) + 0.45 * self._fine.at(x, y, z) + np.float32(1.7) * level

    def draw(self, canvas: Canvas, lung: Array) -> None:
        """Paint the parenchyma where ``lung`` (fractions of voxels) is filled."""
        k, j, i = np.nonzero(lung)
        x, y, z = (np.broadcast_to(c, lung.shape)[k, j, i] for c in canvas.grid.points())
        fraction, before = lung[k, j, i], canvas.image[k, j, i]
        canvas.image[k, j, i] = before + fraction * (self.attenuation(x, y, z) - before)
        canvas.fat[k, j, i] *= 1 - fraction

    def attenuation(self, x: Array, y: Array, z: Array) -> Array:
        """Return HU of the parenchyma at points (N,) of the patient frame."""
        p, th = self.parameters, self.thorax
        depth = np.float32(th.parameters.depth * th.scale * 95.0)
        healthy = np.float32(p.lung_hu) + np.float32(p.gravity / 2) * y / depth
        healthy = healthy + 12.0 * self._fine.at(x, y, z)
        # The shift puts the -950 HU contour, not the middle of the transition, on the limit.
        excess = self._proneness(x, y, z) - np.float32(self._limit)
        sick = 1 / (1 + np.exp(-np.clip(excess * 14.0 + 2.0, -30, 30)))
        return healthy + sick * (np.float32(-986.0) - healthy)
