"""Phantoms by the thousand: a cohort for training, and one phantom as a scan from a scanner."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..cohorts.store import UNLABELLED, CohortWriter, write_array
from ..errors import HaganError
from ..imaging.io import write_volume
from ..imaging.volume import Geometry
from ..processes import in_processes
from ..progress import Progress, no_progress
from .parameters import draw_parameters
from .render import PROFILE, Phantom, make_phantom

CLASSES = ("none", "mild", "moderate", "severe", "very severe")
"""Names of the severities 0 to 4."""
SMALLEST, LARGEST = 16, 512
LABELS = {"right_lung": 1, "left_lung": 2, "bones": 3}
"""Values of the true label map."""
MASKS = "masks"
"""Folder within a cohort's of the true label maps."""
SCANNER = Geometry(shape=(104, 192, 192), spacing=(2.0, 2.0, 3.0), origin=(-196.0, -182.0, -162.0))
"""A coarse chest protocol: field of view 384 mm, slices of 3 mm, the lungs off the centre."""
OUTSIDE = -1024.0
"""What a scanner writes outside its circular field of view, and the least it can write, HU."""


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    seed: int
    size: int
    masks: Path | None
    """Where its label map goes."""


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
    masks: bool = False,
    progress: Progress = no_progress,
) -> CohortWriter:
    """Write phantoms of the seeds ``seed`` … ``seed + count - 1`` as a cohort of ``size``³ voxels.

    Phantoms that the folder holds already are kept, so an interrupted run goes on where it stopped.
    ``labelled`` False leaves the severity out (the covariates stay). With ``masks`` each gets its true label
    map (values of :data:`LABELS`), ``masks/ID.nii.gz``, which its entry's preparation names; phantoms of the
    folder that have none yet are made again.

    Returns:
        The closed writer; its ``done_ids`` are the phantoms in the folder.

    Raises:
        HaganError: an impossible count, size or seed, or the folder holds another cohort.
    """
    check_phantoms(count, size, seed)
    with CohortWriter(folder, PROFILE, size, CLASSES if labelled else ()) as writer:
        for torn in writer.folder.glob(f"{MASKS}/.tmp-*"):  # a run was killed while it wrote
            torn.unlink()
        every = [
            _Task(writer.volume_path(phantom_id(s)), s, size, mask_path(writer.folder, s) if masks else None)
            for s in range(seed, seed + count)
        ]
        tasks = [task for task in every if not _is_done(task, writer)]
        done = count - len(tasks)
        progress(done / count, f"{done} of {count} phantoms")
        with closing(in_processes(_make_one, tasks, jobs)) as outcomes:
            for _, made in outcomes:
                if isinstance(made, Exception):
                    raise made
                writer.add_written(
                    made.id,
                    made.sha256,
                    label=made.label if labelled else UNLABELLED,
                    covariates={**made.covariates, "severity": float(made.label)},
                    preparation={"phantom_seed": made.seed, **_mask_entry(writer.folder, made.seed)},
                )
                done += 1
                progress(done / count, f"{done} of {count} phantoms")
    return writer


def phantom_id(seed: int) -> str:
    """Return the id of a phantom in a cohort."""
    return f"phantom-{seed:06d}"


def mask_path(folder: Path, seed: int) -> Path:
    """Return where the true label map of a phantom in a cohort is, if the cohort was made with them."""
    return folder / MASKS / f"{phantom_id(seed)}.nii.gz"


def scan_phantom(seed: int) -> tuple[Phantom, np.ndarray]:
    """Return a phantom on a scanner's grid and its true label map (uint8, values of :data:`LABELS`)."""
    check_phantoms(1, LARGEST, seed)
    phantom = make_phantom(seed, geometry=SCANNER)
    phantom.volume.meta["provenance"]["parameters"] = asdict(draw_parameters(seed))
    image = np.maximum(phantom.volume.array, OUTSIDE)
    image[:, ~_field_of_view(SCANNER)] = OUTSIDE
    return replace(phantom, volume=phantom.volume.with_array(image)), _labels_of(phantom)


def _labels_of(phantom: Phantom) -> npt.NDArray[np.uint8]:
    labels = np.zeros(phantom.volume.array.shape, np.uint8)
    for name, value in LABELS.items():
        labels[phantom.masks[name]] = value
    return labels


def _field_of_view(geometry: Geometry) -> npt.NDArray[np.bool_]:
    """Return the largest circle in a slice, shape (y, x)."""
    _, ny, nx = geometry.shape
    y, x = np.ogrid[:ny, :nx]
    dx, dy = (x - (nx - 1) / 2) * geometry.spacing[0], (y - (ny - 1) / 2) * geometry.spacing[1]
    return dx**2 + dy**2 <= (min(geometry.extent_mm[:2]) / 2) ** 2


def check_phantoms(count: int, size: int, seed: int) -> None:
    """Refuse phantoms that cannot be made.

    Raises:
        HaganError: an impossible count, size or seed.
    """
    if count < 1:
        raise HaganError(f"The number of phantoms is {count}; ask for at least 1.")
    if not SMALLEST <= size <= LARGEST:
        raise HaganError(f"A phantom of {size}³ voxels cannot be made; choose {SMALLEST} to {LARGEST}.")
    if seed < 0:
        raise HaganError(f"The seed is {seed}; it must be 0 or more.")


def _is_done(task: _Task, writer: CohortWriter) -> bool:
    return task.path.stem in writer.done_ids and (task.masks is None or task.masks.is_file())


def _mask_entry(folder: Path, seed: int) -> dict[str, str]:
    path = mask_path(folder, seed)
    return {"mask": path.relative_to(folder).as_posix()} if path.is_file() else {}


def _make_one(task: _Task) -> _Made:
    """Make and write one phantom; runs in any process."""
    phantom = make_phantom(task.seed, task.size)
    if task.masks is not None:
        write_volume(phantom.volume.with_array(_labels_of(phantom), unit="label"), task.masks)
    digest = write_array(task.path, PROFILE.normalise(phantom.volume.array))
    return _Made(task.path.stem, task.seed, digest, phantom.label, phantom.covariates)
