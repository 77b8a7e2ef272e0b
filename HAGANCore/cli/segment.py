"""``hagan segment``: lungs and bones of a CT, outlined and measured."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .console import Console
from .outputs import SCAN_KEY, require_label_map, require_same_scan, scan_sha256
from .usage import UsageError, output

if TYPE_CHECKING:
    from ..volumes.volume import Volume

_ROWS = (
    ("lungs", "lungs_ml", "lungs_percent"),
    ("  right", "right_lung_ml", None),
    ("  left", "left_lung_ml", None),
    ("bones", "bones_ml", "bones_percent"),
    ("thorax", "thorax_ml", None),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan segment``."""
    parser.epilog = (
        "Writes a label map on the volume's own grid: 1 right lung, 2 left lung, 3 bones. Percent are of\n"
        "the thorax, which is the body within the scan without the table. Not for diagnosis.\n\n"
        "Examples:\n"
        "  hagan segment thorax.nii.gz\n"
        "  hagan segment dicom_folder/ --out labels.nii.gz --json"
    )
    parser.add_argument("volume", type=Path, metavar="VOLUME", help="DICOM folder, NIfTI, NRRD, MHA or MGZ")
    parser.add_argument(
        "--out",
        type=output,
        metavar="LABELMAP",
        help="where the label map goes (default: NAME.segmentation.nii.gz in the current folder)",
    )


def run(args: argparse.Namespace, console: Console) -> dict:
    """Segment the volume and write its label map; returns the document of ``--json``."""
    from ..progress import part_of
    from ..segmentation import LABELS, segment
    from ..volumes.io import WRITABLE_SUFFIXES, read_volume, scan_name, write_volume
    from ..volumes.measurable import require_measurable
    from ..volumes.provenance import software_versions

    out = args.out or Path(f"{scan_name(args.volume)}.segmentation.nii.gz")
    if not out.name.lower().endswith(WRITABLE_SUFFIXES):
        raise UsageError(f"'{out}' has no suffix of a label map; use one of {', '.join(WRITABLE_SUFFIXES)}.")
    require_label_map(out, [args.volume])
    started = time.perf_counter()
    with console.progress("segment") as progress:
        progress(0.0, "reading")
        volume = read_volume(args.volume)
        require_measurable(volume)
        made_from = scan_sha256(volume)
        if args.out is None:  # two patients' scans may have one name
            require_same_scan([out], made_from)
        warnings = [*volume.meta.get("notes", ()), *_warnings(volume)]
        found = segment(volume, part_of(progress, 0.4, 0.9))
        progress(0.9, "writing")
        facts = volume.meta.get("provenance") or {"kind": "segmentation", "versions": software_versions()}
        labels = volume.with_array(found.labels, unit="label", provenance={**facts, SCAN_KEY: made_from})
        write_volume(labels, out)
        progress(1.0)
    seconds = time.perf_counter() - started
    measured = found.measurements()
    for warning in warnings:
        console.warn(warning)
    for title, millilitres, percent in _ROWS:
        share = f"{measured[percent]:7.1f} %" if percent else ""
        console.print(f"{title:10}{measured[millilitres]:9.0f} mL{share}")
    console.print(f"label map: {out}, {seconds:.1f} s. Not for diagnosis.")
    return {
        "volume": str(args.volume),
        **{name: round(value, 3) for name, value in measured.items()},
        "labelmap": str(out),
        "labels": LABELS,
        "seconds": round(seconds, 3),
        "warnings": warnings,
    }


def _warnings(volume: Volume) -> list[str]:
    """Return what the user should know of the input: no HU, no lungs in view, lungs cut, missing slices."""
    from ..volumes.checks import check_scan
    from ..volumes.profiles import profile_named

    return [found.message for found in check_scan(volume, profile_named("thorax-ct"))]
