"""Gas in stomach and bowel that seems one with a lung, because what parts them is thinner than a voxel.

Three facts tell it from lung. It is gas and nothing else, near -1000 HU throughout; even a lung destroyed by
emphysema has vessels in it. It is wide, not a crumb of dark lung. And it lies in a wall: stomach and
diaphragm together are some 5 mm of tissue, which lift even a voxel of 8 mm far above lung wherever the two
touch. The wall of a bulla is thinner than 1 mm, and lung that is merely dark has none: there gas passes into
lung freely.
"""

from __future__ import annotations

import numpy as np

from .grid import HU, Mask, Triple
from .morphology import dilate, label, opened, share_in

_GAS = -930
"""HU below which a voxel is gas for the greater part: a twelfth of it may be tissue."""
_PURE = -945
"""HU that the middle value of a pocket does not exceed. Gas near the heart was found at -962 in one scan: the
body's scatter lifts it."""
_HALF_WIDTH = 4.0
"""Half the width in mm of the narrowest pocket that is looked for."""
_SMALLEST = 5.0
"""mL of the smallest pocket: less cannot make a lung wrong by more than its border does."""
_WALL = -720
"""HU that a voxel of the wall exceeds where gas (-1000) and lung (-850) lie on its two sides: a fifth of it
is tissue. The wall of a bulla fills less of a voxel."""
_REACH = 9.0
"""mm around a pocket within which its wall lies: its own thickness and the blurred voxels on either side."""
_OPEN, _OPEN_IF_LARGE, _LARGE = 0.13, 0.2, 100.0
"""Share of its surroundings that gas reaches through gaps in its wall, also for a pocket of at least so many
mL. Bowel gas that touches lung has 0.00 to 0.10 (0.18 where slices are 8 mm thick), dark lung 0.48 and more,
and a corner of dark lung between heart and chest wall 0.21 and more; such corners hold up to 67 mL."""


def gas_pockets(air: Mask, hu: HU, spacing: Triple) -> Mask:
    """Return the walled pockets of gas within ``air``, with the blurred voxels of their walls.

    Args:
        air: (z, y, x), lungs and what else inside the body is dark, without the airways.
        hu: the scan on the same grid.
        spacing: mm of a voxel along z, y and x.
    """
    found = np.zeros_like(air)
    pieces, counts = label(opened(air & (hu < _GAS), _HALF_WIDTH, spacing))
    voxel = float(np.prod(spacing)) / 1000.0
    counts[0] = 0
    for number in np.flatnonzero(counts * voxel >= _SMALLEST).tolist():
        box = _box_around(pieces == number, spacing)
        pocket, inside = pieces[box] == number, hu[box]
        if np.median(inside[pocket]) > _PURE:
            continue
        reached, share = _reached(pocket, inside, spacing)
        large = counts[number] * voxel >= _LARGE
        if share < (_OPEN_IF_LARGE if large else _OPEN):
            found[box] |= dilate(reached, 1.0, (1.0, 1.0, 1.0))  # the voxels that gas and wall share
    return found & air


def _reached(pocket: Mask, hu: HU, spacing: Triple) -> tuple[Mask, float]:
    """Return where gas gets to from a pocket without crossing a wall, and its share of the surroundings."""
    near = dilate(pocket, _REACH, spacing)
    # Passages one voxel wide are where a slanting wall is blurred thin.
    rooms, counts = label(pocket | opened(near & (hu < _WALL), 1.0, (1.0, 1.0, 1.0), axes=(1, 2)))
    own = share_in(pocket, rooms, counts) > 0
    own[0] = False
    outermost = near & ~dilate(pocket, _REACH - max(spacing), spacing)
    share = float(np.count_nonzero(own[rooms] & outermost)) / max(int(np.count_nonzero(outermost)), 1)
    return own[rooms] & dilate(pocket, _REACH / 2, spacing), share


def _box_around(mask: Mask, spacing: Triple) -> tuple[slice, slice, slice]:
    """Return the bounding box of a mask with room for its surroundings."""
    sides = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        room = int(np.ceil(_REACH / spacing[axis])) + 1
        sides.append(slice(max(int(used[0]) - room, 0), int(used[-1]) + 1 + room))
    return sides[0], sides[1], sides[2]
