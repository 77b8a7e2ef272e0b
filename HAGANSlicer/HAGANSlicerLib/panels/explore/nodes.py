"""The nodes that follow Explore's sliders: for each start one volume with its segments, changed in place."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from ...scene import display, hierarchy, images, latents, results, segments
from ...showing import hide_results, show_result

VOLUME_ROLE = "HAGAN.explored.volume"
SEGMENTATION_ROLE = "HAGAN.explored.segmentation"
"""Node references of a start, saved with the scene, by which its nodes are found again."""


def folder_of(scene: slicer.vtkMRMLScene, start: slicer.vtkMRMLTextNode) -> int:
    """Return the subject hierarchy folder of what was made from a start."""
    return hierarchy.folder(scene, _explored(start))


def show_step(scene: slicer.vtkMRMLScene, start: slicer.vtkMRMLTextNode, result: dict[str, Any]) -> None:
    """Show the result of a ``step`` request from ``start``; its arrays are released."""
    nodes = explored_nodes(start)
    first = nodes is None
    nodes = results.show_step(scene, result, _explored(start), nodes, folder_of(scene, start))
    if first:
        start.SetNodeReferenceID(VOLUME_ROLE, nodes.volume.GetID())
        if nodes.segmentation is not None:
            start.SetNodeReferenceID(SEGMENTATION_ROLE, nodes.segmentation.GetID())
        show_result(scene, nodes, result["volume"]["modality"])


def _explored(start: slicer.vtkMRMLTextNode) -> str:
    return _("{name} explored").format(name=latents.base_name(start))


def explored_nodes(start: slicer.vtkMRMLTextNode) -> results.Nodes | None:
    """Return the nodes of earlier steps from a start; None where there are none, or one was deleted."""
    volume = start.GetNodeReference(VOLUME_ROLE)
    segmentation = start.GetNodeReference(SEGMENTATION_ROLE)
    latent = None if volume is None else volume.GetNodeReference(latents.REFERENCE)
    if latent is None or (segmentation is None and start.GetNodeReferenceID(SEGMENTATION_ROLE)):
        return None
    return results.Nodes(volume=volume, latent=latent, segmentation=segmentation)


def show_alone(scene: slicer.vtkMRMLScene, volume: Any, segmentation: Any) -> None:
    """Show a volume with its segments, and hide those of other results; None is passed over."""
    hide_results(scene)
    if volume is not None:
        display.show_volume(scene, volume)
    if segmentation is not None and segmentation.GetDisplayNode() is not None:
        display.show_segmentation(segmentation)


def label_map(segmentation: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLScalarVolumeNode) -> Any:
    """Return the segments on a volume's grid as an array (z, y, x) of uint8; None without segments."""
    ids = vtk.vtkStringArray()
    for structure in segments.STRUCTURES:
        if segmentation.GetSegmentation().GetSegment(structure.id) is None:
            return None
        ids.InsertNextValue(structure.id)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    grid = logic.CreateOrientedImageDataFromVolumeNode(volume)
    merged = slicer.vtkOrientedImageData()
    # The labels are 1, 2, 3 … in the order of the ids, which is that of the structures' own labels.
    made = segmentation.GenerateMergedLabelmapForAllSegments(
        merged, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, grid, ids
    )
    return images.image_array(merged).astype("uint8") if made else None
