"""Segment: lungs and bones of a CT, outlined and measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..fields import check_fields, choice, given
from ..progress import part_of
from .context import Context
from .scans import LABELS, MEANINGS, SCAN, SPACING, take_scan

if TYPE_CHECKING:
    from ..anatomy import Segmentation
    from ..imaging.measurable import Finding
    from ..imaging.volume import Vector, Volume

_SPOILING = ("nan", "uneven-slices", "missing-slices", "empty-slices", "few-slices")
"""Findings in the image that make every number doubtful."""


@dataclass(frozen=True, kw_only=True)
class SegmentRequest:
    """Which CT to outline.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    scan: Path | Volume = given(SCAN)
    spacing: Vector | None = given(SPACING, None)
    labels: Path | Volume | None = given(LABELS, None)
    labels_are: str = choice("hagan", "What the numbers of the label map mean.", of=MEANINGS)

    def __post_init__(self) -> None:
        check_fields(self, "the request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmented:
    """What was found."""

    scan: Volume
    found: Segmentation
    warnings: tuple[str, ...]
    """What a person should know before using a number."""


def run(request: SegmentRequest, context: Context) -> Segmented:
    """Outline lungs and bones.

    Raises:
        HaganError: the file is no scan, or no millilitres can be taken from it.
    """
    from ..imaging.measurable import require_measurable
    from ..preparation.checks import check_image
    from ..preparation.profiles import profile_named

    context.progress(0.0, "reading")
    scan = take_scan(request.scan, request.spacing, context)
    require_measurable(scan)
    outline = _segmenter(request)
    findings = check_image(scan, profile_named("thorax-ct"))
    found = _spoilt(outline(scan, part_of(context.progress, 0.3, 1.0)), findings)
    warnings = [*scan.meta.get("notes", ()), *found.notes]
    warnings += [finding.message for finding in findings if finding.code not in _SPOILING]
    warnings += [doubt.message for doubt in found.doubts]
    if not found.lungs_ml:
        warnings.append("No lungs are in view.")
    return Segmented(scan=scan, found=found, warnings=tuple(warnings))


def _segmenter(request: SegmentRequest) -> Any:
    from ..anatomy import segment

    if request.labels is None:
        return segment
    from ..anatomy.segmenter import segmenter_of

    return segmenter_of(request.labels, request.labels_are)


def _spoilt(found: Segmentation, findings: list[Finding]) -> Segmentation:
    """Return the segmentation with what the image itself makes doubtful: lost slices, lost values."""
    from ..anatomy import Doubt

    organs = tuple(found.complete)
    more = [Doubt(spoilt.code, organs, spoilt.message) for spoilt in findings if spoilt.code in _SPOILING]
    return replace(found, doubts=(*more, *found.doubts))
