"""The user's own lungs and bones, a segmentation or a label map volume, as one label map for the engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError

from . import volumes
from .geometry import geometry_of, matrix_array
from .images import image_array

LABELS = {"right_lung": 1, "left_lung": 2, "bones": 3}
"""What the engine's numbers mean."""
_SIDES = {"right", "left"}
_LUNG = {"lung", "lobe", "upper", "middle", "lower", "superior", "inferior", "of", "the", *_SIDES}
_BONES = {
    *("bone", "bones", "rib", "ribs", "vertebra", "vertebrae", "sternum", "breastbone", "manubrium"),
    *("scapula", "scapulae", "clavicle", "clavicles", "clavicula", "humerus", "femur", "sacrum", "coccyx"),
    *("hip", "hips", "skull", "mandible", "skeleton"),
}
_ORDINALS = {
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
}
_BESIDE_BONES = {"of", "the", "and", "all", "cervical", "thoracic", "lumbar", "thorax", *_ORDINALS, *_SIDES}


@dataclass(frozen=True)
class Outlines:
    """A label map in the world."""

    array: npt.NDArray
    """(z, y, x), whole numbers."""
    geometry: dict[str, list[float]]
    """LPS mm."""
    left_out: tuple[str, ...] = ()
    """Names of the segments that are neither lung nor bone."""


def outlines_of(node: Any) -> Outlines:
    """Return the outlines of a node; transforms above it are respected.

    The numbers of a label map volume are given back as they are. The segments of a segmentation get the
    numbers of :data:`LABELS` by their names or else by their terminology.

    Args:
        node: a vtkMRMLLabelMapVolumeNode or a vtkMRMLSegmentationNode.

    Raises:
        HaganError: it is empty, no segment is a lung or a bone, or there is no binary label map.
    """
    if not node.IsA("vtkMRMLSegmentationNode"):
        return Outlines(*volumes.volume_of(node))
    segmentation = node.GetSegmentation()
    named = {identifier: segmentation.GetSegment(identifier) for identifier in segmentation.GetSegmentIDs()}
    organs = {identifier: organ_of(segment) for identifier, segment in named.items()}
    found = [identifier for identifier, organ in organs.items() if organ is not None]
    if not found:
        raise HaganError(
            _(
                "No segment of '{name}' is called a lung or a bone; name them 'right lung', 'left lung' "
                "and 'bone'."
            ).format(name=node.GetName())
        )
    merged = _merged(node, found)
    numbers = np.array([0, *(LABELS[str(organs[identifier])] for identifier in found)], np.uint8)
    first = np.eye(4)
    first[:3, 3] = merged.GetExtent()[::2]  # its voxels need not begin at 0
    matrix = vtk.vtkMatrix4x4()
    merged.GetImageToWorldMatrix(matrix)
    return Outlines(
        numbers[image_array(merged)],
        geometry_of(volumes.world_matrix(node) @ matrix_array(matrix) @ first),
        tuple(str(named[identifier].GetName()) for identifier, organ in organs.items() if organ is None),
    )


def state_of(node: Any) -> tuple[Any, ...]:
    """Return what changes when the outlines of a node do."""
    parts = [node.GetID(), volumes.world_matrix(node).tobytes()]
    if not node.IsA("vtkMRMLSegmentationNode"):
        return (*parts, node.GetImageData().GetMTime() if node.GetImageData() else None)
    segmentation = node.GetSegmentation()
    for identifier in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(identifier)
        image = segment.GetRepresentation(_labelmap())
        parts += [segment.GetMTime(), None if image is None else image.GetMTime()]
    return tuple(parts)


def organ_of(segment: Any) -> str | None:
    """Return which of :data:`LABELS` a vtkSegment is; None for anything else."""
    return organ_named(str(segment.GetName())) or organ_named(_terminology(segment))


def organ_named(text: str) -> str | None:
    """Return what a name means; None where it is neither a lung nor a bone, or a lung of unknown side.

    >>> organ_named("Right lung"), organ_named("lung_upper_lobe_left"), organ_named("vertebrae_L1")
    ('right_lung', 'left_lung', 'bones')
    >>> organ_named("lungs"), organ_named("left lung nodule"), organ_named("rib cartilage")
    (None, None, None)
    """
    words = set(re.findall(r"[a-z]+", text.lower()))
    if "lung" in words and words <= _LUNG and len(words & _SIDES) == 1:
        return "right_lung" if "right" in words else "left_lung"
    if words & _BONES and all(len(word) == 1 for word in words - _BONES - _BESIDE_BONES):
        return "bones"
    return None


def _terminology(segment: Any) -> str:
    """Return type and modifier of a segment's terminology: ``Lung Right``."""
    entry = vtk.reference("")
    if not segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry):
        return ""
    coded = str(entry).split("~")[2:4]
    return " ".join(part.rpartition("^")[2] for part in coded)


def _merged(node: Any, identifiers: list[str]) -> Any:
    """Return one image of several segments: 1, 2, 3 … in their order, on the segmentation's own grid."""
    ids, image = vtk.vtkStringArray(), slicer.vtkOrientedImageData()
    for identifier in identifiers:
        ids.InsertNextValue(identifier)
    if not node.GetSegmentation().ContainsRepresentation(_labelmap()):
        raise HaganError(
            _(
                "'{name}' has surfaces, but no binary label map; create one in the Segmentations module "
                "(Representations)."
            ).format(name=node.GetName())
        )
    extent = slicer.vtkSegmentation.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS
    if (
        not node.GenerateMergedLabelmapForAllSegments(image, extent, None, ids)
        or not image.GetNumberOfPoints()
    ):
        raise HaganError(_("The segments of '{name}' are empty.").format(name=node.GetName()))
    return image


def _labelmap() -> str:
    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())
