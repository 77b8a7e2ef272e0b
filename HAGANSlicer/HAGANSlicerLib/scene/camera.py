"""Where the 3D views look from: at a new result, once; after that it is the user's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer

from .segments import STRUCTURES

Box = npt.NDArray[np.float64]
"""(3, 2): lowest and highest RAS coordinate of each axis, mm."""


def look_at(scene: Any, volume: Any, segmentation: Any = None) -> None:
    """Turn every 3D view's camera to a result, as far away as it takes to see the whole of it.

    The direction of view stays. Worked out from the nodes, not from what is drawn: that comes later.

    Args:
        scene: the vtkMRMLScene.
        volume: the vtkMRMLScalarVolumeNode.
        segmentation: where given, its surfaces are looked at.
    """
    box = _box_of_surfaces(segmentation)
    box = _box_of_volume(volume) if box is None else box
    centre, radius = box.mean(axis=1), np.linalg.norm(box[:, 1] - box[:, 0]) / 2
    if not radius > 0:
        return
    cameras = scene.GetNodesByClass("vtkMRMLCameraNode")
    for index in range(cameras.GetNumberOfItems()):
        camera = cameras.GetItemAsObject(index)
        back = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
        back /= np.linalg.norm(back)
        # As vtkRenderer::ResetCamera: the sphere around the box fits into the angle of view.
        distance = radius / math.sin(math.radians(camera.GetViewAngle()) / 2)
        modified = camera.StartModify()
        camera.SetParallelScale(float(radius))
        camera.SetFocalPoint(*centre.tolist())
        camera.SetPosition(*(centre + distance * back).tolist())
        camera.ResetClippingRange()
        camera.EndModify(modified)


def _box_of_volume(volume: Any) -> Box:
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return np.array(bounds).reshape(3, 2)


def _box_of_surfaces(segmentation: Any) -> Box | None:
    """Return the box around the surfaces there are, in the node's own place; None where there are none."""
    if segmentation is None or segmentation.GetParentTransformNode() is not None:
        return None
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    boxes = []
    for structure in STRUCTURES:
        surface = segmentation.GetSegmentation().GetSegmentRepresentation(structure.id, name)
        if surface is not None and surface.GetNumberOfPoints():
            boxes.append(np.array(surface.GetBounds()).reshape(3, 2))
    if not boxes:
        return None
    return np.stack([np.min(boxes, axis=0)[:, 0], np.max(boxes, axis=0)[:, 1]], axis=1)
