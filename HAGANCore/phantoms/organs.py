"""The organs under the diaphragm: liver, spleen, kidneys, stomach and colon."""

from __future__ import annotations

import numpy as np

from .grid import FAT, Array, Box, Canvas, RenderGrid, smooth_union
from .primitives import Ellipsoid, turned
from .soft_tissue import MUSCLE
from .thorax import Thorax

LIVER, SPLEEN, KIDNEY, STOMACH, GAS = 58.0, 48.0, 32.0, 30.0, -980.0
_STRETCHED = 1.5
"""Thickness in mm of the wall of a bloated stomach; the stretched diaphragm above it adds as much."""


class Organs:
    """The upper belly; ``bloated`` distends the stomach with gas that presses against the left dome."""

    def __init__(self, thorax: Thorax, bloated: bool = False) -> None:
        self.thorax = thorax
        self.bloated = bloated

    def draw(self, canvas: Canvas, wall: Array) -> None:
        """Paint the diaphragm and what lies under it; ``wall`` is the distance to the chest wall."""
        th, grid = self.thorax, canvas.grid
        enhanced = th.parameters.contrast
        s = th.scale
        low = self._box(grid)
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
        self._draw_kidneys(canvas, room, low)
        self._draw_gut(canvas, room, low, z0)
        if self.bloated:
            stomach = self._bloated_stomach(low, grid, wall)
            canvas.paint(grid.filled(stomach), MUSCLE, low)
            canvas.paint(grid.filled(stomach + _STRETCHED), GAS, low)

    def gas(self, grid: RenderGrid, wall: Array) -> Array:
        """Return the fraction of each voxel that the gas of a bloated stomach fills."""
        filled = np.zeros(grid.shape, np.float32)
        box = self._box(grid)
        if self.bloated and box is not None:
            filled[box] = grid.filled(self._bloated_stomach(box, grid, wall) + _STRETCHED)
        return filled

    def _box(self, grid: RenderGrid) -> Box | None:
        return grid.box_around((-190, -190, -260), (190, 190, self.thorax.z(0.62)))

    def _bloated_stomach(self, box: Box, grid: RenderGrid, wall: Array) -> Array:
        """Return the signed distance to a stomach that fills the left dome."""
        th, (x, y, z) = self.thorax, grid.points(box)
        s = th.scale
        dome = float(th.diaphragm(np.float32(66 * s), np.float32(-14 * s))[0])
        balloon = Ellipsoid((66 * s, -14 * s, dome - 30 * s), (52 * s, 62 * s, 36 * s)).distance(x, y, z)
        return np.maximum(np.maximum(wall[box] + 2.0, 1.5 - th.above_diaphragm(x, y, z)), balloon)

    def _draw_kidneys(self, canvas: Canvas, room: Array, box: Box) -> None:
        th, grid = self.thorax, canvas.grid
        s = th.scale
        for side, level in ((-1, -0.16), (1, -0.11)):
            z = th.z(level)
            centre = (float(side * 52 * s), float(th.spine_y(z)) + 4 * s, z)
            kidney = Ellipsoid(centre, (27 * s, 25 * s, 52 * s), turned(side * 30.0, side * 12.0))
            distance: Array = np.maximum(room + 3, kidney.distance(*grid.points(box)))
            canvas.paint(grid.filled(distance - 5.0), FAT, box)
            canvas.paint(grid.filled(distance), KIDNEY + 0.9 * th.parameters.contrast, box)

    def _draw_gut(self, canvas: Canvas, room: Array, box: Box, dome: float) -> None:
        """Paint stomach and left flexure of the colon, gas in front: the patient lies on the back."""
        th, grid = self.thorax, canvas.grid
        s = th.scale
        x, y, z = grid.points(box)
        fundus = Ellipsoid((66 * s, -4 * s, dome - 37 * s), (37 * s, 44 * s, 33 * s), turned(-20.0, 20.0))
        corpus = Ellipsoid((46 * s, -42 * s, dome - 62 * s), (44 * s, 32 * s, 36 * s), turned(15.0, -30.0))
        stomach = smooth_union(fundus.distance(x, y, z), corpus.distance(x, y, z), 20.0)
        stomach = np.maximum(room + 2, stomach)
        canvas.paint(grid.filled(stomach), MUSCLE, box)
        canvas.paint(grid.filled(stomach + 3.5), STOMACH, box)
        canvas.paint(grid.filled(np.maximum(stomach + 3.5, y + 34 * s)), GAS, box)
        flexure = Ellipsoid((100 * s, -30 * s, dome - 84 * s), (17 * s, 26 * s, 30 * s), turned(20.0, 10.0))
        colon = np.maximum(room + 3, flexure.distance(x, y, z))
        canvas.paint(grid.filled(colon), MUSCLE, box)
        canvas.paint(grid.filled(np.maximum(colon + 2.5, y + 26 * s)), GAS, box)
