"""The grid a phantom is drawn on: which voxels lie where in the patient, and how much of each is filled."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from ..imaging.volume import Geometry

Array = npt.NDArray[np.float32]
Box = tuple[slice, slice, slice]
Points = tuple[Array, Array, Array]

AIR, FAT = -1000.0, -100.0
"""Attenuation of air and of fat, HU."""


class RenderGrid:
    """The voxels of a :class:`Geometry`, seen from the patient.

    The anatomy is written in the patient's own frame: mm, axes x to the left, y to the back, z up.
    ``pose`` is the 4 × 4 matrix from that frame to the world (LPS mm).
    """

    def __init__(self, geometry: Geometry, pose: npt.NDArray[np.float64]) -> None:
        self.geometry = geometry
        self.pose = pose
        self.shape = geometry.shape
        self.voxel = float(np.prod(geometry.spacing) ** (1.0 / 3.0))
        """Edge in mm of a cube as large as a voxel: the width of a soft edge."""
        self._to_patient = np.linalg.inv(pose) @ geometry.matrix
        self._to_index = np.linalg.inv(self._to_patient)
        self._spacing = np.asarray(geometry.spacing)

    @property
    def everywhere(self) -> Box:
        """The box of the whole grid."""
        nz, ny, nx = self.shape
        return (slice(0, nz), slice(0, ny), slice(0, nx))

    def points(self, box: Box | None = None) -> Points:
        """Return patient coordinates (x, y, z) of the voxel centres, each broadcastable to the box.

        An axis that a coordinate does not depend on has length 1, which keeps most arithmetic 1D or 2D.
        """
        box = box or self.everywhere
        k, j, i = np.ogrid[box]
        rows = []
        for row in self._to_patient[:3]:
            value = np.full((1, 1, 1), row[3])
            for weight, index in zip(row[:3], (i, j, k), strict=True):
                if abs(weight) > 1e-9:
                    value = value + weight * index
            rows.append(value.astype(np.float32))
        return rows[0], rows[1], rows[2]

    def box_around(self, low: npt.ArrayLike, high: npt.ArrayLike) -> Box | None:
        """Return the voxels that a patient-frame box can touch, or None where it lies outside."""
        low, high = np.asarray(low, float), np.asarray(high, float)
        corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
        index = corners @ self._to_index[:3, :3].T + self._to_index[:3, 3]
        start = np.maximum(np.floor(index.min(0) - 1).astype(int), 0)
        stop = np.minimum(np.ceil(index.max(0) + 2).astype(int), self.shape[::-1])
        if np.any(start >= stop):
            return None
        x, y, z = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        return (z, y, x)

    def grid_mm(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return patient points (…, 3) as (index × spacing), in which every grid is axis-aligned."""
        return (np.asarray(points) @ self._to_index[:3, :3].T + self._to_index[:3, 3]) * self._spacing

    def grid_vectors(self, vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return patient vectors (…, 3) in the axes of :meth:`grid_mm`."""
        return (np.asarray(vectors) @ self._to_index[:3, :3].T) * self._spacing

    def finer(self, times: int) -> RenderGrid:
        """Return the grid with ``times`` voxels along each edge of a voxel; :func:`averaged` goes back."""
        geometry, first = self.geometry, (1.0 / times - 1.0) / 2.0
        nz, ny, nx = geometry.shape
        sx, sy, sz = geometry.spacing
        x, y, z = (float(v) for v in (geometry.matrix @ (first, first, first, 1.0))[:3])
        finer = replace(
            geometry,
            shape=(nz * times, ny * times, nx * times),
            spacing=(sx / times, sy / times, sz / times),
            origin=(x, y, z),
        )
        return RenderGrid(finer, self.pose)

    def filled(self, distance: Array) -> Array:
        """Return the fraction of each voxel inside a surface, from signed distance (mm)."""
        return np.clip(0.5 - distance / np.float32(self.voxel), 0.0, 1.0, dtype=np.float32)


class Canvas:
    """The picture under way: attenuation, and how much of each voxel is fat."""

    def __init__(self, grid: RenderGrid, background: float) -> None:
        self.grid = grid
        self.image = np.full(grid.shape, background, np.float32)
        """HU, shape of the grid."""
        self.fat = np.zeros(grid.shape, np.float32)
        """Fraction of each voxel that is fat."""

    def paint(self, fraction: Array, value: float | Array, box: Box | None = None) -> None:
        """Cover ``fraction`` of each voxel (of ``box``) with a tissue of ``value`` HU, one or one a voxel."""
        image, fat = (self.image, self.fat) if box is None else (self.image[box], self.fat[box])
        image += fraction * (np.float32(value) - image)
        fat += fraction * (np.float32(value == FAT) - fat)


def averaged(array: Array, times: int) -> Array:
    """Return the means over blocks of ``times`` voxels along each edge."""
    for axis in range(3):
        rows = np.moveaxis(array, axis, 0)
        array = np.moveaxis(reduce(np.add, (rows[first::times] for first in range(times))), 0, axis)
    return np.ascontiguousarray(array / np.float32(times**3))


def smooth_union(first: Array, second: Array, radius: float) -> Array:
    """Return the union of two signed distances with its crease rounded (polynomial smooth minimum)."""
    mix = np.maximum(radius - np.abs(first - second), 0.0) / np.float32(radius)
    return np.minimum(first, second) - mix * mix * np.float32(radius / 4.0)


def smooth_intersection(first: Array, second: Array, radius: float) -> Array:
    """Return the intersection of two signed distances with its edge rounded."""
    return -smooth_union(-first, -second, radius)
