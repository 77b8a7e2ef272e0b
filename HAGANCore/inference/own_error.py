"""How close a model comes to volumes that it made itself: the best to be hoped for of an encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..progress import Progress, no_progress, part_of

if TYPE_CHECKING:
    from .model import Model

_SEEDS = (1, 2, 3)
"""Of three volumes, as single ones vary: 41 to 79 HU for the demonstration model."""
_LONGEST_S = 10.0


def own_error(model: Model, progress: Progress = no_progress) -> float | None:
    """Return the mean absolute error of encoding volumes that the model made itself, in the model's unit.

    A scan that the model could make would be encoded about as well. None where the model has no encoders, or
    where the nine volumes that it takes would need more than ten seconds: a person waits for the answer.
    """
    stored = set(model.file.stored)
    if not {"encoder", "ground_encoder"} <= stored or 3 * len(_SEEDS) * model.plan.seconds > _LONGEST_S:
        return None
    errors = []
    for index, seed in enumerate(_SEEDS):
        share = part_of(progress, index / len(_SEEDS), (index + 1) / len(_SEEDS))
        volume = model.generate(seed=seed, progress=part_of(share, 0.0, 0.3))
        errors.append(model.encode(volume, force=True, progress=part_of(share, 0.3, 1.0)).errors.mae)
    return sum(errors) / len(errors)
