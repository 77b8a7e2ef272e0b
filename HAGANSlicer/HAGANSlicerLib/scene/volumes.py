"""Scalar volumes: from arrays to nodes and back, on exact geometry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.imaging.difference import difference_of, spread_of

from .geometry import Matrix, geometry_of, ijk_to_ras, matrix_array, vtk_matrix
from .images import fill_image, image_array

WINDOW_LEVEL = {"CT": (1600.0, -200.0)}
"""Modality: window and level. CT: -1000 HU black, 600 HU white, so that lungs and bones show at once."""
DIFFERENCE_COLORS = "HAGAN difference"
_BLUE, _GREY, _RED = (0.230, 0.299, 0.754), (0.865, 0.865, 0.865), (0.706, 0.016, 0.150)
_SAME_PLACE_MM = 1e-2


def add_volume(
    scene: Any,
    array: npt.NDArray,
    geometry: Mapping[str, Any],
    name: str,
    modality: str = "CT",
    attributes: Mapping[str, str] | None = None,
    window: tuple[float, float] | None = None,
) -> Any:
    """Add a volume to the scene, displayed with the window and level of its modality.

    Args:
        scene: the vtkMRMLScene.
        array: (z, y, x); it is copied.
        geometry: ``spacing``, ``origin``, ``direction``: LPS mm, see :func:`.geometry.ijk_to_ras`.
        name: of the node; the scene makes it unique.
        modality: ``CT`` (voxels in HU) or ``MR``.
        attributes: of the node.
        window: window and level; None is those of the modality.

    Returns:
        The vtkMRMLScalarVolumeNode.
    """
    matrix = ijk_to_ras(geometry)
    image = vtk.vtkImageData()
    fill_image(image, array)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(vtk_matrix(matrix))
    # Before there are voxels, and with a fixed window: else the display looks through all of them, twice.
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().AutoWindowLevelOff()
    node.SetAndObserveImageData(image)
    for key, value in (attributes or {}).items():
        node.SetAttribute(key, value)
    if modality == "CT":
        node.SetVoxelValueQuantity(_coded("DCM", "112031", "Attenuation Coefficient"))
        node.SetVoxelValueUnits(_coded("UCUM", "[hnsf'U]", "Hounsfield unit"))
    if window is None:
        set_window_level(node, modality)
    else:
        node.GetDisplayNode().SetWindowLevel(*window)
    return node


def update_volume(node: Any, array: npt.NDArray, geometry: Mapping[str, Any]) -> None:
    """Replace voxels and place of a volume; quick where shape and type stay, as under a dragged slider."""
    matrix = ijk_to_ras(geometry)
    modified = node.StartModify()
    try:
        if not np.array_equal(matrix, _ijk_to_ras_of(node)):
            node.SetIJKToRASMatrix(vtk_matrix(matrix))
        image = node.GetImageData()
        if image is None:
            image = vtk.vtkImageData()
            fill_image(image, array)
            node.SetAndObserveImageData(image)
        else:
            fill_image(image, array)
        node.StorableModified()
        node.Modified()
    finally:
        node.EndModify(modified)
    node.InvokeEvent(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, node)


def volume_of(node: Any) -> tuple[npt.NDArray, dict[str, list[float]]]:
    """Return the voxels and the place in the world of a volume; transforms above it are respected.

    Returns:
        The array (z, y, x), which shares the node's memory, and the geometry, LPS mm.

    Raises:
        HaganError: there is no single-component volume, or it is under a transform that is not linear.
    """
    image = node.GetImageData() if node is not None else None
    if image is None or image.GetPointData().GetScalars() is None:
        name = node.GetName() if node is not None else "none"
        raise HaganError(_("The volume '{name}' holds no voxels; choose a loaded volume.").format(name=name))
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise HaganError(
            _("The volume '{name}' has {components} values per voxel; choose a scalar volume.").format(
                name=node.GetName(), components=components
            )
        )
    return image_array(image), geometry_of(world_matrix(node) @ _ijk_to_ras_of(node))


def difference_volume(
    scene: Any,
    scan_node: Any,
    reconstruction_node: Any,
    name: str,
    window: tuple[float, float] | None = None,
) -> Any:
    """Add reconstruction - scan, in diverging colours: blue where the scan is larger, red where smaller.

    Args:
        scene: the vtkMRMLScene.
        scan_node: the scan.
        reconstruction_node: on the same grid, in the same place.
        name: of the new node.
        window: where given, the scan is clipped to it first: what a model cannot show is no difference.

    Raises:
        HaganError: the two do not lie on one grid.
    """
    scan, place = volume_of(scan_node)
    reconstruction, other_place = volume_of(reconstruction_node)
    far = np.abs(ijk_to_ras(place) - ijk_to_ras(other_place)).max()
    if scan.shape != reconstruction.shape or far > _SAME_PLACE_MM:
        raise HaganError(
            _(
                "'{scan}' {scan_shape} and '{reconstruction}' {shape} do not lie on one grid "
                "({distance} mm apart); encode the scan again."
            ).format(
                scan=scan_node.GetName(),
                scan_shape=scan.shape,
                reconstruction=reconstruction_node.GetName(),
                shape=reconstruction.shape,
                distance=f"{far:.2f}",
            )
        )
    difference = difference_of(reconstruction, scan, window)
    return add_difference(scene, difference, place, name, spread_of(difference))


def add_difference(
    scene: Any, difference: npt.NDArray, geometry: Mapping[str, Any], name: str, spread: float
) -> Any:
    """Add a difference that is known already, in diverging colours from -``spread`` to ``spread``."""
    window = (2 * max(spread, 1.0), 0.0)
    node = add_volume(scene, difference, geometry, name, modality="", window=window)
    node.GetDisplayNode().SetAndObserveColorNodeID(difference_colors(scene).GetID())
    return node


def difference_colors(scene: Any) -> Any:
    """Return the scene's diverging colour table, blue through grey to red; made when first asked for."""
    found = scene.GetFirstNodeByName(DIFFERENCE_COLORS)
    if found is not None and found.IsA("vtkMRMLColorTableNode"):
        return found
    function = vtk.vtkColorTransferFunction()
    function.SetColorSpaceToDiverging()  # Moreland, ISVC 2009: equal steps to the eye, grey in the middle
    for position, color in ((0, _BLUE), (0.5, _GREY), (1, _RED)):
        function.AddRGBPoint(position, *color)
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(DIFFERENCE_COLORS)
    node.SetNumberOfColors(256)
    for index in range(256):
        node.SetColor(index, str(index), *function.GetColor(index / 255))
    return scene.AddNode(node)


def set_window_level(node: Any, modality: str) -> None:
    """Set window and level of the modality; of one that is not known, from the values themselves."""
    display = node.GetDisplayNode()
    if modality in WINDOW_LEVEL:
        window, level = WINDOW_LEVEL[modality]
    else:
        array = image_array(node.GetImageData())
        low, high = np.percentile(array[array != 0] if array.any() else array, (1, 99))
        window, level = max(float(high - low), 1e-3), float(high + low) / 2
    display.AutoWindowLevelOff()
    display.SetWindowLevel(window, level)


def _ijk_to_ras_of(node: Any) -> Matrix:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix_array(matrix)


def world_matrix(node: Any) -> Matrix:
    """Return the transform above a node, as a matrix.

    Raises:
        HaganError: it is not linear.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    if not transform.IsTransformToWorldLinear() or not transform.GetMatrixTransformToWorld(matrix):
        raise HaganError(
            _(
                "'{name}' is under the transform '{transform}', which is not linear; harden it (Transforms "
                "module), so that its own voxels are resampled."
            ).format(name=node.GetName(), transform=transform.GetName())
        )
    return matrix_array(matrix)


def _coded(scheme: str, value: str, meaning: str) -> Any:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(value, scheme, meaning)
    return entry
