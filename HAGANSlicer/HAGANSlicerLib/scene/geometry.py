"""From the worker's geometry (LPS) to MRML's matrices (RAS) and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.imaging.volume import LARGEST_SHEAR

Matrix = npt.NDArray[np.float64]
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_FLAT = 1e-3
"""A grid whose directions span less than this has no depth."""


def ijk_to_ras(geometry: Mapping[str, Any]) -> Matrix:
    """Return the 4 × 4 matrix from voxel index (i, j, k, 1) to RAS mm.

    Args:
        geometry: ``spacing``, ``origin`` (x, y, z), ``direction`` (9 numbers, row-major, columns are the
            i, j and k axes), world LPS in mm: ITK's convention.

    Raises:
        HaganError: a value is missing, or is no place for a volume.
    """
    try:
        spacing, origin, direction = (
            np.asarray(geometry[key], float).reshape(shape)
            for key, shape in (("spacing", 3), ("origin", 3), ("direction", (3, 3)))
        )
    except (KeyError, TypeError, ValueError):
        raise HaganError(
            _("A volume's geometry is incomplete or damaged: {found}.").format(found=repr(dict(geometry)))
        ) from None
    matrix = np.eye(4)
    matrix[:3, :3] = direction * spacing
    matrix[:3, 3] = origin
    if not np.isfinite(matrix).all() or min(spacing) <= 0 or abs(np.linalg.det(direction)) < _FLAT:
        raise HaganError(_("A volume's geometry is damaged: {found}.").format(found=repr(dict(geometry))))
    return _LPS_TO_RAS @ matrix


def geometry_of(matrix: Matrix) -> dict[str, list[float]]:
    """Return the geometry whose :func:`ijk_to_ras` is ``matrix``.

    Raises:
        HaganError: the axes are not at right angles, which a geometry cannot say.
    """
    lps = _LPS_TO_RAS @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    if not np.isfinite(lps).all() or min(spacing) <= 0:
        raise HaganError(_("The volume's voxels have no size; check its spacing in the Volumes module."))
    direction = lps[:3, :3] / spacing
    skew = np.abs(direction.T @ direction - np.eye(3)).max()
    if skew > LARGEST_SHEAR:
        raise HaganError(
            _(
                "The volume's axes are not at right angles (cosine {cosine}): its transform "
                "shears it. Harden the transform and resample the volume first."
            ).format(cosine=f"{skew:.3f}")
        )
    return {
        "spacing": spacing.tolist(),
        "origin": lps[:3, 3].tolist(),
        "direction": direction.ravel().tolist(),
    }


def vtk_matrix(matrix: Matrix) -> vtk.vtkMatrix4x4:
    """Return a 4 × 4 array as VTK's matrix."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.ascontiguousarray(matrix, float).ravel())
    return result


def matrix_array(matrix: vtk.vtkMatrix4x4) -> Matrix:
    """Return VTK's matrix as a 4 × 4 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
