"""``hagan preprocess``: a folder or a table of scans becomes a cohort for training."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from ..errors import HaganError
from ..operations.context import Begun, Context
from ..operations.outputs import require_folder
from ..operations.preprocess import PreprocessRequest
from ..operations.preprocess import run as preprocess
from .console import Console
from .labels import add_strict, require_no_warnings
from .options import add_options, request_of
from .usage import add_size, add_spacing, jobs, output


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
    add_options(parser, PreprocessRequest, "profile", profile="NAME")
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
    add_options(parser, PreprocessRequest, "allow_synthetic")


def run(args: argparse.Namespace, console: Console) -> dict:
    """Build the cohort; returns the document of ``--json``.

    Raises:
        HaganError: not a single scan could be used.
    """
    request = request_of(PreprocessRequest, args, source=args.input)
    require_folder(args.out)
    context = Context()
    with ExitStack() as bar:

        def begin(begun: Begun) -> None:
            console.print(begun.text)
            context.progress = bar.enter_context(console.progress("scans"))

        context.part = begin
        done = preprocess(request, context)
    report, count = done.report, len(done.scans)
    for file, lines in report.warnings.items():
        for line in lines:
            console.warn(f"{file}: {line}")
    for failure in report.failed:
        console.warn(f"left out {failure['file']}: {failure['reason']}")
    document = {
        "cohort": str(args.out),
        "profile": done.profile.name,
        "size": args.size,
        "ok": len(report.ok),
        "failed": list(report.failed),
        "warnings": report.warnings,
    }
    if not report.ok:
        console.document(document)
        raise HaganError(
            f"None of {count} scans could be used; the first: {report.failed[0]['file']}: "
            f"{report.failed[0]['reason']}"
        )
    console.print(f"{args.out}: {len(report.ok)} of {count} scans ready")
    if args.strict:
        said = [f"{file}: {line}" for file, lines in report.warnings.items() for line in lines]
        said += [f"left out {failure['file']}: {failure['reason']}" for failure in report.failed]
        require_no_warnings(said, document, console)
    return document
