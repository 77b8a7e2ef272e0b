"""Binary morphology in millimetres, on boolean arrays (z, y, x).

A ball is approached by alternating steps along one axis at a time (an octahedron) and along all axes
together (a cube): a few passes over boolean arrays, 20 times faster than a distance map on these grids,
symmetric under flips, and right on anisotropic voxels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .grid import Mask, Triple

Components = npt.NDArray[np.int32]
_WORTH_THREADS = 1_000_000
"""Voxels from which on several threads are faster; on 64³ one takes half their time, for the same result."""


def dilate(mask: Mask, radius: float, spacing: Triple, axes: tuple[int, ...] = (0, 1, 2)) -> Mask:
    """Return ``mask`` grown by ``radius`` mm along ``axes``; nothing grows in from outside the array."""
    # More steps than the array has voxels change nothing; a damaged voxel size would ask for billions.
    steps = {axis: round(min(radius / spacing[axis], mask.shape[axis])) for axis in axes}
    total = max(steps.values())
    for turn in range(total):
        moving = [a for a in axes if (turn + 1) * steps[a] // total > turn * steps[a] // total]
        mask = _grow_cube(mask, moving) if turn % 2 else _grow_cross(mask, moving)
    return mask


def erode(mask: Mask, radius: float, spacing: Triple, axes: tuple[int, ...] = (0, 1, 2)) -> Mask:
    """Return ``mask`` shrunk by ``radius`` mm; the array's own border does not eat into it."""
    return ~dilate(~mask, radius, spacing, axes)


def opened(mask: Mask, radius: float, spacing: Triple, axes: tuple[int, ...] = (0, 1, 2)) -> Mask:
    """Return ``mask`` without parts thinner than twice ``radius`` mm."""
    return dilate(erode(mask, radius, spacing, axes), radius, spacing, axes) & mask


def closed(mask: Mask, radius: float, spacing: Triple, axes: tuple[int, ...] = (0, 1, 2)) -> Mask:
    """Return ``mask`` with gaps narrower than twice ``radius`` mm filled."""
    room = [
        (round(min(radius / spacing[axis], mask.shape[axis])) if axis in axes else 0,) * 2
        for axis in range(3)
    ]
    inner = tuple(slice(n, n + size) for (n, _), size in zip(room, mask.shape, strict=True))
    padded = np.pad(mask, room)
    return erode(dilate(padded, radius, spacing, axes), radius, spacing, axes)[inner]


def _grow_cross(mask: Mask, axes: list[int]) -> Mask:
    grown = mask.copy()
    for axis in axes:
        _or_shifted(grown, mask, axis)
    return grown


def _grow_cube(mask: Mask, axes: list[int]) -> Mask:
    for axis in axes:
        grown = mask.copy()
        _or_shifted(grown, mask, axis)
        mask = grown
    return mask


def _or_shifted(target: Mask, source: Mask, axis: int) -> None:
    ahead, behind = [slice(None)] * 3, [slice(None)] * 3
    ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
    target[tuple(ahead)] |= source[tuple(behind)]
    target[tuple(behind)] |= source[tuple(ahead)]


def label(mask: Mask) -> tuple[Components, npt.NDArray[np.int64]]:
    """Return face-connected components numbered from 1, and the voxel count of each (index 0: outside)."""
    search = sitk.ConnectedComponentImageFilter()
    if mask.size < _WORTH_THREADS:
        search.SetNumberOfWorkUnits(1)
    image = search.Execute(sitk.GetImageFromArray(mask.view(np.uint8)))
    components = sitk.GetArrayFromImage(image).astype(np.int32, copy=False)
    return components, np.bincount(components.ravel())


def label_slices(mask: Mask) -> tuple[Components, npt.NDArray[np.int64]]:
    """Return the components of every axial slice on its own, numbered through from slice 0 upwards."""
    apart = np.zeros((2 * mask.shape[0], *mask.shape[1:]), bool)
    apart[::2] = mask  # an empty slice between any two keeps them apart
    components, counts = label(apart)
    return np.ascontiguousarray(components[::2]), counts


def largest(mask: Mask) -> Mask:
    """Return the largest component of ``mask`` (all False where it is empty)."""
    components, counts = label(mask)
    counts[0] = 0
    return components == counts.argmax() if counts.any() else np.zeros_like(mask)


def share_in(mask: Mask, pieces: Components, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the share of each piece that lies in ``mask``."""
    return np.bincount(pieces[mask], minlength=len(counts)) / np.maximum(counts, 1)


def at_sides(components: Components, ends: bool = False) -> npt.NDArray[np.int64]:
    """Return how many voxels each component has on the four sides of the array, and on its two ``ends``."""
    faces = [components[:, 0], components[:, -1], components[:, :, 0], components[:, :, -1]]
    if ends:
        faces += [components[0], components[-1]]
    edge = np.concatenate([face.ravel() for face in faces])
    return np.bincount(edge, minlength=int(components.max(initial=0)) + 1)


def fill_holes(mask: Mask) -> Mask:
    """Return ``mask`` with everything it encloses on all sides."""
    components, _ = label(~mask)
    enclosed = at_sides(components, ends=True) == 0
    return mask | enclosed[components]
