"""From the coarse grid to the scan's own voxels: what is inside is kept, the border is found anew."""

from __future__ import annotations

import numpy as np

from .bones import edge_limits
from .grid import HU, Factors, Labels, Mask, Triple, enlarge, scaled
from .lungs import LEFT_LUNG, LUNG_BELOW, RIGHT_LUNG
from .morphology import closed, dilate, erode, opened

Box = tuple[slice, slice, slice]
_VOXEL = (1.0, 1.0, 1.0)
_INSIDE = 4
"""Bit that is set, beside the side of the lung, where a coarse voxel lies wholly inside."""
_PIT, _CAVITY = 2.0, 2.5
"""Half the width in mm of what is closed at the border: small vessels of the lung, marrow of the ribs."""


def refine_lungs(
    hu: HU, coarse: HU, lungs: Labels, airways: Mask, factors: Factors, spacing: Triple, labels: Labels
) -> None:
    """Write the lungs into ``labels`` on the grid of ``hu``; the rest is on that of ``coarse``."""
    lung, air = lungs > 0, coarse < LUNG_BELOW
    if not lung.any():
        return
    axes = _averaged_axes(factors)
    tissue = opened(lung & ~dilate(air, 1.0, _VOXEL), 1.0, _VOXEL)  # inside of tumours
    side = lungs.copy()
    for number in (LEFT_LUNG, RIGHT_LUNG):
        side[dilate(lungs == number, 1.0, _VOXEL, axes) & ~lung] = number
    side[~lung & dilate(airways | (air & ~lung), 1.0, _VOXEL, axes)] = 0  # bronchus or bowel next door
    side[erode(lung, 1.0, _VOXEL) | tissue] |= _INSIDE
    box, fine_box = _boxes(side > 0, factors, hu.shape)
    code = enlarge(side[box], factors, hu[fine_box].shape)
    found = (code > _INSIDE) | ((code > 0) & (hu[fine_box] < LUNG_BELOW))
    found |= closed(found, _PIT, spacing, axes=(1, 2)) & (code > 0)
    np.copyto(labels[fine_box], code & (_INSIDE - 1), where=found)


def refine_bones(
    hu: HU, coarse: HU, bones: Mask, factors: Factors, spacing: Triple, labels: Labels, number: int
) -> None:
    """Write the bones as ``number`` into ``labels`` on the grid of ``hu``, as :func:`refine_lungs` does."""
    if not bones.any():
        return
    # 1 beside bone, 2 at its border, 3 inside
    code = bones.astype(np.uint8) + dilate(bones, 1.0, _VOXEL, _averaged_axes(factors))
    code += erode(bones, 1.0, _VOXEL)
    box, fine_box = _boxes(code > 0, factors, hu.shape)
    shape = hu[fine_box].shape
    limits = enlarge(edge_limits(coarse, scaled(spacing, factors))[box], factors, shape)
    code = enlarge(code[box], factors, shape)
    found = (code == 3) | ((code > 0) & (hu[fine_box] >= limits))
    found |= closed(found, _CAVITY, spacing, axes=(1, 2)) & (code >= 2)
    labels[fine_box][found] = number


def _averaged_axes(factors: Factors) -> tuple[int, ...]:
    """Return the axes along which a coarse voxel holds several voxels, so that a border may lie beyond it."""
    return tuple(axis for axis in range(3) if factors[axis] > 1)


def _boxes(mask: Mask, factors: Factors, shape: tuple[int, ...]) -> tuple[Box, Box]:
    """Return the bounding box of a coarse mask, and the same box on the fine grid of ``shape``."""
    coarse, fine = [], []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = int(used[0]), int(used[-1]) + 1
        coarse.append(slice(first, last))
        fine.append(slice(first * factors[axis], min(last * factors[axis], shape[axis])))
    return (coarse[0], coarse[1], coarse[2]), (fine[0], fine[1], fine[2])
