"""Walk along a direction: a series of volumes, each with what was asked of it and what was measured on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..progress import Progress, no_progress, part_of
from ..segmentation import Segmentation, segment
from ..volumes.volume import Volume
from .calibrate import reach
from .direction import Direction, moved, nominal_unit
from .targets import TARGETS

if TYPE_CHECKING:
    from ..inference.latentfile import Latent
    from ..inference.model import Model

HOLD_ROUNDS = 6
"""Volumes measured for one step at most, where other targets are held fixed."""
WANTED_TOLERANCE = 0.02
"""Of the change asked for: where it is met, in a closed loop."""
HELD_TOLERANCE = 0.05
"""Of a held target's standard deviation: where it counts as unmoved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One volume of a walk."""

    requested: float
    """Change of the target that was asked for, in the direction's unit."""
    measured: float | None
    """Change that was measured, against the start; None where the target cannot be measured on a volume."""
    value: float | None
    """The target itself, as measured."""
    latent: Latent
    volume: Volume
    """The network's cube (R, R, R); in the patient's place for a scan's latent."""
    segmentation: Segmentation | None
    """Of the volume; None for volumes that are no CT."""
    note: str = ""
    """What the closed loop could not do."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A series of volumes along one direction."""

    direction: Direction
    start: Step
    """The latent itself, unmoved."""
    steps: tuple[Step, ...]

    def percent(self, change: float | None) -> float | None:
        """Return a change in percent of the start's own value: see :func:`percent_of`."""
        return percent_of(change, self.start.value, self.direction)


def start_of(model: Model, latent: Latent, direction: Direction) -> Step:
    """Return the volume of a latent, measured: where a walk begins.

    Raises:
        HaganError: the latent or the direction belongs to another model.
    """
    direction.require_model(model.file)
    return _measured(model, latent, direction, None, 0.0)


def walk(
    model: Model,
    start: Latent | Step,
    direction: Direction,
    changes: Sequence[float],
    *,
    exact: bool = False,
    held: Sequence[Direction] = (),
    progress: Progress = no_progress,
) -> Walk:
    """Move a latent along a direction and measure each volume.

    Args:
        model: makes the volumes.
        start: a latent of it, or what :func:`start_of` made of one.
        direction: where to go.
        changes: of the direction's target, in its unit; any order, 0 is the start.
        exact: measure and correct until the change is met within 2 % (closed loop); otherwise the
            direction's calibration decides (open loop).
        held: directions whose targets must stay as they are in this one latent: a closed loop over all of
            them, so the change itself is met as with ``exact``.
        progress: called for every volume.

    Raises:
        HaganError: a change outside the direction's range, a target that cannot be measured where it must
            be, or parts of different models.
    """
    progress(0.0, "start")
    first = start if isinstance(start, Step) else start_of(model, start, direction)
    if (exact or held) and first.value is None:
        raise HaganError(
            f"The target of the direction '{direction.name}' cannot be measured on a volume, so its change "
            "cannot be made exact nor anything held fixed; leave out 'exact' and 'held'."
        )
    steps = []
    for index, change in enumerate(changes):
        if not exact and not held:
            # What is out of range is said before the work.
            direction.step_for(change, None, nominal_unit(direction, first.latent, model))
        progress((1 + index) / (1 + len(changes)), f"{change:+g} {direction.unit}".strip())
        part = part_of(progress, (1 + index) / (1 + len(changes)), (2 + index) / (1 + len(changes)))
        if change == 0:
            steps.append(first)
        elif held:
            steps.append(_holding(model, first, direction, change, held, part))
        elif exact:
            found = reach(model, first.latent, direction, change)
            steps.append(replace(_measured(model, found.latent, direction, first, change), note=found.note))
        else:
            latent = moved(first.latent, model, [(direction, change)])
            steps.append(_measured(model, latent, direction, first, change))
    progress(1.0)
    return Walk(direction, first, tuple(steps))


def percent_of(change: float | None, base: float | None, direction: Direction) -> float | None:
    """Return a change in percent of ``base``; None unless they are volumes: HU has no natural zero."""
    return 100 * change / base if change is not None and base and direction.unit == "mL" else None


def measure(direction: Direction, volume: Volume, found: Segmentation | None) -> float | None:
    """Return a direction's target on a volume; None where it cannot be measured there."""
    if found is None or direction.target not in TARGETS:
        return None
    value = float(TARGETS[direction.target].measure(volume, found))
    return value if math.isfinite(value) else None


def _measured(model: Model, latent: Latent, direction: Direction, first: Step | None, change: float) -> Step:
    volume = model.decode(latent)
    found = segment(volume) if model.profile.modality == "CT" else None
    value = measure(direction, volume, found)
    base = value if first is None else first.value
    return Step(
        requested=change,
        measured=None if value is None or base is None else value - base,
        value=value,
        latent=latent,
        volume=volume,
        segmentation=found,
    )


def _holding(
    model: Model,
    first: Step,
    direction: Direction,
    change: float,
    held: Sequence[Direction],
    progress: Progress,
) -> Step:
    """Correct the amounts along all directions by what each target missed, until all are met."""
    directions = (direction, *held)
    wanted = np.array([change, *(0.0 for _ in held)])
    tolerances = np.array(
        [WANTED_TOLERANCE * abs(change), *(HELD_TOLERANCE * each.baseline.get("sd", 0.0) for each in held)]
    )
    base, amounts = _values(directions, first), wanted.copy()
    edges = [[edge / nominal_unit(each, first.latent, model) for edge in each.range] for each in directions]
    best, least, note = first, math.inf, ""
    for round_ in range(HOLD_ROUNDS):
        progress(round_ / HOLD_ROUNDS, "holding the others")
        steps = [
            (each, float(np.clip(amount, low, high)))
            for each, amount, (low, high) in zip(directions, amounts, edges, strict=True)
        ]
        step = _measured(model, moved(first.latent, model, steps), direction, first, change)
        missing = wanted - (_values(directions, step) - base)
        amounts += missing
        shares = np.abs(missing) / np.maximum(tolerances, 1e-9)
        worst = int(shares.argmax())
        if shares[worst] < least:
            best, least = step, float(shares[worst])
            of = directions[worst]
            note = f"Not met: '{of.name}' is off by {-missing[worst]:+.3g} {of.unit}."
        if least <= 1:
            return best
    return replace(best, note=note)


def _values(directions: Sequence[Direction], step: Step) -> npt.NDArray[np.float64]:
    """Return the targets of directions on one volume."""
    values = [measure(each, step.volume, step.segmentation) for each in directions]
    if None in values:
        raise HaganError(
            f"The target of the direction '{directions[values.index(None)].name}' cannot be measured on the "
            "volume, so it cannot be held fixed."
        )
    return np.array(values, np.float64)
