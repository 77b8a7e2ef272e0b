"""Where the lungs lie, coarsely and quickly: enough to place a field of view and to know a chest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .orientation import canonical_view
from .resample import axis_weights, resample
from .volume import Volume

Mask = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float32]
Triple = tuple[float, float, float]

_GRID_MM = 5.0
_AIR_HU = -400.0
_OPEN_AIR_HU = -985.0
"""Averaged over 5 mm, air around the body lies below; emphysema, down to -960, above."""
_LUNG_MEDIAN_HU = (-960.0, -450.0)
"""Lung tissue, also emphysematous, has its median between these; gas in the bowel is nearer to -1000."""
_SMALLEST_PART_ML = 100.0
SMALLEST_LUNGS_ML = 400.0
"""Less than this is no chest: gas in the bowel, or the last centimetres of the bases in an abdomen."""
_AIRWAY_MM = 10.0
"""What is narrower than twice this across the body is trachea or bronchus, not lung."""


@dataclass(frozen=True, slots=True)
class LungLocation:
    """Where the lungs lie in a scan."""

    box: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    """First and last face of the lungs' bounding box along the array's own axes (z, y, x), in voxels:
    voxel k covers k..k+1."""
    volume_ml: float
    """Coarse volume of both lungs: 10 to 20 % too small, for what is narrow is left out."""
    touches_top: bool
    """Lung tissue reaches the uppermost slice: the scan cuts the apex."""
    touches_bottom: bool
    """Lung tissue reaches the lowest slice: the scan cuts the base."""
    touches_side: bool
    """Lung tissue reaches the border of the slices."""


def locate_lungs(volume: Volume) -> LungLocation | None:
    """Find the lungs of a CT scan in HU, in any orientation; None where there are none to be seen.

    Works on a grid of about 5 mm: 0.3 s for 512 × 512 × 300.
    """
    view = canonical_view(volume.array, volume.geometry, "SPL")
    coarse, spacing = _coarse(view.array, view.spacing)
    lungs = _lungs(coarse, spacing)
    voxel_ml = float(np.prod(spacing)) / 1000
    volume_ml = float(lungs.sum()) * voxel_ml
    if volume_ml < SMALLEST_LUNGS_ML:
        return None
    box = []
    for axis in range(3):
        used = np.flatnonzero(lungs.any(axis=tuple(other for other in range(3) if other != axis)))
        scale = view.array.shape[axis] / lungs.shape[axis]
        box.append((float(used[0] * scale), float((used[-1] + 1) * scale)))
    # A few voxels at the border are noise or the last millimetres of a recess; 5 cm² are a cut lung.
    plane_mm2 = spacing[1] * spacing[2]
    return LungLocation(
        box=view.to_source_box(box),
        volume_ml=volume_ml,
        touches_top=bool(lungs[-1].sum() * plane_mm2 > 500),
        touches_bottom=bool(lungs[0].sum() * plane_mm2 > 500),
        touches_side=_side_area(lungs, spacing) > 500,
    )


def _coarse(array: npt.NDArray, spacing: Triple) -> tuple[Float, Triple]:
    """Average the scan to voxels of about 5 mm; returns it with its spacing (z, y, x)."""
    # Every second or third voxel is enough for an average over 5 mm.
    strides = [max(1, int(2.5 / mm)) for mm in spacing]
    thin = array[tuple(slice(stride // 2, None, stride) for stride in strides)]
    thin_mm = [mm * n / m for mm, n, m in zip(spacing, array.shape, thin.shape, strict=True)]
    shape = [max(1, round(n * mm / max(_GRID_MM, mm))) for n, mm in zip(thin.shape, thin_mm, strict=True)]
    z, y, x = (axis_weights(n, m, 0.0, n / m, edge=True) for n, m in zip(thin.shape, shape, strict=True))
    coarse = np.empty(shape, np.float32)

    def keep(planes: slice, values: Float) -> None:
        coarse[planes] = values

    def clipped(part: npt.NDArray) -> Float:
        values = np.nan_to_num(part.astype(np.float32), nan=-1024.0, posinf=-1024.0, neginf=-1024.0)
        return np.clip(values, -1024.0, 300.0)

    resample(thin, (z, y, x), keep, clipped)
    a, b, c = (mm * n / m for mm, n, m in zip(thin_mm, thin.shape, shape, strict=True))
    return coarse, (a, b, c)


def _lungs(coarse: Float, spacing: Triple) -> Mask:
    # Opened first: a trachea that reaches the side of a small field of view must not lead the outside in.
    air = _opened_across(coarse < _AIR_HU, spacing)
    inside = air & ~_outside(coarse, air)
    parts = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(inside.astype(np.uint8))))
    voxel_ml = float(np.prod(spacing)) / 1000
    lungs = np.zeros(coarse.shape, bool)
    for label in range(1, int(parts.max()) + 1):
        part = parts == label
        low, high = _LUNG_MEDIAN_HU
        if part.sum() * voxel_ml >= _SMALLEST_PART_ML and low < np.median(coarse[part]) < high:
            lungs |= part
    return lungs


def _outside(coarse: Float, air: Mask) -> Mask:
    """Return the air around the body: what is connected with open air on the sides of the scan.

    The upper and lower slice do not count, for a lung that is cut there is not outside; nor does air with
    tissue in it, for a lung may be cut at the side of a small field of view.
    """
    seeds = np.zeros(air.shape, np.uint8)
    for side in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        seeds[side] = (air & (coarse < _OPEN_AIR_HU))[side]
    grown = sitk.BinaryReconstructionByDilation(
        sitk.GetImageFromArray(seeds), sitk.GetImageFromArray(air.astype(np.uint8)), foregroundValue=1.0
    )
    return sitk.GetArrayFromImage(grown).astype(bool)


def _opened_across(mask: Mask, spacing: Triple) -> Mask:
    """Remove what is narrow across the body: the trachea, which would move the lungs' box upwards."""
    radius = [max(1, round(_AIRWAY_MM / mm)) for mm in (spacing[2], spacing[1])]
    # Padding keeps a lung that is cut at the border from being worn away there.
    padded = np.pad(mask, ((0, 0), (radius[1],) * 2, (radius[0],) * 2), mode="edge")
    opened = sitk.BinaryMorphologicalOpening(
        sitk.GetImageFromArray(padded.astype(np.uint8)), [*radius, 0], sitk.sitkBall
    )
    array = sitk.GetArrayFromImage(opened).astype(bool)
    return array[:, radius[1] : -radius[1], radius[0] : -radius[0]]


def _side_area(lungs: Mask, spacing: Triple) -> float:
    """Return the largest area in mm² with which the lungs reach one side of the slices."""
    z, y, x = spacing
    return max(
        float(max(lungs[:, 0].sum(), lungs[:, -1].sum())) * z * x,
        float(max(lungs[:, :, 0].sum(), lungs[:, :, -1].sum())) * z * y,
    )
