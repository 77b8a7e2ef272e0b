"""Turn scans into a cohort: in parallel, going on where a run stopped, never stopped by a bad scan."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import HaganError
from ..imaging.io import read_volume
from ..imaging.volume import Vector, Volume
from ..imaging.voxel_size import NoVoxelSize, given_facts
from ..preparation.checks import require_usable
from ..preparation.preprocess import prepare
from ..preparation.profiles import Profile
from ..processes import in_processes
from ..progress import Progress, no_progress
from .scans import Scan, class_names
from .sources import FINGERPRINT, fingerprint, plan_scans
from .store import UNLABELLED, CohortWriter, write_array


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What became of the scans."""

    ok: tuple[str, ...]
    """Ids of the scans that are in the cohort now, also from an earlier run."""
    failed: tuple[dict[str, str], ...]
    """``{"file": …, "reason": …}`` for each that is not."""
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """File: what is noteworthy about it, for scans of this run and those that the cohort holds under another
    id."""


@dataclass(frozen=True, slots=True)
class _Task:
    scan: Scan
    target: Path
    profile: Profile
    size: int
    allow_synthetic: bool
    spacing: Vector | None
    note: str


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
    *,
    allow_synthetic: bool = False,
    spacing: Vector | None = None,
) -> BuildReport:
    """Prepare the scans and add them to the cohort in ``folder``, new or begun earlier.

    A scan that cannot be read or used is noted in the manifest with its reason, and tried again by the next
    run. A scan that is done is left alone; its label and covariates are brought up to date. One whose file
    has changed is done again, and another scan under an id that is taken gets an id of its own; ``warnings``
    says so.

    Args:
        scans: of :func:`~HAGANCore.cohorts.scans.find_scans` or ``read_scan_table``.
        folder: of the cohort.
        profile: how to prepare them.
        size: edge length R in voxels.
        jobs: processes at once; each needs about 1 GB for a large CT.
        progress: called after each scan; may raise to stop, and what is done stays done.
        spacing: the voxel size in mm (x, y, z) of scans that do not say it; others keep their own.
        allow_synthetic: take generated volumes, which say of themselves that they are synthetic; they fail
            otherwise. Phantoms are taken with a warning.

    Raises:
        HaganError: the folder holds another cohort, cannot be written, or another process writes into it.
    """
    classes = class_names(scans)
    labels = {name: number for number, name in enumerate(classes)}
    ok: list[str] = []
    failed: list[dict[str, str]] = []
    warnings: dict[str, list[str]] = {}
    with CohortWriter(folder, profile, size, classes) as writer, ExitStack() as stack:
        tasks = []
        for plan in plan_scans(scans, writer.entries, lambda number: progress(0.0, f"{number} looked for")):
            scan = plan.scan
            if plan.state == "done":
                label, place = labels.get(scan.label, UNLABELLED), str(scan.path.absolute())
                writer.update(scan.id, label, scan.covariates, place)
                ok.append(scan.id)
                if plan.note:
                    warnings[str(scan.path)] = [plan.note]
            else:
                target = writer.volume_path(scan.id)
                tasks.append(_Task(scan, target, profile, size, allow_synthetic, spacing, plan.note))
        progress(len(ok) / len(scans), "")
        outcomes = stack.enter_context(closing(in_processes(_make, tasks, jobs)))
        for task, outcome in outcomes:
            scan, source = task.scan, str(task.scan.path)
            if isinstance(outcome, Exception):
                reason = _reason(outcome)
                if scan.id in writer.entries:
                    reason += " The volume made from the earlier file stays in the cohort."
                failed.append({"file": source, "reason": reason})
                writer.fail(str(scan.path.absolute()), reason)
            else:
                writer.add_written(
                    scan.id,
                    outcome.sha256,
                    label=labels.get(scan.label, UNLABELLED),
                    covariates=scan.covariates,
                    source=str(scan.path.absolute()),
                    preparation={**outcome.preparation, "warnings": outcome.warnings},
                )
                ok.append(scan.id)
                if lines := [*filter(None, [task.note]), *outcome.warnings]:
                    warnings[source] = lines
            progress((len(ok) + len(failed)) / len(scans), f"{len(ok)} ready, {len(failed)} failed")
    return BuildReport(tuple(ok), tuple(failed), warnings)


def _make(task: _Task) -> _Made:
    """Prepare one scan and write its cube; runs in any process."""
    # Before it is read: a file that changes meanwhile is then found to have changed.
    made_from: dict[str, Any] = {}
    with suppress(OSError):  # what cannot be read is said below
        made_from = fingerprint(task.scan.path)
    volume = _read(task)
    synthetic = [] if task.allow_synthetic else _require_scan(volume)
    examined = require_usable(volume, task.profile)
    said = [found.message for found in examined.findings]
    warnings = [*synthetic, *volume.meta.get("notes", []), *said]
    prepared = prepare(volume, task.profile, task.size, examined.lungs)
    digest = write_array(task.target, prepared.array)
    preparation = {**prepared.record.to_dict(), FINGERPRINT: made_from, **given_facts(volume)}
    return _Made(digest, preparation, warnings)


def _read(task: _Task) -> Volume:
    """Return the scan; the voxel size that the user gives is for those alone that have none."""
    try:
        return read_volume(task.scan.path)
    except NoVoxelSize:
        if task.spacing is None:
            raise
        return read_volume(task.scan.path, spacing=task.spacing)


def _require_scan(volume: Volume) -> list[str]:
    """Refuse a generated volume: who trains on those must have meant to. A phantom is worth a word only.

    Phantoms are drawn, not learned, so a model that is trained on them does not feed on models.
    """
    if not volume.meta.get("synthetic"):
        return []
    if volume.meta.get("provenance", {}).get("kind") == "phantom":
        return ["It is a phantom, not a patient."]
    raise HaganError(
        "It says of itself that it is synthetic, so it is no scan; take it out, or allow synthetic volumes "
        "if the training is meant to see them."
    )


def _reason(error: Exception) -> str:
    """Return one line; a full disk, which stops the whole run and not only this scan, is raised again."""
    if isinstance(error, OSError):
        raise error
    if isinstance(error, HaganError):
        return str(error)
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
