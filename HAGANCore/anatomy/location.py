"""Where the lungs lie in a scan: enough to place a field of view and to know a chest."""

from __future__ import annotations

import numpy as np

from ..imaging.orientation import canonical_view
from ..imaging.volume import Volume
from .lung_box import SMALLEST_LUNGS_ML, LungLocation, box_of_lungs, cut_at
from .segment import LEFT_LUNG, RIGHT_LUNG, Segmentation, Survey


def locate_lungs(volume: Volume) -> LungLocation | None:
    """Find the lungs of a CT scan in HU, in any orientation; None where there are none to be seen.

    These are the lungs of :func:`~HAGANCore.anatomy.segment` before their borders are refined.
    """
    return lungs_in(Survey.of(volume))


def lungs_in(found: Survey) -> LungLocation | None:
    """Do what :func:`locate_lungs` does, on a volume that was looked at already."""
    lungs = found.lungs > 0
    volume_ml = float(np.count_nonzero(lungs)) * float(np.prod(found.spacing)) / 1000
    box = box_of_lungs(lungs, found.spacing)
    if volume_ml < SMALLEST_LUNGS_ML or box is None:
        return None
    edges = [
        (float(first * factor), float(min(last * factor, size)))
        for (first, last), factor, size in zip(box, found.factors, found.view.array.shape, strict=True)
    ]
    return LungLocation(
        box=found.view.to_source_box(edges), volume_ml=volume_ml, cut_at=cut_at(lungs, found.spacing)
    )


def lungs_of(found: Segmentation) -> LungLocation | None:
    """Return where the lungs of a segmentation lie, whoever made it; None where it shows none."""
    view = canonical_view(found.labels, found.geometry, "SPL")
    lungs = (view.array == RIGHT_LUNG) | (view.array == LEFT_LUNG)
    box = box_of_lungs(lungs, view.spacing)
    if found.lungs_ml < SMALLEST_LUNGS_ML or box is None:
        return None
    edges = [(float(first), float(last)) for first, last in box]
    return LungLocation(
        box=view.to_source_box(edges), volume_ml=found.lungs_ml, cut_at=cut_at(lungs, view.spacing)
    )
