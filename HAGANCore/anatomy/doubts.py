"""What makes a measured organ doubtful: it is cut by the scan, missing, or partly too dense to be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..wording import millilitres_text
from .grid import HU, Labels, Mask, Triple
from .lungs import LEFT_LUNG, RIGHT_LUNG
from .morphology import closed

SIDES = {RIGHT_LUNG: "right_lung", LEFT_LUNG: "left_lung"}
_SMALL_SHARE = 0.2
"""A lung that is less than this part of the other one was lost: after the removal of two of three lobes, or
with a raised diaphragm, more than this is left."""
_RIB_GAP = 20.0
"""mm along the body between ribs of neighbouring levels, which overlap behind a lung."""
_CHEST_WALL = 20.0
"""mm from the back of a lung to the rib behind it that muscle, vessels and a slanting rib explain."""
_ASIDE = 35.0
"""mm to either side of the spine from where on nothing but lung lies before the ribs: aorta and gullet do
not."""
_LOST_ML, _LOST_SHARE = 60.0, 0.03
"""What is lost counts from so many mL and this part of the lung: 27 mL and 1.1 % at most for the lungs of
five scans and eight phantoms, 250 mL and more in both lungs of a patient with consolidations."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a number may be wrong."""

    code: str
    """A short name for programs: ``lungs-cut``, ``lung-missing``, ``lung-dense``, or a check's own."""
    organs: tuple[str, ...]
    """Whose millilitres are in doubt: names of :data:`~HAGANCore.anatomy.LABELS`, or ``thorax``."""
    message: str
    """One line for a person."""


def doubts_about_cuts(cut: Mapping[str, tuple[str, ...]], millilitres: Mapping[str, float]) -> list[Doubt]:
    """Return which lung the scan cuts, and which it hardly shows.

    Args:
        cut: for each lung that the scan cuts, where.
        millilitres: of ``right_lung`` and ``left_lung``, as they are given to the user.
    """
    doubts = []
    for name, ml in millilitres.items():
        title = name.replace("_", " ")
        if cut.get(name):
            where = " and ".join(cut[name])
            text = f"The {title} is cut at the {where} of the scan ({millilitres_text(ml)} in view)"
            doubts.append(Doubt("lungs-cut", (name,), f"{text}; its true volume is larger."))
        if ml < _SMALL_SHARE * max(millilitres.values()):
            text = (
                f"Of the {title}, {millilitres_text(ml)} were found" if ml else f"The {title} was not found"
            )
            why = "it may lie outside the scan, have been removed, or be too dense to be found"
            doubts.append(Doubt("lung-missing", (name,), f"{text}; {why}."))
    return doubts


def doubts_about_density(hu: HU, lungs: Labels, bones: Mask, middle: float, spacing: Triple) -> list[Doubt]:
    """Return which lung seems to have a part that is too dense to be found.

    Args:
        hu: (z, y, x) in canonical orientation, on the coarse grid.
        lungs: 0, RIGHT_LUNG or LEFT_LUNG on it.
        bones: on it.
        middle: x index of the spine.
        spacing: mm along z, y and x.
    """
    voxel = float(np.prod(spacing)) / 1000.0
    doubts = []
    for side, name in SIDES.items():
        lost = _dense_before_ribs(hu, lungs == side, bones, middle, spacing) * voxel
        if lost > max(_LOST_ML, _LOST_SHARE * np.count_nonzero(lungs == side) * voxel):
            title = name.replace("_", " ")
            text = f"Part of the {title} may be too dense to be found (consolidation or effusion)"
            where = f"{millilitres_text(lost)} of tissue lie behind it"
            doubts.append(Doubt("lung-dense", (name,), f"{text}: {where}."))
    return doubts


def _dense_before_ribs(hu: HU, lung: Mask, bones: Mask, middle: float, spacing: Triple) -> int:
    """Return how many voxels of tissue lie between the back of a lung and the ribs, where lung belongs.

    Behind a lung, aside of the spine, come pleura and ribs at once, from the apex to the recess below the
    diaphragm. What consolidates or flows sinks there, for patients lie on their back.
    """
    rows = np.arange(hu.shape[1])[None, :, None]
    ribs = closed(bones, _RIB_GAP, spacing, axes=(0,))
    back = np.where(lung, rows, -1).max(1, keepdims=True)
    behind = ribs & (rows > back)
    rib = np.where(behind.any(1, keepdims=True), behind.argmax(1)[:, None], -1)
    aside = np.abs(np.arange(hu.shape[2]) - middle) * spacing[2] > _ASIDE
    far = (back >= 0) & ((rib - back - 1) * spacing[1] > _CHEST_WALL) & aside
    return int(np.count_nonzero(far & (rows > back) & (rows < rib) & (hu > -300) & (hu < 150)))
