"""Right and left lung on the coarse grid."""

from __future__ import annotations

import numpy as np

from .airways import Section, find_airways
from .gas import gas_pockets
from .grid import HU, Labels, Mask, Triple
from .junction import left_of_junction
from .morphology import closed, dilate, erode, fill_holes, label, opened

RIGHT_LUNG, LEFT_LUNG = 1, 2

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
_MEDIASTINUM = 25.0
"""mm to either side of the spine within which what is thick is heart or great vessels, not a mass: lungs that
reach far round a narrow heart would else take it for one. The tumours of both scans lie further out."""


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
    gas = gas_pockets(candidates, hu, spacing)
    labels = _separate(candidates & ~gas, hu, middle, spacing)
    allowed = body & ~airways & ~gas
    for side in (RIGHT_LUNG, LEFT_LUNG):
        _fill(labels, side, hu, allowed, middle, spacing)
    _give_back(labels, airways, sections, spacing)
    return labels, airways


def _separate(candidates: Mask, hu: HU, middle: float, spacing: Triple) -> Labels:
    """Return right and left lung without bowel gas, cut apart where they touch."""
    voxel = float(np.prod(spacing)) / 1000.0
    components, counts = label(candidates)
    counts[0] = 0
    left_half = left_of_junction(candidates, hu, middle, spacing)
    in_left = np.bincount(components[left_half], minlength=len(counts))
    both = np.minimum(in_left, counts - in_left) * voxel > _SMALLEST
    if both.any():
        joined = both[components]
        halves = np.where(left_half & joined, components + len(counts), components)
        counts = np.bincount(halves.ravel(), minlength=2 * len(counts))
        counts[0] = 0
        components = halves
    core = erode(candidates, max(spacing), spacing)  # the border is a blend with the wall
    inside = np.bincount(components[core], minlength=len(counts))
    gas = np.bincount(components[core & (hu < _GAS)], minlength=len(counts)) > 0.75 * inside
    counts[gas] = 0
    side = np.zeros(len(counts), np.uint8)
    for number in np.flatnonzero(counts * voxel >= max(_SMALLEST, _SHARE * counts.max() * voxel)).tolist():
        piece = components == number
        if not _is_rim(piece, spacing):
            side[number] = LEFT_LUNG if 2 * piece[left_half].sum() > counts[number] else RIGHT_LUNG
    return side[components]


def _is_rim(piece: Mask, spacing: Triple) -> bool:
    """Tell whether only the edge of a lung reaches into the scan."""
    sections = piece.sum((1, 2))
    return sections.argmax() in (0, len(sections) - 1) and not erode(piece, _RIM, spacing).any()


def _fill(labels: Labels, side: int, hu: HU, allowed: Mask, middle: float, spacing: Triple) -> None:
    """Add to a lung its vessels, nodules, and masses at its surface."""
    lung = labels == side
    if not lung.any():
        return
    free = allowed & (labels == 0)
    lung |= fill_holes(closed(lung, _VESSELS, spacing)) & free
    soft = free & (hu > -300) & (hu < 130)
    soft &= ~dilate(hu > 180, 3.0, spacing)  # ribs and vertebrae, and what lies against them
    soft &= np.abs(np.arange(hu.shape[2]) - middle) * spacing[2] >= _MEDIASTINUM
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
