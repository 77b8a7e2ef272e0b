"""What is as dense as bone and is none: enhanced blood and kidneys, calcifications, stones, clips."""

from __future__ import annotations

import numpy as np

from .chest import Chest
from .grid import Mask
from .morphology import dilate, erode, label, opened, share_in

_BEHIND_BREASTBONE = 12.0
"""mm behind the front of the lungs up to which the breastbone may reach in between them."""
_INSIDE_LUNG = 4.0
"""mm below the surface of a lung at which what is dense is a vessel or a calcified nodule."""
_HARDNESS = 0.1
"""A bone has at least this share of hard voxels: 0.26 and more was found, 0.004 and less in soft organs."""
_BLOOD_SHARE = 0.65
"""Enhanced blood is denser than this part of its level throughout."""
_DENSEST_MARROW = 220.0
"""HU: below it blood and the inside of vertebrae look alike, and the vertebrae are kept by their place."""
_MOSTLY_VERTEBRA = 0.4
_RIM = 4.0
"""mm by which the blurred border of an enhanced vessel goes beyond its thick part."""
_DENSER_THAN_MARROW, _THICKER_THAN_COMPACT = 400.0, 4.0
"""HU above which nothing is as thick as twice these mm, outside of the spine, but contrast medium and metal:
spongy bone is lighter, and the compact bone of the trunk thinner."""
_STONE = 5.0
"""mL below which a dense piece deep in the body is a stone or a clip with its streaks."""


def not_bone(dense: Mask, chest: Chest) -> Mask:
    """Return the part of ``dense`` that is not bone."""
    other = dense & (_inside_chest(chest) | erode(chest.lungs > 0, _INSIDE_LUNG, chest.spacing))
    other |= _undiluted(dense, chest)
    if chest.enhanced:
        other |= _enhanced_organs(dense, chest)
    return other | _deep_specks(dense & ~other, chest)


def _inside_chest(chest: Chest) -> Mask:
    """Return heart and great vessels: between the lungs, behind the breastbone, in front of the spine."""
    y = np.arange(chest.hu.shape[1])
    behind = (y > chest.front[:, None] + _BEHIND_BREASTBONE / chest.spacing[1])[:, :, None]
    return chest.between & behind & ~chest.column


def _undiluted(dense: Mask, chest: Chest) -> Mask:
    """Return contrast medium in an arm's vein or in the bowel, and metal: too dense, or dense too widely."""
    width = max(_THICKER_THAN_COMPACT, 2.0 * max(chest.spacing))  # two voxels at least say what is wide
    core = opened(dense & (chest.hu > _DENSER_THAN_MARROW), width, chest.spacing)
    core = (core & ~chest.column) | chest.beyond_bone
    return dilate(core, _RIM, chest.spacing) & dense


def _enhanced_organs(dense: Mask, chest: Chest) -> Mask:
    """Return heart, large vessels and kidneys that contrast medium has made as dense as spongy bone.

    Two rounds: blood, which may be thin where it is deep in the body, then everything else that is thick.
    Without the first round the aorta would take the vertebra that it touches along.
    """
    before_lungs = (np.arange(chest.hu.shape[1]) < chest.front[:, None])[:, :, None]
    free = dense & ~before_lungs
    vertebrae = chest.around_spine(16.0, 34.0, 80.0)
    found = np.zeros_like(dense)
    for level, thickness, where in ((_BLOOD_SHARE * chest.blood, 3.0, chest.deep), (0.0, 5.0, dense)):
        if level < _DENSEST_MARROW:
            free &= ~vertebrae
        pieces, counts = label(opened(free & (chest.hu > level), thickness, chest.spacing))
        soft = (share_in(chest.hard, pieces, counts) < _HARDNESS) & (share_in(where, pieces, counts) > 0.5)
        soft |= share_in(chest.between, pieces, counts) > 0.5
        soft &= share_in(vertebrae, pieces, counts) < _MOSTLY_VERTEBRA
        soft[0] = False
        found |= dilate(soft[pieces], _RIM, chest.spacing) & free
        free &= ~found
    return found


def _deep_specks(dense: Mask, chest: Chest) -> Mask:
    """Return stones and clips deep in the body; with contrast medium also the thin vessels there."""
    pieces, counts = label(dense & ~chest.column)
    speck = counts * float(np.prod(chest.spacing)) / 1000.0 < _STONE
    if chest.enhanced:
        speck |= share_in(chest.hard, pieces, counts) < _HARDNESS
    speck &= share_in(chest.deep, pieces, counts) > 0.5
    speck[0] = False
    return speck[pieces]
