"""The patient without table, blankets, tubes and the air around."""

from __future__ import annotations

import numpy as np

from .grid import HU, Mask, Triple
from .morphology import at_sides, closed, dilate, erode, label, label_slices, largest, share_in

TISSUE = -500
"""HU half way between air and soft tissue."""
_OPEN_AIR = -930
"""Outside air is about -1000 HU; lung that a narrow field of view cuts off is lighter."""
_SHEET = 4.0
"""Half the thickness in mm of what is taken off the body: table top, blankets, tubes."""

_HOLE, _HOLE_WIDTH = 12.0, 40.0
"""Half the height and half the width in mm of a hole in the chest wall that is mended."""
_LUNG_SHARE = 0.25
"""Lung is denser than open air in more than this part of what a closed wall regains."""
_LEAKED = 0.9
"""Part of the body's cross-section that is left where a lung was lost."""


def find_body(hu: HU, spacing: Triple) -> Mask:
    """Return the mask of the largest body, with the air inside it (lungs, bowel)."""
    tissue = hu > TISSUE
    trunk = largest(erode(tissue, _SHEET, spacing))
    if not trunk.any():
        trunk = largest(tissue)
    trunk = dilate(trunk, _SHEET + max(spacing), spacing) & tissue
    body = ~_outside(hu, trunk)
    # Through a hole in a thin chest wall the lungs of a slice lie outside. The slices above and below tell,
    # or a wall closed across the hole.
    whole = closed(body, _HOLE, spacing, axes=(0,))
    whole |= _with_lung(~_outside(hu, closed(trunk, _HOLE_WIDTH, spacing, axes=(1, 2))) & ~body, hu)
    leaked = body.sum((1, 2)) < _LEAKED * whole.sum((1, 2))
    body[leaked] |= whole[leaked]
    return body


def _with_lung(regained: Mask, hu: HU) -> Mask:
    """Return the pieces of slices that hold lung: open air alone, as in an armpit, was closed by mistake."""
    pieces, counts = label_slices(regained)
    lung = share_in(hu > _OPEN_AIR, pieces, counts) > _LUNG_SHARE
    lung[0] = False
    return lung[pieces]


def _outside(hu: HU, trunk: Mask) -> Mask:
    """Return what lies around the trunk.

    It must reach the sides of the array within its own slice: the chest wall keeps the lungs from there
    even where the windpipe opens to the air. In 3D it must hold a corner of the array or be as dark as
    open air: a narrow field of view that cuts through a lung leaves lung at the sides.
    """
    slices, _ = label_slices(~trunk)
    reaches = at_sides(slices) > 0
    reaches[0] = False
    spaces, counts = label(reaches[slices])
    dark = np.bincount(spaces[hu < _OPEN_AIR], minlength=len(counts))
    outside = dark > 0.9 * counts
    outside[np.unique(spaces[:, :: max(spaces.shape[1] - 1, 1), :: max(spaces.shape[2] - 1, 1)])] = True
    outside[0] = False
    return outside[spaces]
