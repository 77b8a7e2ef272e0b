"""Cohorts and trainings that a GUI asks for."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HaganError
from ..operations.context import Context
from ..operations.detached import start
from ..operations.preprocess import PreprocessRequest
from ..operations.preprocess import run as preprocess
from ..operations.train import TrainRequest, configuration
from .job import Job, Stopped
from .requests import request_of
from .wire import volume_from_wire

if TYPE_CHECKING:
    from ..cohorts.scans import Scan

_POLL_SECONDS = 0.1


class Cohorts:
    """Handlers of ``preprocess``.

    Args:
        session: folder that arrays pass through; scans of a scene are laid there as files.
    """

    def __init__(self, session: Path) -> None:
        self.session = session

    def preprocess(self, job: Job) -> dict[str, Any]:
        """Turn scans into a cohort."""
        wanted = job.arguments
        if (wanted["volumes"] is None) == (wanted["folder"] is None):
            raise HaganError("Give 'volumes' or 'folder' to preprocess, one of them.")
        job.progress(0.0, "looking for scans")
        if wanted["folder"] is not None:
            source: Path | tuple[Scan, ...] = Path(wanted["folder"])
        else:
            source = tuple(self._scan(item) for item in wanted["volumes"])
            if not source:
                raise HaganError("There is nothing to preprocess; choose at least one volume.")
        out = Path(wanted["out"])
        request = request_of(PreprocessRequest, wanted, source=source, out=out)
        done = preprocess(request, Context(progress=job.progress))
        report = done.report
        ids = {str(scan.path): scan.id for scan in done.scans}
        skipped = [{"id": ids[entry["file"]], "reason": entry["reason"]} for entry in report.failed]
        return {
            "cohort": str(out),
            "count": len(report.ok),
            "skipped": skipped,
            "warnings": {ids[file]: lines for file, lines in report.warnings.items()},
        }

    def _scan(self, item: dict[str, Any]) -> Scan:
        from ..cohorts.scans import Scan
        from ..imaging.io import write_volume

        if "id" not in item or set(item) - {"id", "volume", "file"} or ("volume" in item) == ("file" in item):
            raise HaganError(
                f"Each of 'volumes' must have 'id', and 'volume' or 'file'; found {sorted(item)}."
            )
        id = str(item["id"])
        if "file" in item:
            return Scan(id, Path(str(item["file"])))
        path = self.session / "scans" / f"{id}.mha"
        return Scan(id, write_volume(volume_from_wire(item["volume"]), path))


def train(job: Job) -> dict[str, Any]:
    """Start a training that outlives this process; the result comes once it trains."""
    from ..training.process import stop_training, training_state

    settings = dict(job.arguments["config"])
    preset, folder = settings.pop("preset", None), Path(job.arguments["folder"])
    request = TrainRequest(
        cohort=job.arguments["cohort"],
        out=str(folder),
        preset=preset,
        settings=settings,
        resume=job.arguments["resume"],
    )
    configuration(request)  # a wrong field is said now, not in some seconds
    job.progress(0.0, "starting the training")
    log = folder / "log.jsonl"
    before = _signature(log)
    pid = start(request)
    while _signature(log) == before:
        state = training_state(folder)
        if state.state == "failed":
            raise HaganError(state.error or "")
        if state.state != "running":
            break
        try:
            job.check()
        except Stopped:
            stop_training(folder, now=True)
            raise
        time.sleep(_POLL_SECONDS)
    return {"pid": pid, "folder": str(folder)}


def train_stop(job: Job) -> dict[str, Any]:
    """Stop a training; returns its state, which may still be ``running`` for an iteration."""
    from ..training.process import stop_training, training_state

    stop_training(job.arguments["folder"], job.arguments["now"])
    return asdict(training_state(job.arguments["folder"]))


def train_state(job: Job) -> dict[str, Any]:
    """Say where a training is."""
    from ..training.process import training_state

    return asdict(training_state(job.arguments["folder"]))


def _signature(path: Path) -> tuple[int, int] | None:
    """Return what changes when a run opens its log."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
