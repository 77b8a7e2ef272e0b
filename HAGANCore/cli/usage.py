"""Wrong usage: what is wrong in the command line itself, whatever the files and the machine are."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import HaganError
from ..operations.preprocess import SIZES


class UsageError(HaganError):
    """The command line cannot mean anything: ``hagan`` shows the usage and ends with 2, as argparse does."""


@contextmanager
def made_of_options() -> Iterator[None]:
    """Take what the engine refuses in the block for wrong usage: it is given options and nothing else."""
    try:
        yield
    except HaganError as error:
        raise UsageError(str(error)) from None


def device(text: str) -> str:
    """Return the name of a kind of device; whether this machine has one is asked later.

    >>> device("cuda:1")
    'cuda:1'
    """
    if not re.fullmatch(r"auto|(cpu|cuda|mps)(:\d{1,3})?", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not known; use auto, cpu, cuda or cuda:1")
    return text


def output(text: str) -> Path:
    """Return the path of what is to be written.

    >>> output("volumes/").name
    'volumes'
    """
    if not text.strip() or text == "-":
        raise argparse.ArgumentTypeError(f"'{text}' is not the name of a file or a folder")
    if re.fullmatch(r"(\.[a-z0-9]+)?\.(nii|nii\.gz|nrrd|mha|safetensors)", Path(text).name.lower()):
        raise argparse.ArgumentTypeError(f"'{text}' is a suffix without a name; put one before it")
    return Path(text)


def jobs(text: str) -> int:
    """Return a number of processes.

    >>> jobs("2")
    2
    """
    if not re.fullmatch(r"0*[1-9]\d{0,4}", text):
        raise argparse.ArgumentTypeError(f"the number of processes must be 1 or more; found '{text}'")
    return int(text)


def add_size(parser: argparse.ArgumentParser, default: int) -> None:
    """Add the option for the edge of a cohort's volumes in voxels."""
    named = [f"{size} (default)" if size == default else str(size) for size in SIZES]
    parser.add_argument(
        "--size",
        type=int,
        default=default,
        choices=SIZES,
        metavar="R",
        help=f"voxels along each edge: {', '.join(named[:-1])} or {named[-1]}",
    )


def spacing(text: str) -> tuple[float, float, float]:
    """Return a voxel size in mm.

    >>> spacing("0.7,0.7,2.5")
    (0.7, 0.7, 2.5)
    """
    from ..imaging.voxel_size import parse_spacing

    try:
        return parse_spacing(text)
    except HaganError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_spacing(parser: argparse.ArgumentParser, which: str = "the scan") -> None:
    """Add the option for the voxel size of a scan whose file does not say it."""
    parser.add_argument(
        "--spacing",
        type=spacing,
        metavar="X,Y,Z",
        help=f"voxel size of {which} in mm, e.g. 0.7,0.7,2.5, along the file's first, second and third axis "
        "(DICOM: along a row, along a column, between slices); results say that the user gave it",
    )


def check_refinement(steps: int) -> None:
    """Refuse a negative number of steps that refine a latent."""
    if steps < 0:
        raise UsageError(f"The number of refinement steps must be 0 or more; found {steps}.")


def check_seed(seed: int) -> None:
    """Refuse what is no seed."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"A seed must be from 0 to 2^63 - 1; found {seed}.")
