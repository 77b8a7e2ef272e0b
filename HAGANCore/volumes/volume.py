"""A volume: an array and where it lies in the patient."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import HaganError

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where the voxels of a volume lie: ITK's convention, so SimpleITK's own values fit unchanged.

    The *shape* follows the array, ``(z, y, x)``; *spacing*, *origin* and *direction* follow the world,
    ``(x, y, z)`` in LPS millimetres. The centre of voxel ``(k, j, i)`` is
    ``origin + direction @ (spacing * (i, j, k))``.
    """

    shape: tuple[int, int, int]
    """Number of voxels (z, y, x)."""
    spacing: Vector = (1.0, 1.0, 1.0)
    """Voxel size in mm (x, y, z)."""
    origin: Vector = (0.0, 0.0, 0.0)
    """Centre of the first voxel, LPS mm."""
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    """Direction cosines, 3 × 3 row-major: column 0 is the direction of the x index."""

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The 4 × 4 matrix from voxel index ``(i, j, k, 1)`` to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing)) / 1000.0

    @property
    def extent_mm(self) -> Vector:
        """Edge lengths (x, y, z) in mm, from outer voxel face to outer voxel face."""
        x, y, z = (n * s for n, s in zip(self.shape[::-1], self.spacing, strict=True))
        return (x, y, z)

    def to_dict(self) -> dict[str, Any]:
        """Return the geometry as JSON-able values."""
        return {key: list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Any) -> Geometry:
        """Return the geometry that :meth:`to_dict` wrote.

        Raises:
            HaganError: values are missing or are not numbers.
        """
        try:
            numbers = {
                key: tuple(float(v) for v in values[key]) for key in ("spacing", "origin", "direction")
            }
            shape = tuple(int(v) for v in values["shape"])
            lengths = [len(shape), *(len(value) for value in numbers.values())]
        except (KeyError, TypeError, ValueError) as error:
            raise HaganError(f"A volume's geometry is incomplete or damaged ({error!r}).") from None
        if lengths != [3, 3, 3, 9]:
            raise HaganError(f"A volume's geometry is damaged: {values!r}.")
        return cls(shape=shape, **numbers)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Volume:
    """A 3D image: ``array`` in (z, y, x) order, its :class:`Geometry`, and what is known of it.

    ``meta`` holds provenance and source facts as JSON-able values; a synthetic volume has
    ``meta["synthetic"] is True``.
    """

    array: np.ndarray
    geometry: Geometry
    meta: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"array has shape {self.array.shape}, its geometry {self.geometry.shape}")

    def with_array(self, array: np.ndarray, **meta: object) -> Volume:
        """Return a volume on the same grid with another array; ``meta`` is added to what is known."""
        return replace(self, array=array, meta={**self.meta, **meta})


def nearest_rotation(axes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the orthonormal matrix nearest to ``axes`` (3, 3): takes away what rounding has added."""
    left, _, right = np.linalg.svd(axes)
    return left @ right
