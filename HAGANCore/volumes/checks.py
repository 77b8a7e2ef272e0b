"""Is this scan what the profile needs? Said before any work, with the value found and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from .body import SMALLEST_LUNGS_ML, locate_lungs
from .orientation import canonical_view
from .profiles import Profile
from .volume import Volume

_FEWEST_SLICES = 16
_SOFT_TISSUE_HU = (-200.0, 250.0)
_LEAST_SOFT_TISSUE = 0.02
_PADDING = {"CT": (0.80, 0.97), "MR": (0.95, 0.995)}
"""Share of voxels at the lowest value from which on to warn and to refuse. A round field of view in CT has
about 25 % padding; a brain without its skull leaves 90 % of FreeSurfer's cube at 0."""
_COVERED = (0.6, 0.3)
"""Share of the field of view that the scan must cover along each axis, to go without a warning or at all."""
_MISSING_GAP, _UNEVEN_GAP = 1.5, 0.05
"""Gap, in usual gaps, from which on slices are missing; spread of the gaps that is worth a word."""
_LONGEST_MM, _FINEST_MM = 2500.0, 0.01
"""A whole patient is shorter, and finer voxels than a micro-CT's hold no patient."""
_MOST_NAN = 0.5
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


def check_scan(volume: Volume, profile: Profile) -> list[Finding]:
    """Look at a scan before it is prepared; returns what was found, refusals first.

    Takes 0.2 s for 512 × 512 × 300. A scan that is 4D or in colour never gets here: reading refuses it.
    """
    impossible = [*check_lengths(volume), *_check_voxels(volume)]
    if impossible:
        return impossible
    sample = _sample(volume.array)
    finite = sample[np.isfinite(sample)]
    findings = [
        *_check_values(volume, finite, profile),
        *_check_slices(volume, profile),
        *_check_empty_slices(volume, profile),
        *_check_nan(volume.array),
        *_check_padding(finite, profile),
        *_check_extent(volume, profile),
    ]
    if profile.anatomy == "thorax" and not any(found.severity == "refuse" for found in findings):
        findings += _check_lungs(volume)
    return sorted(findings, key=lambda found: found.severity != "refuse")


def require_usable(volume: Volume, profile: Profile) -> list[str]:
    """Return the warnings of :func:`check_scan` as lines for a person.

    Raises:
        HaganError: the scan cannot be used; the message says why.
    """
    findings = check_scan(volume, profile)
    for found in findings:
        if found.severity == "refuse":
            raise HaganError(found.message)
    return [found.message for found in findings]


def require_measurable(volume: Volume) -> None:
    """Refuse what no millilitres can be taken from, whatever it shows; the rest of the checks may warn.

    Raises:
        HaganError: no voxels, no depth, no finite or only one value, or lengths that no patient has.
    """
    for found in (*check_lengths(volume), *_check_voxels(volume)):
        raise HaganError(found.message)


def check_lengths(volume: Volume) -> list[Finding]:
    """Refuse lengths that cannot be a patient's: a wrong unit, or a damaged header."""
    voxel = " × ".join(f"{mm:.6g}" for mm in volume.geometry.spacing)
    extent = " × ".join(f"{mm:.6g}" for mm in volume.geometry.extent_mm)
    if not max(volume.geometry.extent_mm) <= _LONGEST_MM:
        text = (
            f"The scan is {extent} mm (voxels of {voxel} mm), longer than any patient ({_LONGEST_MM:.0f} mm)"
        )
        return [_refuse("lengths", f"{text}; is its unit micrometres? Correct the voxel size.")]
    if not min(volume.geometry.spacing) >= _FINEST_MM:
        text = f"The scan has voxels of {voxel} mm, finer than any scanner's ({_FINEST_MM} mm)"
        return [_refuse("lengths", f"{text}; is its unit metres? Correct the voxel size.")]
    return []


def _check_voxels(volume: Volume) -> list[Finding]:
    """Refuse an array that shows nothing."""
    array = volume.array
    if min(array.shape) < 2:
        text = f"The scan has {' × '.join(map(str, array.shape))} voxels (z, y, x), which is no volume"
        return [_refuse("few-slices", f"{text}; give the whole series.")]
    if _shows_something(_sample(array)):
        return []
    values = array[np.isfinite(array)]  # a small thing in the dark may lie between the samples
    if values.size == 0:
        return [_refuse("nan", "The scan holds no finite value; export it again.")]
    if values.min() == values.max():
        text = f"The scan has the same value ({float(values[0]):.4g}) everywhere"
        return [_refuse("constant", f"{text}; give a scan with an image in it.")]
    return []


def _sample(array: npt.NDArray) -> npt.NDArray:
    """Return evenly spread voxels, enough for shares to a thousandth."""
    step = max(1, round((array.size / _SAMPLE) ** (1 / 3)))
    return array[::step, ::step, ::step].reshape(-1)


def _check_values(volume: Volume, values: npt.NDArray, profile: Profile) -> list[Finding]:
    low, high = float(values.min()), float(values.max())
    span = f"values {low:.4g}..{high:.4g}"
    modality = str(volume.meta.get("modality", ""))
    if profile.modality == "MR":
        if modality in ("", "MR") and low > -500:
            return []
        kind = f"is {modality}" if modality not in ("", "MR") else "looks like CT"
        return [_refuse("not-mr", f"The scan {kind} ({span}); a T1-weighted MR of the brain is needed.")]
    problem = _not_hounsfield(volume.array, values, modality)
    if problem is None:
        return []
    return [_refuse("not-hu", f"{problem} ({span}); give the CT's original DICOM or its Hounsfield units.")]


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


def _check_slices(volume: Volume, profile: Profile) -> list[Finding]:
    findings = []
    shape = canonical_view(volume.array, volume.geometry, profile.axes).array.shape
    if min(shape) < _FEWEST_SLICES:
        findings.append(
            _refuse(
                "few-slices",
                f"The scan has {shape[0]} axial slices of {shape[1]} × {shape[2]} voxels; at least "
                f"{_FEWEST_SLICES} in each direction are needed. Give the whole series.",
            )
        )
    smallest, usual, largest = volume.meta.get("slice_gaps_mm", (0.0, 0.0, 0.0))
    if largest > _MISSING_GAP * usual:
        findings.append(
            _refuse(
                "missing-slices",
                f"The scan misses slices: neighbours are up to {largest:.2f} mm apart, {usual:.2f} mm is "
                "usual; export the complete series.",
            )
        )
    elif largest - smallest > max(_UNEVEN_GAP * usual, 0.02):
        findings.append(
            _warn(
                "uneven-slices",
                f"The slices are unevenly spaced ({smallest:.2f}..{largest:.2f} mm); they were "
                "interpolated to even distances.",
            )
        )
    return findings


def _check_empty_slices(volume: Volume, profile: Profile) -> list[Finding]:
    """Refuse slices without an image between others: they were lost on the way, and cut the body in two."""
    planes = canonical_view(volume.array, volume.geometry, profile.axes).array
    shown = [_shows_something(plane[::4, ::4]) or _shows_something(plane) for plane in planes]
    inside = np.arange(np.argmax(shown), len(shown) - np.argmax(shown[::-1]))
    empty = [int(index) for index in inside if not shown[index]]
    if not empty:
        return []
    text = f"{len(empty)} of {len(shown)} axial slices hold no image (the first: {empty[0] + 1} from below)"
    return [_refuse("empty-slices", f"{text}; export the complete series.")]


def _shows_something(values: npt.NDArray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() < finite.max())


def _check_nan(array: npt.NDArray) -> list[Finding]:
    if array.dtype.kind != "f":
        return []
    count = array.size - int(np.count_nonzero(np.isfinite(array)))
    if count == 0:
        return []
    share = count / array.size
    percent = f" ({share:.2%})" if share >= 5e-5 else ""  # "0.00%" would say that there are none
    text = f"{count:,} of {array.size:,} voxels{percent} are not finite numbers (NaN or infinite)"
    if share > _MOST_NAN:
        return [_refuse("nan", f"{text}; export it again.")]
    return [_warn("nan", f"{text} and count as air; export the scan again if they are not.")]


def _check_padding(values: npt.NDArray, profile: Profile) -> list[Finding]:
    share = float((values == values.min()).mean())
    warn, refuse = _PADDING[profile.modality]
    text = f"{share:.1%} of the scan is padding (exactly {float(values.min()):.4g}); crop it to the body."
    if share > refuse:
        return [_refuse("padding", text)]
    return [_warn("padding", text)] if share > warn else []


def _check_extent(volume: Volume, profile: Profile) -> list[Finding]:
    if not profile.physical:
        return []
    view = canonical_view(volume.array, volume.geometry, profile.axes)
    have = [count * mm for count, mm in zip(view.array.shape, view.spacing, strict=True)]
    covered = min(mine / wanted for mine, wanted in zip(have, profile.extent_mm, strict=True))
    sizes, wanted = (" × ".join(f"{mm:.0f}" for mm in lengths) for lengths in (have, profile.extent_mm))
    warn, refuse = _COVERED
    text = f"The scan is {sizes} mm (along the body, deep, wide), the model's field of view {wanted} mm; "
    if covered < refuse:
        return [_refuse("small-scan", f"{text}give a scan of the whole chest and check its voxel size.")]
    if covered < warn:
        return [_warn("small-scan", f"{text}what is missing is filled; a whole chest is better.")]
    return []


def _check_lungs(volume: Volume) -> list[Finding]:
    lungs = locate_lungs(volume)
    if lungs is None:
        return [
            _refuse(
                "no-lungs",
                f"No lungs are in view (less than {SMALLEST_LUNGS_ML:.0f} mL of lung tissue found); a CT of "
                "the chest is needed.",
            )
        ]
    sides = {"top": lungs.touches_top, "bottom": lungs.touches_bottom, "side": lungs.touches_side}
    cut = " and ".join(side for side, touches in sides.items() if touches)
    if not cut:
        return []
    return [
        _warn(
            "lungs-cut",
            f"The lungs are cut at the {cut} of the scan ({lungs.volume_ml:.0f} mL in view); what lies "
            "beyond is unknown, and volumes will be too small.",
        )
    ]


def _refuse(code: str, message: str) -> Finding:
    return Finding("refuse", code, message)


def _warn(code: str, message: str) -> Finding:
    return Finding("warn", code, message)
