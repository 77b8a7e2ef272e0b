"""Tubes, ellipsoids and columns, each drawn in its own small box."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .grid import Array, Box, RenderGrid

Points = npt.NDArray[np.float64]
_SPACE = 6_000_000
"""Voxels drawn at once: bounds the memory of a batch of tubes."""


@dataclass(frozen=True, slots=True)
class Tubes:
    """Straight pieces of tapering tube. Shapes: ends (N, 3), radii (N,), flats (N, 3); mm.

    A *flat* widens the round section to a stadium: it is half of the straight side, as a vector.
    """

    starts: Points
    ends: Points
    start_radii: npt.NDArray[np.float64]
    end_radii: npt.NDArray[np.float64]
    flats: Points

    @classmethod
    def along(cls, line: npt.ArrayLike, radii: npt.ArrayLike, flat: npt.ArrayLike = (0.0, 0.0, 0.0)) -> Tubes:
        """Return the tube along a polyline (N, 3); ``radii`` and ``flat`` are one for all, or one a point."""
        line = np.asarray(line, float)
        radii = np.broadcast_to(np.asarray(radii, float), line.shape[:1])
        flats = np.broadcast_to(np.asarray(flat, float), line.shape)
        axes = np.diff(line, axis=0)
        axes = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-6)
        sides = (flats[:-1] + flats[1:]) / 2
        # Only the part across the tube widens it; the distance below is exact for right angles alone.
        sides = sides - (sides * axes).sum(1, keepdims=True) * axes
        return cls(line[:-1], line[1:], radii[:-1], radii[1:], sides)

    @classmethod
    def joined(cls, parts: Iterable[Tubes]) -> Tubes:
        """Return all the pieces of several tubes."""
        columns = zip(*((p.starts, p.ends, p.start_radii, p.end_radii, p.flats) for p in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def grown(self, by: float) -> Tubes:
        """Return the tubes with ``by`` mm more radius; pieces that vanish are left out."""
        keep = np.minimum(self.start_radii, self.end_radii) + by > 0.05
        return Tubes(
            self.starts[keep],
            self.ends[keep],
            self.start_radii[keep] + by,
            self.end_radii[keep] + by,
            self.flats[keep],
        )

    def selected(self, keep: npt.NDArray[np.bool_]) -> Tubes:
        """Return the pieces where ``keep`` (N,) is true."""
        return Tubes(
            self.starts[keep], self.ends[keep], self.start_radii[keep], self.end_radii[keep], self.flats[keep]
        )


def fill_tubes(grid: RenderGrid, tubes: Tubes) -> Array:
    """Return the fraction of each voxel that tubes fill, of the grid's shape.

    Sections thinner than a voxel keep their area: they are drawn wider and fainter, as a scanner sees them.
    """
    filled = np.zeros(grid.shape, np.float32)
    if not len(tubes.starts):
        return filled
    starts, ends, flats = (
        grid.grid_mm(tubes.starts),
        grid.grid_mm(tubes.ends),
        grid.grid_vectors(tubes.flats),
    )
    spacing = np.asarray(grid.geometry.spacing)
    reach = np.maximum(tubes.start_radii, tubes.end_radii)[:, None] + np.abs(flats) + grid.voxel
    low = np.floor((np.minimum(starts, ends) - reach) / spacing).astype(int)
    high = np.ceil((np.maximum(starts, ends) + reach) / spacing).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, grid.shape[::-1])
    inside = np.all(high > low, axis=1)
    # Pieces whose boxes have nearly the same size are drawn together: few calls, little waste.
    sizes = 2 ** np.ceil(2 * np.log2(np.maximum(high - low, 1)))
    sizes = np.ceil(np.sqrt(sizes)).astype(int)
    for size in np.unique(sizes[inside], axis=0):
        members = np.flatnonzero(inside & np.all(sizes == size, axis=1))
        step = max(1, _SPACE // int(np.prod(size)))
        for first in range(0, len(members), step):
            chosen = members[first : first + step]
            _fill_batch(grid, filled, tubes, chosen, low[chosen], size, starts, ends, flats)
    return filled


def _fill_batch(
    grid: RenderGrid,
    filled: Array,
    tubes: Tubes,
    chosen: npt.NDArray[np.intp],
    low: npt.NDArray[np.int_],
    size: npt.NDArray[np.int_],
    starts: Points,
    ends: Points,
    flats: Points,
) -> None:
    """Draw the ``chosen`` pieces, whose boxes start at ``low`` (x, y, z) and have one ``size``."""
    count = len(chosen)
    index = [low[:, axis, None] + np.arange(size[axis]) for axis in range(3)]
    start, length = starts[chosen], (ends - starts)[chosen]
    shapes = ((count, 1, 1, -1), (count, 1, -1, 1), (count, -1, 1, 1))
    offsets = [
        (index[axis] * grid.geometry.spacing[axis] - start[:, axis, None])
        .astype(np.float32)
        .reshape(shapes[axis])
        for axis in range(3)
    ]

    def dot(vectors: Points) -> Array:
        weights = vectors.astype(np.float32).reshape(count, 3, 1, 1, 1)
        return offsets[0] * weights[:, 0] + offsets[1] * weights[:, 1] + offsets[2] * weights[:, 2]

    def column(values: npt.NDArray[np.float64]) -> Array:
        return values.astype(np.float32).reshape(count, 1, 1, 1)

    square = offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2
    length2 = np.maximum((length**2).sum(1), 1e-6)
    along = np.clip(dot(length / length2[:, None]), 0.0, 1.0)
    distance2 = square + along * (along * column(length2) - 2 * dot(length))
    flat = flats[chosen]
    flat2 = (flat**2).sum(1)
    if np.any(flat2 > 0):
        # The flat is at right angles to the axis; the nearest point moves along it by at most ±1 flat.
        across = np.clip(dot(flat / np.maximum(flat2, 1e-6)[:, None]), -1.0, 1.0)
        distance2 += across * (across * column(flat2) - 2 * dot(flat))
    radius_start, radius_end = tubes.start_radii[chosen], tubes.end_radii[chosen]
    edge, slope, peak = _soft_profile(grid.voxel, np.stack([radius_start, radius_end]), np.sqrt(flat2))
    edge_here = column(edge[0]) + along * column(edge[1] - edge[0])
    slope_here = column(slope[0]) + along * column(slope[1] - slope[0])
    peak_here = column(peak[0]) + along * column(peak[1] - peak[0])
    value = np.clip((edge_here - np.sqrt(np.maximum(distance2, 0.0))) / slope_here, 0.0, 1.0) * peak_here
    _, touched_y, touched_x = grid.shape
    rows = [index[axis].reshape(shapes[axis]) for axis in range(3)]
    flat_index = (rows[2] * touched_y + rows[1]) * touched_x + rows[0]
    valid = (value > 0) & (rows[2] < grid.shape[0]) & (rows[1] < touched_y) & (rows[0] < touched_x)
    np.maximum.at(filled.reshape(-1), flat_index[valid], value[valid])


def _soft_profile(
    voxel: float, radii: npt.NDArray[np.float64], flat: npt.NDArray[np.float64]
) -> tuple[Points, Points, Points]:
    """Return (edge, slope, peak) of a section that fills its true area.

    The filling at distance d from the axis is ``peak * clip((edge - d) / slope, 0, 1)``. A plain ramp one
    voxel wide around radius R fills π(R² + v²/12) + 4wR, not π r² + 4wr: R is chosen so that they agree.
    """
    area = np.pi * radii**2 + 4 * flat * radii
    root = 16 * flat**2 + 4 * np.pi * (area - np.pi * voxel**2 / 12)
    true = (np.sqrt(np.maximum(root, 0.0)) - 4 * flat) / (2 * np.pi)
    thick = (root > 0) & (true >= voxel / 2)
    edge = np.where(thick, true + voxel / 2, 0.95 * voxel)
    slope = np.where(thick, voxel, 0.95 * voxel)
    faint = area / (np.pi * edge**2 / 3 + 2 * flat * edge)
    return edge, slope, np.where(thick, 1.0, np.minimum(faint, 1.0))


def fill_plates(grid: RenderGrid, triangles: npt.NDArray[np.float64], radius: float) -> Array:
    """Return the fraction of each voxel that plates of 2 × ``radius`` mm along triangles (N, 3, 3) fill."""
    filled = np.zeros(grid.shape, np.float32)
    reach = radius + grid.voxel
    # A plate thinner than a voxel keeps its mass, like a thin tube.
    edge = max(radius + grid.voxel / 2, 0.95 * grid.voxel)
    peak = min(1.0, 2 * radius / edge)
    for corners in triangles:
        box = grid.box_around(corners.min(0) - reach, corners.max(0) + reach)
        if box is None:
            continue
        distance = _triangle_distance(np.stack(np.broadcast_arrays(*grid.points(box)), axis=-1), corners)
        slope = grid.voxel if radius >= grid.voxel / 2 else edge
        value = np.clip((edge - distance) / slope, 0.0, 1.0) * peak
        np.maximum(filled[box], value.astype(np.float32), out=filled[box])
    return filled


def _triangle_distance(points: Array, corners: npt.NDArray[np.float64]) -> Array:
    """Return the distance (…) of points (…, 3) from a triangle (3, 3)."""
    sides = np.roll(corners, -1, axis=0) - corners
    normal = np.cross(sides[0], sides[1])
    normal /= np.linalg.norm(normal)
    inside = np.ones(points.shape[:-1], bool)
    nearest = np.full(points.shape[:-1], np.inf)
    for corner, side in zip(corners, sides, strict=True):
        offset = points - corner
        inside &= offset @ np.cross(normal, side) >= 0
        along = np.clip(offset @ side / (side @ side), 0.0, 1.0)
        nearest = np.minimum(nearest, ((offset - along[..., None] * side) ** 2).sum(-1))
    return np.where(inside, np.abs((points - corners[0]) @ normal), np.sqrt(nearest)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid: centre and half axes (x, y, z) in mm, columns of ``axes`` its own directions."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    axes: npt.NDArray[np.float64] | None = None

    def box(self, grid: RenderGrid, margin: float = 0.0) -> Box | None:
        """Return the voxels it can touch."""
        reach = np.full(3, max(self.radii)) if self.axes is not None else np.asarray(self.radii)
        reach = reach + margin + grid.voxel
        return grid.box_around(np.subtract(self.centre, reach), np.add(self.centre, reach))

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Return the signed distance in mm, negative inside; first order, exact on the surface."""
        rel = (x - np.float32(self.centre[0]), y - np.float32(self.centre[1]), z - np.float32(self.centre[2]))
        if self.axes is not None:
            rel = tuple(
                rel[0] * np.float32(a[0]) + rel[1] * np.float32(a[1]) + rel[2] * np.float32(a[2])
                for a in self.axes.T
            )
        near = sum((p / np.float32(r)) ** 2 for p, r in zip(rel, self.radii, strict=True))
        steep = sum((p / np.float32(r * r)) ** 2 for p, r in zip(rel, self.radii, strict=True))
        root = np.sqrt(near)
        return root * (root - 1) / np.sqrt(np.maximum(steep, np.float32(1e-12)))


def turned(degrees_z: float, degrees_y: float = 0.0) -> npt.NDArray[np.float64]:
    """Return the rotation about y, then about z, as a 3 × 3 matrix."""
    a, b = np.radians([degrees_z, degrees_y])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    return about_z @ about_y
