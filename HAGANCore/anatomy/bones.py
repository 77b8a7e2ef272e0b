"""Bones on the coarse grid, with their marrow and without what else is dense."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from . import thick
from .chest import DENSEST_BONE, SOFT_TISSUE, Chest
from .dense import not_bone
from .grid import HU, Mask, Triple
from .morphology import Components, at_sides, closed, dilate, erode, label, label_slices, share_in

BONE_ABOVE = 140
"""HU that bone with its marrow reaches and soft tissue without contrast medium does not."""
_THIN_BONE, _BESIDE = 110, 4.0
"""HU of thin bone in a coarse voxel, believed within these mm of denser bone."""
_MARROW, _SPAN = 85, 7.0
"""HU of red marrow, above muscle and disc, believed in gaps of bone up to twice these mm wide."""
_CRACK = 2.0
"""Half the width in mm of a gap that is closed whatever is in it."""
_LARGEST_CAVITY, _SMALL_CAVITY = 2200.0, 60.0
"""mm² of a slice of marrow: the head of the humerus, and what may have any shape."""
_ROUND = 0.4
"""Area of a round cavity, relative to the square of its length: a disc has 0.79."""
_SMALLEST = 0.7
"""mL of the smallest bone; less is a calcification, a clip or noise."""
_EDGES, _EDGE = (3.0, 5.0), (0.7, 0.6)
"""A voxel whose edge has these mm, at the border of bone, belongs to it from this part of the way from soft
tissue to the densest voxel beside it. Half would be right for a uniform bone; the shell of a bone is denser
than its inside, less so where a voxel holds both."""
_APART, _LIKELY = 20.0, 0.4
"""Thick voxels: mm round bones within which more is looked for, and how likely a voxel must be bone."""
_PORE = 4
"""Neighbours in bone, of six, that make a voxel a pore of sparse bone and not its border."""


def find_bones(chest: Chest) -> tuple[Mask, Mask]:
    """Return the bones with the voxels that they fill only in part, and what else is as dense."""
    bones = chest.body & (chest.hu > BONE_ABOVE)
    other = not_bone(bones, chest)
    bones = _without_specks(bones & ~other, chest.spacing)
    bones |= dilate(bones, _BESIDE, chest.spacing) & chest.body & (chest.hu > _THIN_BONE) & ~other
    return _with_marrow(bones, chest), other


def bones_alone(bones: Mask, other: Mask, chest: Chest) -> Mask:
    """Return what is mostly bone, where the coarse grid is the scan's own.

    Voxels of :func:`find_bones` without their border; thick voxels near them are judged one by one, and the
    inside of these bones is kept.
    """
    inner = without_partial_edge(bones, chest.hu, chest.spacing)
    if not thick.is_thick(chest.spacing) or not bones.any():
        return inner
    inner = erode(inner, 1.0, (1.0, 1.0, 1.0)) | _likely_bone(bones, other, chest)
    pieces, counts = label(inner)
    alone = share_in(bones, pieces, counts) == 0
    alone &= share_in(chest.deep | chest.between, pieces, counts) > 0.5
    return _with_marrow(inner & ~alone[pieces], chest)  # heart and liver have no bone of their own


def _likely_bone(bones: Mask, other: Mask, chest: Chest) -> Mask:
    """Return the thick voxels near ``bones`` that are likely bone."""
    near = dilate(bones, _APART, chest.spacing) & chest.body & ~other
    filled = np.flatnonzero(chest.body.any((1, 2)))
    # Slices of padding look like those next to them, as do the slices beyond the ends of the array.
    hu = chest.hu[np.clip(np.arange(len(chest.hu)), filled[0], filled[-1])]
    return thick.likelihood(hu, near, chest.spacing) > _LIKELY


def edge_limits(hu: HU, spacing: Triple) -> HU:
    """Return the HU from which on a voxel at the border of bone belongs to the bone."""
    share = np.interp(np.cbrt(np.prod(spacing)), _EDGES, _EDGE)
    hu = np.minimum(hu, DENSEST_BONE)
    densest = hu.copy()
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        for to, source in ((tuple(ahead), tuple(behind)), (tuple(behind), tuple(ahead))):
            np.maximum(densest[to], hu[source], out=densest[to])
    return (SOFT_TISSUE + share * (densest - SOFT_TISSUE)).astype(np.int16)


def without_partial_edge(bones: Mask, hu: HU, spacing: Triple) -> Mask:
    """Return the bones without the border voxels that are mostly something else."""
    inner = erode(bones, 1.0, (1.0, 1.0, 1.0))
    kept = bones & (inner | (hu >= edge_limits(hu, spacing)))
    return kept | (bones & (_neighbours(kept) >= _PORE))


def _neighbours(mask: Mask) -> npt.NDArray[np.uint8]:
    """Return how many of its six neighbours each voxel has in ``mask``."""
    total = np.zeros(mask.shape, np.uint8)
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        total[tuple(ahead)] += mask[tuple(behind)]
        total[tuple(behind)] += mask[tuple(ahead)]
    return total


def _without_specks(bones: Mask, spacing: Triple) -> Mask:
    components, counts = label(bones)
    keep = counts * float(np.prod(spacing)) / 1000.0 >= _SMALLEST
    keep[0] = False
    return keep[components]


def _with_marrow(bones: Mask, chest: Chest) -> Mask:
    """Return the bones filled, slice by slice; the spinal canal stays open."""
    canal = chest.around_spine(8.0, 8.0, 16.0)
    marrow = closed(bones, _SPAN, chest.spacing, axes=(1, 2)) & (chest.hu > _MARROW) & ~canal
    bones = closed(bones, _CRACK, chest.spacing, axes=(1, 2)) | marrow
    holes, counts = label_slices(~bones)
    areas = counts * (chest.spacing[1] * chest.spacing[2])
    cavity = (at_sides(holes) == 0) & (areas <= _LARGEST_CAVITY) & ~_is_canal(holes, areas, chest)
    cavity[0] = False
    highest = holes.max((1, 2))  # numbers rise from slice to slice
    for number in np.flatnonzero(cavity & (areas > _SMALL_CAVITY)).tolist():
        section = holes[np.searchsorted(highest, number)] == number
        cavity[number] = areas[number] > _ROUND * _length(section, chest.spacing) ** 2
    return bones | cavity[holes]


def _is_canal(holes: Components, areas: np.ndarray, chest: Chest) -> np.ndarray:
    """Tell which holes are the spinal canal: near its line, as soft as the cord, not a mere pore."""
    canal = chest.around_spine(12.0, 13.0, 20.0)
    counts = np.maximum(np.bincount(holes.ravel()), 1)
    near = np.bincount(holes[canal], minlength=len(counts)) > 0.5 * counts
    soft = np.bincount(holes[canal & (chest.hu < _MARROW)], minlength=len(counts)) > 0.3 * counts
    return near & soft & (areas > _SMALL_CAVITY)


def _length(hole: Mask, spacing: Triple) -> float:
    """Return the longer side in mm of the box around a hole in a slice.

    Marrow cavities are round; the muscle between shoulder blade and ribs, enclosed in a slice, is long.
    """
    y, x = np.nonzero(hole)
    return float(max((np.ptp(y) + 1) * spacing[1], (np.ptp(x) + 1) * spacing[2]))
