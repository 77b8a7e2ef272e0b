"""The two grids of a segmentation: the scan's own, seen in canonical orientation, and a coarse one.

What belongs together (topology) is decided on the coarse grid, where it is cheap and noise is averaged
away; where exactly a border lies is decided on the scan's own voxels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

HU = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]
Triple = tuple[float, float, float]
Factors = tuple[int, int, int]

AIR, DENSEST = -1024, 3071
"""The range of a 12-bit CT. Padding outside the field of view (-2048, -3024) becomes air."""


def hounsfield(array: np.ndarray) -> HU:
    """Return contiguous int16 HU within the 12-bit range; what is not finite becomes air."""
    if array.dtype.kind != "f" and array.dtype != np.int16:
        array = array.astype(np.int64)  # -1024 has no place in an unsigned type
    clipped = np.clip(array, AIR, DENSEST)
    if (missing := not_finite(array)) is not None:
        clipped[missing] = AIR  # +infinity too, which would else be the densest bone
    return np.ascontiguousarray(clipped, dtype=np.int16)


def not_finite(array: np.ndarray) -> Mask | None:
    """Return where an array is NaN or infinite; None where it is not."""
    if array.dtype.kind != "f":
        return None
    missing = ~np.isfinite(array)
    return missing if missing.any() else None


def block_factors(shape: tuple[int, ...], spacing: Triple, wanted: float) -> Factors:
    """Return how many voxels to average along each axis for voxels of about ``wanted`` mm."""
    z, y, x = (min(n, max(1, round(wanted / s))) for n, s in zip(shape, spacing, strict=True))
    return (z, y, x)


def block_mean(array: HU, factors: Factors) -> HU:
    """Return means over blocks of voxels; incomplete blocks at the far ends are filled by their edge."""
    total: npt.NDArray[np.signedinteger] = array
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        missing = -total.shape[axis] % factor
        if missing:
            total = np.pad(total, [(0, missing if a == axis else 0) for a in range(3)], mode="edge")
        index = [slice(None)] * 3
        index[axis] = slice(0, None, factor)
        summed = total[tuple(index)].astype(np.int32)
        for start in range(1, factor):
            index[axis] = slice(start, None, factor)
            summed += total[tuple(index)]
        total = summed
    count = int(np.prod(factors))
    return array if count == 1 else np.floor_divide(total + count // 2, count).astype(np.int16)


def scaled(spacing: Triple, factors: Factors) -> Triple:
    """Return the size in mm of a block."""
    return (spacing[0] * factors[0], spacing[1] * factors[1], spacing[2] * factors[2])


def block_weights(shape: tuple[int, ...], factors: Factors) -> list[npt.NDArray[np.float64]]:
    """Return how many voxels each block holds along each axis: the last one may be incomplete."""
    weights = []
    for size, factor in zip(shape, factors, strict=True):
        weight = np.full(-(-size // factor), float(factor))
        weight[-1] = size - factor * (len(weight) - 1)
        weights.append(weight)
    return weights


def enlarge(mask: np.ndarray, factors: Factors, shape: tuple[int, ...]) -> np.ndarray:
    """Return a coarse array on the fine grid of ``shape``: every voxel repeated over its block."""
    for axis in (2, 1, 0):
        if factors[axis] > 1:
            mask = np.repeat(mask, factors[axis], axis=axis)
    return mask[tuple(slice(0, n) for n in shape)]
