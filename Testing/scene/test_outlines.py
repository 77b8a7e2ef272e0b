"""The user's own outlines become one label map, in place, whatever grid and transform they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from HAGANSlicerLib.scene import images, outlines, segments, volumes
from HAGANSlicerLib.scene.geometry import ijk_to_ras

from HAGANCore.errors import HaganError

PLACE = {"spacing": [2, 2, 3], "origin": [10, -20, 30], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]}


def add_segmentation(scene: Any, **boxes: tuple[int, int]) -> Any:
    """A segmentation of cubes: name and the voxels, along each axis, from which to which it reaches."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    for name, (first, last) in boxes.items():
        image = slicer.vtkOrientedImageData()
        length = last - first
        images.fill_image(image, np.ones((length, length, length), np.uint8))
        image.SetExtent(*(first, last - 1) * 3)
        image.SetSpacing(2, 2, 3)
        segment = slicer.vtkSegment()
        segment.SetName(name.replace("_", " "))
        segment.AddRepresentation("Binary labelmap", image)
        node.GetSegmentation().AddSegment(segment, name)
    return node


def centre_of(found: outlines.Outlines, label: int) -> np.ndarray:
    """The mean place of a label's voxels, RAS mm."""
    z, y, x = (values.mean() for values in np.nonzero(found.array == label))
    return (ijk_to_ras(found.geometry) @ (x, y, z, 1))[:3]


def test_segments_are_taken_by_name_in_their_place(a_scene: Any) -> None:
    node = add_segmentation(
        a_scene, right_lung=(5, 9), Left_Lung=(12, 14), heart=(20, 22), Seventh_rib=(1, 2)
    )
    found = outlines.outlines_of(node)
    assert [(found.array == label).sum() for label in (1, 2, 3)] == [64, 8, 1]
    assert found.left_out == ("heart",)
    assert centre_of(found, 1) == pytest.approx([13, 13, 19.5])  # voxels 5 to 8 of 2, 2 and 3 mm
    assert centre_of(found, 3) == pytest.approx([2, 2, 3])
    move = a_scene.AddNewNodeByClass("vtkMRMLTransformNode", "moved")
    shift = vtk.vtkTransform()
    shift.Translate(100, 0, -7)
    move.SetMatrixTransformToParent(shift.GetMatrix())
    before = outlines.state_of(node)
    node.SetAndObserveTransformNodeID(move.GetID())
    assert outlines.state_of(node) != before
    assert centre_of(outlines.outlines_of(node), 1) == pytest.approx([113, 13, 12.5])


def test_this_module_s_segments_are_taken_by_their_codes_in_any_language(a_scene: Any) -> None:
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[1:4, 1:4, 1:4], labels[5:7, 5:7, 5:7], labels[0, 0, :] = 1, 2, 3
    node = segments.show_labels(a_scene, None, labels, PLACE, "organs", surfaces=False)
    segmentation = node.GetSegmentation()
    for number, name in enumerate(("Rechte Lunge", "Linke Lunge", "Knochen")):
        segmentation.GetNthSegment(number).SetName(name)
    found = outlines.outlines_of(node)
    assert [(found.array == label).sum() for label in (1, 2, 3)] == [27, 8, 10]
    before = outlines.state_of(node)
    segments.show_labels(a_scene, None, labels[::-1].copy(), PLACE, "", node, surfaces=False)
    assert outlines.state_of(node) != before  # painted over


def test_a_label_map_volume_is_given_as_it_is(a_scene: Any) -> None:
    node = a_scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    numbers = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    volumes.update_volume(node, numbers, PLACE)
    found = outlines.outlines_of(node)
    assert np.array_equal(found.array, numbers)
    assert found.geometry["origin"] == PLACE["origin"]


def test_what_is_no_outline_of_lungs_or_bones_is_refused(a_scene: Any) -> None:
    with pytest.raises(HaganError, match="No segment of 'mine' is called a lung or a bone"):
        outlines.outlines_of(add_segmentation(a_scene, heart=(0, 2), lungs=(3, 5)))
    surfaces = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "sphere")
    sphere = vtk.vtkSphereSource()
    sphere.Update()
    segment = slicer.vtkSegment()
    segment.SetName("bone")
    segment.AddRepresentation("Closed surface", sphere.GetOutput())
    surfaces.GetSegmentation().AddSegment(segment, "bone")
    surfaces.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(HaganError, match="'sphere' has surfaces, but no binary label map"):
        outlines.outlines_of(surfaces)


@pytest.mark.parametrize(
    ("name", "organ"),
    [
        ("superior lobe of right lung", "right_lung"),
        ("lung_lower_lobe_left", "left_lung"),
        ("Lung Left", "left_lung"),
        ("T12 vertebra", "bones"),
        ("rib_left_7", "bones"),
        ("Right clavicle", "bones"),
        ("lung", None),
        ("right lung tumour", None),
        ("lung vessels", None),
        ("costal cartilages", None),
        ("hip muscle", None),
        ("spinal cord", None),
    ],
)
def test_only_what_is_surely_a_lung_or_a_bone_is_one(a_scene: Any, name: str, organ: str | None) -> None:
    assert outlines.organ_named(name) == organ
