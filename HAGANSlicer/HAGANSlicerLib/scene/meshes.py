"""Triangle meshes from arrays: copied, never computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import vtk
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

_LPS_TO_RAS = (-1, -1, 1)


def poly_data(vertices: npt.NDArray, triangles: npt.NDArray) -> Any:
    """Return a vtkPolyData in RAS mm.

    Args:
        vertices: (n, 6): x, y, z in LPS mm, and the normal.
        triangles: (m, 3), indices of vertices. Both are copied.
    """
    points = vtk.vtkPoints()
    points.SetData(_copied(vertices[:, :3] * np.float32(_LPS_TO_RAS)))
    normals = _copied(vertices[:, 3:] * np.float32(_LPS_TO_RAS))
    normals.SetName("Normals")
    cells = vtk.vtkCellArray()
    offsets = np.arange(0, 3 * len(triangles) + 1, 3, dtype=np.int64)
    cells.SetData(
        numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_to_vtkIdTypeArray(triangles.astype(np.int64).ravel(), deep=True),
    )
    mesh = vtk.vtkPolyData()
    mesh.SetPoints(points)
    mesh.SetPolys(cells)
    mesh.GetPointData().SetNormals(normals)
    return mesh


def _copied(rows: npt.NDArray) -> Any:
    return numpy_to_vtk(np.ascontiguousarray(rows, np.float32), deep=True)
