"""Where the lungs lie, told from a mask of them, and where a scan cuts an organ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

Mask = npt.NDArray[np.bool_]
Triple = tuple[float, float, float]

SMALLEST_LUNGS_ML = 400.0
"""Less than this is no chest: the last centimetres of the bases in an abdomen."""
_SMALLEST_PART_ML = 100.0
_NARROW_MM = 10.0
"""What is narrower than twice this across the body does not move the box: recesses and bronchi."""
_CUT_MM2 = 500.0
"""A few voxels at the border are noise or the last millimetres of a recess; 5 cm² are a cut lung."""


@dataclass(frozen=True, slots=True)
class LungLocation:
    """Where the lungs lie in a scan."""

    box: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    """First and last face of the lungs' bounding box along the array's own axes (z, y, x), in voxels:
    voxel k covers k..k+1. Without what is narrow."""
    volume_ml: float
    """Volume of both lungs, as in a segmentation to 1 or 2 %: borders are not refined."""
    cut_at: tuple[str, ...]
    """Where lung reaches the border of the scan with at least 5 cm²: of ``top``, ``bottom``, ``side``."""


def box_of_lungs(lungs: Mask, spacing: Triple) -> list[tuple[int, int]] | None:
    """Return first and last face of what is wide in the lungs, by axis, in voxels; None where nothing is.

    Args:
        lungs: (z, y, x) in canonical orientation.
        spacing: mm along z, y and x.
    """
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray(_opened_across(lungs, spacing).view(np.uint8)))
    numbers = sitk.GetArrayFromImage(parts)
    counts = np.bincount(numbers.ravel())
    large = counts * float(np.prod(spacing)) / 1000 >= _SMALLEST_PART_ML
    large[0] = False
    wide = large[numbers]
    if not wide.any():
        return None
    box = []
    for axis in range(3):
        used = np.flatnonzero(wide.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append((int(used[0]), int(used[-1]) + 1))
    return box


def cut_at(
    labels: npt.NDArray,
    spacing: Triple,
    number: int | bool = True,
    beyond: Mask | None = None,
    least_mm2: float = _CUT_MM2,
) -> tuple[str, ...]:
    """Return where an organ reaches the border of the scan: of ``top``, ``bottom`` and ``side``.

    Args:
        labels: (z, y, x) in canonical orientation; a mask, or a label map.
        spacing: mm along z, y and x.
        number: the organ's in the label map.
        beyond: voxels outside the scanner's field of view, where that is smaller than the array.
        least_mm2: a contact that is not larger does not count.
    """
    z, y, x = spacing

    def area(plane: npt.NDArray, mm2: float) -> float:
        return np.count_nonzero(plane == number) * mm2

    sides = [area(labels[:, end], z * x) for end in (0, -1)]
    sides += [area(labels[:, :, end], z * y) for end in (0, -1)]
    if beyond is not None:
        organ = labels == number
        sides.append(_shared_faces(organ, beyond, 1) * z * x + _shared_faces(organ, beyond, 2) * z * y)
    areas = {"top": area(labels[-1], y * x), "bottom": area(labels[0], y * x), "side": max(sides)}
    return tuple(side for side, mm2 in areas.items() if mm2 > least_mm2)


def _shared_faces(first: Mask, second: Mask, axis: int) -> int:
    """Return how many faces across ``axis`` two masks share."""
    a, b = np.moveaxis(first, axis, 0), np.moveaxis(second, axis, 0)
    return int(np.count_nonzero(a[1:] & b[:-1]) + np.count_nonzero(a[:-1] & b[1:]))


def _opened_across(mask: Mask, spacing: Triple) -> Mask:
    """Remove what is narrow across the body."""
    radius = [max(1, round(_NARROW_MM / mm)) for mm in (spacing[2], spacing[1])]
    # Padding keeps a lung that is cut at the border from being worn away there.
    padded = np.pad(mask, ((0, 0), (radius[1],) * 2, (radius[0],) * 2), mode="edge")
    opened = sitk.BinaryMorphologicalOpening(
        sitk.GetImageFromArray(padded.astype(np.uint8)), [*radius, 0], sitk.sitkBall
    )
    array = sitk.GetArrayFromImage(opened).astype(bool)
    return np.ascontiguousarray(array[:, radius[1] : -radius[1], radius[0] : -radius[0]])
