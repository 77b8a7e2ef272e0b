"""``hagan segment``: lungs and bones of a CT, outlined and measured."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..imaging.provenance import SCAN_KEY
from ..operations.context import Context
from ..operations.outputs import require_label_map, require_same_scan
from ..operations.segment import Segmented, SegmentRequest
from ..operations.segment import run as segment
from ..progress import part_of
from .console import Console
from .labels import add_label_arguments, add_strict, label_values, require_no_warnings
from .options import request_of
from .usage import UsageError, add_spacing, output

if TYPE_CHECKING:
    from ..anatomy import Segmentation
    from ..imaging.volume import Volume

_ROWS = (
    ("lungs", "lungs", "lungs_percent"),
    ("  right", "right_lung", None),
    ("  left", "left_lung", None),
    ("bones", "bones", "bones_percent"),
    ("thorax", "thorax", None),
)


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
    from ..anatomy import LABELS
    from ..imaging.io import WRITABLE_SUFFIXES, scan_name, write_volume

    request = request_of(SegmentRequest, args, scan=args.volume, **label_values(args))
    out = args.out or Path(f"{scan_name(args.volume)}.segmentation.nii.gz")
    if not out.name.lower().endswith(WRITABLE_SUFFIXES):
        raise UsageError(
            f"'{out}' does not end in a label map's suffix; use one of {', '.join(WRITABLE_SUFFIXES)}."
        )
    require_label_map(out, [args.volume, *([args.labels] if args.labels else [])])
    context, made_from = Context(), list[str]()

    def check_place(_: Volume, sha256: str) -> None:
        made_from.append(sha256)
        if args.out is None:  # two patients' scans may have one name
            require_same_scan([out], sha256)

    context.scan = check_place
    started = time.perf_counter()
    with console.progress("segment") as progress:
        context.progress = part_of(progress, 0.0, 0.9)
        segmented = segment(request, context)
        progress(0.9, "writing")
        write_volume(_labels(segmented, *made_from), out)
        progress(1.0)
    seconds = time.perf_counter() - started
    found, warnings = segmented.found, [*segmented.warnings]
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


def _labels(segmented: Segmented, made_from: str) -> Volume:
    """Return the label map with what says where it comes from."""
    from ..imaging.provenance import software_versions
    from ..imaging.voxel_size import given_facts

    scan = segmented.scan
    facts = scan.meta.get("provenance") or {"kind": "segmentation", "versions": software_versions()}
    facts = {**facts, SCAN_KEY: made_from, **given_facts(scan)}
    return scan.with_array(segmented.found.labels, unit="label", provenance=facts)


def _print(found: Segmentation, console: Console) -> None:
    from ..wording import millilitres_text, percent_text

    measured, remarks = found.measurements(), found.remarks()
    for title, organ, percent in _ROWS:
        share = percent_text(measured[percent] / 100) if percent else ""
        line = (
            f"{title:10}{millilitres_text(measured[f'{organ}_ml']):>12}{share:>9}  {remarks.get(organ, '')}"
        )
        console.print(line.rstrip())
