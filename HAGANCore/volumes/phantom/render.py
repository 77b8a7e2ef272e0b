"""Scan one patient: paint all the parts over one another, then blur and noise; and say the truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..profiles import PROFILES
from ..volume import Geometry, Volume
from . import vessels
from .grid import AIR, FAT, Array, Canvas, RenderGrid
from .parameters import PhantomParameters, draw_parameters, severity
from .patient import Patient
from .primitives import Tubes, fill_tubes
from .scanner import add_noise, blurred
from .soft_tissue import MUSCLE, draw_table
from .thorax import Thorax

PROFILE = PROFILES["thorax-ct-fov"]
"""The preprocessing profile whose cube a phantom fills."""
BLOOD, LUMEN, CARTILAGE, DISC, CORD, BRONCHIAL_WALL = 42.0, -990.0, 110.0, 75.0, 25.0, 0.0


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
    """What a model may learn to steer: true volumes and the parameters behind the patient."""
    label: int
    """Severity 0 to 4, see :func:`~HAGANCore.volumes.phantom.severity`."""


def make_phantom(
    seed: int,
    size: int = 64,
    *,
    parameters: PhantomParameters | None = None,
    geometry: Geometry | None = None,
    noise: bool = True,
) -> Phantom:
    """Make a chest CT of a patient who never lived.

    The same seed gives the same phantom, bit for bit. The patient is defined in world coordinates (LPS mm)
    with the middle of the lungs within 2 mm of the origin: another ``geometry`` scans the same patient on
    another grid.

    Args:
        seed: which patient, 0 or more.
        size: voxels along each edge of the default cube; used where no geometry is given.
        parameters: build, habitus and disease; drawn from the seed if left out.
        geometry: a scanner's grid.
        noise: False leaves out the noise (the kernel's blur stays).

    >>> phantom = make_phantom(seed=7, size=32)
    >>> phantom.volume.array.shape, phantom.volume.meta["synthetic"]
    ((32, 32, 32), True)
    >>> 2000 < phantom.millilitres["lungs"] < 8000
    True
    """
    parameters = parameters or draw_parameters(seed)
    patient = Patient(seed, parameters)
    geometry = geometry or PROFILE.cube_geometry(size)
    grid = RenderGrid(geometry, patient.pose)
    canvas = Canvas(grid, AIR)
    blood = BLOOD + parameters.contrast

    body, wall = patient.soft_tissue.draw(canvas)
    draw_table(canvas, patient.soft_tissue.table_y)
    canvas.paint(grid.filled(np.maximum(wall, patient.thorax.below_neck(*grid.points()))), FAT)
    patient.organs.draw(canvas, wall)
    _draw_heart(canvas, patient.thorax, wall, blood)
    _draw_mediastinum(canvas, patient.thorax, blood)
    lung = grid.filled(patient.thorax.lung(*grid.points()))
    _draw_lungs(canvas, patient, lung, blood)
    lung = lung * (1 - _draw_windpipe(canvas, patient.thorax, lung, body))
    bone = _draw_skeleton(canvas, patient, body)
    lung *= 1 - bone

    image = blurred(canvas.image, geometry, parameters.blur)
    if noise:
        add_noise(image, body, geometry, parameters.noise, np.random.default_rng([seed, 3]))
    left = np.broadcast_to(patient.thorax.is_left(*grid.points()), lung.shape)
    litres = {"lungs": lung, "left_lung": lung[left], "right_lung": lung[~left]}
    litres |= {"bones": bone, "fat": canvas.fat, "body": body}
    millilitres = {
        name: float(part.sum(dtype=np.float64)) * geometry.voxel_ml for name, part in litres.items()
    }
    half = lung >= 0.5
    return Phantom(
        volume=Volume(image, geometry, _meta(seed, noise)),
        masks={"left_lung": half & left, "right_lung": half & ~left, "bones": bone >= 0.5},
        millilitres=millilitres,
        covariates=_covariates(parameters, millilitres),
        label=severity(parameters.emphysema),
    )


def _meta(seed: int, noise: bool) -> dict:
    return {
        "synthetic": True,
        "unit": "HU",
        "modality": "CT",
        "provenance": {"kind": "phantom", "seed": int(seed), "noise": noise},
    }


def _covariates(parameters: PhantomParameters, millilitres: dict[str, float]) -> dict[str, float]:
    return {
        "lung_volume_ml": millilitres["lungs"],
        "bone_volume_ml": millilitres["bones"],
        "fat_volume_ml": millilitres["fat"],
        "body_volume_ml": millilitres["body"],
        "bone_density_hu": parameters.bone_density,
        "fat_thickness_mm": parameters.fat,
        "emphysema_fraction": parameters.emphysema,
        "body_scale": parameters.body_scale,
        "inflation": parameters.inflation,
        "heart_scale": parameters.heart,
        "aorta_radius_mm": parameters.aorta_radius,
        "kyphosis": parameters.kyphosis,
        "contrast_hu": parameters.contrast,
    }


def _draw_heart(canvas: Canvas, thorax: Thorax, chest_wall: Array, blood: float) -> None:
    grid = canvas.grid
    inside = grid.filled(chest_wall + 2.0)
    for name, chamber in thorax.heart.items():
        box = chamber.box(grid)
        if box is None:
            continue
        distance = chamber.distance(*grid.points(box))
        canvas.paint(grid.filled(distance) * inside[box], MUSCLE + 0.3 * (blood - BLOOD), box)
        wall = 9.0 if name == "left ventricle" else 2.5
        canvas.paint(grid.filled(distance + wall) * inside[box], blood, box)


def _draw_mediastinum(canvas: Canvas, thorax: Thorax, blood: float) -> None:
    grid = canvas.grid
    canvas.paint(fill_tubes(grid, vessels.gullet(thorax)), 35.0)
    for tubes in (vessels.veins(thorax), vessels.pulmonary_trunk(thorax), vessels.aorta(thorax)):
        canvas.paint(fill_tubes(grid, tubes), blood)
    column = thorax.spine_line()
    canvas.paint(fill_tubes(grid, Tubes.along(column, 14.0 * thorax.scale)), DISC)
    column[:, 1] += 21 * thorax.scale
    canvas.paint(fill_tubes(grid, Tubes.along(column, 8.0 * thorax.scale)), CORD)


def _draw_lungs(canvas: Canvas, patient: Patient, lung: Array, blood: float) -> None:
    grid = canvas.grid
    patient.parenchyma.draw(canvas, lung)
    canvas.paint(fill_tubes(grid, patient.vessels) * lung, blood)
    canvas.paint(fill_tubes(grid, patient.bronchi.grown(1.2)) * lung, BRONCHIAL_WALL)
    canvas.paint(fill_tubes(grid, patient.bronchi) * lung, LUMEN)


def _draw_windpipe(canvas: Canvas, thorax: Thorax, lung: Array, body: Array) -> Array:
    """Paint trachea and main bronchi; returns the fraction of each voxel that is their lumen."""
    grid = canvas.grid
    windpipe = vessels.windpipe(thorax)
    canvas.paint(fill_tubes(grid, windpipe.grown(1.6)) * (1 - lung) * body, MUSCLE)
    lumen = fill_tubes(grid, windpipe) * body
    canvas.paint(lumen, LUMEN)
    return lumen


def _draw_skeleton(canvas: Canvas, patient: Patient, body: Array) -> Array:
    """Paint bones and cartilage; returns the fraction of each voxel that is bone."""
    density = patient.parameters.bone_density
    bone, marrow, cartilage = (part * body for part in patient.skeleton.fill(canvas.grid))
    canvas.paint(cartilage, CARTILAGE)
    canvas.paint(bone, 900.0 + 1.5 * (density - 200.0))
    canvas.paint(marrow, density)
    return bone
