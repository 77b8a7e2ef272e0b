"""Skin, fat and muscles, and the table under the patient."""

from __future__ import annotations

import numpy as np

from .grid import FAT, Array, Canvas, RenderGrid, smooth_union
from .primitives import Ellipsoid, Tubes, fill_tubes
from .thorax import Curve, Thorax, oval_distance

MUSCLE, SKIN = 52.0, 15.0
_LEVELS = (-0.45, 0.0, 0.2, 0.4, 0.6, 0.75, 0.87, 0.95, 1.05, 1.4)


class SoftTissue:
    """Everything between the skin and the ribs."""

    def __init__(self, thorax: Thorax) -> None:
        self.thorax = th = thorax
        p = th.parameters
        heights = [th.z(u) for u in _LEVELS]
        bulk = p.muscle * th.scale
        lateral = (5, 7, 9, 14, 24, 39, 53, 63, 58, 20)
        front = (9, 8, 8, 9, 11, 13, 14, 16, 14, 8)
        back = (31, 30, 28, 27, 29, 34, 40, 42, 38, 24)
        self.half_width = Curve(
            heights, [float(th.half_width(h)) + 9 + m * bulk for h, m in zip(heights, lateral, strict=True)]
        )
        self.front = Curve(
            heights, [float(th.front(h)) - 7 - m * bulk for h, m in zip(heights, front, strict=True)]
        )
        self.back = Curve(
            heights,
            [float(th.back(h)) + 10 * th.scale + (m - 10) * bulk for h, m in zip(heights, back, strict=True)],
        )

    def outline(self, x: Array, y: Array, z: Array) -> Array:
        """Return the signed distance to the surface of the muscles (the fat lies outside)."""
        s = self.thorax.scale
        surface = oval_distance(x, y, z, self.half_width, self.front, self.back)
        for side in (-1, 1):
            shoulder = Ellipsoid((side * 138 * s, 18 * s, self.thorax.z(0.97)), (56 * s, 56 * s, 50 * s))
            surface = smooth_union(surface, shoulder.distance(x, y, z), 30.0)
        return surface

    def skin(self, x: Array, y: Array, z: Array, outline: Array) -> Array:
        """Return the signed distance to the skin."""
        p = self.thorax.parameters
        # More fat at flank and belly, less over the sternum and the upper back.
        low = np.clip((self.thorax.z(0.75) - z) / np.float32(self.thorax.height), 0, 1)
        thick = np.float32(p.fat) * (0.55 + 0.75 * low) + 3.0
        surface = outline - thick
        for side in (-1, 1):
            surface = smooth_union(surface, self._breast(side).distance(x, y, z), 16.0)
        return surface

    def _breast(self, side: int) -> Ellipsoid:
        p, s = self.thorax.parameters, self.thorax.scale
        size = p.breast * (14 + 0.8 * p.fat)
        z = self.thorax.z(0.36)
        y = float(self.front(z)) - 0.5 * p.fat + 24.0
        broad = (62 + 0.3 * size) * s
        return Ellipsoid((side * 80 * s, y, z), (broad, 18.0 + size, broad))

    def _draw_glands(self, canvas: Canvas) -> None:
        """Paint glandular tissue into the breasts, interwoven with fat: at most half of it."""
        size = self.thorax.parameters.breast
        for side in (-1, 1):
            breast = self._breast(side)
            x, y, z = breast.centre
            a, b, c = breast.radii
            gland = Ellipsoid((x, y - 0.45 * b, z), (0.55 * a, 0.4 * b, 0.55 * c))
            box = gland.box(canvas.grid)
            if box is not None:
                part = canvas.grid.filled(gland.distance(*canvas.grid.points(box)))
                canvas.paint(part * np.float32(0.5 * size), MUSCLE, box)

    @property
    def table_y(self) -> float:
        """Where the top of the table lies: under the back, with the patient's own gap."""
        p, th = self.thorax.parameters, self.thorax
        return float(self.back(th.z(0.45))) + 0.75 * p.fat + 3.0 + p.table_height

    def draw(self, canvas: Canvas) -> tuple[Array, Array]:
        """Paint body, fat and muscles; returns the body's fraction and the distance to the chest wall."""
        grid = canvas.grid
        x, y, z = grid.points()
        outline = self.outline(x, y, z)
        skin = self.skin(x, y, z, outline)
        body = grid.filled(skin)
        wall = self.thorax.wall(x, y, z)
        canvas.paint(body, SKIN)
        canvas.paint(grid.filled(skin + 2.0), FAT)
        self._draw_glands(canvas)
        canvas.paint(self._muscles(grid, outline, wall, x, y, z), MUSCLE)
        return body, wall

    def _muscles(self, grid: RenderGrid, outline: Array, wall: Array, x: Array, y: Array, z: Array) -> Array:
        th = self.thorax
        bulk = th.parameters.muscle
        above_apex = grid.filled(z - np.float32(th.z(1.0) - 10))
        intercostal = grid.filled(np.abs(wall - 6.0) - 6.0) * (1 - above_apex)
        # The broad muscles form a mantle under the fat: thick at the flank and back, thin in front.
        behind = np.clip((y - self.front(z)) / (self.back(z) - self.front(z)), 0, 1)
        mantle = grid.filled(np.maximum(outline, -outline - (3 + 10 * behind * bulk).astype(np.float32)))
        muscle = np.maximum(intercostal, mantle)
        muscle = np.maximum(muscle, fill_tubes(grid, self._long_muscles()))
        return muscle * grid.filled(outline)

    def _long_muscles(self) -> Tubes:
        th = self.thorax
        s, bulk = th.scale, th.parameters.muscle
        parts = []
        for side in (-1, 1):
            z = np.linspace(th.z(-0.45), th.z(1.3), 24)
            back = np.stack([np.full_like(z, side * 25 * s), th.spine_y(z) + 42 * s, z], axis=1)
            parts.append(Tubes.along(back, 11 * s * (0.6 + 0.4 * bulk), (side * 10.0 * s, 0.0, 0.0)))
            neck = back[z > th.z(0.85)] - [0.0, 14 * s, 0.0]
            parts.append(Tubes.along(neck, 15 * s, (side * 8.0 * s, 0.0, 0.0)))

            def at(angle: float, level: float, out: float, side: int = side) -> np.ndarray:
                return th.on_wall(angle, th.z(level), out * s, side)

            for level, height in ((0.52, 16.0), (0.64, 18.0), (0.76, 18.0)):
                pectoral = [
                    at(2.95, level, 14),
                    at(2.5, level + 0.03, 17),
                    at(2.0, level + 0.1, 28),
                    at(1.7, level + 0.17, 46),
                ]
                parts.append(
                    Tubes.along(pectoral, np.array([3.5, 6.5, 7.5, 8]) * bulk * s, (0.0, 0.0, height * s))
                )
            for out, radius in ((14.0, 6.5), (32.0, 7.5)):
                for share in (0.15, 0.4, 0.65, 0.9):
                    level = 0.47 + 0.46 * share
                    ribbon = [
                        at(0.9 - 0.1 * share, level, out),
                        at(1.0 + 0.2 * share, level, out + 2),
                        at(1.1 + 0.42 * share, level, out + 14 * share),
                    ]
                    parts.append(Tubes.along(ribbon, radius * bulk * s, (0.0, 0.0, 13.0 * s)))
            parts.append(Tubes.along([at(1.6, 0.72, 34), at(1.65, 0.95, 62)], [8 * bulk * s, 26 * bulk * s]))
            parts += self._neck_muscles(side)
        return Tubes.joined(parts)

    def _neck_muscles(self, side: int) -> list[Tubes]:
        """Return the scalene, sternomastoid and strap muscles: they fill the upper opening of the chest."""
        th = self.thorax
        s, bulk = th.scale, 0.5 + 0.5 * th.parameters.muscle

        def at(x: float, dy: float, level: float) -> np.ndarray:
            z = th.z(level)
            return np.array([side * x * s, float(th.spine_y(z)) - dy * s, z])

        front, low = float(th.front(th.z(0.92))), th.z(0.92)
        strap = [np.array([side * 9 * s, front + 4, low]), at(12, 54, 1.15), at(12, 54, 1.4)]
        mastoid = [np.array([side * 18 * s, front - 2, low + 4]), at(30, 56, 1.12), at(44, 36, 1.4)]
        return [
            Tubes.along(strap, 4.5 * bulk * s, (side * 7.0 * s, 0.0, 0.0)),
            Tubes.along(mastoid, 7.0 * bulk * s),
            Tubes.along([at(44, 26, 0.98), at(30, 12, 1.12), at(22, 6, 1.4)], 9.0 * bulk * s),
            Tubes.along([at(52, 6, 0.98), at(36, 0, 1.12), at(26, -2, 1.4)], 9.0 * bulk * s),
        ]


def draw_table(canvas: Canvas, height: float) -> None:
    """Paint the table: a shallow trough of carbon fibre over foam, its top at y = ``height``."""
    grid = canvas.grid
    box = grid.box_around((-260, height - 40, -400), (260, height + 60, 400))
    if box is None:
        return
    x, y, _ = grid.points(box)
    top = y - np.float32(height) + x * x * np.float32(0.0006)
    plate = np.maximum(np.maximum(-top, top - 26.0), np.abs(x) - 215.0)
    canvas.paint(grid.filled(plate), -880.0, box)
    canvas.paint(grid.filled(np.maximum(plate, -plate - 1.6)), -150.0, box)
