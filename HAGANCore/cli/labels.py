"""Options that several commands share: whose outlines are used, and whether a warning is an error."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import HaganError
from .console import Console
from .usage import UsageError


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--labels`` and ``--labels-are``."""
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="take lungs and bones from this label map, or from 'totalsegmentator' where that is installed "
        "(it loads its weights from its own server on first use)",
    )
    parser.add_argument(
        "--labels-are",
        choices=("hagan", "totalsegmentator"),
        metavar="WHOSE",
        help="what its numbers mean: hagan (default): 1 right lung, 2 left lung, 3 bones; totalsegmentator: "
        "its task 'total', version 2",
    )


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Add ``--strict``."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="end with exit code 1 if there is any warning",
    )


def label_values(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of a request that say whose labels are taken.

    Raises:
        UsageError: ``--labels-are`` stands alone.
    """
    if args.labels is None and args.labels_are is not None:
        raise UsageError("--labels-are says what the numbers of --labels mean; give --labels too.")
    return {"labels": args.labels, "labels_are": args.labels_are or "hagan"}


def require_no_warnings(warnings: list[str], document: dict, console: Console) -> None:
    """Print the document and fail, if there are warnings.

    Raises:
        HaganError: there is a warning.
    """
    if warnings:
        console.document(document)
        more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
        raise HaganError(f"--strict: {warnings[0]}{more}")
