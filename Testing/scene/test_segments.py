"""Lungs and bones are segments with codes, exact in place, quick to update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from HAGANSlicerLib.scene import segments, volumes
from HAGANSlicerLib.scene.geometry import ijk_to_ras, matrix_array

OBLIQUE = {
    "spacing": [1.5, 2, 3],
    "origin": [10, -20, 30],
    "direction": [0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1],
}


def _labels(shape: tuple[int, int, int] = (12, 14, 16)) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    labels[2:10, 2:6, 2:6] = 1
    labels[2:10, 2:6, 9:14] = 2
    labels[2:10, 9:12, 5:10] = 3
    return labels


def _voxels(node: Any, segment: str, volume: Any) -> np.ndarray:
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume)


@pytest.fixture
def a_volume(a_scene: Any) -> Any:
    """Return an oblique volume."""
    return volumes.add_volume(a_scene, np.zeros((12, 14, 16), np.int16), OBLIQUE, "chest")


def test_each_structure_is_a_coded_segment_of_its_own_voxels(a_scene: Any, a_volume: Any) -> None:
    node = segments.show_labels(a_scene, a_volume, _labels(), OBLIQUE, "organs")
    segmentation = node.GetSegmentation()
    assert [segmentation.GetNthSegment(i).GetName() for i in range(3)] == ["Right lung", "Left lung", "Bone"]
    for structure in segments.STRUCTURES:
        assert np.array_equal(_voxels(node, structure.id, a_volume), _labels() == structure.label)
        assert segmentation.GetSegment(structure.id).GetColor() == pytest.approx(structure.color)
    assert segmentation.GetNumberOfLayers() == 1


def test_slicer_s_terminology_logic_understands_the_codes(a_scene: Any, a_volume: Any) -> None:
    node = segments.show_labels(a_scene, a_volume, _labels(), OBLIQUE, "organs", surfaces=False)
    logic = slicer.modules.terminologies.logic()
    found = {}
    for structure in segments.STRUCTURES:
        entry = slicer.vtkSlicerTerminologyEntry()
        segment = node.GetSegmentation().GetSegment(structure.id)
        tag = vtk.reference("")
        assert segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), tag)
        logic.DeserializeTerminologyEntry(str(tag), entry)
        code, modifier = entry.GetTypeObject(), entry.GetTypeModifierObject()
        assert entry.GetCategoryObject().GetCodeMeaning() == "Anatomical Structure"
        assert code.GetCodingSchemeDesignator() == "SCT"
        found[segment.GetName()] = (code.GetCodeValue(), modifier.GetCodeMeaning() if modifier else None)
    assert found == {
        "Right lung": ("39607008", "Right"),
        "Left lung": ("39607008", "Left"),
        "Bone": ("272673000", None),
    }


def test_the_surface_of_an_oblique_label_lies_around_its_voxels(a_scene: Any, a_volume: Any) -> None:
    node = segments.show_labels(a_scene, a_volume, _labels(), OBLIQUE, "organs")
    for structure in segments.STRUCTURES:
        surface = vtk.vtkPolyData()
        assert node.GetClosedSurfaceRepresentation(structure.id, surface)
        points = np.array([surface.GetPoint(i) for i in range(surface.GetNumberOfPoints())])
        k, j, i = np.nonzero(_labels() == structure.label)
        voxels = (ijk_to_ras(OBLIQUE) @ [i, j, k, np.ones_like(i)])[:3].T
        assert np.linalg.norm((points.max(0) + points.min(0) - voxels.max(0) - voxels.min(0)) / 2) < 1.5
        assert (np.abs(np.ptp(points, axis=0) - np.ptp(voxels, axis=0)) < 4).all()


def test_an_update_keeps_image_and_display_and_moves_voxels_and_surface(a_scene: Any, a_volume: Any) -> None:
    node = segments.show_labels(a_scene, a_volume, _labels(), OBLIQUE, "organs")
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    display.SetSegmentVisibility3D("bones", False)
    image = segmentation.GetSegmentRepresentation("right_lung", "Binary labelmap")
    moved = np.roll(_labels(), 1, axis=0)
    again = segments.show_labels(a_scene, a_volume, moved, OBLIQUE, "", node=node)
    assert again is node
    assert segmentation.GetSegmentRepresentation("right_lung", "Binary labelmap") is image
    assert not display.GetSegmentVisibility3D("bones")
    assert np.array_equal(_voxels(node, "left_lung", a_volume), moved == 2)
    surface = vtk.vtkPolyData()
    node.GetClosedSurfaceRepresentation("left_lung", surface)
    assert surface.GetCenter()[2] == pytest.approx(30 + 3 * 6.5, abs=0.8)


def test_an_update_on_another_grid_keeps_segments_and_display(a_scene: Any, a_volume: Any) -> None:
    node = segments.show_labels(a_scene, a_volume, _labels(), OBLIQUE, "organs")
    node.GetDisplayNode().SetSegmentVisibility3D("bones", False)
    finer = OBLIQUE | {"spacing": [0.75, 1, 1.5]}
    labels = _labels().repeat(2, 0).repeat(2, 1).repeat(2, 2)
    volume = volumes.add_volume(a_scene, labels.astype(np.int16), finer, "finer")
    segments.show_labels(a_scene, volume, labels, finer, "", node=node)
    assert node.GetSegmentation().GetNumberOfSegments() == 3
    assert not node.GetDisplayNode().GetSegmentVisibility3D("bones")
    assert np.array_equal(_voxels(node, "bones", volume), labels == 3)
    matrix = vtk.vtkMatrix4x4()
    node.GetSegmentation().GetSegmentRepresentation("bones", "Binary labelmap").GetImageToWorldMatrix(matrix)
    assert np.allclose(matrix_array(matrix), ijk_to_ras(finer))


def test_without_surfaces_none_is_left_from_before(a_scene: Any, a_volume: Any) -> None:
    node = segments.show_labels(a_scene, a_volume, _labels(), OBLIQUE, "organs")
    segments.show_labels(a_scene, a_volume, _labels()[::-1], OBLIQUE, "", node=node, surfaces=False)
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")


def test_a_structure_that_is_not_there_is_an_empty_segment(a_scene: Any, a_volume: Any) -> None:
    labels = np.where(_labels() == 3, 3, 0)
    node = segments.show_labels(a_scene, a_volume, labels, OBLIQUE, "organs")
    assert not _voxels(node, "left_lung", a_volume).any()
    assert _voxels(node, "bones", a_volume).any()
    segments.show_labels(a_scene, a_volume, np.zeros_like(labels), OBLIQUE, "", node=node)
    assert not _voxels(node, "bones", a_volume).any()
