"""How far a reconstruction is from its scan."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..preparation.profiles import clip_to_window
from ..processes import in_threads
from ..progress import Progress, no_progress

Plane = npt.NDArray[np.float32]

TISSUES_HU: dict[str, tuple[float, float]] = {
    "air": (-np.inf, -950.0),
    "lung": (-950.0, -400.0),
    "soft_tissue": (-400.0, 200.0),
    "bone": (200.0, np.inf),
}
"""Tissue by the scan's own HU; fat is soft tissue, and so are muscle and blood."""
SSIM_WINDOW = 7
_CHUNK = 48
"""Planes that one thread compares at a time. Fixed, so that the sums do not depend on the number of cores."""
_C1, _C2 = np.float32(0.01**2), np.float32(0.03**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMeasures:
    """How far a reconstruction is from the scan, both clipped to the model's window.

    What a model cannot show (metal, padding) does not count, and of the scan only the part that the
    reconstruction covers.
    """

    mae: float
    """Mean absolute error in ``unit``."""
    psnr_db: float
    """Peak signal-to-noise ratio, the window's width being the peak; infinite when equal."""
    ssim: float
    """Mean structural similarity in 3D (Wang et al., IEEE TIP 2004): cubes of 7³ voxels, evenly weighted,
    K1 = 0.01, K2 = 0.03, values counted from the window's lower end, its width as their range."""
    tissue_mae: dict[str, float] = field(default_factory=dict)
    """Mean absolute error by tissue, see :data:`TISSUES_HU`; only for CT, only tissues that are there."""
    lungs_mae: float | None = None
    """Mean absolute error inside the lungs, as they were found in the scan; None where nobody looked."""
    unit: str = "HU"

    @property
    def judged(self) -> float:
        """What decides between two reconstructions: the mean of ``mae`` and ``lungs_mae``, if known."""
        return self.mae if self.lungs_mae is None else (self.mae + self.lungs_mae) / 2

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as JSON-able values; ``mae_hu`` where the unit is HU."""
        values = {
            key: value for key, value in asdict(self).items() if key not in ("mae", "tissue_mae", "lungs_mae")
        }
        suffix = "_hu" if self.unit == "HU" else ""
        if not np.isfinite(self.psnr_db):
            values["psnr_db"] = None  # JSON knows no infinity
        lungs = {} if self.lungs_mae is None else {f"lungs_mae{suffix}": self.lungs_mae}
        return {f"mae{suffix}": self.mae, **values, f"tissue_mae{suffix}": self.tissue_mae, **lungs}


def measure_errors(
    scan: npt.NDArray,
    reconstruction: npt.NDArray,
    window: tuple[float, float],
    unit: str = "HU",
    progress: Progress = no_progress,
) -> ErrorMeasures:
    """Compare two arrays of the same shape, plane by plane, so that large scans need little memory.

    Args:
        scan: (z, y, x), any type; NaN counts as the window's lower end.
        reconstruction: (z, y, x) in the same unit.
        window: lower and upper end of the values that count.
        unit: ``HU`` also gives errors by tissue.
        progress: called for every chunk of planes.

    Raises:
        HaganError: the shapes differ, or there is nothing to compare.
    """
    if scan.shape != reconstruction.shape or scan.ndim != 3 or scan.size == 0:
        raise HaganError(
            f"Scan and reconstruction must be 3D, of one shape and not empty; found {scan.shape} and "
            f"{reconstruction.shape}."
        )

    def compared(begin: int) -> tuple[_Sums, _Similarity]:
        sums = _Sums(window[1] - window[0], by_tissue=unit == "HU")
        similarity = _Similarity(scan.shape, window)
        # A cube of SSIM reaches into the next chunk; the planes there are counted there.
        for index in range(begin, min(begin + _CHUNK + similarity.reach, len(scan))):
            a, b = clip_to_window(scan[index], window), clip_to_window(reconstruction[index], window)
            similarity.add(a, b)
            if index < begin + _CHUNK:
                sums.add(a, b)
        return sums, similarity

    def report(fraction: float, text: str = "") -> None:
        progress(fraction, "comparing")

    (sums, similarity), *rest = in_threads(compared, range(0, len(scan), _CHUNK), report)
    for more_sums, more_similarity in rest:
        sums.include(more_sums)
        similarity.include(more_similarity)
    return ErrorMeasures(
        mae=sums.mae, psnr_db=sums.psnr, ssim=similarity.mean, tissue_mae=sums.tissue_mae, unit=unit
    )


def error_within(
    scan: npt.NDArray, reconstruction: npt.NDArray, mask: npt.NDArray[np.bool_], window: tuple[float, float]
) -> float | None:
    """Return the mean absolute error inside a mask, both clipped to the window; None for an empty mask."""
    if not mask.any():
        return None
    a, b = clip_to_window(scan[mask], window), clip_to_window(reconstruction[mask], window)
    return float(np.abs(a - b).mean(dtype=np.float64))


class _Sums:
    """Sums of absolute and squared errors over planes."""

    def __init__(self, width: float, by_tissue: bool) -> None:
        self._width = width
        self._names = tuple(TISSUES_HU) if by_tissue else ()
        self._edges = np.array([low for low, _ in TISSUES_HU.values()][1:], np.float32)
        self._absolute = np.zeros(max(1, len(self._names)))
        self._counts = np.zeros(max(1, len(self._names)), np.int64)
        self._squared = 0.0

    def add(self, scan: Plane, reconstruction: Plane) -> None:
        error = reconstruction - scan
        np.abs(error, out=error)
        self._squared += float(np.dot(error.ravel(), error.ravel()))
        # What lies above each edge, the lowest being none; the differences are the tissues.
        absolute, counts = [float(error.sum(dtype=np.float64))], [error.size]
        for edge in self._edges if self._names else ():
            above = scan >= edge
            counts.append(int(np.count_nonzero(above)))
            absolute.append(float((error * above).sum(dtype=np.float64)))
        self._counts -= np.diff(counts, append=0)
        self._absolute -= np.diff(absolute, append=0.0)

    def include(self, other: _Sums) -> None:
        self._counts += other._counts
        self._absolute += other._absolute
        self._squared += other._squared

    @property
    def mae(self) -> float:
        return float(self._absolute.sum() / self._counts.sum())

    @property
    def psnr(self) -> float:
        mean_square = self._squared / float(self._counts.sum())
        return float("inf") if mean_square == 0 else float(10 * np.log10(self._width**2 / mean_square))

    @property
    def tissue_mae(self) -> dict[str, float]:
        triples = zip(self._names, self._absolute, self._counts, strict=False)
        return {name: float(absolute / count) for name, absolute, count in triples if count}


class _Similarity:
    """Mean SSIM of two volumes that arrive plane by plane; holds the sums of seven planes."""

    def __init__(self, shape: tuple[int, ...], window: tuple[float, float]) -> None:
        # An axis shorter than the window is taken whole.
        self._edges = [min(SSIM_WINDOW, count) for count in shape]
        self.reach = self._edges[0] - 1
        self._lower, self._width = window[0], window[1] - window[0]
        self._planes: deque[list[Plane]] = deque(maxlen=self._edges[0])
        self._total, self._count = 0.0, 0

    def add(self, scan: Plane, reconstruction: Plane) -> None:
        x = (scan - np.float32(self._lower)) / np.float32(self._width)
        y = (reconstruction - np.float32(self._lower)) / np.float32(self._width)
        moments = (x, y, x * x + y * y, x * y)
        self._planes.append([self._sums_in_plane(moment) for moment in moments])
        if len(self._planes) == self._edges[0]:
            similarity = self._similarity()
            self._total += float(similarity.sum(dtype=np.float64))
            self._count += similarity.size

    def include(self, other: _Similarity) -> None:
        self._total += other._total
        self._count += other._count

    @property
    def mean(self) -> float:
        return self._total / self._count

    def _sums_in_plane(self, plane: Plane) -> Plane:
        return moving_sum(moving_sum(plane, self._edges[1]).T, self._edges[2]).T

    def _similarity(self) -> Plane:
        voxels = np.float32(np.prod(self._edges))
        x, y, squares, products = (
            sum(planes[1:], planes[0]) / voxels for planes in zip(*self._planes, strict=True)
        )
        mean_squares, mean_products = x * x + y * y, x * y
        luminance = (2 * mean_products + _C1) / (mean_squares + _C1)
        return luminance * (2 * (products - mean_products) + _C2) / (squares - mean_squares + _C2)


def moving_sum(array: Plane, count: int) -> Plane:
    """Return the sums of ``count`` neighbours along axis 0, by halves: four additions for seven.

    >>> moving_sum(np.arange(6, dtype=np.float32), 4).tolist()
    [6.0, 10.0, 14.0]
    """
    if count == 1:
        return array
    half = moving_sum(array, count // 2)
    both = half[: -(count // 2)] + half[count // 2 :]
    return both[:-1] + array[count - 1 :] if count % 2 else both
