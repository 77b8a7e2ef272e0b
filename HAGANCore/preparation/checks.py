"""Is this scan what the profile needs? Said before any work, with the value found and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..anatomy.location import locate_lungs
from ..anatomy.lung_box import SMALLEST_LUNGS_ML, LungLocation
from ..errors import HaganError
from ..imaging.measurable import (
    Finding,
    check_hounsfield,
    check_lengths,
    check_voxels,
    refusal,
    sample_of,
    shows_something,
    warning,
)
from ..imaging.orientation import canonical_view
from ..imaging.volume import Volume
from ..wording import millilitres_text
from .profiles import Profile

_FEWEST_SLICES = 16
_PADDING = {"CT": (0.80, 0.97), "MR": (0.95, 0.995)}
"""Share of voxels at the lowest value from which on to warn and to refuse. A round field of view in CT has
about 25 % padding; a brain without its skull leaves 90 % of FreeSurfer's cube at 0."""
_COVERED = (0.6, 0.3)
"""Share of the field of view that the scan must cover along each axis, to go without a warning or at all."""
_MISSING_GAP, _UNEVEN_GAP = 1.5, 0.05
"""Gap, in usual gaps, from which on slices are missing; spread of the gaps that is worth a word."""
_MOST_NAN = 0.5


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in a scan before it is prepared."""

    findings: list[Finding]
    """Refusals first."""
    lungs: LungLocation | None
    """Where they lie: :func:`~HAGANCore.preparation.preprocess.prepare` need not look again."""


def check_scan(volume: Volume, profile: Profile) -> list[Finding]:
    """Look at a scan before it is prepared; returns what was found, refusals first.

    A scan that is 4D or in colour never gets here: reading refuses it.
    """
    return examine(volume, profile).findings


def examine(
    volume: Volume,
    profile: Profile,
    locate: Callable[[Volume], LungLocation | None] = locate_lungs,
) -> Examination:
    """Do what :func:`check_scan` does, and keep where the lungs lie, as ``locate`` finds them.

    Takes 1 s for 512 × 512 × 300.
    """
    findings, lungs = check_image(volume, profile), None
    if profile.anatomy == "thorax" and not any(found.severity == "refuse" for found in findings):
        lungs = locate(volume)
        findings += _check_lungs(lungs)
    return Examination(sorted(findings, key=lambda found: found.severity != "refuse"), lungs)


def check_image(volume: Volume, profile: Profile) -> list[Finding]:
    """Look at a scan's values, slices and extent, and not at what is to be seen in it."""
    impossible = [*check_lengths(volume), *check_voxels(volume)]
    if impossible:
        return impossible
    sample = sample_of(volume.array)
    finite = sample[np.isfinite(sample)]
    return [
        *_check_values(volume, finite, profile),
        *_check_slices(volume, profile),
        *_check_empty_slices(volume, profile),
        *_check_nan(volume.array),
        *_check_padding(finite, profile),
        *_check_extent(volume, profile),
    ]


def require_usable(volume: Volume, profile: Profile) -> Examination:
    """Return what was found in a scan that can be used.

    Raises:
        HaganError: the scan cannot be used; the message says why.
    """
    found = examine(volume, profile)
    for finding in found.findings:
        if finding.severity == "refuse":
            raise HaganError(finding.message)
    return found


def _check_values(volume: Volume, values: npt.NDArray, profile: Profile) -> list[Finding]:
    low, high = float(values.min()), float(values.max())
    span = f"values {low:.4g}..{high:.4g}"
    modality = str(volume.meta.get("modality", ""))
    if profile.modality == "MR":
        if modality in ("", "MR") and low > -500:
            return []
        kind = f"is {modality}" if modality not in ("", "MR") else "looks like CT"
        return [refusal("not-mr", f"The scan {kind} ({span}); a T1-weighted MR of the brain is needed.")]
    return check_hounsfield(volume)


def _check_slices(volume: Volume, profile: Profile) -> list[Finding]:
    findings = []
    shape = canonical_view(volume.array, volume.geometry, profile.axes).array.shape
    if min(shape) < _FEWEST_SLICES:
        findings.append(
            refusal(
                "few-slices",
                f"The scan has {shape[0]} axial slices of {shape[1]} × {shape[2]} voxels; at least "
                f"{_FEWEST_SLICES} in each direction are needed. Give the whole series.",
            )
        )
    smallest, usual, largest = volume.meta.get("slice_gaps_mm", (0.0, 0.0, 0.0))
    if largest > _MISSING_GAP * usual:
        findings.append(
            refusal(
                "missing-slices",
                f"The scan misses slices: neighbours are up to {largest:.2f} mm apart, {usual:.2f} mm is "
                "usual; export the complete series.",
            )
        )
    elif largest - smallest > max(_UNEVEN_GAP * usual, 0.02):
        findings.append(
            warning(
                "uneven-slices",
                f"The slices are unevenly spaced ({smallest:.2f}..{largest:.2f} mm); they were "
                "interpolated to even distances.",
            )
        )
    return findings


def _check_empty_slices(volume: Volume, profile: Profile) -> list[Finding]:
    """Refuse slices without an image between others: they were lost on the way, and cut the body in two."""
    planes = canonical_view(volume.array, volume.geometry, profile.axes).array
    shown = [shows_something(plane[::4, ::4]) or shows_something(plane) for plane in planes]
    inside = np.arange(np.argmax(shown), len(shown) - np.argmax(shown[::-1]))
    empty = [int(index) for index in inside if not shown[index]]
    if not empty:
        return []
    text = f"{len(empty)} of {len(shown)} axial slices hold no image (the first: {empty[0] + 1} from below)"
    return [refusal("empty-slices", f"{text}; export the complete series.")]


def _check_nan(array: npt.NDArray) -> list[Finding]:
    if array.dtype.kind != "f":
        return []
    count = array.size - int(np.count_nonzero(np.isfinite(array)))
    if count == 0:
        return []
    text = f"{count:,} of {array.size:,} voxels are not finite numbers (NaN or infinite)"
    if count > _MOST_NAN * array.size:
        return [refusal("nan", f"{text}; export it again.")]
    return [warning("nan", f"{text} and count as air; export the scan again if they are not.")]


def _check_padding(values: npt.NDArray, profile: Profile) -> list[Finding]:
    share = float((values == values.min()).mean())
    warn, refuse = _PADDING[profile.modality]
    text = f"{share:.1%} of the scan is padding (exactly {float(values.min()):.4g}); crop it to the body."
    if share > refuse:
        return [refusal("padding", text)]
    return [warning("padding", text)] if share > warn else []


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
        return [refusal("small-scan", f"{text}give a scan of the whole chest and check its voxel size.")]
    if covered < warn:
        return [warning("small-scan", f"{text}what is missing is filled; a whole chest is better.")]
    return []


def _check_lungs(lungs: LungLocation | None) -> list[Finding]:
    if lungs is None:
        return [
            refusal(
                "no-lungs",
                f"No lungs are in view (less than {SMALLEST_LUNGS_ML:.0f} mL of lung tissue found); a CT of "
                "the chest is needed.",
            )
        ]
    if not lungs.cut_at:
        return []
    cut = " and ".join(lungs.cut_at)
    return [
        warning(
            "lungs-cut",
            f"The lungs are cut at the {cut} of the scan ({millilitres_text(lungs.volume_ml)} in view); what "
            "lies beyond is unknown, and volumes will be too small.",
        )
    ]
