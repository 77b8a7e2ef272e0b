"""Lungs and bones as segments with SNOMED codes, in slices and as surfaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from slicer.i18n import tr as _

from HAGANCore.worker.meshes import open_surfaces

from .geometry import ijk_to_ras, matrix_array, vtk_matrix
from .images import fill_image
from .meshes import poly_data

Color = tuple[float, float, float]
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_CATEGORY = "SCT^123037004^Anatomical Structure"
_NOWHERE = "Anatomic codes - DICOM master list~^^~^^"
_CONVERSION = {"Conversion method": "1", "SurfaceNets smoothing": "1", "Smoothing factor": "0.5"}
"""Surface nets that smooth themselves: about five times as fast as the default at 64³ and at 128³."""


@dataclass(frozen=True)
class Structure:
    """What a value of a label map means."""

    label: int
    id: str
    """Of the segment; also the key of its opacity and visibility in the display node."""
    name: str
    code: str
    """SNOMED CT type: scheme^value^meaning."""
    modifier: str
    """SNOMED CT laterality, or nothing."""
    color: Color
    opacity_3d: float

    @property
    def terminology(self) -> str:
        """The segment's ``TerminologyEntry`` tag."""
        return "~".join((_CONTEXT, _CATEGORY, self.code, self.modifier or "^^", _NOWHERE))


_LUNG = "SCT^39607008^Lung"
STRUCTURES = (
    # Blue and green for the sides: told apart by every kind of colour vision (Okabe and Ito 2008), where the
    # terminology's own two lung colours are nearly the same. Bones as in the terminology.
    Structure(1, "right_lung", _("Right lung"), _LUNG, "SCT^24028007^Right", (0.34, 0.71, 0.91), 0.45),
    Structure(2, "left_lung", _("Left lung"), _LUNG, "SCT^7771000^Left", (0.0, 0.62, 0.45), 0.45),
    Structure(3, "bones", _("Bone"), "SCT^272673000^Bone", "", (0.945, 0.839, 0.569), 1.0),
)


def show_labels(
    scene: Any,
    volume_node: Any,
    labels: npt.NDArray,
    geometry: Mapping[str, Any],
    name: str,
    node: Any = None,
    surfaces: bool = True,
    ready: Mapping[str, Any] | None = None,
) -> Any:
    """Show a label map as right lung, left lung and bone: filled and outlined in slices, surfaces in 3D.

    Args:
        scene: the vtkMRMLScene.
        volume_node: the volume that it belongs to (reference geometry); may be None.
        labels: (z, y, x), values of :data:`STRUCTURES`; copied.
        geometry: LPS mm, see :func:`.geometry.ijk_to_ras`.
        name: of a new node.
        node: a node of this function to update in place; what the user made of its display stays.
        surfaces: whether to make the closed surfaces.
        ready: surfaces that the worker has made (:mod:`HAGANCore.worker.meshes`); nothing is computed then.

    Returns:
        The vtkMRMLSegmentationNode.
    """
    if node is None:
        node = _new_segmentation(scene, name)
    modified = node.StartModify()
    try:
        if not _update_in_place(node, labels, geometry):
            _set_labels(node, labels, geometry)
        if volume_node is not None:
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    finally:
        node.EndModify(modified)
    if ready is not None:
        set_surfaces(node, ready)
    elif surfaces:
        node.GetSegmentation().CreateRepresentation(_surface(), True)
    return node


def set_surfaces(node: Any, ready: Mapping[str, Any]) -> None:
    """Give each segment its closed surface as the worker has made it.

    Raises:
        HaganError: the arrays of the surfaces cannot be read.
    """
    segmentation = node.GetSegmentation()
    ids = {structure.label: structure.id for structure in STRUCTURES}
    for label, vertices, triangles in open_surfaces(ready):
        segment = segmentation.GetSegment(ids[label])
        segment.AddRepresentation(_surface(), poly_data(vertices, triangles))


def _new_segmentation(scene: Any, name: str) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(_labelmap())
    for parameter, value in _CONVERSION.items():
        segmentation.SetConversionParameter(parameter, value)
    image = slicer.vtkOrientedImageData()
    fill_image(image, np.zeros((1, 1, 1), np.uint8))
    display = node.GetDisplayNode()
    for structure in STRUCTURES:
        segment = slicer.vtkSegment()
        segment.SetName(structure.name)
        segment.SetColor(*structure.color)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), structure.terminology)
        segment.SetLabelValue(structure.label)
        segment.AddRepresentation(_labelmap(), image)  # one label map for all: they cannot overlap
        segmentation.AddSegment(segment, structure.id)
        display.SetSegmentOpacity3D(structure.id, structure.opacity_3d)
    display.SetOpacity2DFill(0.35)
    display.SetOpacity2DOutline(1.0)
    display.SetVisibility(True)
    return node


def _update_in_place(node: Any, labels: npt.NDArray, geometry: Mapping[str, Any]) -> bool:
    """Write the labels into the label map that is there; False where its grid is another one."""
    segmentation = node.GetSegmentation()
    images = [segmentation.GetSegmentRepresentation(structure.id, _labelmap()) for structure in STRUCTURES]
    image = images[0]
    if image is None or any(other is not image for other in images):
        return False
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    same_place = np.allclose(matrix_array(matrix), ijk_to_ras(geometry), rtol=0, atol=1e-6)
    if (
        not same_place
        or image.GetExtent() != _extent(labels)
        or image.GetScalarType() != vtk.VTK_UNSIGNED_CHAR
    ):
        return False
    fill_image(image, labels.astype(np.uint8, copy=False))
    image.Modified()
    return True


def _extent(labels: npt.NDArray) -> tuple[int, ...]:
    return tuple(value for length in labels.shape[::-1] for value in (0, length - 1))


def _set_labels(node: Any, labels: npt.NDArray, geometry: Mapping[str, Any]) -> None:
    image = slicer.vtkOrientedImageData()
    fill_image(image, labels.astype(np.uint8, copy=False))
    image.SetImageToWorldMatrix(vtk_matrix(ijk_to_ras(geometry)))
    segmentation = node.GetSegmentation()
    for structure in STRUCTURES:
        segment = segmentation.GetSegment(structure.id)
        segment.AddRepresentation(_labelmap(), image)
        segment.SetLabelValue(structure.label)


def _labelmap() -> str:
    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())


def _surface() -> str:
    return str(slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName())
