"""What a direction can move and a volume can be asked for: measured on a CT in HU and its segmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..anatomy import LEFT_LUNG, RIGHT_LUNG, Segmentation
from ..anatomy.body import find_body
from ..anatomy.grid import block_factors, block_mean, enlarge, hounsfield, scaled
from ..errors import HaganError
from ..imaging.orientation import canonical_view
from ..imaging.volume import Volume

EMPHYSEMA = -950
"""HU: lung below it is counted as emphysema (Gevenois et al., Am J Respir Crit Care Med 1996)."""
FAT = (-190, -30)
"""HU of fat tissue (Kvist et al., Int J Obes 1986)."""
_AIRY = -500
"""HU half way between air and soft tissue: voxels of fat's HU that touch it are mixtures, not fat."""
_COARSE = 3.0
"""mm of the grid on which the body is found, as in :mod:`~HAGANCore.anatomy.segment`."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that can be measured on a volume."""

    name: str
    """What the user types."""
    unit: str
    title: str
    """What a direction that moves it is called."""
    measure: Callable[[Volume, Segmentation], float]
    """NaN where the volume has nothing to measure it on."""


def body_fat_ml(volume: Volume) -> float:
    """Return the millilitres of fat in the body: voxels within :data:`FAT` that touch neither lung nor air.

    At a border with air every tissue passes through fat's HU; such voxels are left out, and with them the
    outermost layer of true fat under the skin.
    """
    view = canonical_view(volume.array, volume.geometry, "SPL")
    hu = hounsfield(view.array)
    factors = block_factors(hu.shape, view.spacing, _COARSE)
    body = find_body(block_mean(hu, factors), scaled(view.spacing, factors))
    fat = (hu >= FAT[0]) & (hu <= FAT[1]) & enlarge(body, factors, hu.shape)
    fat &= ~_touching(hu < _AIRY)
    return float(np.count_nonzero(fat)) * volume.geometry.voxel_ml


def _touching(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the voxels with a face neighbour in the mask."""
    found = np.zeros_like(mask)
    for axis in range(3):
        here, there = np.moveaxis(found, axis, 0), np.moveaxis(mask, axis, 0)
        here[1:] |= there[:-1]
        here[:-1] |= there[1:]
    return found


def _lung_hu(volume: Volume, found: Segmentation) -> npt.NDArray[np.float64]:
    lungs = (found.labels == RIGHT_LUNG) | (found.labels == LEFT_LUNG)
    return volume.array[lungs].astype(np.float64)


def _lung_density(volume: Volume, found: Segmentation) -> float:
    values = _lung_hu(volume, found)
    return float(values.mean()) if values.size else math.nan


def _emphysema(volume: Volume, found: Segmentation) -> float:
    values = _lung_hu(volume, found)
    return 100.0 * float((values < EMPHYSEMA).mean()) if values.size else math.nan


def _some(millilitres: float) -> float:
    """Nothing found of an organ that every chest has is a failed segmentation, not a volume of 0."""
    return millilitres or math.nan


TARGETS = {
    target.name: target
    for target in (
        Target("lungs_ml", "mL", "lung volume", lambda _, found: _some(found.lungs_ml)),
        Target("left_lung_ml", "mL", "left lung volume", lambda _, found: _some(found.left_lung_ml)),
        Target("right_lung_ml", "mL", "right lung volume", lambda _, found: _some(found.right_lung_ml)),
        Target("bones_ml", "mL", "bone volume", lambda _, found: _some(found.bones_ml)),
        Target("lung_density_hu", "HU", "lung density", _lung_density),
        Target("emphysema_percent", "%", "emphysema", _emphysema),
        Target("fat_ml", "mL", "body fat", lambda volume, _: body_fat_ml(volume)),
    )
}
"""Name: target, in the order of tables."""


def target_named(name: str) -> Target:
    """Return a target.

    Raises:
        HaganError: there is none of this name.
    """
    if name not in TARGETS:
        raise HaganError(f"There is no target '{name}'; choose from {', '.join(TARGETS)}.")
    return TARGETS[name]


def measure_targets(
    volume: Volume, found: Segmentation, names: Sequence[str] = tuple(TARGETS)
) -> dict[str, float]:
    """Return what was asked for; NaN where the volume has nothing to measure it on."""
    return {name: target_named(name).measure(volume, found) for name in names}
