"""Walk along a direction: a series of volumes, each with what was asked of it and what was measured on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..progress import Progress, no_progress, part_of
from ..wording import short_text
from .closed_loop import ClosedLoop
from .direction import Direction, moved, require_range
from .step import Step, measurable, start_of, step_at

if TYPE_CHECKING:
    from ..inference.latent import Latent
    from ..inference.model import Model


@dataclass(frozen=True, slots=True)
class Walk:
    """A series of volumes along one direction."""

    direction: Direction
    start: Step
    """The latent itself, unmoved."""
    steps: tuple[Step, ...]
    exact: bool
    """Whether they were measured and corrected."""

    def percent(self, change: float | None) -> float | None:
        """Return a change in percent of the start's own value: see :func:`percent_of`."""
        return percent_of(change, self.start.value, self.direction)


def walk(
    model: Model,
    start: Latent | Step,
    direction: Direction,
    changes: Sequence[float],
    *,
    exact: bool = True,
    beyond: bool = False,
    held: Sequence[Direction] = (),
    progress: Progress = no_progress,
) -> Walk:
    """Move a latent along a direction and measure each volume.

    Args:
        model: makes the volumes.
        start: a latent of it, or what :func:`~HAGANCore.directions.step.start_of` made of one.
        direction: where to go.
        changes: of the direction's target, in its unit; any order, 0 is the start.
        exact: measure and correct until the change is met within 2 % (closed loop), where the target can be
            measured on a volume; otherwise the direction's calibration decides (open loop).
        beyond: let the closed loop try changes outside the direction's range as well.
        held: directions whose targets must stay as they are in this one latent: a closed loop over all of
            them.
        progress: called for every volume.

    Raises:
        HaganError: a change outside the direction's range, a target that cannot be measured where it must
            be, or parts of different models.
    """
    progress(0.0, "start")
    first = (
        start
        if isinstance(start, Step)
        else start_of(model, start, direction, part_of(progress, 0.0, 1 / (1 + len(changes))))
    )
    closed = bool(held) or (exact and measurable(model, direction))
    if not (beyond and closed):
        for change in changes:  # said before the work
            require_range(direction, first.latent, model, change)
    loop = ClosedLoop(model, first)
    steps: dict[int, Step] = {}
    # The longest first: shorter ones then lie between what was measured.
    for count, index in enumerate(sorted(range(len(changes)), key=lambda i: -abs(changes[i]))):
        change = changes[index]
        progress((1 + count) / (1 + len(changes)), short_text(change, direction.unit, signed=True))
        part = part_of(progress, (1 + count) / (1 + len(changes)), (2 + count) / (1 + len(changes)))
        if change == 0:
            steps[index] = first
        elif closed:
            wanted = [(direction, change), *((each, 0.0) for each in held)]
            steps[index] = loop.step(wanted, progress=part)
        else:
            latent = moved(first.latent, model, [(direction, change)])
            steps[index] = step_at(model, latent, direction, first.value, change, part)
    progress(1.0)
    return Walk(direction, first, tuple(steps[index] for index in range(len(changes))), closed)


def percent_of(change: float | None, base: float | None, direction: Direction) -> float | None:
    """Return a change in percent of ``base``; None unless they are volumes: HU has no natural zero."""
    return 100 * change / base if change is not None and base and direction.unit == "mL" else None
