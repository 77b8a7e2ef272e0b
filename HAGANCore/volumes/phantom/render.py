"""Draw one patient: all the parts painted over one another, then texture, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..volume import Geometry, Volume
from . import vessels
from .grid import Array, RenderGrid, paint
from .parameters import PhantomParameters, draw_parameters, severity
from .primitives import Tubes, fill_tubes
from .skeleton import Skeleton
from .soft_tissue import FAT, MUSCLE, SoftTissue, draw_table
from .texture import Parenchyma, add_noise, blurred
from .thorax import Thorax

FIELD_OF_VIEW = (320.0, 320.0, 384.0)
"""Field of view of the profile ``thorax-ct-fov``, mm (z, y, x)."""
AIR, BLOOD, LUMEN, CARTILAGE = -1000.0, 42.0, -990.0, 110.0


@dataclass(frozen=True, slots=True)
class Phantom:
    """A phantom and the truth about it."""

    volume: Volume
    """Hounsfield units, float32."""
    masks: dict[str, npt.NDArray[np.bool_]]
    """``left_lung``, ``right_lung``, ``bones``: voxels at least half filled."""
    millilitres: dict[str, float]
    """True volumes from the filled fractions: lungs, left_lung, right_lung, bones, fat, body."""
    covariates: dict[str, float]
    """What a model may learn to steer: measured truth and the parameters behind it."""
    label: int
    """Severity 0 to 4, see :func:`~HAGANCore.volumes.phantom.severity`."""


def cube(size: int) -> Geometry:
    """Return the cube of ``size``³ voxels over the default field of view, its centre at world 0."""
    spacing = (FIELD_OF_VIEW[2] / size, FIELD_OF_VIEW[1] / size, FIELD_OF_VIEW[0] / size)
    x, y, z = (-(size - 1) / 2 * s for s in spacing)
    return Geometry(shape=(size, size, size), spacing=spacing, origin=(x, y, z))


def roll(degrees: float) -> npt.NDArray[np.float64]:
    """Return the 4 × 4 rotation about the long axis."""
    pose = np.eye(4)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    pose[:2, :2] = [[c, -s], [s, c]]
    return pose


class Patient:
    """One patient in the world: anatomy, pose, lung texture. Independent of the grid it is drawn on."""

    def __init__(self, seed: int, parameters: PhantomParameters) -> None:
        self.parameters = parameters
        self.rng = np.random.default_rng([seed, 2])
        self.thorax = Thorax(parameters)
        self.skeleton = Skeleton(self.thorax)
        self.pose = roll(parameters.rotation)
        survey = RenderGrid(cube(64), self.pose)
        points = survey.points()
        lung = survey.filled(self.thorax.lung(*points))
        filled = np.argwhere(lung >= 0.5)
        middle = (filled.min(0) + filled.max(0)) / 2
        jitter = self.rng.uniform(-2.0, 2.0, 3)
        geometry = survey.geometry
        centre = np.asarray(geometry.origin) + middle[::-1] * geometry.spacing
        self.pose[:3, 3] = jitter - centre
        deep = np.argwhere(lung >= 0.999)
        world = np.asarray(geometry.origin) + deep[:, ::-1] * geometry.spacing
        world = world + self.rng.uniform(-2.5, 2.5, world.shape)
        turn = self.pose[:3, :3]
        inside = world @ turn
        self.vessels, self.bronchi = vessels.lung_trees(self.thorax, inside, self.rng)
        self.parenchyma = Parenchyma(parameters, self.thorax, inside, self.rng)


def make_phantom(
    seed: int,
    size: int = 64,
    *,
    parameters: PhantomParameters | None = None,
    geometry: Geometry | None = None,
    noise: bool = True,
) -> Phantom:
    """Make a chest CT of a patient who never lived.

    The same seed gives the same phantom, bit for bit. The patient is defined in world coordinates (LPS mm):
    another ``geometry`` scans the same patient on another grid.

    Args:
        seed: which patient.
        size: edge of the default cube in voxels; used where no geometry is given.
        parameters: build, habitus and disease; drawn from the seed if left out.
        geometry: a scanner grid.
        noise: False leaves out noise (kernel blur stays).
    """
    parameters = parameters or draw_parameters(seed)
    patient = Patient(seed, parameters)
    thorax = patient.thorax
    geometry = geometry or cube(size)
    grid = RenderGrid(geometry, patient.pose)
    image = np.full(grid.shape, AIR, np.float32)
    blood = BLOOD + parameters.contrast

    soft = SoftTissue(thorax)
    body, _, wall = soft.draw(grid, image)
    back = float(soft.back(thorax.z(0.45))) + parameters.fat * 0.75 + 3.0
    draw_table(grid, image, back + parameters.table_height)

    x, y, z = grid.points()
    lung = grid.filled(thorax.lung(x, y, z))
    chest = grid.filled(np.maximum(wall, z - np.float32(thorax.z(1.1))))
    paint(image, chest, FAT)
    soft.draw_belly(grid, image, wall, parameters.contrast)
    _draw_mediastinum(grid, image, thorax, blood)

    paint(image, lung, patient.parenchyma.attenuation(grid))
    vessel = fill_tubes(grid, patient.vessels)
    paint(image, vessel * lung, blood)
    bronchi = fill_tubes(grid, patient.bronchi)
    paint(image, fill_tubes(grid, patient.bronchi.grown(1.2)) * lung, 0.0)
    paint(image, bronchi * lung, LUMEN)
    windpipe = vessels.windpipe(thorax)
    paint(image, fill_tubes(grid, windpipe.grown(1.6)) * (1 - lung), MUSCLE)
    lumen = fill_tubes(grid, windpipe)
    paint(image, lumen, LUMEN)
    lung *= 1 - lumen

    bone, marrow, cartilage = patient.skeleton.fill(grid)
    paint(image, cartilage * body, CARTILAGE)
    cortex = 900.0 + 1.5 * (parameters.bone_density - 200.0)
    bone = bone * body
    paint(image, bone, cortex)
    paint(image, marrow * body, parameters.bone_density)
    lung *= 1 - bone

    image = blurred(image, geometry, parameters.blur)
    if noise:
        add_noise(image, geometry, parameters.noise, np.random.default_rng([seed, 3]))
    left = np.broadcast_to(x > thorax.spine_x(z) + 3 * thorax.scale, lung.shape)
    ml = geometry.voxel_ml
    fat = body * (np.abs(image + 100) < 60)
    millilitres = {
        "lungs": float(lung.sum()) * ml,
        "left_lung": float(lung[left].sum()) * ml,
        "right_lung": float(lung[~left].sum()) * ml,
        "bones": float(bone.sum()) * ml,
        "fat": float(fat.sum()) * ml,
        "body": float(body.sum()) * ml,
    }
    masks = {"left_lung": (lung >= 0.5) & left, "right_lung": (lung >= 0.5) & ~left, "bones": bone >= 0.5}
    meta = {"synthetic": True, "phantom": True, "seed": int(seed)}
    covariates = {
        "lung_volume_ml": millilitres["lungs"],
        "bone_volume_ml": millilitres["bones"],
        "emphysema_fraction": parameters.emphysema,
    }
    return Phantom(
        Volume(image, geometry, meta), masks, millilitres, covariates, severity(parameters.emphysema)
    )


def _draw_mediastinum(grid: RenderGrid, image: Array, thorax: Thorax, blood: float) -> None:
    for name, chamber in thorax.heart.items():
        box = chamber.box(grid)
        if box is None:
            continue
        distance = chamber.distance(*grid.points(box))
        paint(image, grid.filled(distance), MUSCLE + 0.3 * (blood - 42.0), box)
        wall = 9.0 if name == "left ventricle" else 2.5
        paint(image, grid.filled(distance + wall), blood, box)
    paint(image, fill_tubes(grid, vessels.gullet(thorax)), 35.0)
    for tubes in (vessels.veins(thorax), vessels.pulmonary_trunk(thorax), vessels.aorta(thorax)):
        paint(image, fill_tubes(grid, tubes), blood)
    canal = np.linspace(thorax.z(-0.45), thorax.z(1.4), 30)
    line = np.stack([thorax.spine_x(canal), thorax.spine_y(canal) + 21 * thorax.scale, canal], axis=1)
    column = np.stack([thorax.spine_x(canal), thorax.spine_y(canal), canal], axis=1)
    paint(image, fill_tubes(grid, Tubes.along(column, 14.0 * thorax.scale)), 75.0)
    paint(image, fill_tubes(grid, Tubes.along(line, 8.0 * thorax.scale)), 25.0)
