"""The organs under the diaphragm: liver, spleen and a stomach with its gas."""

from __future__ import annotations

import numpy as np

from .grid import FAT, Array, Canvas, smooth_union
from .primitives import Ellipsoid, turned
from .soft_tissue import MUSCLE
from .thorax import Thorax

LIVER, SPLEEN, STOMACH, GAS = 58.0, 48.0, 32.0, -980.0


class Organs:
    """The upper belly."""

    def __init__(self, thorax: Thorax) -> None:
        self.thorax = thorax

    def draw(self, canvas: Canvas, wall: Array) -> None:
        """Paint the diaphragm and what lies under it; ``wall`` is the distance to the chest wall."""
        th, grid = self.thorax, canvas.grid
        enhanced = th.parameters.contrast
        s = th.scale
        low = grid.box_around((-190, -190, -260), (190, 190, th.z(0.62)))
        if low is None:
            return
        x, y, z = grid.points(low)
        under = -th.above_diaphragm(x, y, z)
        inside = grid.filled(np.maximum(wall[low], under))
        canvas.paint(inside, FAT, low)
        canvas.paint(grid.filled(np.maximum(wall[low], np.abs(under + 1.6) - 1.6)), MUSCLE, low)
        room = np.maximum(wall[low] + 2.0, under + 3.0)
        right_lobe = Ellipsoid((-78 * s, -2 * s, th.z(0.06)), (88 * s, 104 * s, 118 * s)).distance(x, y, z)
        left_lobe = Ellipsoid((-4 * s, -52 * s, th.z(0.2)), (78 * s, 44 * s, 44 * s), turned(8.0, -14.0))
        liver = np.maximum(room, smooth_union(right_lobe, left_lobe.distance(x, y, z), 24.0))
        hollow = Ellipsoid((0.0, 78 * s, th.z(0.05)), (45 * s, 62 * s, 300 * s)).distance(x, y, z)
        canvas.paint(grid.filled(np.maximum(liver, 4 - hollow)), LIVER + 0.35 * enhanced, low)
        z0 = float(th.diaphragm(np.float32(75 * s), np.float32(0.0))[0])
        spleen = Ellipsoid((92 * s, 50 * s, z0 - 52 * s), (24 * s, 42 * s, 46 * s), turned(35.0)).distance(
            x, y, z
        )
        canvas.paint(grid.filled(np.maximum(room + 2, spleen)), SPLEEN + 0.5 * enhanced, low)
        stomach = Ellipsoid(
            (66 * s, -18 * s, z0 - 38 * s), (40 * s, 48 * s, 34 * s), turned(-20.0, 20.0)
        ).distance(x, y, z)
        stomach = np.maximum(room + 2, stomach)
        canvas.paint(grid.filled(stomach), MUSCLE, low)
        canvas.paint(grid.filled(stomach + 3.5), STOMACH, low)
        level = y + 32 * s  # the patient lies on the back: gas rises to the front
        canvas.paint(grid.filled(np.maximum(stomach + 3.5, level)), GAS, low)
