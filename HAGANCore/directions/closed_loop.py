"""The closed loop: steps that are measured and corrected until the change is the one that was asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..progress import Progress, no_progress, part_of
from ..wording import short_text
from .direction import Direction, nominal_unit, with_steps
from .search import FARTHEST, LEAP, Search
from .step import Step, measurable, measure, start_of, step_at

if TYPE_CHECKING:
    from ..inference.latent import Latent
    from ..inference.model import Model

TOLERANCE = 0.02
"""Largest error of a change that counts as met, in parts of it."""
LEAST_CHANGE = 0.02
"""In standard deviations of the target: the tolerance of smaller changes is that of this one."""
HELD_TOLERANCE = 0.05
"""Of a target's standard deviation: within it a target that must not change counts as unmoved."""
MOST_VOLUMES = 10
"""Measured for one change at most."""
SLOPES = (0.25, 4.0)
"""How much of its calibrated change, least and most, a target is believed to answer with."""
Array = npt.NDArray[np.float64]


class ClosedLoop:
    """Steps from one latent, each measured on its own volume and corrected until it is met.

    What was measured for one change is known to the next, so several cost fewer volumes than each alone.

    Args:
        model: makes the volumes.
        start: a latent of it, also one encoded from a scan, or its measured volume.
    """

    def __init__(self, model: Model, start: Latent | Step) -> None:
        self.model = model
        self._start = start
        self._known: dict[str, dict[float, float]] = {}

    def start(self, direction: Direction, progress: Progress = no_progress) -> Step:
        """Return the start, measured for a direction.

        Raises:
            HaganError: latent or direction belong to another model, or the target was not found or cannot
                be measured on a volume.
        """
        direction.require_model(self.model.file)
        if not measurable(self.model, direction):
            raise HaganError(
                f"The target of the direction '{direction.name}' cannot be measured on a volume, so there "
                "is no closed loop for it and nothing of it can be held fixed; move along it without."
            )
        if not isinstance(self._start, Step):
            self._start = start_of(self.model, self._start, direction, progress)
        value = measure(direction, self._start.volume, self._start.segmentation)
        if value is None:
            raise HaganError(
                f"'{direction.target}' could not be measured: nothing of it was found in the volume that "
                "steps would start from. Take another latent, or calibrated steps that are not corrected."
            )
        return replace(self._start, requested=0.0, measured=0.0, value=value)

    def step(
        self,
        wanted: Sequence[tuple[Direction, float]],
        tolerance: float = TOLERANCE,
        most: int = MOST_VOLUMES,
        progress: Progress = no_progress,
    ) -> Step:
        """Move along one or several directions until the change of each target is the wanted one.

        Args:
            wanted: directions with the change of their targets, each in its unit, against the start; with
                more than one direction, a change of 0 holds that target.
            tolerance: largest error, in parts of each change.
            most: volumes measured at most.
            progress: called while each volume is made and measured; may raise Cancelled.

        Returns:
            The nearest that was found, requested and measured along the first direction;
            :attr:`~HAGANCore.directions.step.Step.note` says so where it is not near enough.

        Raises:
            HaganError: a target cannot be measured on a volume, or nothing of it was found in the start's.
        """
        if not wanted or most < 1 or not tolerance > 0:
            raise HaganError(
                "A step needs a direction, a volume to measure and a tolerance above 0; found "
                f"{len(wanted)}, {most} and {tolerance}."
            )
        if bad := next((change for _, change in wanted if not math.isfinite(change)), None):
            raise HaganError(f"The change must be a number; found {bad}.")
        starts = [self.start(direction, part_of(progress, 0.0, 1 / (most + 1))) for direction, _ in wanted]
        progress = part_of(progress, 1 / (most + 1), 1.0)
        if len(wanted) > 1:
            return self._several(starts, wanted, tolerance, most, progress)
        (direction, change), start = wanted[0], starts[0]
        known = self._known.setdefault(direction.name, {0.0: 0.0})
        first_of_all = len(known) == 1
        part = part_of(progress, 0.0, 1.0 if first_of_all else 0.5)
        step = self._one(start, direction, change, tolerance, most, part, known)
        if step.note and not first_of_all:
            # Where volumes leap, what is known can lead to a place where the change cannot be met.
            part = part_of(progress, 0.5, 1.0)
            anew = self._one(start, direction, change, tolerance, most, part, {0.0: 0.0})
            step = min(step, anew, key=lambda each: abs(float(each.measured or 0.0) - change))
        return step

    def _one(
        self,
        start: Step,
        direction: Direction,
        change: float,
        tolerance: float,
        most: int,
        progress: Progress,
        known: dict[float, float],
    ) -> Step:
        """Search along one direction; ``known``: the change for each length that was measured, added to."""
        allowed = self._allowed(direction, change, start.latent, tolerance)
        search = Search(change, allowed, known)
        length = search.first(self._calibrated(direction, change, start.latent))
        best, at, count = start, 0.0, 0

        def tried(length: float) -> Step:
            part = part_of(progress, min(count, most - 1) / most, min(count + 1, most) / most)
            return self._at(start, [(direction, change)], [length], part)

        while length is not None and count < most and abs(known[at] - change) > allowed:
            step = tried(length)
            count += 1
            if step.measured is None:
                length = search.lost(length)
                continue
            known[length] = step.measured
            if abs(step.measured - change) < abs(known[at] - change):
                best, at = step, length
            length = search.next(length, step.measured)
        nearest = min(known, key=lambda length: abs(known[length] - change))
        if abs(known[nearest] - change) < abs(known[at] - change):  # an earlier change's; its volume is gone
            best, at, count = tried(nearest), nearest, count + 1
        note = ""
        if abs(known[at] - change) > allowed:
            note = (
                f"A change of {short_text(change, direction.unit, signed=True)} {search.failure} for this "
                f"latent; the closest is {short_text(known[at], direction.unit, signed=True)}."
            )
        return replace(best, requested=change, iterations=count, note=note)

    def _several(
        self,
        starts: Sequence[Step],
        wanted: Sequence[tuple[Direction, float]],
        tolerance: float,
        most: int,
        progress: Progress,
    ) -> Step:
        """Correct the lengths along all directions by what each target missed (Broyden's method)."""
        start, latent = starts[0], starts[0].latent
        base = np.array([step.value for step in starts], np.float64)
        changes = np.array([change for _, change in wanted], np.float64)
        allowed = np.array([self._allowed(each, change, latent, tolerance) for each, change in wanted])
        # To begin with, each direction is taken to move its own target alone, as it was calibrated.
        units = np.array([self._per_length(direction, change, latent) for direction, change in wanted])
        slopes = np.diag(units)
        lengths = np.clip(changes / units, -FARTHEST, FARTHEST)
        at, got = np.zeros(len(wanted)), np.zeros(len(wanted))
        best, least, count = replace(start, requested=changes[0]), math.inf, 0
        note = f"Not met: nothing to measure '{wanted[0][0].name}' on was found on the way."
        while count < most and np.abs(lengths - at).max() >= LEAP and least > 1:
            part = part_of(progress, count / most, (count + 1) / most)
            step = self._at(start, wanted, lengths, part)
            count += 1
            # What is not found any more is NaN, and no better than anything.
            values = [measure(each, step.volume, step.segmentation) for each, _ in wanted]
            answer = np.array(values, np.float64) - base - got
            missing = changes - got - answer
            shares = np.abs(missing) / allowed
            if shares.max() < least:
                slopes = _corrected(slopes, lengths - at, answer, units)
                at, got = lengths, got + answer
                best, least = step, float(shares.max())
                off = [
                    f"'{direction.name}' is off by {short_text(-value, direction.unit, signed=True)}"
                    for (direction, _), value, share in zip(wanted, missing, shares, strict=True)
                    if share > 1
                ]
                note = f"Not met: {', '.join(off)}."
                lengths = np.clip(at + np.linalg.solve(slopes, changes - got), -FARTHEST, FARTHEST)
            else:  # The volume leapt, or the slopes are wrong here: half as far from the best so far.
                lengths = (at + lengths) / 2
        return replace(best, note=note if least > 1 else "", iterations=count)

    def _at(
        self,
        start: Step,
        wanted: Sequence[tuple[Direction, float]],
        lengths: Sequence[float] | Array,
        progress: Progress,
    ) -> Step:
        """Return the volume at these lengths, measured for the first direction."""
        z, told = start.latent.z.astype(np.float64), []
        for (direction, change), length in zip(wanted, lengths, strict=True):
            z += float(length) * direction.vector
            facts = {"direction": direction.name, "amount": float(change), "unit": direction.unit}
            told.append({**facts, "length": float(length), "corrected": True})
        latent = with_steps(start.latent, z, told)
        direction, change = wanted[0]
        step = step_at(self.model, latent, direction, start.value, change, progress)
        progress(1.0, _said(step, direction))
        return step

    def _allowed(self, direction: Direction, change: float, latent: Latent, tolerance: float) -> float:
        """Return the error within which a change is met, in the unit of the latent's own volume."""
        sd = direction.baseline.get("sd", 0.0) / nominal_unit(direction, latent, self.model)
        allowed = tolerance * max(abs(change), LEAST_CHANGE * sd) if change else HELD_TOLERANCE * sd
        return max(allowed, 1e-9)

    def _calibrated(self, direction: Direction, change: float, latent: Latent) -> float:
        nominal = change * nominal_unit(direction, latent, self.model)
        return direction.calibration.step_for(nominal / direction.gain_at(latent.z))

    def _per_length(self, direction: Direction, change: float, latent: Latent) -> float:
        """Return the change per length that the calibration promises, on the way to a change."""
        least = LEAST_CHANGE * direction.baseline.get("sd", 0.0) or direction.range[1]
        towards = change or least / nominal_unit(direction, latent, self.model)
        return towards / self._calibrated(direction, towards, latent)


def reach(
    model: Model,
    latent: Latent,
    direction: Direction,
    change: float,
    tolerance: float = TOLERANCE,
    most: int = MOST_VOLUMES,
    progress: Progress = no_progress,
) -> Step:
    """Move one latent until its own volume has changed as asked: see :meth:`ClosedLoop.step`.

    The change may lie outside the direction's range: then the nearest that was found is given.
    """
    return ClosedLoop(model, latent).step([(direction, change)], tolerance, most, progress)


def _said(step: Step, direction: Direction) -> str:
    measured = "nothing" if step.measured is None else short_text(step.measured, signed=True)
    return f"{direction.name}: {measured} of {short_text(step.requested, direction.unit, signed=True)}"


def _corrected(slopes: Array, moved_by: Array, answer: Array, units: Array) -> Array:
    """Return the slopes (n, n), corrected so that they give the answer to the last move (Broyden 1965).

    A correction after which a target would hardly answer, or leap, is a leap of the measurement: left out.
    ``units``: the calibrated change per length of each direction, (n,).
    """
    squared = float(moved_by @ moved_by)
    if squared == 0:
        return slopes
    corrected = slopes + np.outer(answer - slopes @ moved_by, moved_by) / squared
    singular = np.linalg.svd(corrected / units[:, None], compute_uv=False)
    return corrected if SLOPES[0] <= singular[-1] and singular[0] <= SLOPES[1] else slopes
