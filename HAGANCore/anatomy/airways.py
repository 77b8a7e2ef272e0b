"""Windpipe and main bronchi, followed slice by slice from the top."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .grid import HU, Mask, Triple
from .morphology import Components, label_slices

_LUMEN = (40.0, 800.0)
"""Cross-section of the windpipe in mm²: 10–25 mm across, with room for a sloping cut and a large voxel."""
_SHORTEST = 25.0
"""A windpipe keeps its cross-section over this length in mm; the top of a lung widens sooner."""
_BELOW_FORK = 55.0
"""Main bronchi end within this length in mm below the fork; what follows lies inside the lung."""
_NARROWEST = 30.0
"""Cross-section in mm² at which a bronchus is left to the lung."""
_LEVELS = (-450, -650, -800, -900)
"""HU below which a lumen is looked for; the lightest level at which its wall still holds is taken.
The wall, 1.5 mm of tissue, is as dark as -700 HU in voxels of 5 mm, yet lighter than what it parts."""
_SEARCH = 2
"""Which of the levels shows the windpipe as a tube of its own in nearly every scan."""


@dataclass(frozen=True, slots=True)
class Section:
    """An airway cut by one axial slice: the slice's index and a mask (y, x)."""

    z: int
    mask: Mask


@dataclass(frozen=True, slots=True)
class _Slices:
    """The air of every axial slice as separate regions, with their areas in mm² by region number."""

    regions: Components
    areas: npt.NDArray[np.float64]

    @classmethod
    def darker_than(cls, level: int, air: Mask, hu: HU, spacing: Triple) -> _Slices:
        regions, counts = label_slices(air & (hu < level))
        return cls(regions, counts.astype(np.float64) * (spacing[1] * spacing[2]))


def find_airways(air: Mask, hu: HU, spacing: Triple) -> list[Section]:
    """Return windpipe and main bronchi within ``air``, (z, y, x) upwards; empty where none is in view."""
    levels = [_Slices.darker_than(level, air, hu, spacing) for level in _LEVELS]
    top = _find_windpipe(levels[_SEARCH], spacing)
    if top is None:
        return []
    above = _follow(levels, top, +1, spacing)
    below = _follow(levels, top, -1, spacing)
    return [*above, top, *below]


def _find_windpipe(slices: _Slices, spacing: Triple) -> Section | None:
    """Return the upper end of the highest long tube with a windpipe's cross-section."""
    regions, areas = slices.regions, slices.areas
    fits = (areas >= _LUMEN[0]) & (areas <= _LUMEN[1])
    fits[0] = False
    upper, lower = regions[1:], regions[:-1]
    z, y, x = np.nonzero(fits[upper] & fits[lower])
    if not z.size:
        return None
    pairs, first = np.unique(np.stack([upper[z, y, x], lower[z, y, x]], 1), axis=0, return_index=True)
    length = np.full(len(areas), spacing[0])
    best, best_score = None, 0.0
    for (above, below), where in zip(pairs, first, strict=True):  # region numbers rise with the slices
        if 0.4 < areas[above] / areas[below] < 2.5:
            length[above] = max(length[above], length[below] + spacing[0])
        score = z[where] * spacing[0] + length[above]
        if length[above] >= _SHORTEST and score > best_score:
            best, best_score = Section(int(z[where]) + 1, regions[z[where] + 1] == above), score
    return best


def _follow(levels: list[_Slices], start: Section, direction: int, spacing: Triple) -> list[Section]:
    """Return the sections that continue ``start`` upwards (+1) or downwards (-1)."""
    sections: list[Section] = []
    pixel = spacing[1] * spacing[2]
    z, pieces, fork = start.z, [start.mask], None
    while pieces:
        z += direction
        if not 0 <= z < len(levels[0].regions):
            break
        if fork is not None and abs(z - fork) * spacing[0] > _BELOW_FORK:
            break
        following: list[Mask] = []
        for piece in pieces:
            for found in _continued(levels, z, piece, pixel):
                if not any((found & other).any() for other in following):
                    following.append(found)
        pieces = following
        sections += [Section(z, piece) for piece in pieces]
        if fork is None and len(pieces) > 1:
            fork = z
    return sections


def _continued(levels: list[_Slices], z: int, piece: Mask, pixel: float) -> list[Mask]:
    """Return the regions of slice ``z`` that go on from ``piece``, at the level where they do not leak."""
    area = float(piece.sum()) * pixel
    limit = min(max(1.6 * area, area + 80.0), 1000.0)
    for slices in levels:
        numbers = np.unique(slices.regions[z][piece])
        numbers = numbers[numbers > 0]
        if numbers.size and slices.areas[numbers].sum() <= limit:
            return [slices.regions[z] == n for n in numbers if slices.areas[n] >= _NARROWEST]
    return []
