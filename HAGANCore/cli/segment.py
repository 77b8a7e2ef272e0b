"""``hagan segment``: lungs and bones of a CT, outlined and measured."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..imaging.provenance import SCAN_KEY, scan_sha256
from ..operations.outputs import require_label_map, require_same_scan
from .console import Console
from .labels import add_label_arguments, add_strict, chosen_segmenter, require_no_warnings
from .usage import UsageError, add_spacing, output

if TYPE_CHECKING:
    from ..anatomy import Segmentation
    from ..imaging.measurable import Finding

_ROWS = (
    ("lungs", "lungs", "lungs_percent"),
    ("  right", "right_lung", None),
    ("  left", "left_lung", None),
    ("bones", "bones", "bones_percent"),
    ("thorax", "thorax", None),
)
_SPOILING = ("nan", "uneven-slices", "missing-slices", "empty-slices", "few-slices")
"""Findings in the image that make every number doubtful."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan segment``."""
    parser.epilog = (
        "Writes a label map on the volume's own grid: 1 right lung, 2 left lung, 3 bones. Percentages are\n"
        "of the thorax, which is the body within the scan without the table. An organ that reaches the\n"
        "border of the scan is marked incomplete, a number that a warning makes uncertain doubtful.\n"
        "Not for diagnosis.\n\n"
        "Examples:\n"
        "  hagan segment thorax.nii.gz\n"
        "  hagan segment thorax.nii.gz --labels total.nii.gz --labels-are totalsegmentator\n"
        "  hagan segment dicom_folder/ --out labels.nii.gz --json"
    )
    parser.add_argument("volume", type=Path, metavar="VOLUME", help="DICOM folder, NIfTI, NRRD, MHA or MGZ")
    add_spacing(parser)
    parser.add_argument(
        "--out",
        type=output,
        metavar="LABELMAP",
        help="file to write the label map to (default: NAME.segmentation.nii.gz in the current folder)",
    )
    add_label_arguments(parser)
    add_strict(parser)


def run(args: argparse.Namespace, console: Console) -> dict:
    """Segment the volume and write its label map; returns the document of ``--json``.

    Raises:
        HaganError: a number is doubtful, and ``--strict`` is given; the files are written all the same.
    """
    from ..anatomy import LABELS, segment
    from ..imaging.io import WRITABLE_SUFFIXES, read_volume, scan_name, write_volume
    from ..imaging.measurable import require_measurable
    from ..imaging.provenance import software_versions
    from ..imaging.voxel_size import given_facts
    from ..preparation.checks import check_image
    from ..preparation.profiles import profile_named
    from ..progress import part_of

    out = args.out or Path(f"{scan_name(args.volume)}.segmentation.nii.gz")
    if not out.name.lower().endswith(WRITABLE_SUFFIXES):
        raise UsageError(
            f"'{out}' does not end in a label map's suffix; use one of {', '.join(WRITABLE_SUFFIXES)}."
        )
    require_label_map(out, [args.volume, *([args.labels] if args.labels else [])])
    started = time.perf_counter()
    with console.progress("segment") as progress:
        progress(0.0, "reading")
        volume = read_volume(args.volume, spacing=args.spacing)
        require_measurable(volume)
        made_from = scan_sha256(volume)
        if args.out is None:  # two patients' scans may have one name
            require_same_scan([out], made_from)
        outline = chosen_segmenter(args) or segment
        findings = check_image(volume, profile_named("thorax-ct"))
        found = _spoilt(outline(volume, part_of(progress, 0.4, 0.9)), findings)
        progress(0.9, "writing")
        facts = volume.meta.get("provenance") or {"kind": "segmentation", "versions": software_versions()}
        facts = {**facts, SCAN_KEY: made_from, **given_facts(volume)}
        labels = volume.with_array(found.labels, unit="label", provenance=facts)
        write_volume(labels, out)
        progress(1.0)
    seconds = time.perf_counter() - started
    warnings = [*volume.meta.get("notes", ()), *found.notes]
    warnings += [finding.message for finding in findings if finding.code not in _SPOILING]
    warnings += [doubt.message for doubt in found.doubts]
    if not found.lungs_ml:
        warnings.append("No lungs are in view.")
    for warning in warnings:
        console.warn(warning)
    _print(found, console)
    console.print(f"label map: {out}, {seconds:.1f} s. Not for diagnosis.")
    document = {
        "volume": str(args.volume),
        **{name: round(value, 3) for name, value in found.measurements().items()},
        "complete": found.complete,
        "doubtful": {organ: found.doubtful(organ) for organ in found.complete},
        "doubts": [asdict(doubt) for doubt in found.doubts],
        "labelmap": str(out),
        "labels": LABELS,
        "seconds": round(seconds, 3),
        "warnings": warnings,
    }
    if args.strict:
        require_no_warnings(warnings, document, console)
    return document


def _spoilt(found: Segmentation, findings: list[Finding]) -> Segmentation:
    """Return the segmentation with what the image itself makes doubtful: lost slices, lost values."""
    from ..anatomy import Doubt

    organs = tuple(found.complete)
    more = [Doubt(spoilt.code, organs, spoilt.message) for spoilt in findings if spoilt.code in _SPOILING]
    return replace(found, doubts=(*more, *found.doubts))


def _print(found: Segmentation, console: Console) -> None:
    from ..wording import millilitres_text, percent_text

    measured, remarks = found.measurements(), found.remarks()
    for title, organ, percent in _ROWS:
        share = percent_text(measured[percent] / 100) if percent else ""
        line = (
            f"{title:10}{millilitres_text(measured[f'{organ}_ml']):>12}{share:>9}  {remarks.get(organ, '')}"
        )
        console.print(line.rstrip())
