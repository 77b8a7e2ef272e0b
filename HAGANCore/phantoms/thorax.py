"""The frame of the anatomy: spine line, chest wall, diaphragm and the two lungs, as formulas in mm.

Patient frame: x to the left, y to the back, z up, origin in the middle of the thorax. Heights are given
as *level*: 0 at the lowest recess of the pleura, 1 at the apex of the lungs.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from .grid import Array, smooth_intersection, smooth_union
from .parameters import PhantomParameters
from .primitives import Ellipsoid, turned

HEIGHT = 252.0
"""Height of the lungs of a medium person, mm."""
_LEVELS = (-0.45, 0.0, 0.2, 0.4, 0.6, 0.75, 0.87, 0.95, 1.05, 1.4)
_HALF_WIDTH = (126, 133, 136, 134, 127, 117, 103, 88, 70, 62)
_FRONT = (-106, -105, -103, -98, -90, -79, -65, -53, -42, -48)
_BACK = 92.0
_KYPHOSIS = (14, 7, 2, -1, 3, 12, 22, 30, 38, 42)


class Curve:
    """A smooth function of height through given points (natural cubic spline, looked up in a table)."""

    def __init__(self, heights: npt.ArrayLike, values: npt.ArrayLike) -> None:
        h, v = np.asarray(heights, np.float64), np.asarray(values, np.float64)
        step, rise = np.diff(h), np.diff(v) / np.diff(h)
        system = np.eye(len(h))
        right = np.zeros(len(h))
        for i in range(1, len(h) - 1):
            system[i, i - 1 : i + 2] = step[i - 1], 2 * (step[i - 1] + step[i]), step[i]
            right[i] = 6 * (rise[i] - rise[i - 1])
        bend = np.linalg.solve(system, right)
        self._at = np.linspace(h[0], h[-1], 400)
        piece = np.clip(np.searchsorted(h, self._at) - 1, 0, len(h) - 2)
        a, b = self._at - h[piece], h[piece + 1] - self._at
        self._values = (
            (bend[piece] * b**3 + bend[piece + 1] * a**3) / (6 * step[piece])
            + (v[piece] / step[piece] - bend[piece] * step[piece] / 6) * b
            + (v[piece + 1] / step[piece] - bend[piece + 1] * step[piece] / 6) * a
        )

    def __call__(self, z: npt.ArrayLike) -> Array:
        return np.interp(np.asarray(z, np.float64), self._at, self._values).astype(np.float32)


class Thorax:
    """The shape of one patient's chest."""

    def __init__(self, parameters: PhantomParameters) -> None:
        self.parameters = p = parameters
        self.scale = p.body_scale
        self.height = HEIGHT * p.body_scale * p.inflation
        heights = [self.z(level) for level in _LEVELS]
        wide, deep = p.body_scale * p.width, p.body_scale * p.depth
        back = [deep * (_BACK - p.kyphosis * k) for k in _KYPHOSIS]
        front = [deep * f for f in _FRONT]
        self.half_width = Curve(heights, [wide * w for w in _HALF_WIDTH])
        self.front = Curve(heights, front)
        self.back = Curve(heights, back)
        self.spine_y = Curve(heights, [b - 31.0 * p.body_scale for b in back])
        self.spine_x = Curve(
            [self.z(u) for u in (-0.45, 0.1, 0.5, 0.9, 1.4)], [0.0, 0.3 * p.scoliosis, p.scoliosis, 0.0, 0.0]
        )

    def z(self, level: float) -> float:
        """Return the height in mm of a level."""
        return (level - 0.5) * self.height

    def wall(self, x: Array, y: Array, z: Array) -> Array:
        """Return the signed distance to the inner chest wall (ribs begin outside it)."""
        return oval_distance(x, y, z, self.half_width, self.front, self.back, self.parameters.asymmetry)

    def on_wall(
        self, angle: npt.ArrayLike, z: npt.ArrayLike, outside: float, side: int
    ) -> npt.NDArray[np.float64]:
        """Return points (N, 3) ``outside`` mm off the inner chest wall.

        ``angle`` (radians) runs from 0 at the back through the flank to π at the front; ``side`` is +1 (left)
        or -1 (right).
        """
        angle, z = np.broadcast_arrays(np.asarray(angle, float), np.asarray(z, float))
        a = self.half_width(z) * (1 + side * self.parameters.asymmetry)
        b = (self.back(z) - self.front(z)) / 2
        c, s = np.cos(angle), np.sin(angle)
        radius = (np.abs(c) ** 2.5 + np.abs(s) ** 2.5) ** -0.4
        x, y = (a * radius + outside) * s, (b * radius + outside) * c
        return np.stack([side * x, y + (self.back(z) + self.front(z)) / 2, z], axis=-1)

    def diaphragm(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return the height of the diaphragm and the factor that turns height above it into distance."""
        p, s = self.parameters, self.scale
        middle = float(self.half_width(self.z(0.1))) * 0.52
        left_share = 1.0 / (1.0 + np.exp(-x / np.float32(18.0 * s)))
        dome = p.right_dome + (p.left_dome - p.right_dome) * left_share
        dome = dome * np.float32(s)
        aside = np.abs(x) - np.float32(middle)
        aside = np.where(aside < 0, aside * np.float32(0.55), aside) / np.float32(middle)
        ahead = (y + np.float32(14.0 * s)) / np.float32(97.0 * s * p.depth)
        fall = np.maximum(1 - aside * aside - ahead * ahead, np.float32(-0.8))
        rim = self.z(0.0) + np.float32(0.2) * (self.back(0.0) - y)
        steep = 2 * dome * np.sqrt((aside / np.float32(middle)) ** 2 + (ahead / np.float32(97.0 * s)) ** 2)
        return rim + dome * fall, 1.0 / np.sqrt(1 + steep * steep)

    def above_diaphragm(self, x: Array, y: Array, z: Array) -> Array:
        """Return the signed distance to the diaphragm, negative above it (towards the lungs)."""
        height, factor = self.diaphragm(x, y)
        return (height - z) * factor

    def apex(self, x: Array, y: Array, z: Array) -> Array:
        """Return the signed distance to the domed caps over the apices, negative below them."""
        s = self.scale
        centre_y = float(self.front(self.z(0.9)) * 0.47 + self.back(self.z(0.9)) * 0.53)
        aside = (np.abs(x) - np.float32(45 * s)) / np.float32(54 * s)
        ahead = (y - np.float32(centre_y)) / np.float32(66 * s)
        cap = self.z(1.0) - np.float32(30 * s) * (aside * aside + ahead * ahead)
        steep2 = (60 * s) ** 2 * ((aside / (54 * s)) ** 2 + (ahead / (66 * s)) ** 2)
        return (z - cap) / np.sqrt(1 + steep2.astype(np.float32))

    def pleura(self, x: Array, y: Array, z: Array) -> Array:
        """Return the signed distance to the pleural cavity, mediastinum not yet taken out."""
        cavity = smooth_intersection(self.wall(x, y, z), self.apex(x, y, z), 14.0)
        return np.maximum(cavity, self.above_diaphragm(x, y, z))

    @cached_property
    def heart(self) -> dict[str, Ellipsoid]:
        """The chambers: an ellipsoid each for the ventricles and atria, by name."""
        p = self.parameters
        k = self.scale * p.heart
        x0, level = 16.0 * self.scale, self.z(0.3)
        # The heart leans on the oesophagus; in a deep chest the lungs come between it and the sternum.
        before_spine = float(self.spine_y(level)) - 44 * self.scale - 50 * k
        behind_sternum = float(self.front(level)) + 58 * k
        y0 = max(0.75 * before_spine + 0.25 * behind_sternum, behind_sternum - 8 * k)
        height, _ = self.diaphragm(np.float32(x0), np.float32(y0))
        z0 = float(height) + 36 * k
        tilt = turned(-p.heart_axis, 28.0)
        flat = turned(-p.heart_axis + 10, 15.0)

        def chamber(
            dx: float, dy: float, dz: float, radii: tuple[float, float, float], axes: np.ndarray
        ) -> Ellipsoid:
            return Ellipsoid(
                (x0 + dx * k, y0 + dy * k, z0 + dz * k), (radii[0] * k, radii[1] * k, radii[2] * k), axes
            )

        return {
            "left ventricle": chamber(24, 2, -4, (50, 34, 34), tilt),
            "right ventricle": chamber(2, -20, -8, (50, 26, 36), flat),
            "right atrium": chamber(-38, 2, 4, (23, 28, 36), turned(0.0)),
            "left atrium": chamber(-6, 28, 22, (36, 22, 26), turned(0.0)),
        }

    def mediastinum(self, x: Array, y: Array, z: Array) -> Array:
        """Return the signed distance to everything between the lungs: heart, vessels, spine, fat."""
        s = self.scale
        hull = column_distance(x, y, self.spine_x(z), self.spine_y(z) + 3 * s, 23 * s, 22 * s)
        behind = column_distance(x, y, self.spine_x(z) * 0, self.spine_y(z) + 34 * s, 15 * s, 24 * s)
        hull = smooth_union(hull, behind, 14 * s)
        aorta_x, aorta_y, radius = self.descending_aorta(z)
        hull = smooth_union(hull, column_distance(x, y, aorta_x, aorta_y, radius + 3, radius + 3), 10.0)
        gullet = column_distance(x, y, np.float32(4 * s), self.spine_y(z) - 36 * s, 13 * s, 24 * s)
        hull = smooth_union(hull, gullet, 12.0)
        for chamber in self.heart.values():
            hull = smooth_union(
                hull,
                Ellipsoid(chamber.centre, _more(chamber.radii, 5.0), chamber.axes).distance(x, y, z),
                14.0,
            )
        upper = column_distance(
            x, y, np.float32(0.0), self.upper_y(z), self.upper_width(z), self.upper_depth(z)
        )
        hull = smooth_union(hull, upper, 18.0)
        for side in (-1, 1):
            hilum = Ellipsoid(tuple(self.hilum(side)), (17 * s, 12 * s, 22 * s))
            hull = smooth_union(hull, hilum.distance(x, y, z), 20.0)
        # The thin sheet in front of the heart where the lungs nearly touch; it widens towards the sternum.
        widening = np.maximum(self.front(z) + 26 * s - y, 0.0) / np.float32(26 * s)
        sheet = np.abs(x - np.float32(4 * s)) - (np.float32(2.2) + 12 * s * widening * widening)
        sheet = np.maximum(sheet, y - self.spine_y(z))
        return smooth_union(hull, sheet.astype(np.float32), 8.0)

    @cached_property
    def upper_y(self) -> Curve:
        """Front-to-back position of the upper mediastinum's middle."""
        levels = (-0.45, 0.4, 0.55, 0.7, 0.85, 1.0, 1.4)
        return Curve(
            [self.z(u) for u in levels], [float(self.spine_y(self.z(u))) - 48 * self.scale for u in levels]
        )

    @cached_property
    def upper_width(self) -> Curve:
        """Half width of the upper mediastinum."""
        return self._by_level((-0.45, 0.3, 0.45, 0.56, 0.7, 0.85, 1.0, 1.4), (4, 4, 12, 25, 28, 26, 26, 30))

    @cached_property
    def upper_depth(self) -> Curve:
        """Half depth of the upper mediastinum."""
        return self._by_level((-0.45, 0.3, 0.45, 0.56, 0.7, 0.85, 1.0, 1.4), (4, 4, 14, 44, 50, 42, 36, 40))

    def _by_level(self, levels: tuple[float, ...], values: tuple[float, ...]) -> Curve:
        return Curve([self.z(u) for u in levels], [v * self.scale for v in values])

    def hilum(self, side: int) -> npt.NDArray[np.float64]:
        """Return the middle of the right (-1) or left (+1) hilum."""
        z = self.z(0.54 if side < 0 else 0.57)
        return np.array([side * 36 * self.scale, float(self.spine_y(z)) - 40 * self.scale, z])

    def descending_aorta(self, z: npt.ArrayLike) -> tuple[Array, Array, float]:
        """Return the centre (x, y) of the descending aorta at heights z, and its radius."""
        s = self.scale
        x = self._by_level((-0.45, 0.0, 0.3, 0.6, 0.75, 1.4), (6, 9, 17, 24, 24, 24))
        return x(z), self.spine_y(z) - np.float32(25 * s), 0.78 * self.parameters.aorta_radius

    def below_neck(self, x: Array, y: Array, z: Array) -> Array:
        """Return the signed distance to the upper end of the chest, negative below it."""
        return z - np.float32(self.z(1.1))

    def is_left(self, x: Array, y: Array, z: Array) -> npt.NDArray[np.bool_]:
        """Return whether points lie to the left of the sheet between the lungs."""
        return np.asarray(x > self.spine_x(z) + np.float32(4 * self.scale))

    def spine_line(self) -> npt.NDArray[np.float64]:
        """Return points (N, 3) along the middle of the vertebral bodies, from below upwards."""
        z = np.linspace(self.z(-0.45), self.z(1.4), 30)
        return np.stack([self.spine_x(z), self.spine_y(z), z], axis=1).astype(np.float64)

    def lung(self, x: Array, y: Array, z: Array) -> Array:
        """Return the signed distance to the lungs (both)."""
        return smooth_intersection(self.pleura(x, y, z), -self.mediastinum(x, y, z), 5.0)


def _more(radii: tuple[float, float, float], by: float) -> tuple[float, float, float]:
    return (radii[0] + by, radii[1] + by, radii[2] + by)


def oval_distance(
    x: Array, y: Array, z: Array, half_width: Curve, front: Curve, back: Curve, asymmetry: float = 0.0
) -> Array:
    """Return the signed distance to a boxy oval (superellipse of exponent 2.5) that changes with height."""
    a = half_width(z) * np.where(x > 0, np.float32(1 + asymmetry), np.float32(1 - asymmetry))
    f, r = front(z), back(z)
    across = np.abs(x) / a
    ahead = np.abs(y - (f + r) / 2) / ((r - f) / 2)
    across15, ahead15 = across * np.sqrt(across), ahead * np.sqrt(ahead)
    total = np.maximum(across15 * across + ahead15 * ahead, np.float32(1e-3))
    root = np.power(total, np.float32(0.4))
    steep = np.sqrt((across15 / a) ** 2 + (ahead15 * 2 / (r - f)) ** 2)
    return (root - 1) * total / (root * np.maximum(steep, np.float32(1e-5)))


def column_distance(x: Array, y: Array, cx: Array, cy: Array, rx: Array | float, ry: Array | float) -> Array:
    """Return the signed distance to an upright elliptic column; centre and radii may change with height."""
    dx, dy = (x - cx) / rx, (y - cy) / ry
    root = np.sqrt(dx * dx + dy * dy)
    steep = np.sqrt((dx / rx) ** 2 + (dy / ry) ** 2)
    return (root * (root - 1) / np.maximum(steep, np.float32(1e-6))).astype(np.float32)
