"""A volume: an array and where it lies in the patient."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import HaganError

Vector = tuple[float, float, float]
LARGEST_SHEAR = 2e-3
"""Sine of the angle by which axes may miss 90°; directions of three digits round to less, a tilted gantry is
far above."""
_LARGEST_STRETCH = 1e-2
"""By how much the length of a direction may differ from 1."""


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
        require_rectangular("The volume", numbers["spacing"], np.reshape(numbers["direction"], (3, 3)))
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


def require_rectangular(name: str, spacing: npt.ArrayLike, axes: npt.NDArray[np.float64]) -> None:
    """Refuse a grid whose voxels are no boxes: its millilitres would be wrong, and its labels off the scan.

    Args:
        name: what the grid belongs to, as the message begins.
        spacing: mm along x, y, z.
        axes: (3, 3), direction cosines in columns, not yet made orthogonal.

    Raises:
        HaganError: values that are no numbers, a size that is not above 0, or axes not at right angles.
    """
    sizes, axes = np.asarray(spacing, np.float64), np.asarray(axes, np.float64)
    if not (np.isfinite(sizes).all() and np.isfinite(axes).all()):
        raise HaganError(f"{name} has a position matrix with values that are not numbers; export it again.")
    if sizes.min() <= 0:
        written = " × ".join(f"{size:g}" for size in sizes)
        raise HaganError(f"{name} has a voxel size of {written} mm; it must be above 0, export it again.")
    lengths = np.linalg.norm(axes, axis=0)
    if np.abs(lengths - 1).max() > _LARGEST_STRETCH:
        written = ", ".join(f"{length:.3g}" for length in lengths)
        raise HaganError(f"{name} has directions of length {written} where 1 is needed; export it again.")
    unit = axes / lengths
    shear = np.abs(unit.T @ unit - np.eye(3)).max()
    if shear > LARGEST_SHEAR:
        angle = np.degrees(np.arcsin(min(shear, 1.0)))
        raise HaganError(
            f"{name} has axes that are not at right angles (off by {angle:.1f}°, a tilted gantry?); "
            "resample it to a rectangular grid first."
        )


def nearest_rotation(axes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the orthonormal matrix nearest to ``axes`` (3, 3): takes away what rounding has added."""
    left, _, right = np.linalg.svd(axes)
    return left @ right
