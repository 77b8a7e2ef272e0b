"""Directions for what is known of patients but cannot be seen on a volume: age, FEV1, GOLD stage."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..cohorts.store import Cohort
from ..errors import HaganError
from ..files import written_whole
from ..inference.encode import encode_cube
from ..progress import Progress, no_progress, part_of
from .build import REACH_SD
from .calibrate import linear
from .direction import Direction
from .disentangle import conditional
from .fit import Method, fit, require_variation
from .seconds import Seconds
from .targets import TARGETS, target_named

if TYPE_CHECKING:
    from ..inference.model import Model

Array = npt.NDArray[np.float64]
PREFIX = "covariate:"
"""Before the name of a covariate in :attr:`Direction.target`."""


def read_covariate(path: Path | str, column: str, ids: Sequence[str]) -> Array:
    """Return one column of a CSV file for these ids, (N,); NaN where the file has no line for one.

    The file has a line of names, one of them ``id``; each further line is one scan.

    Raises:
        HaganError: no such file or column, an id twice or not in the cohort, a cell that is no number.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HaganError(f"The covariates '{path}' cannot be read ({error}).") from None
    names = [name for name in (rows[0] if rows else {}) if name is not None]
    for name in ("id", column):
        if name not in names:
            raise HaganError(
                f"The covariates '{path}' have no column '{name}'; found: {', '.join(names) or 'no lines'}."
            )
    values: dict[str, float] = {}
    wrong = []
    for row in rows:
        if row["id"] in values:
            raise HaganError(f"The covariates '{path}' have two lines for the id '{row['id']}'.")
        values[row["id"]] = _number(row[column])
        if math.isnan(values[row["id"]]):
            wrong.append(row)
    if wrong:
        raise HaganError(
            f"'{column}' is not a number for {len(wrong)} of {len(rows)} lines of '{path}' (first: id "
            f"'{wrong[0]['id']}', {wrong[0][column]!r}); fill them in or leave these lines out."
        )
    if strange := [id for id in values if id not in set(ids)]:
        raise HaganError(
            f"{len(strange)} of {len(values)} ids in '{path}' are not in the cohort (first: '{strange[0]}'; "
            f"the cohort has ids such as '{ids[0]}'); give both the same ids."
        )
    return np.array([values.get(id, math.nan) for id in ids])


def encode_cohort(
    model: Model, cohort: Cohort, folder: Path | str | None = None, progress: Progress = no_progress
) -> Array:
    """Return the latents of a cohort's volumes in its order, (N, latent).

    With a ``folder`` each is kept as it gets ready, so that work that was killed goes on there.

    Raises:
        HaganError: the model has no encoder, or the cohort was prepared in another way than for the model.
    """
    model.encoders()
    if not len(cohort):
        raise HaganError(f"The cohort '{cohort.folder}' has no volumes.")
    if (cohort.profile, cohort.size) != (model.profile, model.architecture.size):
        raise HaganError(
            f"The cohort '{cohort.folder}' was prepared as {cohort.profile.name} at {cohort.size}³, the "
            f"model '{model.name}' needs {model.profile.name} at {model.architecture.size}³; prepare its "
            "scans again."
        )
    journal = None if folder is None else Path(folder) / f"encoded-{model.file.networks_sha256[:16]}.jsonl"
    known = {} if journal is None else _read_encoded(journal)
    rows = []
    for index, entry in enumerate(cohort.entries):
        z = known.get(entry.sha256)
        if z is None or len(z) != model.architecture.latent:
            z = encode_cube(model, cohort.load(index))[0][0].cpu().double().tolist()
            if journal is not None:
                with journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"volume": entry.sha256, "z": z}) + "\n")
        rows.append(z)
        progress((index + 1) / len(cohort), f"encoded {index + 1} of {len(cohort)}")
    return np.array(rows, np.float64)


def fit_covariate(
    model: Model,
    cohort: Cohort,
    column: str,
    *,
    covariates: Path | str | None = None,
    method: Method = "ridge",
    hold: Sequence[str] = (),
    measured: tuple[Array, Array] | None = None,
    name: str | None = None,
    unit: str = "",
    folder: Path | str | None = None,
    progress: Progress = no_progress,
    seconds: Seconds | None = None,
) -> Direction:
    """Fit the direction of a covariate on a cohort's encoded scans.

    A covariate cannot be measured on a volume, so the direction is calibrated by the fitted line and says so:
    ``calibrated`` is ``predicted``.

    Args:
        model: has an encoder.
        cohort: prepared for the model.
        column: of the covariate.
        covariates: a CSV file with the columns ``id`` and ``column``; without it, the cohort's own covariate.
        method: ``ridge``; or ``svm`` for classes (two values) and extremes.
        hold: targets that must not move; needs ``measured``.
        measured: latents (M, latent) of the model and their targets (M, targets), to find what moves those.
        name: of the direction; the column without it.
        unit: of the covariate.
        folder: where encoded latents are kept.
        progress: called for every volume.
        seconds: told what the direction takes, encoding not counted.

    Raises:
        HaganError: see :func:`read_covariate`, :func:`encode_cohort` and
            :func:`~HAGANCore.directions.fit.fit`.
    """
    if covariates is None:
        values = cohort.covariates(column)
    else:
        values = read_covariate(covariates, column, [entry.id for entry in cohort.entries])
    require_variation(values, column)  # said before the work
    z = encode_cohort(model, cohort, folder, part_of(progress, 0.0, 0.9))
    with (Seconds() if seconds is None else seconds).of(name or column):
        fitted = fit(z, values, column, method)
    others = []
    for target in hold:
        target_named(target)
        if measured is None:
            raise HaganError("To hold targets fixed, volumes of the model must be measured.")
        others.append(fit(measured[0], measured[1][:, list(TARGETS).index(target)], target).weights)
    vector = conditional(fitted.weights, others, column)
    calibration, limits = linear(fitted.weights, vector, REACH_SD * fitted.sd)
    progress(1.0)
    return Direction(
        name=name or column,
        unit=unit,
        vector=vector.astype(np.float32),
        target=f"{PREFIX}{column}",
        method=method,
        calibrated="predicted",
        calibration=calibration,
        range=limits,
        held_fixed=tuple(hold),
        r2=fitted.r2,
        auc=fitted.auc,
        samples=fitted.samples,
        baseline={"mean": fitted.mean, "sd": fitted.sd},
        fitted_on={
            "model": model.name,
            "model_sha256": model.file.networks_sha256,
            "cohort": cohort.folder.name,
            "strength": fitted.strength,
        },
    )


def _number(text: str | None) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _read_encoded(path: Path) -> dict[str, list[float]]:
    """Read the lines that are whole; the last one may have been cut off, which is mended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return {}
    known: dict[str, list[float]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            note = json.loads(line)
            known[str(note["volume"])] = [float(value) for value in note["z"]]
        except (ValueError, KeyError, TypeError):
            continue
    with written_whole(path) as temporary:
        lines = (json.dumps({"volume": volume, "z": z}) for volume, z in known.items())
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return known
