"""Closed surfaces of a label map, so that a viewer has nothing left to compute.

Surface nets (Gibson, MICCAI 1998): one vertex for each corner of the voxel grid where voxels inside and
outside meet, one quadrilateral for each voxel face between them. The staircase is then taken out by Taubin's
smoothing (SIGGRAPH 1995), which, unlike a plain average of neighbours, does not shrink. NumPy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..imaging.volume import Geometry

FULL_MM, PREVIEW_MM = 1.6, 4.0
"""Edge of the grid that surfaces are made on; coarser voxels are taken as they are, finer ones are averaged.

1.6 mm: a rib's width is several edges. 4 mm: a sixth of the triangles, for a slider that is dragged.
"""
_ROUNDS = 12
_SHRINK, _GROW = 0.5, -0.53
"""Taubin's λ and μ: a pass band of 1/λ + 1/μ = 0.11."""
_CORNERS = ((0, 0), (0, 1), (1, 1), (1, 0))


@dataclass(frozen=True)
class Surface:
    """A closed triangle mesh in the world, LPS mm; triangles turn counter-clockwise seen from outside."""

    label: int
    points: npt.NDArray[np.float32]
    """(n, 3) in (x, y, z)."""
    normals: npt.NDArray[np.float32]
    """(n, 3), of length 1, outwards."""
    triangles: npt.NDArray[np.int32]
    """(m, 3), indices of points."""


def surfaces_of(
    labels: npt.NDArray, geometry: Geometry, values: Sequence[int], edge_mm: float = FULL_MM
) -> list[Surface]:
    """Return the surface of each value of a label map; one that does not occur has no triangles.

    Args:
        labels: (z, y, x), whole numbers; what reaches the border of the grid is closed there.
        geometry: of the label map.
        values: the labels wanted.
        edge_mm: voxels are averaged to about this edge; a block of which half is inside is inside.
    """
    steps = [max(1, round(edge_mm / spacing)) for spacing in geometry.spacing[::-1]]
    return [_surface_of(labels, geometry, value, steps) for value in values]


def _surface_of(labels: npt.NDArray, geometry: Geometry, value: int, steps: Sequence[int]) -> Surface:
    inside, start = _blocks_inside(labels, value, steps)
    corners, quads = _surface_net(inside)
    points = _smoothed(corners, quads)
    # A corner i lies between the blocks i - 1 and i; blocks are counted from a margin of one.
    zyx = np.asarray(start) + (points - 1.0) * np.asarray(steps) - 0.5
    matrix = np.asarray(geometry.matrix)
    world = zyx[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    if np.linalg.det(matrix[:3, :3]) < 0:  # a left-handed grid turns every triangle round
        triangles = triangles[:, ::-1]
    return Surface(
        value,
        world.astype(np.float32),
        _normals(world, triangles).astype(np.float32),
        np.ascontiguousarray(triangles, np.int32),
    )


def _blocks_inside(
    labels: npt.NDArray, value: int, steps: Sequence[int]
) -> tuple[npt.NDArray[np.bool_], tuple[int, ...]]:
    """Return which blocks are inside, with a margin of one outside, and the first block's first voxel."""
    mask = labels == value
    ranges = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        ranges.append((int(hit[0]), int(hit[-1]) + 1) if hit.size else (0, 0))
    # Blocks are counted from the volume's first voxel, so that a surface does not jump when its box moves.
    first = [low // step * step for (low, _), step in zip(ranges, steps, strict=True)]
    box = mask[tuple(slice(low, high) for low, (_, high) in zip(first, ranges, strict=True))]
    for axis, step in enumerate(steps):
        starts = np.arange(0, box.shape[axis], step)
        if step > 1 and box.size:
            box = np.add.reduceat(box, starts, axis=axis, dtype=np.uint32)
    whole = int(np.prod(steps))
    inside = box if whole == 1 else 2 * box >= whole
    return np.pad(inside.astype(bool), 1), tuple(first)


def _surface_net(inside: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return the corners (n, 3), (z, y, x), where blocks inside and outside meet, and the quads (m, 4)."""
    shape = np.asarray(inside.shape)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    quads = []
    for axis in range(3):
        after = [slice(None)] * 3
        before = [slice(None)] * 3
        after[axis], before[axis] = slice(1, None), slice(None, -1)
        change = inside[tuple(after)].astype(np.int8) - inside[tuple(before)]
        others = [(axis + 1) % 3, (axis + 2) % 3]
        for sign in (-1, 1):  # -1: from inside to outside along the axis
            face = np.argwhere(change == sign)
            face[:, axis] += 1
            first = face @ strides
            ring = [first + a * strides[others[0]] + b * strides[others[1]] for a, b in _CORNERS]
            quads.append(np.stack(ring if sign == -1 else ring[::-1], axis=1))
    together = np.concatenate(quads)
    used, quads_of_used = np.unique(together, return_inverse=True)
    corners = np.stack(np.unravel_index(used, shape), axis=1).astype(np.float64)
    return corners, quads_of_used.reshape(-1, 4)


def _smoothed(corners: npt.NDArray[np.float64], quads: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the corners after Taubin's smoothing along the edges of the quads."""
    count = len(corners)
    if not count:
        return corners
    tails = quads.ravel()
    heads = np.roll(quads, -1, axis=1).ravel()  # every edge is met once each way: the surface is closed
    degree = np.bincount(tails, minlength=count)
    points = corners.copy()
    for _ in range(_ROUNDS):
        for factor in (_SHRINK, _GROW):
            means = [
                np.bincount(tails, weights=points[heads, axis], minlength=count) / degree for axis in range(3)
            ]
            points += factor * (np.stack(means, axis=1) - points)
    return points


def _normals(points: npt.NDArray[np.float64], triangles: npt.NDArray) -> npt.NDArray[np.float64]:
    """Return the normal of each point: the mean of its triangles', weighted by their areas."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(
                triangles[:, corner], weights=faces[:, axis], minlength=len(points)
            )
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(lengths > 0, lengths, 1.0)
