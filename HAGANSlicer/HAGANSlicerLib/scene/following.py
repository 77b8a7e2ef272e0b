"""Results go under the transform of their scan, and follow it when it is moved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
import vtk

from .geometry import Matrix, matrix_array, vtk_matrix


def follow(scan_node: Any, reconstruction: Any, volumes: Iterable[Any], segmentations: Iterable[Any]) -> None:
    """Put what was made of a scan under the scan's transform, without moving it from the scan.

    A scan is sent with its transform applied, so its results lie in the world. The scan's own grid, below the
    transform, is where they belong; it is known without inverting a transform that may have changed since.

    Args:
        scan_node: the scan.
        reconstruction: on the scan's grid, still in the world.
        volumes: on that grid, the reconstruction among them; None is passed over.
        segmentations: with their label maps and surfaces in the world; None is passed over.
    """
    transform = scan_node.GetTransformNodeID()
    if not transform:
        return
    own = _ijk_to_ras(scan_node)
    world_to_own = own @ np.linalg.inv(_ijk_to_ras(reconstruction))
    for volume in filter(None, volumes):
        volume.SetIJKToRASMatrix(vtk_matrix(own))
        volume.SetAndObserveTransformNodeID(transform)
    for segmentation in filter(None, segmentations):
        _move(segmentation.GetSegmentation(), world_to_own)
        segmentation.SetAndObserveTransformNodeID(transform)
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(scan_node)


def _move(segmentation: Any, matrix: Matrix) -> None:
    """Move label maps and surfaces; a label map that segments share is moved once."""
    names = slicer.vtkSegmentationConverter
    labelmap = str(names.GetSegmentationBinaryLabelmapRepresentationName())
    surface = str(names.GetSegmentationClosedSurfaceRepresentationName())
    parts = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    # Surfaces first, and given back at the end: they are dropped when the label maps change.
    surfaces = [(part, part.GetRepresentation(surface)) for part in parts]
    meshes = [(part, _moved(mesh, matrix)) for part, mesh in surfaces if mesh is not None]
    moved: list[Any] = []
    for image in (part.GetRepresentation(labelmap) for part in parts):
        if image is not None and not any(image is other for other in moved):
            before = vtk.vtkMatrix4x4()
            image.GetImageToWorldMatrix(before)
            image.SetImageToWorldMatrix(vtk_matrix(matrix @ matrix_array(before)))
            moved.append(image)
    for part, mesh in meshes:
        part.AddRepresentation(surface, mesh)


def _moved(mesh: Any, matrix: Matrix) -> Any:
    transform, mover = vtk.vtkTransform(), vtk.vtkTransformPolyDataFilter()
    transform.SetMatrix(vtk_matrix(matrix))
    mover.SetTransform(transform)
    mover.SetInputData(mesh)
    mover.Update()
    return mover.GetOutput()


def _ijk_to_ras(node: Any) -> Matrix:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix_array(matrix)
