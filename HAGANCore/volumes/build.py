"""Turn scans into a cohort: in parallel, going on where a run stopped, never stopped by a bad scan."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import HaganError
from ..processes import in_processes
from ..progress import Progress, no_progress
from .checks import require_usable
from .cohort import UNLABELLED, CohortWriter, write_array
from .io import read_volume
from .preprocess import prepare
from .profiles import Profile
from .scans import Scan, class_names


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What became of the scans."""

    ok: tuple[str, ...]
    """Ids of the scans that are in the cohort now, also from an earlier run."""
    failed: tuple[dict[str, str], ...]
    """``{"file": …, "reason": …}`` for each that is not."""
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """File: what is noteworthy about it, for scans of this run."""


@dataclass(frozen=True, slots=True)
class _Task:
    scan: Scan
    target: Path
    profile: Profile
    size: int


@dataclass(frozen=True, slots=True)
class _Made:
    sha256: str
    preparation: dict[str, Any]
    warnings: list[str]


def build_cohort(
    scans: Sequence[Scan],
    folder: Path,
    profile: Profile,
    size: int,
    jobs: int = 1,
    progress: Progress = no_progress,
) -> BuildReport:
    """Prepare the scans and add them to the cohort in ``folder``, new or begun earlier.

    A scan that cannot be read or used is noted in the manifest with its reason, and tried again by the next
    run. A scan that is done is left alone; its label and covariates are brought up to date.

    Args:
        scans: of :func:`~HAGANCore.volumes.scans.find_scans` or ``read_scan_table``.
        folder: of the cohort.
        profile: how to prepare them.
        size: edge length R in voxels.
        jobs: processes at once; each needs about 1 GB for a large CT.
        progress: called after each scan; may raise to stop, and what is done stays done.

    Raises:
        HaganError: the folder holds another cohort, or cannot be written.
    """
    classes = class_names(scans)
    labels = {name: number for number, name in enumerate(classes)}
    ok: list[str] = []
    failed: list[dict[str, str]] = []
    warnings: dict[str, list[str]] = {}
    with CohortWriter(folder, profile, size, classes) as writer, ExitStack() as stack:
        tasks = []
        for scan in scans:
            if scan.id in writer.done_ids:
                writer.update(scan.id, labels.get(scan.label, UNLABELLED), scan.covariates)
                ok.append(scan.id)
            else:
                tasks.append(_Task(scan, writer.volume_path(scan.id), profile, size))
        progress(len(ok) / len(scans), "")
        outcomes = stack.enter_context(closing(in_processes(_make, tasks, jobs)))
        for task, outcome in outcomes:
            scan, source = task.scan, str(task.scan.path)
            if isinstance(outcome, Exception):
                failed.append({"file": source, "reason": _reason(outcome)})
                writer.fail(**failed[-1])
            else:
                writer.add_written(
                    scan.id,
                    outcome.sha256,
                    label=labels.get(scan.label, UNLABELLED),
                    covariates=scan.covariates,
                    source=source,
                    preparation={**outcome.preparation, "warnings": outcome.warnings},
                )
                ok.append(scan.id)
                if outcome.warnings:
                    warnings[source] = outcome.warnings
            progress((len(ok) + len(failed)) / len(scans), f"{len(ok)} ready, {len(failed)} failed")
    return BuildReport(tuple(ok), tuple(failed), warnings)


def _make(task: _Task) -> _Made:
    """Prepare one scan and write its cube; runs in any process."""
    volume = read_volume(task.scan.path)
    warnings = [*volume.meta.get("notes", []), *require_usable(volume, task.profile)]
    prepared = prepare(volume, task.profile, task.size)
    digest = write_array(task.target, prepared.array)
    return _Made(digest, prepared.record.to_dict(), warnings)


def _reason(error: Exception) -> str:
    """Return one line; a full disk, which stops the whole run and not only this scan, is raised again."""
    if isinstance(error, OSError):
        raise error
    if isinstance(error, HaganError):
        return str(error)
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
