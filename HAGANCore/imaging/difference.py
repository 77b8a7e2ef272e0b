"""What a reconstruction has changed of its scan, and how large that is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SHARE = 0.99
_BINS = 4096


def difference_of(
    reconstruction: npt.NDArray, scan: npt.NDArray, window: tuple[float, float] | None = None
) -> npt.NDArray:
    """Return reconstruction - scan, (z, y, x) on their common grid: int16 of whole numbers, else float32.

    Slice by slice, so that memory-mapped arrays are never in memory as a whole.

    Args:
        reconstruction: any number type.
        scan: of the same shape.
        window: where given, the scan is clipped to it first: what a model cannot show is no difference.
    """
    whole = all(array.dtype.kind in "iu" for array in (reconstruction, scan))
    low, high = window or (-np.inf, np.inf)
    found = np.empty(scan.shape, np.int16 if whole else np.float32)
    for made, was, into in zip(reconstruction, scan, found, strict=True):
        difference = made.astype(np.float32) - np.clip(was.astype(np.float32), low, high)
        into[...] = np.clip(np.rint(difference), -32768, 32767) if whole else difference
    return found


def spread_of(difference: npt.NDArray) -> float:
    """Return what 99 % of the voxels differ by at most, to a 4,096th of the largest difference.

    By a histogram, slice by slice: sorting 35 million voxels takes longer than everything else.
    """
    largest = max(abs(float(difference.max())), abs(float(difference.min())))
    if largest == 0:
        return 0.0
    counts = np.zeros(_BINS, np.int64)
    for plane in difference:
        counts += np.histogram(np.abs(plane.astype(np.float32)), _BINS, (0.0, largest))[0]
    reached = int(np.searchsorted(np.cumsum(counts), _SHARE * counts.sum()))
    return largest * min(reached + 1, _BINS) / _BINS
