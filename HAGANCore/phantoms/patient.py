"""One patient in the world: anatomy, pose and lung texture, whatever grid they are drawn on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..anatomy.lung_box import SMALLEST_LUNGS_ML, box_of_lungs
from ..errors import HaganError
from ..preparation.profiles import PROFILES
from . import vessels
from .grid import RenderGrid
from .organs import Organs
from .parameters import PhantomParameters
from .parenchyma import Parenchyma
from .skeleton import Skeleton
from .soft_tissue import SoftTissue
from .thorax import Thorax

SURVEY = PROFILES["thorax-ct-fov"].cube_geometry(64)
"""The grid on which the patient is looked at before the scan, to find the lungs."""
_HALF_LUNG = 440.0 / 890.0
"""A voxel of lung (-850 HU) and tissue (40 HU) that is fuller of lung than this is darker than -400 HU."""


class Patient:
    """All that is fixed about a patient before the scan."""

    def __init__(self, seed: int, parameters: PhantomParameters, bloated: bool = False) -> None:
        rng = np.random.default_rng([seed, 2])
        self.parameters = parameters
        self.thorax = Thorax(parameters)
        self.skeleton = Skeleton(self.thorax)
        self.soft_tissue = SoftTissue(self.thorax)
        self.organs = Organs(self.thorax, bloated)
        self.pose = roll(parameters.rotation)
        """4 × 4 matrix from the patient's frame to the world."""
        lung = self._survey()
        self.pose[:3, 3] = rng.uniform(-2.0, 2.0, 3) - _middle(lung)
        deep = np.argwhere(lung >= 0.999)[:, ::-1] + rng.uniform(-0.5, 0.5, (int(np.sum(lung >= 0.999)), 3))
        inside = (np.asarray(SURVEY.origin) + deep * SURVEY.spacing) @ self.pose[:3, :3]
        self.vessels, self.bronchi = vessels.lung_trees(self.thorax, inside, rng)
        self.parenchyma = Parenchyma(self.thorax, inside, rng)

    def _survey(self) -> npt.NDArray[np.float32]:
        grid = RenderGrid(SURVEY, self.pose)
        return grid.filled(self.thorax.lung(*grid.points()))


def _middle(lung: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the middle of the lungs as the preprocessing defines it in a real scan, mm (x, y, z)."""
    x, y, z = SURVEY.spacing
    box = box_of_lungs(lung > _HALF_LUNG, (z, y, x))
    if box is None or lung.sum() * SURVEY.voxel_ml < SMALLEST_LUNGS_ML:
        raise HaganError(
            f"The phantom's lungs hold only {lung.sum() * SURVEY.voxel_ml:.0f} mL; "
            "choose parameters of a larger chest."
        )
    middle = [(first + last - 1) / 2 for first, last in box][::-1]
    return np.asarray(SURVEY.origin) + np.asarray(middle) * SURVEY.spacing


def roll(degrees: float) -> npt.NDArray[np.float64]:
    """Return the 4 × 4 rotation about the long axis."""
    pose = np.eye(4)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    pose[:2, :2] = [[c, -s], [s, c]]
    return pose
