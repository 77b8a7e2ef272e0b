"""Which organs reach the border of the scan, so that part of them may lie beyond it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..imaging.orientation import View
from .grid import Labels, Mask, Triple
from .lung_box import cut_at

_TOUCH_MM2 = 25.0
"""A smaller contact is a voxel or two of noise."""
_PADDING_BELOW = -1500
"""Scanners fill what lies outside a round field of view with -2000 and less; no CT number of a body, and no
noise on one of air, is as low."""


def where_cut(
    labels: Labels, numbers: Mapping[str, int], view: View, body: Mask, spacing: Triple
) -> dict[str, tuple[str, ...]]:
    """Return for each organ that reaches the border where it does: of ``top``, ``bottom`` and ``side``.

    Args:
        labels: (z, y, x) in canonical orientation.
        numbers: of the organs in it.
        view: the scan in this orientation, as it was read.
        body: on the coarse grid.
        spacing: mm of the coarse grid.
    """
    padding = view.array < _PADDING_BELOW
    if view.array.dtype.kind == "f":
        padding &= np.isfinite(view.array)  # lost on the way, not beyond what the scanner saw
    beyond = padding if padding.any() else None
    organs = {
        name: cut_at(labels, view.spacing, number, beyond, _TOUCH_MM2) for name, number in numbers.items()
    }
    organs["thorax"] = cut_at(body, spacing, least_mm2=_TOUCH_MM2)
    return {name: sides for name, sides in organs.items() if sides}
