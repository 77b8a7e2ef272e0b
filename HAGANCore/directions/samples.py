"""Measured latents: generate, segment and measure once, in parallel, kept on disk as they get ready."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..anatomy import segment
from ..errors import HaganError
from ..files import written_whole
from ..processes import available_cores, in_processes
from ..progress import Progress, no_progress
from .targets import TARGETS, measure_targets

if TYPE_CHECKING:
    from ..inference.latent import Latent
    from ..inference.model import Model

FORMAT = "hagan-measurements"
VERSION = 1
HEADER, JOURNAL = "measurements.json", "measurements.jsonl"
Quality = Literal["full", "low"]
_SMALLEST_LOW = 64
"""Edge in voxels of the low-resolution volume from which organs can be outlined in it."""
_FEWEST_GOOD = 0.5
"""Share of volumes that must be measurable, or the model makes no chests."""


class Task(NamedTuple):
    """One latent to measure, as it is sent to a process."""

    model: str
    device: str
    low: bool
    z: npt.NDArray[np.float32]
    class_index: int | None


def quality_for(model: Model, wanted: str = "auto") -> Quality:
    """Return which volume is measured: the low-resolution one (R/4) where organs can be outlined in it.

    Raises:
        HaganError: it was asked for and is too small.
    """
    edge = model.architecture.size // 4
    if wanted == "low" and edge < _SMALLEST_LOW:
        raise HaganError(
            f"The low-resolution volume of '{model.name}' has {edge}³ voxels, too few to outline organs in "
            f"(at least {_SMALLEST_LOW}³); take the full one."
        )
    return "low" if wanted == "low" or (wanted == "auto" and edge >= _SMALLEST_LOW) else "full"


class Measurements:
    """Measures latents of one model and remembers each, in memory or also in a folder.

    A journal line is written for every volume, so work that was killed goes on where it was. The result does
    not depend on how often it was, nor on the number of processes.

    Raises:
        HaganError: the model is no CT of the chest, or the folder holds measurements of something else.
    """

    def __init__(
        self, model: Model, folder: Path | str | None = None, quality: str = "auto", jobs: int | None = None
    ) -> None:
        if model.profile.modality != "CT" or model.profile.anatomy != "thorax":
            raise HaganError(
                f"Targets are measured on CT of the chest; the model '{model.name}' makes "
                f"{model.profile.anatomy} {model.profile.modality}. Fit on a cohort's covariates instead."
            )
        self.model = model
        self.quality = quality_for(model, quality)
        self.jobs = jobs or available_cores()
        self.folder = None if folder is None else Path(folder)
        self._known: dict[str, dict[str, float]] = {}
        if self.folder is not None:
            self._open(self.folder)

    @property
    def count(self) -> int:
        """How many latents have been measured."""
        return len(self._known)

    def of(
        self, latents: Sequence[Latent], progress: Progress = no_progress, text: str = "measured"
    ) -> npt.NDArray[np.float64]:
        """Return all targets of latents, shape (N, targets), NaN where one could not be measured.

        Raises:
            HaganError: more than half of the volumes could not be measured, or a process failed.
        """
        keys = [latent.sha256 for latent in latents]
        missing = {key: latent for key, latent in zip(keys, latents, strict=True) if key not in self._known}
        if missing:
            self._measure(missing, progress, text)
        rows = [[self._known[key].get(name, math.nan) for name in TARGETS] for key in keys]
        table = np.array(rows, np.float64).reshape(len(rows), len(TARGETS))
        good = np.isfinite(table).all(axis=1).mean() if len(table) else 1.0
        if good < _FEWEST_GOOD:
            raise HaganError(
                f"Lungs and bones were found in only {good:.0%} of {len(table)} volumes of "
                f"'{self.model.name}'; the model has to make chests before directions can be fitted on them."
            )
        return table

    def _measure(self, missing: dict[str, Latent], progress: Progress, text: str) -> None:
        tasks = [
            Task(
                str(self.model.file.path.resolve()),
                str(self.model.plan.device),
                self.quality == "low",
                latent.z,
                latent.class_index,
            )
            for latent in missing.values()
        ]
        keys = {id(task): key for task, key in zip(tasks, missing, strict=True)}
        begun, jobs = time.monotonic(), min(self.jobs, len(tasks))
        for done, (task, outcome) in enumerate(in_processes(measured_alone, tasks, jobs), 1):
            if isinstance(outcome, Exception):
                raise HaganError(f"A volume could not be measured: {' '.join(str(outcome).split())}")
            self._note(keys[id(task)], outcome)
            left = (time.monotonic() - begun) / done * (len(tasks) - done)
            progress(done / len(tasks), f"{text} {done} of {len(tasks)}, {left:.0f} s left")

    def _note(self, key: str, values: dict[str, float]) -> None:
        self._known[key] = values
        if self.folder is not None:
            known = {name: value for name, value in values.items() if math.isfinite(value)}
            with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
                journal.write(json.dumps({"latent": key, "values": known}) + "\n")

    def _open(self, folder: Path) -> None:
        header = {
            "format": FORMAT,
            "version": VERSION,
            "networks_sha256": self.model.file.networks_sha256,
            "quality": self.quality,
            "targets": list(TARGETS),
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / HEADER
        if not path.exists():
            with written_whole(path) as temporary:
                temporary.write_text(json.dumps(header) + "\n", encoding="utf-8")
            (folder / JOURNAL).unlink(missing_ok=True)
            return
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise HaganError(f"'{path}' cannot be read ({error}); choose another folder.") from None
        for name, value in header.items():
            found = earlier.get(name) if isinstance(earlier, dict) else None
            if found != value:
                raise HaganError(
                    f"'{folder}' holds measurements with another {name.replace('_', ' ')} ({found!r}, not "
                    f"{value!r}); choose another folder."
                )
        self._known = _read_journal(folder / JOURNAL)


def _read_journal(path: Path) -> dict[str, dict[str, float]]:
    """Read the lines that are whole: the last one may have been cut off, which is mended."""
    if not path.exists():
        return {}
    known: dict[str, dict[str, float]] = {}
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            note: dict[str, Any] = json.loads(line)
            known[str(note["latent"])] = {str(name): float(value) for name, value in note["values"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        lines.append(line)
    with written_whole(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return known


def measured_alone(task: Task) -> dict[str, float]:
    """Generate, segment and measure one latent: what a process does."""
    threads = torch.get_num_threads()
    # One thread, as in the processes beside: sums of floats depend on how they are split.
    torch.set_num_threads(1)
    try:
        model = _model(task.model, task.device)
        volume = model.decode(model.latent_from(task.z, task.class_index), preview=task.low)
        return measure_targets(volume, segment(volume))
    finally:
        torch.set_num_threads(threads)


@cache
def _model(path: str, device: str) -> Model:
    from ..inference.model import load_model

    return load_model(path, device, "float32")
