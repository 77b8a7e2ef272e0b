"""One step along a direction: a volume, with what was asked of it and what was measured on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..anatomy import Segmentation, segment
from ..imaging.volume import Volume
from ..progress import Progress, no_progress, part_of
from .direction import Direction
from .targets import TARGETS

if TYPE_CHECKING:
    from ..inference.latent import Latent
    from ..inference.model import Model


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
    iterations: int = 0
    """Volumes that the closed loop measured for it."""


def start_of(model: Model, latent: Latent, direction: Direction, progress: Progress = no_progress) -> Step:
    """Return the volume of a latent, measured: where steps along a direction begin.

    Raises:
        HaganError: the latent or the direction belongs to another model.
    """
    direction.require_model(model.file)
    return step_at(model, latent, direction, None, 0.0, progress)


def step_at(
    model: Model,
    latent: Latent,
    direction: Direction,
    base: float | None,
    change: float,
    progress: Progress = no_progress,
) -> Step:
    """Make the volume of a latent that was moved, and measure it.

    Args:
        model: makes the volume.
        latent: where the step led.
        direction: along which it went; its target is measured.
        base: the target at the start; None where this is the start.
        change: that was asked for.
        progress: called while it is made and measured; may raise Cancelled.
    """
    volume = model.decode(latent, progress=part_of(progress, 0.0, 0.5))
    found = segment(volume, part_of(progress, 0.5, 1.0)) if model.profile.modality == "CT" else None
    value = measure(direction, volume, found)
    base = value if base is None else base
    return Step(
        requested=change,
        measured=None if value is None or base is None else value - base,
        value=value,
        latent=latent,
        volume=volume,
        segmentation=found,
    )


def measurable(model: Model, direction: Direction) -> bool:
    """Tell whether a direction's target can be measured on volumes of a model."""
    return model.profile.modality == "CT" and direction.target in TARGETS


def measure(direction: Direction, volume: Volume, found: Segmentation | None) -> float | None:
    """Return a direction's target on a volume; None where it cannot be measured there."""
    if found is None or direction.target not in TARGETS:
        return None
    value = float(TARGETS[direction.target].measure(volume, found))
    return value if math.isfinite(value) else None
