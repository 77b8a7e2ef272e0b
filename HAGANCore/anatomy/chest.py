"""What a chest looks like from inside: the landmarks that tell bone from everything else that is dense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .grid import HU, Labels, Mask, Triple
from .lungs import LEFT_LUNG, RIGHT_LUNG
from .morphology import dilate, erode
from .spine import Spine, follow_spine

Rows = npt.NDArray[np.float64]

_BEYOND_BONE = 1400
"""HU of a voxel of the coarse grid that compact bone, blurred by it, hardly reaches: the densest thick parts
of the bones of seven scans had medians of 950 and less, contrast medium in an arm's vein 1,850, a metal hip
2,200."""
DENSEST_BONE = 600
"""HU above which bone says no more about where its border lies; also the end of the models' window."""
SOFT_TISSUE = 40
"""HU of muscle."""
_HARD, _HARDER_THAN_BLOOD = 250.0, 100.0
"""HU of cortical bone, blurred by a coarse voxel, and how far it is above enhanced blood."""
_ENHANCED = 110.0
"""HU of blood from which on a scan counts as taken with contrast medium."""
_HEART = 0.55
"""The heart lies in this front part of the lungs' depth; the spine does not reach into it."""
_DEEP = 45.0
"""mm below the skin at which vessels and kidneys lie and ribs do not, ..."""
_CHEST_WALL = 15.0
"""... unless within these mm outside the lungs: ribs lie deep below a breast."""


@dataclass(frozen=True, slots=True)
class Chest:
    """A CT on the coarse grid in canonical orientation, and what was found in it."""

    hu: HU
    """At most DENSEST_BONE."""
    body: Mask
    lungs: Labels
    spacing: Triple
    between: Mask
    """Mediastinum and spine: right lung on the right, left lung on the left in the same row."""
    front: Rows
    """First row of the lungs by slice."""
    blood: float
    """HU of blood."""
    hard: Mask
    """Cortical bone, and nothing else but the densest contrast medium and metal."""
    deep: Mask
    """Deeper in the body than any rib."""
    spine: Spine
    beyond_bone: Mask
    """Denser than bone of any kind."""

    @property
    def enhanced(self) -> bool:
        """Whether the scan was taken with contrast medium."""
        return self.blood > _ENHANCED

    def around_spine(self, aside: float, ahead: float, behind: float) -> Mask:
        """Return the voxels within these mm of the spinal canal."""
        return self.spine.zone(self.hu.shape, self.spacing, aside, ahead, behind)

    @property
    def column(self) -> Mask:
        """The spine with room around it: aside of the largest vertebra and before it."""
        return self.around_spine(35.0, 52.0, 80.0)


def survey_chest(hu: HU, body: Mask, lungs: Labels, middle: float, spacing: Triple) -> Chest:
    """Find the landmarks; ``middle`` is the x index of the spine."""
    beyond_bone = body & (hu > _BEYOND_BONE)
    hu = np.minimum(hu, DENSEST_BONE)
    between = _between_lungs(lungs)
    front, back = _lung_rows(lungs)
    blood = _blood_level(hu, between, front, back)
    hard = body & (hu > max(_HARD, blood + _HARDER_THAN_BLOOD))
    deep = erode(body, _DEEP, spacing, axes=(1, 2))
    deep &= between | ~dilate(lungs > 0, _CHEST_WALL, spacing)
    spine = follow_spine(hu, hard, body, lungs, middle, spacing)
    return Chest(hu, body, lungs, spacing, between, front, blood, hard, deep, spine, beyond_bone)


def _between_lungs(lungs: Labels) -> Mask:
    x = np.arange(lungs.shape[2])
    right = np.where(lungs == RIGHT_LUNG, x, -1).max(2)
    left = np.where(lungs == LEFT_LUNG, x, lungs.shape[2]).min(2)
    both = (right >= 0) & (left < lungs.shape[2])
    return both[:, :, None] & (x > right[:, :, None]) & (x < left[:, :, None])


def _lung_rows(lungs: Labels) -> tuple[Rows, Rows]:
    """Return the first and the last row of the lungs by slice; where there are none, of the nearest slice."""
    rows: Mask = np.any(lungs > 0, axis=2)
    used = np.flatnonzero(np.any(rows, axis=1))
    if not used.size:
        return np.zeros(len(rows)), np.full(len(rows), float(rows.shape[1]))
    slices = np.arange(len(rows))
    front = np.interp(slices, used, rows[used].argmax(1))
    front = np.minimum.accumulate(front[::-1])[::-1]  # the lowest slices cut only the recess behind the liver
    back = np.interp(slices, used, rows.shape[1] - 1 - rows[used, ::-1].argmax(1))
    return front, back


def _blood_level(hu: HU, between: Mask, front: Rows, back: Rows) -> float:
    """Return the HU of blood: the upper quartile of the tissue between the lungs, in front of the spine.

    Within 12 HU of the truth on 24 phantoms, with and without contrast medium.
    """
    heart = between & (np.arange(hu.shape[1]) < (front + _HEART * (back - front))[:, None])[:, :, None]
    tissue = hu[heart & (hu > 0)]
    return float(np.percentile(tissue, 75)) if tissue.size else float(SOFT_TISSUE)
