"""Can millilitres be taken from a volume at all? Nothing here knows a model or an organ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from .volume import Volume

_SOFT_TISSUE_HU = (-200.0, 250.0)
_LEAST_SOFT_TISSUE = 0.02
_LONGEST_MM, _FINEST_MM = 2500.0, 0.01
"""A whole patient is shorter, and finer voxels than a micro-CT's hold no patient."""
_SAMPLE = 2_000_000
"""Voxels that are looked at for shares and ranges."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a scan that the user should know."""

    severity: Literal["warn", "refuse"]
    code: str
    """A short name for programs, e.g. ``no-lungs``."""
    message: str
    """One line for a person: what was found, the value, what to do."""


def require_measurable(volume: Volume) -> None:
    """Refuse what no millilitres can be taken from: they are of lungs and bones, and only CT tells these.

    Raises:
        HaganError: no voxels, no depth, no finite or only one value, lengths that no patient has, or values
            that are no Hounsfield units.
    """
    for found in (*check_lengths(volume), *check_voxels(volume), *check_hounsfield(volume)):
        raise HaganError(found.message)


def check_lengths(volume: Volume) -> list[Finding]:
    """Refuse lengths that cannot be a patient's: a wrong unit, or a damaged header."""
    voxel = " × ".join(f"{mm:.6g}" for mm in volume.geometry.spacing)
    extent = " × ".join(f"{mm:.6g}" for mm in volume.geometry.extent_mm)
    if not max(volume.geometry.extent_mm) <= _LONGEST_MM:
        text = (
            f"The scan is {extent} mm (voxels of {voxel} mm), longer than any patient ({_LONGEST_MM:.0f} mm)"
        )
        return [refusal("lengths", f"{text}; is its unit micrometres? Correct the voxel size.")]
    if not min(volume.geometry.spacing) >= _FINEST_MM:
        text = f"The scan has voxels of {voxel} mm, finer than any scanner's ({_FINEST_MM} mm)"
        return [refusal("lengths", f"{text}; is its unit metres? Correct the voxel size.")]
    return []


def check_voxels(volume: Volume) -> list[Finding]:
    """Refuse an array that shows nothing."""
    array = volume.array
    if min(array.shape) < 2:
        text = f"The scan has {' × '.join(map(str, array.shape))} voxels (z, y, x), which is no volume"
        return [refusal("few-slices", f"{text}; give the whole series.")]
    if shows_something(sample_of(array)):
        return []
    values = array[np.isfinite(array)]  # a small thing in the dark may lie between the samples
    if values.size == 0:
        return [refusal("nan", "The scan holds no finite value; export it again.")]
    if values.min() == values.max():
        text = f"The scan has the same value ({float(values[0]):.4g}) everywhere"
        return [refusal("constant", f"{text}; give a scan with an image in it.")]
    return []


def check_hounsfield(volume: Volume) -> list[Finding]:
    """Refuse what is not a CT in Hounsfield units."""
    values = sample_of(volume.array)
    values = values[np.isfinite(values)]
    if not values.size:
        return []
    problem = _not_hounsfield(volume.array, values, str(volume.meta.get("modality", "")))
    if problem is None:
        return []
    span = f"values {values.min():.4g}..{values.max():.4g}"
    return [refusal("not-hu", f"{problem} ({span}); give the CT's original DICOM or its Hounsfield units.")]


def _not_hounsfield(array: npt.NDArray, values: npt.NDArray, modality: str) -> str | None:
    low, high = values.min(), values.max()
    if modality not in ("", "CT"):
        return f"The scan is {modality}, not CT"
    if array.dtype == np.uint8 or (low >= 0 and high <= 255):
        return "The scan holds 8-bit grey values or MR, not Hounsfield units"
    if low > -300:
        return "The scan is not in Hounsfield units, where air is near -1000"
    lower, upper = _SOFT_TISSUE_HU
    tissue = float(((values > lower) & (values < upper)).mean())
    if tissue < _LEAST_SOFT_TISSUE:
        return f"Only {tissue:.1%} of the scan is within {lower:.0f}..{upper:.0f} HU: no HU, or no body"
    return None


def sample_of(array: npt.NDArray) -> npt.NDArray:
    """Return evenly spread voxels, enough for shares to a thousandth."""
    step = max(1, round((array.size / _SAMPLE) ** (1 / 3)))
    return array[::step, ::step, ::step].reshape(-1)


def shows_something(values: npt.NDArray) -> bool:
    """Tell whether there is more than one finite value."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() < finite.max())


def refusal(code: str, message: str) -> Finding:
    """Return what forbids to go on."""
    return Finding("refuse", code, message)


def warning(code: str, message: str) -> Finding:
    """Return what the user should know."""
    return Finding("warn", code, message)
