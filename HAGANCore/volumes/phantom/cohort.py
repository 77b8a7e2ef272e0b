"""Phantoms by the thousand: a cohort for training, and one phantom as a scan from a scanner."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...errors import HaganError
from ...processes import in_processes
from ...progress import Progress, no_progress
from ..cohort import UNLABELLED, CohortWriter, write_array
from ..volume import Geometry
from .parameters import draw_parameters
from .render import PROFILE, Phantom, make_phantom

CLASSES = ("none", "mild", "moderate", "severe", "very severe")
"""Names of the severities 0 to 4."""
SMALLEST, LARGEST = 16, 512
LABELS = {"right_lung": 1, "left_lung": 2, "bones": 3}
"""Values of the true label map."""
SCANNER = Geometry(shape=(104, 192, 192), spacing=(2.0, 2.0, 3.0), origin=(-196.0, -182.0, -162.0))
"""A coarse chest protocol: field of view 384 mm, slices of 3 mm, the lungs off the centre."""
OUTSIDE = -1024.0
"""What a scanner writes outside its circular field of view, and the least it can write, HU."""


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    seed: int
    size: int


@dataclass(frozen=True, slots=True)
class _Made:
    """What comes back from the process that made a phantom: all but the voxels, which it has written."""

    id: str
    seed: int
    sha256: str
    label: int
    covariates: dict[str, float]


def write_phantom_cohort(
    folder: Path | str,
    count: int,
    size: int,
    seed: int = 0,
    *,
    jobs: int = 1,
    labelled: bool = True,
    progress: Progress = no_progress,
) -> CohortWriter:
    """Write phantoms of the seeds ``seed`` … ``seed + count - 1`` as a cohort of ``size``³ voxels.

    Phantoms that the folder holds already are kept, so an interrupted run goes on where it stopped.
    ``labelled`` False leaves the severity out (the covariates stay).

    Returns:
        The closed writer; its ``done_ids`` are the phantoms in the folder.

    Raises:
        HaganError: an impossible count, size or seed, or the folder holds another cohort.
    """
    _check(count, size, seed)
    with CohortWriter(folder, PROFILE, size, CLASSES if labelled else ()) as writer:
        seeds = [s for s in range(seed, seed + count) if phantom_id(s) not in writer.done_ids]
        done = count - len(seeds)
        progress(done / count, f"{done} of {count} phantoms")
        tasks = [_Task(writer.volume_path(phantom_id(s)), s, size) for s in seeds]
        with closing(in_processes(_make_one, tasks, jobs)) as outcomes:
            for _, made in outcomes:
                if isinstance(made, Exception):
                    raise made
                writer.add_written(
                    made.id,
                    made.sha256,
                    label=made.label if labelled else UNLABELLED,
                    covariates={**made.covariates, "severity": float(made.label)},
                    preparation={"phantom_seed": made.seed},
                )
                done += 1
                progress(done / count, f"{done} of {count} phantoms")
    return writer


def phantom_id(seed: int) -> str:
    """Return the id of a phantom in a cohort."""
    return f"phantom-{seed:06d}"


def scan_phantom(seed: int) -> tuple[Phantom, np.ndarray]:
    """Return a phantom on a scanner's grid and its true label map (uint8, values of :data:`LABELS`)."""
    _check(1, LARGEST, seed)
    phantom = make_phantom(seed, geometry=SCANNER)
    phantom.volume.meta["provenance"]["parameters"] = asdict(draw_parameters(seed))
    image = np.maximum(phantom.volume.array, OUTSIDE)
    image[:, ~_field_of_view(SCANNER)] = OUTSIDE
    labels = np.zeros(SCANNER.shape, np.uint8)
    for name, value in LABELS.items():
        labels[phantom.masks[name]] = value
    return replace(phantom, volume=phantom.volume.with_array(image)), labels


def _field_of_view(geometry: Geometry) -> npt.NDArray[np.bool_]:
    """Return the largest circle in a slice, shape (y, x)."""
    _, ny, nx = geometry.shape
    y, x = np.ogrid[:ny, :nx]
    dx, dy = (x - (nx - 1) / 2) * geometry.spacing[0], (y - (ny - 1) / 2) * geometry.spacing[1]
    return dx**2 + dy**2 <= (min(geometry.extent_mm[:2]) / 2) ** 2


def _check(count: int, size: int, seed: int) -> None:
    if count < 1:
        raise HaganError(f"The number of phantoms is {count}; ask for at least 1.")
    if not SMALLEST <= size <= LARGEST:
        raise HaganError(f"A phantom of {size}³ voxels cannot be made; choose {SMALLEST} to {LARGEST}.")
    if seed < 0:
        raise HaganError(f"The seed is {seed}; it must be 0 or more.")


def _make_one(task: _Task) -> _Made:
    """Make and write one phantom; runs in any process."""
    phantom = make_phantom(task.seed, task.size)
    digest = write_array(task.path, PROFILE.normalise(phantom.volume.array))
    return _Made(task.path.stem, task.seed, digest, phantom.label, phantom.covariates)
