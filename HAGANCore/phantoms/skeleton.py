"""The bones: vertebrae, ribs, sternum, scapulae and clavicles, with the cartilage between them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .grid import Array, RenderGrid, averaged, smooth_intersection
from .primitives import Tubes, fill_plates, fill_tubes
from .thorax import Thorax

FIRST_RIB_LEVEL = 0.985
VERTEBRAE = 19
"""Vertebrae drawn, from the lower neck (two above the first rib) downwards."""
BODY_CORTEX, ARCH_CORTEX, CORTEX = 0.45, 1.8, 0.9
"""Compact bone round a vertebra's body, in its arch, and round all other bones, mm.

With these, the attenuations of ``draw`` and ``bone_density``, half the bone of a phantom lies above 270 HU in
voxels of 0.75 x 0.75 x 2.5 mm and above 230 HU in voxels of 5.5 mm: as in chest CTs of patients."""
_COARSE = 2.0
"""Edge in mm of voxels for which the soft edge of a surface tells too little of a rib and its cortex: there,
bones are drawn in voxels half as wide, then averaged."""


class Skeleton:
    """The bones of one patient, all derived from the shape of the thorax."""

    def __init__(self, thorax: Thorax) -> None:
        self.thorax = thorax
        self.size = thorax.scale * thorax.parameters.bone_size
        self.pitch = self._pitches()

    def _pitches(self) -> npt.NDArray[np.float64]:
        """Return the height of each vertebra with its disc, growing downwards, top first, mm."""
        # Vertebrae belong to the body's size; a deep breath lengthens the lungs, not the spine.
        return self.thorax.scale * np.linspace(16.5, 31.0, VERTEBRAE)

    def vertebra(self, number: int) -> npt.NDArray[np.float64]:
        """Return the centre of the body of a vertebra; number 1 is the one of the first rib."""
        steps = (self.pitch[:-1] + self.pitch[1:]) / 2
        down = np.concatenate([[0.0], np.cumsum(steps)])
        z = self.thorax.z(1.0) + 6.0 * self.thorax.scale - (down[number + 1] - down[2])
        return np.array([float(self.thorax.spine_x(z)), float(self.thorax.spine_y(z)), z])

    def ribs(self) -> tuple[Tubes, Tubes]:
        """Return the twelve pairs of ribs and their cartilages."""
        bones, cartilages = [], []
        for side in (-1, 1):
            for number in range(1, 13):
                bone, cartilage = self._rib(number, side)
                bones.append(bone)
                if cartilage is not None:
                    cartilages.append(cartilage)
        return Tubes.joined(bones), Tubes.joined(cartilages)

    def _rib(self, number: int, side: int) -> tuple[Tubes, Tubes | None]:
        th, k = self.thorax, self.size
        centre = self.vertebra(number)
        # How far round each rib reaches (radians from the back) and how far it slopes down on the way.
        reach = np.interp(number, (1, 2, 4, 7, 10, 11, 12), (2.45, 2.45, 2.5, 2.4, 1.85, 1.35, 0.85))
        drop = np.interp(number, (1, 2, 4, 7, 10, 12), (30, 48, 72, 92, 88, 45))
        drop = drop * th.scale * th.parameters.rib_slope * np.sqrt(th.parameters.inflation)
        radius = k * np.interp(number, (1, 3, 8, 12), (3.6, 3.7, 3.9, 3.0))
        height = k * np.interp(number, (1, 3, 8, 12), (2.0, 3.2, 4.2, 3.0))
        angles = np.linspace(0.42, reach, 22)
        share = (angles - angles[0]) / (2.5 - angles[0])
        z = centre[2] - 2 - drop * (0.25 * share + 0.75 * share**1.25)
        wall = th.on_wall(angles, z, radius + 1.0, side)
        neck = np.array(
            [
                centre + np.array([side * 15.0 * th.scale, 11.0 * th.scale, 3.0]),
                centre + np.array([side * 26.0 * th.scale, 23.0 * th.scale, 1.0]),
            ]
        )
        line = np.concatenate([neck, wall])
        along = np.gradient(line, axis=0)
        flat = np.cross(along, np.cross([0.0, 0.0, 1.0], along))
        flat *= height / np.linalg.norm(flat, axis=1, keepdims=True)
        flat[:2] *= 0.4
        bone = Tubes.along(line, radius, flat)
        if number > 10:
            return bone, None
        return bone, self._cartilage(line[-1], float(reach), number, side, radius)

    def _cartilage(
        self, start: npt.NDArray[np.float64], angle: float, number: int, side: int, radius: float
    ) -> Tubes:
        """Return the costal cartilage from the end of a rib, along the wall, to the sternum.

        Those of ribs 8 to 10 end short of it, each under the one above, and form the costal arch.
        """
        th = self.thorax
        level = th.z(np.interp(min(number, 7), (1, 2, 7), (0.865, 0.79, 0.335)))
        level = min(level, start[2] + (75.0 if number > 4 else 30.0) * th.scale) - 16.0 * max(number - 7, 0)
        share = np.linspace(0, 1, 9)
        target = np.pi - 0.13 - 0.16 * max(number - 7, 0)
        z = start[2] + (level - start[2]) * share**1.6
        line = th.on_wall(angle + (target - angle) * share, z, radius + 1.0, side)
        return Tubes.along(line, radius, (0.0, 0.0, 2.5 * self.size))

    def sternum(self) -> Tubes:
        """Return manubrium and body of the sternum."""
        th, k = self.thorax, self.size
        z = np.array([th.z(u) for u in (0.9, 0.865, 0.8, 0.785, 0.6, 0.42, 0.33, 0.27)])
        y = th.front(z) - 8.5 * k
        line = np.stack([np.zeros_like(z), y, z], axis=1)
        width = np.array([19, 24, 15, 12, 14, 15, 11, 3]) * k
        flat = width[:, None] * np.array([1.0, 0.0, 0.0])
        return Tubes.along(line, 5.3 * k, flat)

    def shoulders(self) -> Tubes:
        """Return scapulae and clavicles."""
        return Tubes.joined([part for side in (-1, 1) for part in self._shoulder(side)])

    def blades(self) -> npt.NDArray[np.float64]:
        """Return the plates of both scapulae as triangles (N, 3, 3), bowed round the chest wall."""
        triangles = []
        for side in (-1, 1):
            lower, upper, glenoid = self._scapula(side)
            belly = np.array([side * 5.0, 5.0, 0.0]) * self.thorax.scale
            heart = (lower + upper + glenoid) / 3 + belly
            medial, lateral = (lower + upper) / 2 + belly * 0.5, (lower + glenoid) / 2
            rim = [lower, medial, upper, glenoid, lateral]
            triangles += [[a, b, heart] for a, b in zip(rim, [*rim[1:], lower], strict=True)]
        return np.asarray(triangles)

    def _scapula(self, side: int) -> tuple[npt.NDArray[np.float64], ...]:
        """Return its lower angle, upper angle and socket."""
        th = self.thorax
        corners = ((0.95, 0.47, 22.0), (0.75, 0.93, 24.0), (1.55, 0.9, 46.0))
        return tuple(th.on_wall(angle, th.z(level), out * th.scale, side) for angle, level, out in corners)

    def _shoulder(self, side: int) -> list[Tubes]:
        th, k = self.thorax, self.size
        lower, upper, glenoid = self._scapula(side)
        rim = Tubes.along([lower, (lower + glenoid) / 2, glenoid], [3.8 * k, 4.5 * k, 9.0 * k])
        acromion = glenoid + np.array([side * 14.0, 4.0, 26.0]) * th.scale
        root = (upper + 2 * lower) / 3 * 0.35 + upper * 0.65
        ridge_middle = (root + acromion) / 2 + np.array([side * 4.0, 16.0, -4.0]) * th.scale
        spine = Tubes.along([root, ridge_middle, acromion], [2.8 * k, 4.0 * k, 6.5 * k])
        inner = np.array([side * 22.0 * th.scale, float(th.front(th.z(0.9))) - 9.0, th.z(0.92)])
        bow = inner * 0.6 + acromion * 0.4 + np.array([0.0, -14.0, 4.0]) * th.scale
        far = inner * 0.25 + acromion * 0.75 + np.array([0.0, 2.0, 3.0]) * th.scale
        clavicle = Tubes.along(bent([inner, bow, far, acromion]), 6.0 * k)
        return [rim, spine, clavicle]

    def posterior_elements(self) -> Tubes:
        """Return pedicles, laminae, transverse and spinous processes of all vertebrae."""
        parts = []
        for number in range(-1, VERTEBRAE - 1):
            c, s, k = self.vertebra(number), self.thorax.scale, self.size
            tall = np.array([0.0, 0.0, 0.2 * self.pitch[number + 1]])
            for side in (-1, 1):
                pedicle = [c + np.array([side * 10, 11, 4]) * s, c + np.array([side * 13, 22, 2]) * s]
                lamina = [pedicle[1], c + np.array([0, 33, -5]) * s]
                process = [pedicle[1], c + np.array([side * 29, 31, 3]) * s]
                parts += [
                    Tubes.along(pedicle, 3.8 * k, tall),
                    Tubes.along(lamina, 3.0 * k, tall * 1.5),
                    Tubes.along(process, [4.4 * k, 5.0 * k]),
                ]
            spinous = [
                c + np.array([0, 32, -5]) * s,
                c + np.array([0, 45, -16]) * s,
                c + np.array([0, 58, -27]) * s,
            ]
            parts.append(Tubes.along(spinous, [3.2 * k, 3.0 * k, 3.8 * k], tall * 1.4))
        return Tubes.joined(parts)

    def bodies(self, grid: RenderGrid, inset: float = 0.0) -> Array:
        """Return how much of each voxel the vertebral bodies fill; ``inset`` mm takes off their shell."""
        filled = np.zeros(grid.shape, np.float32)
        for number in range(-1, VERTEBRAE - 1):
            centre, tall = self.vertebra(number), self.pitch[number + 1]
            rx, ry = self._body_radii(number)
            reach = np.array([rx, ry, tall / 2]) + grid.voxel + 3
            box = grid.box_around(centre - reach, centre + reach)
            if box is None:
                continue
            x, y, z = grid.points(box)
            dx, dy, dz = x - centre[0], y - centre[1], z - centre[2] - (y - centre[1]) * self._lean(centre[2])
            waist = 1 - 0.12 * (1 - (2 * dz / tall) ** 2)
            root = np.sqrt((dx / rx) ** 2 + (dy / ry) ** 2)
            side = (root - waist) * min(rx, ry)
            back = dy - 0.72 * ry  # the body is flat towards the canal
            shape = smooth_intersection(np.maximum(side, back), np.abs(dz) - 0.41 * tall, 2.0)
            np.maximum(filled[box], grid.filled((shape + inset).astype(np.float32)), out=filled[box])
        return filled

    def _body_radii(self, number: int) -> tuple[float, float]:
        share = (number + 1) / (VERTEBRAE - 1)
        return (15.0 + 8.5 * share) * self.size, (12.5 + 6.5 * share) * self.size

    def _lean(self, z: float) -> float:
        """Return the slope of the vertebra's plates: at right angles to the line of the spine."""
        return -float(self.thorax.spine_y(z + 10) - self.thorax.spine_y(z - 10)) / 20.0

    def fill(self, grid: RenderGrid) -> tuple[Array, Array, Array]:
        """Return the fractions (bone, of it marrow, cartilage) of each voxel."""
        ribs, cartilage = self.ribs()
        times = 2 if grid.voxel > _COARSE else 1
        bone, marrow = self._fill_bones(grid.finer(times), ribs)
        return averaged(bone, times), averaged(marrow, times), fill_tubes(grid, cartilage)

    def _fill_bones(self, grid: RenderGrid, ribs: Tubes) -> tuple[Array, Array]:
        slender = Tubes.joined([ribs, self.sternum(), self.shoulders()])
        arches = self.posterior_elements()
        bone = np.maximum(fill_tubes(grid, Tubes.joined([slender, arches])), self.bodies(grid))
        bone = np.maximum(bone, fill_plates(grid, self.blades(), 1.6 * self.size))
        spongy = [slender.grown(-CORTEX * self.size), arches.grown(-ARCH_CORTEX * self.size)]
        marrow = fill_tubes(grid, Tubes.joined(spongy))
        marrow = np.maximum(marrow, self.bodies(grid, BODY_CORTEX * self.size))
        return bone, np.minimum(marrow, bone)


def bent(points: list[npt.NDArray[np.float64]], pieces: int = 6) -> npt.NDArray[np.float64]:
    """Return a smooth curve through points (Catmull-Rom), ``pieces`` straight pieces between two of them."""
    p = np.asarray(points)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = (np.arange(pieces) / pieces)[:, None]
    curve = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*curve, p[-2:-1]])
