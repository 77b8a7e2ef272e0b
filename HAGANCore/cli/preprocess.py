"""``hagan preprocess``: a folder or a table of scans becomes a cohort for training."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import HaganError
from ..operations.outputs import require_folder
from .console import Console
from .labels import add_strict, require_no_warnings
from .usage import add_size, add_spacing, jobs, made_of_options, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan preprocess``."""
    parser.epilog = (
        "A scan that cannot be used is reported with its reason and left out. The command can be stopped\n"
        "and repeated; it continues where it stopped. A file that has changed is prepared again; another\n"
        "scan of the same name gets its own name.\n\n"
        "Examples:\n"
        "  hagan preprocess scans/ --out cohort/ --profile thorax-ct-fov --size 128\n"
        "  hagan preprocess patients.csv --out cohort/ --profile thorax-ct --size 256 --jobs 8"
    )
    parser.add_argument(
        "input",
        type=Path,
        metavar="INPUT",
        help="folder with scans (DICOM folders, NIfTI, NRRD, MHA, MGZ, also in its folders), or a CSV table "
        "with the column 'file' and, if wanted, 'id', 'label' and covariates",
    )
    parser.add_argument("--out", type=output, required=True, metavar="COHORT", help="folder of the cohort")
    parser.add_argument(
        "--profile",
        default="thorax-ct-fov",
        metavar="NAME",
        help="thorax-ct-fov (default), thorax-ct, brain-mr",
    )
    add_size(parser, default=128)
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="CSV",
        help="labels and covariates by 'id' or 'file' for a folder's scans",
    )
    add_spacing(parser, "scans that do not say it")
    add_strict(parser)
    parser.add_argument("--jobs", type=jobs, metavar="N", help="number of processes (default: one per core)")
    parser.add_argument(
        "--allow-synthetic",
        action="store_true",
        help="also take generated volumes as scans; by default, they are left out",
    )


def run(args: argparse.Namespace, console: Console) -> dict:
    """Build the cohort; returns the document of ``--json``.

    Raises:
        HaganError: not a single scan could be used.
    """
    from ..cohorts.build import build_cohort
    from ..preparation.profiles import profile_named
    from ..processes import available_cores

    with made_of_options():
        profile = profile_named(args.profile)
    require_folder(args.out)
    scans = _scans(args)
    processes = min(args.jobs or available_cores(), len(scans))
    console.print(f"{len(scans)} scans → {args.size}³ voxels, profile {profile.name}, {processes} at once")
    with console.progress("scans") as progress:
        report = build_cohort(
            scans,
            args.out,
            profile,
            args.size,
            processes,
            progress,
            allow_synthetic=args.allow_synthetic,
            spacing=args.spacing,
        )
    for file, lines in report.warnings.items():
        for line in lines:
            console.warn(f"{file}: {line}")
    for failure in report.failed:
        console.warn(f"left out {failure['file']}: {failure['reason']}")
    document = {
        "cohort": str(args.out),
        "profile": profile.name,
        "size": args.size,
        "ok": len(report.ok),
        "failed": list(report.failed),
        "warnings": report.warnings,
    }
    if not report.ok:
        console.document(document)
        raise HaganError(
            f"None of {len(scans)} scans could be used; the first: {report.failed[0]['file']}: "
            f"{report.failed[0]['reason']}"
        )
    console.print(f"{args.out}: {len(report.ok)} of {len(scans)} scans ready")
    if args.strict:
        said = [f"{file}: {line}" for file, lines in report.warnings.items() for line in lines]
        said += [f"left out {failure['file']}: {failure['reason']}" for failure in report.failed]
        require_no_warnings(said, document, console)
    return document


def _scans(args: argparse.Namespace) -> list:
    from ..cohorts.scans import add_labels, find_scans, read_scan_table

    if args.input.is_dir():
        scans = find_scans(args.input, leave_out=args.out)
        return add_labels(scans, args.input, args.labels) if args.labels else scans
    if not args.input.exists():
        raise HaganError(f"There is no folder or table '{args.input}'; check the path.")
    if args.input.suffix.lower() != ".csv":
        raise HaganError(
            f"'{args.input}' is neither a folder nor a .csv table; give the folder that holds it."
        )
    if args.labels:
        raise HaganError("A table holds its own labels; give --labels only with a folder.")
    return read_scan_table(args.input)
