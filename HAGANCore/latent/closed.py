"""The closed loop: steps that are measured and corrected until the change is the one that was asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..progress import Progress, no_progress
from .direction import Direction, moved, nominal_unit, with_steps
from .step import Step, measurable, measure, start_of, step_at

if TYPE_CHECKING:
    from ..inference.latentfile import Latent
    from ..inference.model import Model

TOLERANCE = 0.02
"""Largest error of a change that counts as met, in parts of it."""
LEAST_CHANGE = 0.1
"""In standard deviations of the target: the tolerance of smaller changes is that of this one."""
HELD_TOLERANCE = 0.05
"""Of a target's standard deviation: within it a target that must not change counts as unmoved."""
FARTHEST = 5.0
"""Length in latent space, either way, that one step may go: a latent may rise where most do not."""
LEAP = 0.005
"""Length in latent space: where two steps so near to each other miss the change on either side, the measured
volume leaps there, and nothing in between meets it."""
COARSE = 1.0
"""Length in latent space: how closely steps are tried around the nearest one where none suffices."""
MOST_VOLUMES = 10
"""Measured for one change at most."""
SLOPES = (0.25, 4.0)
"""How much of its calibrated change, least and most, a target is believed to answer with."""


class ClosedLoop:
    """Steps from one latent, each measured on its own volume and corrected until it is met.

    What was measured for one change is known to the next, so several cost fewer volumes than each alone.

    Args:
        model: makes the volumes.
        start: a latent of it, also one encoded from a scan, or its measured volume.

    Raises:
        HaganError: the latent belongs to another model.
    """

    def __init__(self, model: Model, start: Latent | Step) -> None:
        self.model = model
        self._start = start
        self._known: dict[str, dict[float, float]] = {}

    def start(self, direction: Direction) -> Step:
        """Return the start, measured for a direction.

        Raises:
            HaganError: the direction belongs to another model, or its target was not found or cannot be
                measured on a volume.
        """
        direction.require_model(self.model.file)
        if not measurable(self.model, direction):
            raise HaganError(
                f"The target of the direction '{direction.name}' cannot be measured on a volume, so there "
                "is no closed loop for it and nothing of it can be held fixed; move along it without."
            )
        if not isinstance(self._start, Step):
            self._start = start_of(self.model, self._start, direction)
        value = measure(direction, self._start.volume, self._start.segmentation)
        return _found(replace(self._start, requested=0.0, measured=0.0, value=value, note=""), direction)

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
            progress: called for every volume.

        Returns:
            The nearest that was found, requested and measured along the first direction;
            :attr:`~HAGANCore.latent.step.Step.note` says so where it is not near enough.

        Raises:
            HaganError: a target cannot be measured on a volume, or nothing of it was found there.
        """
        if bad := next((change for _, change in wanted if not math.isfinite(change)), None):
            raise HaganError(f"The change must be a number; found {bad}.")
        if len(wanted) == 1:
            return self._one(*wanted[0], tolerance, most, progress)
        return self._several(wanted, tolerance, most, progress)

    def _one(
        self, direction: Direction, change: float, tolerance: float, most: int, progress: Progress
    ) -> Step:
        """Go on with the secant through what was measured, kept between the nearest steps on either side.

        This is the Illinois variant of regula falsi: it cannot run away.
        """
        start = self.start(direction)
        base, z = float(start.value or 0.0), start.latent.z
        known = self._known.setdefault(direction.name, {0.0: 0.0})
        allowed = tolerance * max(abs(change), LEAST_CHANGE * direction.baseline.get("sd", 0.0))
        search = _Search(change, allowed, known)
        nominal = change * nominal_unit(direction, start.latent, self.model)
        length = search.first(direction.calibration.step_for(nominal / direction.gain_at(z)))
        best, at, count = start, 0.0, 0
        while length is not None and count < most and abs(known[at] - change) > allowed:
            step = step_at(
                self.model, _along(start.latent, direction, length, change), direction, base, change
            )
            count += 1
            if step.measured is None:
                length = search.lost(length)
                continue
            known[length] = step.measured
            progress(
                count / most,
                f"{direction.name}: {step.measured:+.4g} of {change:+.4g} {direction.unit}".rstrip(),
            )
            if abs(step.measured - change) < abs(known[at] - change):
                best, at = step, length
            length = search.next(length, step.measured)
        nearest = min(known, key=lambda length: abs(known[length] - change))
        if abs(known[nearest] - change) < abs(known[at] - change):  # an earlier step's, whose volume is gone
            best = step_at(
                self.model, _along(start.latent, direction, nearest, change), direction, base, change
            )
        return replace(
            best,
            requested=change,
            iterations=count,
            note=_note(direction, change, float(best.measured or 0.0), allowed, search.between),
        )

    def _several(
        self, wanted: Sequence[tuple[Direction, float]], tolerance: float, most: int, progress: Progress
    ) -> Step:
        """Correct the amounts along all directions by what each target missed (Broyden's method)."""
        directions = [direction for direction, _ in wanted]
        starts = [self.start(direction) for direction in directions]
        first, latent = starts[0], starts[0].latent
        base = np.array([step.value for step in starts], np.float64)
        changes = np.array([change for _, change in wanted], np.float64)
        deviations = np.array([direction.baseline.get("sd", 0.0) for direction in directions])
        allowed = np.where(
            changes == 0,
            HELD_TOLERANCE * deviations,
            tolerance * np.maximum(np.abs(changes), LEAST_CHANGE * deviations),
        )
        low, high = np.transpose(
            [np.array(each.range) / nominal_unit(each, latent, self.model) for each in directions]
        )
        # Calibrated amounts are changes already: to begin with, each is taken to move its own target alone.
        slopes = np.eye(len(wanted))
        amounts = np.clip(changes, low, high)
        at, got = np.zeros(len(wanted)), np.zeros(len(wanted))
        best, least = first, math.inf
        note = f"Not met: nothing to measure '{directions[0].name}' on was found on the way."
        for count in range(1, most + 1):
            steps = [(each, float(amount)) for each, amount in zip(directions, amounts, strict=True)]
            there = moved(latent, self.model, steps)
            step = step_at(self.model, there, directions[0], first.value, changes[0])
            progress(count / most, ", ".join(direction.name for direction in directions))
            # What is not found any more is NaN, and no better than anything.
            values = [measure(each, step.volume, step.segmentation) for each in directions]
            answer = np.array(values, np.float64) - base - got
            missing = changes - got - answer
            shares = np.abs(missing) / np.maximum(allowed, 1e-9)
            worst = int(shares.argmax())
            if shares[worst] < least:
                slopes = _corrected(slopes, amounts - at, answer)
                at, got = amounts, got + answer
                best, least = step, float(shares[worst])
                of = directions[worst]
                note = f"Not met: '{of.name}' is off by {-missing[worst]:+.3g} {of.unit}."
                if least <= 1:
                    return replace(best, iterations=count)
                amounts = np.clip(at + np.linalg.solve(slopes, changes - got), low, high)
            else:  # The volume leapt, or the slopes are wrong here: half as far from the best so far.
                amounts = (at + amounts) / 2
        return replace(best, note=note, iterations=most)


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


class _Search:
    """Finds the length at which the measured change is the wanted one; ``error`` is measured - wanted."""

    def __init__(self, change: float, allowed: float, known: Mapping[float, float]) -> None:
        self.change, self.allowed = change, allowed
        self.known = dict(known)
        self.edges = (-FARTHEST, FARTHEST)
        self.below: tuple[float, float] | None = None
        self.above: tuple[float, float] | None = None
        self._lost: float | None = None
        self._last_side = 0
        # From 0 towards the change, as far as the first known step beyond it.
        way = [length for length in sorted(known, key=abs) if length * change >= 0]
        for length in way:
            self._note(length, known[length] - change)
            if self.between:
                break

    @property
    def between(self) -> bool:
        """Whether the wanted change lies between two that were measured."""
        return self.below is not None and self.above is not None

    def first(self, calibrated: float) -> float | None:
        """Return the length to begin with: ``calibrated`` where nothing but the start is known."""
        towards = [length for length in self.known if length * self.change > 0]
        if not towards:
            return float(np.clip(calibrated, *self.edges))
        nearest = min(towards, key=lambda length: abs(self.known[length] - self.change))
        if abs(self.known[nearest] - self.change) <= self.allowed:
            return nearest
        farthest = max(towards, key=abs)
        return self._between() if self.between else self._beyond(farthest, self.known[farthest])

    def next(self, length: float, measured: float) -> float | None:
        """Return the next length to try; None where an edge does not suffice."""
        self.known[length] = measured
        self._note(length, measured - self.change)
        return self._between() if self.between else self._beyond(length, measured)

    def lost(self, length: float) -> float | None:
        """Return the length to try after one at which nothing could be measured; None where it is futile."""
        if self.between:
            return None
        self.edges = (length, self.edges[1]) if length < 0 else (self.edges[0], length)
        self._lost = length
        inner = max((each for each in self.known if each * length >= 0), key=abs)
        return (inner + length) / 2 if abs(length - inner) > LEAP else None

    def _beyond(self, length: float, measured: float) -> float | None:
        edge = self.edges[1] if self.above is None else self.edges[0]
        if edge == self._lost:
            edge = (length + edge) / 2
        if edge in self.known or abs(edge - length) < COARSE / 8:
            return self._beside_nearest()
        # Not yet on the other side: the slope so far says where it is; half as far again, to get over.
        slope = measured / length if measured * length > 0 else None
        ahead = length + 1.5 * (self.change - measured) / slope if slope else 2 * length
        return ahead if abs(length) < abs(ahead) < abs(edge) else edge

    def _beside_nearest(self) -> float | None:
        """Return the middle of the wider gap beside the nearest step, as not even the edge suffices."""
        lengths = sorted(self.known)
        nearest = lengths.index(min(lengths, key=lambda length: abs(self.known[length] - self.change)))
        around = lengths[max(nearest - 1, 0) : nearest + 2]
        low, high = max(pairwise(around), key=lambda gap: gap[1] - gap[0])
        return (low + high) / 2 if high - low > COARSE else None

    def _between(self) -> float | None:
        assert self.below is not None
        assert self.above is not None
        (a, error_a), (b, error_b) = self.below, self.above
        if abs(b - a) < LEAP:
            return None
        share = float(np.clip(error_a / (error_a - error_b), 0.05, 0.95))
        return a + share * (b - a)

    def _note(self, length: float, error: float) -> None:
        side = -1 if error < 0 else 1
        # Illinois: the end that stays for a second time counts half, or the other one would creep.
        if side == self._last_side:
            if side < 0 and self.above is not None:
                self.above = (self.above[0], self.above[1] / 2)
            elif side > 0 and self.below is not None:
                self.below = (self.below[0], self.below[1] / 2)
        self._last_side = side
        if side < 0:
            self.below = (length, error)
        else:
            self.above = (length, error)


def _note(direction: Direction, change: float, measured: float, allowed: float, between: bool) -> str:
    if abs(measured - change) <= allowed:
        return ""
    # Between two measured steps it is in range, but there the volume changes by a leap.
    why = "could not be met closely" if between else "is out of range"
    return (
        f"A change of {change:+.4g} {direction.unit} {why} for this latent; nearest is "
        f"{measured:+.4g} {direction.unit}."
    )


def _found(step: Step, direction: Direction) -> Step:
    """Return the step, where its target was found.

    Raises:
        HaganError: nothing of it was.
    """
    if step.value is None:
        raise HaganError(
            f"'{direction.target}' could not be measured on the volume of the latent: nothing of it was "
            "found there; take another latent or a smaller change."
        )
    return step


def _along(latent: Latent, direction: Direction, length: float, amount: float) -> Latent:
    z = latent.z.astype(np.float64) + length * direction.vector
    step = {
        "direction": direction.name,
        "amount": float(amount),
        "unit": direction.unit,
        "length": length,
        "measured": True,
    }
    return with_steps(latent, z, [step])


def _corrected(
    slopes: npt.NDArray[np.float64], moved_by: npt.NDArray[np.float64], answer: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the slopes (n, n), corrected so that they give the answer to the last move (Broyden 1965).

    A correction after which a target would hardly answer, or leap, is a leap of the measurement: left out.
    """
    squared = float(moved_by @ moved_by)
    if squared == 0:
        return slopes
    corrected = slopes + np.outer(answer - slopes @ moved_by, moved_by) / squared
    singular = np.linalg.svd(corrected, compute_uv=False)
    return corrected if SLOPES[0] <= singular[-1] and singular[0] <= SLOPES[1] else slopes
