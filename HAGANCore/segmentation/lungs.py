"""Right and left lung on the coarse grid."""

from __future__ import annotations

import numpy as np

from .airways import Section, find_airways
from .grid import HU, Labels, Mask, Triple
from .morphology import closed, dilate, erode, fill_holes, label, opened

RIGHT_LUNG, LEFT_LUNG = 1, 2
_GAS_PIECE = 3

LUNG_BELOW = -400
"""HU half way between lung (-850) and soft tissue (40): where a voxel is half filled with each."""
_GAS = -940
"""Gas in the bowel is darker than this nearly everywhere; even emphysema has vessels in it."""
_SMALLEST = 15.0
"""mL of the smallest piece that counts as a lung of its own."""
_SHARE = 0.08
"""A lung is at least this part of the other one."""
_RIM = 15.0
"""A lung that the scan's first or last slice cuts at its widest is in view only where it is thicker than
twice this, in mm: the rim of lung at the top of an abdominal scan is not a lung."""
_VESSELS = 9.0
"""Radius in mm of the ball that is rolled over a lung: vessels and nodules at its surface are kept inside."""
_MASS = 25.0
"""Radius in mm of the ball that finds tumours and consolidations at the surface, which are thicker ..."""
_MASS_CORE = 7.0
"""... than twice this, in mm. Nothing else between the two balls is that
thick: measured on five scans, two of them with tumours."""


def find_lungs(hu: HU, body: Mask, middle: float, spacing: Triple) -> tuple[Labels, Mask]:
    """Return the lungs (0, RIGHT_LUNG, LEFT_LUNG) and the airways outside them.

    ``hu`` and ``body`` are (z, y, x) in canonical orientation; ``middle`` is the x index of the spine.
    """
    air = body & (hu < LUNG_BELOW)
    sections = find_airways(air, hu, spacing)
    airways = np.zeros_like(air)
    for section in sections:
        airways[section.z] |= section.mask
    candidates = air & ~dilate(airways, max(spacing[1:]), spacing, axes=(1, 2))
    labels = _separate(candidates, hu, middle, spacing)
    allowed = body & ~airways
    for side in (RIGHT_LUNG, LEFT_LUNG):
        _fill(labels, side, hu, allowed, spacing)
    _give_back(labels, airways, sections, spacing)
    return labels, airways


def _separate(candidates: Mask, hu: HU, middle: float, spacing: Triple) -> Labels:
    """Return right and left lung without bowel gas, cut apart where they touch.

    The air is thinned until a piece on either side of the midline has come loose, then the pieces
    grow back through the air at the same pace and meet at the bottleneck between them.
    """
    one_sided = np.zeros(candidates.shape, np.uint8)
    for thinning in (0.0, 3.0, 5.0, 8.0, 11.0, 14.0):
        pieces = _lung_pieces(erode(candidates, thinning, spacing), hu, middle, spacing)
        if (pieces == RIGHT_LUNG).any() and (pieces == LEFT_LUNG).any():
            return _grow_back(pieces, candidates)
        if thinning == 0.0:
            one_sided = pieces
    one_sided[one_sided == _GAS_PIECE] = 0
    return one_sided


def _lung_pieces(air: Mask, hu: HU, middle: float, spacing: Triple) -> Labels:
    """Label the pieces of ``air`` that are lung: RIGHT_LUNG, LEFT_LUNG; _GAS_PIECE marks gas elsewhere."""
    components, counts = label(air)
    volumes = counts * float(np.prod(spacing)) / 1000.0
    volumes[0] = 0.0
    core = erode(air, max(spacing), spacing)  # the border is a blend with the wall
    inside = np.bincount(components[core], minlength=len(counts))
    gas = np.bincount(components[core & (hu < _GAS)], minlength=len(counts)) > 0.75 * inside
    table = np.zeros(len(counts), np.uint8)
    for number in np.flatnonzero(volumes >= max(_SMALLEST, _SHARE * volumes[~gas].max(initial=0))):
        piece = components == number
        if gas[number]:
            table[number] = _GAS_PIECE
        elif not _is_rim(piece, spacing):
            x = float((np.arange(piece.shape[2]) * piece.sum((0, 1))).sum() / counts[number])
            table[number] = RIGHT_LUNG if x < middle else LEFT_LUNG
    return table[components]


def _is_rim(piece: Mask, spacing: Triple) -> bool:
    """Tell whether only the edge of a lung reaches into the scan."""
    sections = piece.sum((1, 2))
    return sections.argmax() in (0, len(sections) - 1) and not erode(piece, _RIM, spacing).any()


def _grow_back(pieces: Labels, within: Mask) -> Labels:
    """Return the labels grown voxel by voxel through ``within``; gas takes its part and is dropped."""
    labels = pieces
    while True:
        free = within & (labels == 0)
        grown = labels.copy()
        for axis in range(3):
            ahead, behind = [slice(None)] * 3, [slice(None)] * 3
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            for to, source in ((tuple(ahead), tuple(behind)), (tuple(behind), tuple(ahead))):
                np.copyto(grown[to], labels[source], where=free[to] & (grown[to] == 0))
        if np.array_equal(grown, labels):
            labels[labels == _GAS_PIECE] = 0
            return labels
        labels = grown


def _fill(labels: Labels, side: int, hu: HU, allowed: Mask, spacing: Triple) -> None:
    """Add to a lung its vessels, nodules, and masses at its surface."""
    lung = labels == side
    if not lung.any():
        return
    free = allowed & (labels == 0)
    lung |= fill_holes(closed(lung, _VESSELS, spacing)) & free
    soft = free & (hu > -300) & (hu < 130)
    soft &= ~dilate(hu > 180, 3.0, spacing)  # ribs and vertebrae, and what lies against them
    gap = closed(lung, _MASS, spacing) & soft & ~lung
    masses = opened(gap, _MASS_CORE, spacing)
    if masses.any():
        lung |= gap & dilate(masses, _MASS_CORE, spacing)
    labels[lung] = side


def _give_back(labels: Labels, airways: Mask, sections: list[Section], spacing: Triple) -> None:
    """Give bronchi that lie inside a lung to that lung."""
    for section in sections:
        around = dilate(section.mask[None], 6.0, spacing, axes=(1, 2))[0] & ~airways[section.z]
        found = labels[section.z][around]
        for side in (RIGHT_LUNG, LEFT_LUNG):
            if np.count_nonzero(found == side) > 0.85 * found.size:
                labels[section.z][section.mask] = side
                airways[section.z] &= ~section.mask
