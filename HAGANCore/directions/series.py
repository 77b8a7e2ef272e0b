"""The files of a walk: volumes, label maps, a table, figures, the curve and animations."""

from __future__ import annotations

import csv
import glob
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..anatomy import Segmentation, segment
from ..errors import HaganError
from ..files import written_whole
from ..imaging.io import write_volume
from ..imaging.pictures import write_png
from ..imaging.volume import Volume
from ..lock import LOCK, locked
from ..preparation.preprocess import restore
from ..progress import Progress, no_progress
from ..wording import short_text
from .direction import Direction
from .figure import (
    Column,
    figure,
    frames_of,
    lines_under,
    middle_of,
    outlined_labels,
    slices_of,
    write_animation,
    write_curve,
)
from .onto_scan import Aim, Method, change_scan
from .step import Step, measure
from .walk import Walk, percent_of

if TYPE_CHECKING:
    from ..inference.model import Model


_CARRIED_TOLERANCE = 0.1
"""Of a change carried over to a scan: a larger error is said."""


@dataclass(frozen=True, slots=True)
class Target:
    """The scan that a walk is carried over to."""

    scan: Volume
    found: Segmentation
    """Its lungs and bones."""
    method: Method
    exact: bool
    """Make each warp as strong as the change asked for needs it on the scan."""


@dataclass(slots=True)
class Series:
    """What was written."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    """One for each step, JSON-able: ``requested``, ``measured`` (changes), ``requested_value``, ``value``
    (the target itself), ``path``, …, and ``onto_scan``."""
    files: dict[str, str] = field(default_factory=dict)
    """Paths of ``table``, ``figure``, ``animation``, ``curve``, and ``scan_…`` of the first two pictures."""
    warnings: list[str] = field(default_factory=list)


def write_series(
    model: Model,
    walk: Walk,
    folder: Path,
    stem: str,
    target: Target | None = None,
    progress: Progress = no_progress,
) -> Series:
    """Write all files of a walk into a folder.

    What an earlier walk of this name left of table and pictures is removed first: were this one killed, they
    would stand beside volumes that they do not describe.

    Volumes of a scan's latent lie on the scan's own grid. Everything but the table and the curve shows or
    holds synthetic volumes, and says so.

    Args:
        model: that the walk was made with.
        walk: what to write.
        folder: made where it is missing.
        stem: what the files' names say of the start.
        target: a scan to carry each change over to.
        progress: called for each step.

    Raises:
        HaganError: another process writes a walk of this name into the folder, or a file cannot be written.
    """
    name = f"{stem}_{_plain(walk.direction.name)}"
    with locked(folder, f".{name}.{LOCK}"):
        _forget_earlier(folder, name, stem)
        return _series(model, walk, folder, stem, target, progress)


def _forget_earlier(folder: Path, name: str, stem: str) -> None:
    for end in (".csv", ".gif", "_figure.png", "_curve.png", "_scan.gif", "_scan_figure.png"):
        (folder / f"{name}{end}").unlink(missing_ok=True)
    for torn in folder.glob(f".tmp-*-synthetic_{glob.escape(stem)}_*"):  # a run was killed while it wrote
        torn.unlink(missing_ok=True)


def _series(
    model: Model, walk: Walk, folder: Path, stem: str, target: Target | None, progress: Progress
) -> Series:
    series = Series()
    columns: list[Column] = []
    changed: list[Column] = []
    carried = None if target is None else _Carrier(walk, target)
    for index, step in enumerate(walk.steps):
        progress(index / len(walk.steps) * 0.9, f"writing {index + 1} of {len(walk.steps)}")
        path = folder / f"synthetic_{stem}_{index + 1:02d}_{_amount(step, walk.direction)}"
        entry = _written(model, walk, step, path)
        columns.append(_column(walk, step.volume, step.segmentation, entry, walk.start.volume, walk.start))
        if carried is not None:
            entry["onto_scan"], column = carried.written(step, path)
            changed.append(column)
            series.warnings += carried.missed(step, entry["onto_scan"]["measured"])
        series.entries.append(entry)
    progress(0.9, "drawing")
    name = f"{stem}_{_plain(walk.direction.name)}"
    with written_whole(folder / f"{name}.csv") as temporary:
        temporary.write_text(_table(walk.direction, series.entries), encoding="utf-8")
    series.files["table"] = str(folder / f"{name}.csv")
    order = sorted(range(len(walk.steps)), key=lambda index: walk.steps[index].requested)
    series.files |= _drawn(walk.direction.name, [columns[i] for i in order], folder / name, "")
    if changed:
        title = f"{walk.direction.name}, on the scan"
        series.files |= _drawn(title, [changed[i] for i in order], folder / f"{name}_scan", "scan_")
    if walk.start.value is not None:
        _draw_curve(walk, series, folder / f"{name}_curve.png")
    return series


class _Carrier:
    """Carries steps over to a scan."""

    def __init__(self, walk: Walk, target: Target) -> None:
        self._walk, self._target = walk, target
        self._found = target.found
        self._base = measure(walk.direction, target.scan, self._found)

    def written(self, step: Step, path: Path) -> tuple[dict[str, Any], Column]:
        """Change the scan as a step says, measure it and write it; return its entry and its column."""
        walk, target, record = self._walk, self._target, step.latent.preparation
        if record is None:
            raise HaganError(
                "The walk does not start from a scan, so there is nothing to carry over; encode one."
            )
        aim = Aim(walk.direction, step.requested, self._found) if target.exact else None
        volume = change_scan(target.scan, walk.start.volume, step.volume, record, target.method, aim)
        found = segment(volume)
        value = measure(walk.direction, volume, found)
        change = None if value is None or self._base is None else value - self._base
        entry = {
            "requested": _rounded(step.requested),
            "measured": _rounded(change),
            "measured_percent": _rounded(percent_of(change, self._base, walk.direction)),
            "requested_value": _asked_value(self._base, step),
            "value": _rounded(value),
            **measurements(found),
            **volume.meta["provenance"]["onto_scan"],
        }
        column = _column(walk, volume, found, entry, target.scan, self._found)
        labels = volume.with_array(found.labels, unit="label")
        entry["path"] = str(write_volume(volume, path.with_name(f"{path.name}_scan.nii.gz")))
        entry["labelmap"] = str(write_volume(labels, path.with_name(f"{path.name}_scan_labels.nii.gz")))
        return entry, column

    def missed(self, step: Step, measured: float | None) -> list[str]:
        """Return in words where the scan has not changed as was asked."""
        if measured is None or abs(measured - step.requested) <= _CARRIED_TOLERANCE * abs(step.requested):
            return []
        unit = self._walk.direction.unit
        return [
            f"On the scan the change is {short_text(measured, unit, signed=True)}, not "
            f"{short_text(step.requested, signed=True)}: the scan does not follow the model's volumes here. "
            "Look at the figure before you use it."
        ]


def measurements(found: Segmentation | None) -> dict[str, float]:
    """Return what was measured of lungs and bones, rounded for a table."""
    return {} if found is None else {key: round(value, 3) for key, value in found.measurements().items()}


def _written(model: Model, walk: Walk, step: Step, path: Path) -> dict[str, Any]:
    """Write a step's volume and label map; return its entry."""
    record, found = step.latent.preparation, step.segmentation
    volume = step.volume if record is None else model.reconstruct(step.latent)
    labelmap = None
    if found is not None:
        labels = found.labels if record is None else restore(found.labels, record, 0, labels=True).array
        labelled = volume.with_array(labels.astype(np.uint8), unit="label")
        labelmap = str(write_volume(labelled, path.with_name(f"{path.name}_labels.nii.gz")))
    return {
        "requested": _rounded(step.requested),
        "measured": _rounded(step.measured),
        "requested_percent": _rounded(walk.percent(step.requested)),
        "measured_percent": _rounded(walk.percent(step.measured)),
        "requested_value": _asked_value(walk.start.value, step),
        "value": _rounded(step.value),
        **measurements(found),
        "path": str(write_volume(volume, path.with_name(f"{path.name}.nii.gz"))),
        "labelmap": labelmap,
        "note": step.note,
    }


def _column(
    walk: Walk,
    volume: Volume,
    found: Segmentation | None,
    entry: dict[str, Any],
    start: Volume,
    start_found: Step | Segmentation,
) -> Column:
    """Return a step's column of the figure, cut through the middle of the target in the start."""
    values = outlined_labels(walk.direction)
    reference = start_found.segmentation if isinstance(start_found, Step) else start_found
    at = (0.5, 0.5, 0.5) if reference is None else middle_of(reference.labels, start, values)
    return Column(
        slices_of(volume, None if found is None else found.labels, values, at),
        lines_under(
            walk.direction,
            entry["requested"],
            entry["measured"],
            entry["measured_percent"],
            entry["value"],
        ),
    )


def _drawn(title: str, columns: list[Column], path: Path, prefix: str) -> dict[str, str]:
    """Write the figure and the animation of some columns; return their paths."""
    picture = write_png(figure(title, columns), path.with_name(f"{path.name}_figure.png"))
    animation = write_animation(frames_of(title, columns), path.with_name(f"{path.name}.gif"))
    return {f"{prefix}figure": str(picture), f"{prefix}animation": str(animation)}


def _draw_curve(walk: Walk, series: Series, path: Path) -> None:
    carried = [entry["onto_scan"] for entry in series.entries if "onto_scan" in entry]
    on_scan = [(each["requested"], each["measured"]) for each in carried if each["measured"] is not None]
    try:
        series.files["curve"] = str(write_curve(walk, path, on_scan))
    except HaganError as error:  # matplotlib is no part of what HAGANCore itself needs
        series.warnings.append(str(error))


def _table(direction: Direction, entries: list[dict[str, Any]]) -> str:
    """Return the CSV: one row for each step, the scan's columns behind the model's."""
    rows = []
    for entry in entries:
        row = {key: value for key, value in entry.items() if key != "onto_scan"}
        row |= {f"scan_{key}": value for key, value in entry.get("onto_scan", {}).items()}
        rows.append({"direction": direction.name, "unit": direction.unit, **row})
    text = io.StringIO()
    # A step of no change is not warped, so its row has fewer columns than others.
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _amount(step: Step, direction: Direction) -> str:
    unit = {"%": "percent", "": "steps"}.get(direction.unit, direction.unit)
    return f"{_plain(direction.name)}_{step.requested:+.4g}{_plain(unit)}"


def _plain(text: str) -> str:
    """Return a text as a part of a file's name."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-") or "direction"


def _asked_value(base: float | None, step: Step) -> float | None:
    """Return what the target should be after a step: what it was, and the change that was asked for."""
    return None if base is None else _rounded(base + step.requested)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
