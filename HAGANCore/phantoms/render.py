"""Scan one patient: what the scanner makes of the anatomy, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..imaging.volume import Geometry, Volume
from ..preparation.profiles import PROFILES
from .draw import Drawing, draw
from .parameters import PhantomParameters, draw_parameters, severity
from .patient import Patient
from .scanner import add_noise, blurred

PROFILE = PROFILES["thorax-ct-fov"]
"""The preprocessing profile whose cube a phantom fills."""


@dataclass(frozen=True, slots=True)
class Phantom:
    """A phantom and the truth about it."""

    volume: Volume
    """Hounsfield units, float32."""
    masks: dict[str, npt.NDArray[np.bool_]]
    """``left_lung``, ``right_lung``, ``bones`` (and ``stomach_gas``, if bloated): voxels at least half
    filled."""
    millilitres: dict[str, float]
    """True volumes from the filled fractions: lungs, left_lung, right_lung, bones, fat, body."""
    covariates: dict[str, float]
    """What a model may learn to steer: true volumes and the parameters behind the patient."""
    label: int
    """Severity 0 to 4, see :func:`~HAGANCore.phantoms.severity`."""


def make_phantom(
    seed: int,
    size: int = 64,
    *,
    parameters: PhantomParameters | None = None,
    geometry: Geometry | None = None,
    noise: bool = True,
    bloated: bool = False,
) -> Phantom:
    """Make a chest CT of a patient who never lived.

    The same seed gives the same phantom, bit for bit. The patient is defined in world coordinates (LPS mm),
    the middle of the lungs, as the preprocessing finds it in a scan, near the origin: another ``geometry``
    scans the same patient on another grid.

    Args:
        seed: which patient, 0 or more.
        size: voxels along each edge of the default cube; used where no geometry is given.
        parameters: build, habitus and disease; drawn from the seed if left out.
        geometry: a scanner's grid.
        noise: False leaves out the noise (the kernel's blur stays).
        bloated: distend the stomach with gas, some 3 mm of tissue below the left lung over a broad area. The
            truth then has ``stomach_gas`` too. All else, and the drawing of a patient without it, stays as
            it is.

    >>> phantom = make_phantom(seed=7, size=32)
    >>> phantom.volume.array.shape, phantom.volume.meta["synthetic"]
    ((32, 32, 32), True)
    >>> 2000 < phantom.millilitres["lungs"] < 8000
    True
    """
    parameters = parameters or draw_parameters(seed)
    patient = Patient(seed, parameters, bloated)
    geometry = geometry or PROFILE.cube_geometry(size)
    drawing = draw(patient, geometry)
    image = blurred(drawing.image, geometry, parameters.blur)
    if noise:
        add_noise(image, drawing.body, geometry, parameters.noise, np.random.default_rng([seed, 3]))
    millilitres = _millilitres(drawing, geometry)
    half, left = (drawing.lung >= 0.5) & (drawing.lung > drawing.bone), drawing.left
    masks = {"left_lung": half & left, "right_lung": half & ~left, "bones": drawing.bone >= 0.5}
    if bloated:
        masks["stomach_gas"] = drawing.gas >= 0.5
        millilitres["stomach_gas"] = float(drawing.gas.sum(dtype=np.float64)) * geometry.voxel_ml
    return Phantom(
        volume=Volume(image, geometry, _meta(seed, noise)),
        masks=masks,
        millilitres=millilitres,
        covariates=_covariates(parameters, millilitres),
        label=severity(parameters.emphysema),
    )


def _millilitres(drawing: Drawing, geometry: Geometry) -> dict[str, float]:
    parts = {
        "lungs": drawing.lung,
        "left_lung": drawing.lung[drawing.left],
        "right_lung": drawing.lung[~drawing.left],
        "bones": drawing.bone,
        "fat": drawing.fat,
        "body": drawing.body,
    }
    return {name: float(part.sum(dtype=np.float64)) * geometry.voxel_ml for name, part in parts.items()}


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
