"""Results leave the scene as one and come back as they were; re-encoding and moved scans keep their order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from HAGANSlicerLib.scene import display, hierarchy, latents, results, volumes
from HAGANSlicerLib.scene.history import History, Result
from HAGANSlicerLib.scene.images import image_array

from HAGANCore.imaging.volume import Geometry
from HAGANCore.phantoms import make_phantom


def all_ids(scene: Any) -> set[str]:
    nodes = scene.GetNodes()
    return {nodes.GetItemAsObject(index).GetID() for index in range(nodes.GetNumberOfItems())}


def a_result(scene: Any, part: dict[str, Any]) -> Result:
    made = results.add_generated(scene, part)
    display.volume_rendering(scene, made.volume, "CT", visible=False)
    return Result(made.volume.GetName(), "CT", parts=[made])


def test_a_result_leaves_with_all_that_came_with_it_and_comes_back_as_it_was(
    a_scene: Any, a_generated_part: Any
) -> None:
    history = History()
    assert history.undo(a_scene) is None
    assert history.redo(a_scene) is None
    hierarchy.folder(a_scene, results.FOLDER)  # the folder stays, as other results lie in it
    before = all_ids(a_scene)
    result = a_result(a_scene, a_generated_part(3))
    history.add(result)
    made, ids = result.parts[0], all_ids(a_scene)
    voxels = volumes.volume_of(made.volume)[0].copy()
    assert history.undo(a_scene) is result
    assert all_ids(a_scene) == before
    assert (history.last(a_scene), history.next) == (None, result)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(a_scene)
    assert [tree.GetItemByDataNode(node) for node in made.all()] == [0] * len(made.all())
    assert tree.GetNumberOfItemChildren(hierarchy.folder(a_scene, results.FOLDER)) == 0
    assert history.redo(a_scene) is result
    assert all_ids(a_scene) == ids
    assert np.array_equal(volumes.volume_of(made.volume)[0], voxels)
    assert made.volume.GetNodeReference(latents.REFERENCE) is made.latent
    assert made.segmentation.GetSegmentation().GetNumberOfSegments() == 3
    assert made.segmentation.GetDisplayNode().GetScene() is a_scene
    assert {hierarchy.folder_of(a_scene, node) for node in made.all()} == {results.FOLDER}
    assert (history.last(a_scene), history.next) == (result, None)


def test_a_new_result_ends_what_could_be_brought_back(a_scene: Any, a_generated_part: Any) -> None:
    history = History()
    history.add(a_result(a_scene, a_generated_part(3)))
    history.undo(a_scene)
    history.add(a_result(a_scene, a_generated_part(4)))
    assert history.redo(a_scene) is None


def test_what_the_user_deleted_is_passed_over_and_what_is_left_goes(
    a_scene: Any, a_generated_part: Any
) -> None:
    history = History()
    first, second = (a_result(a_scene, a_generated_part(seed)) for seed in (3, 4))
    history.add(first)
    history.add(second)
    for node in second.nodes():
        a_scene.RemoveNode(node)
    a_scene.RemoveNode(first.parts[0].segmentation)
    assert history.undo(a_scene) is first
    assert not [node for node in first.nodes() if a_scene.IsNodePresent(node)]
    history.redo(a_scene)
    assert a_scene.IsNodePresent(first.parts[0].volume)
    assert not a_scene.IsNodePresent(first.parts[0].segmentation)  # the user's own deletion stands


def test_a_second_encoding_has_one_number_in_all_its_names(a_scene: Any, an_encode_result: Any) -> None:
    scan = make_phantom(seed=1, size=64).volume
    node = volumes.add_volume(a_scene, scan.array, scan.geometry.to_dict(), "patient")
    first, second = (results.add_encoded(a_scene, an_encode_result(scan), node) for _ in range(2))
    assert [made.GetName() for made in first.all()] == [
        "patient reconstruction (synthetic)",
        "patient latent",
        "patient reconstruction segments (synthetic)",
        "patient volumes (synthetic)",
        "patient difference (synthetic)",
        "patient errors (synthetic)",
        "patient segments",
    ]
    assert [made.GetName() for made in second.all()] == [
        made.GetName().replace("patient", "patient 2") for made in first.all()
    ]
    assert latents.base_name(second.latent) == "patient 2"


def volumes_of_bones(segmentation: Any) -> Any:
    """The voxels (i, j, k) of bone in the label map that the segments share."""
    image = segmentation.GetBinaryLabelmapInternalRepresentation("bones")
    return np.argwhere(image_array(image) == 3)[:, ::-1]


def test_a_reconstruction_goes_under_its_scan_s_transform_and_follows_it(
    a_scene: Any, an_encode_result: Any
) -> None:
    scan = make_phantom(seed=1, size=64).volume
    node = volumes.add_volume(a_scene, scan.array, scan.geometry.to_dict(), "patient")
    transform = a_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    turn = vtk.vtkTransform()
    turn.Translate(11, -7, 5)
    turn.RotateZ(20)
    transform.SetMatrixTransformToParent(turn.GetMatrix())
    node.SetAndObserveTransformNodeID(transform.GetID())
    array, place = volumes.volume_of(node)
    moved = replace(scan, array=array, geometry=Geometry.from_dict({**place, "shape": array.shape}))
    made = results.add_encoded(a_scene, an_encode_result(moved), node)
    below = (made.volume, made.difference, made.segmentation, made.scan_segmentation)
    assert all(each.GetParentTransformNode() is transform for each in below)
    surface = made.scan_segmentation.GetClosedSurfaceInternalRepresentation("bones").GetBounds()
    grid = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(grid)
    bones = volumes_of_bones(made.scan_segmentation)
    low, high = (grid.MultiplyPoint([*corner, 1])[:3] for corner in (bones.min(0), bones.max(0)))
    inside = [
        value for pair in zip(np.minimum(low, high), np.maximum(low, high), strict=True) for value in pair
    ]
    assert surface == pytest.approx(inside, abs=6.0)  # a voxel: the surface is smoothed
    here, there, outlines = np.zeros(6), np.zeros(6), np.zeros(6)
    for _ in range(2):
        node.GetRASBounds(here)
        made.volume.GetRASBounds(there)
        assert here == pytest.approx(there, abs=1e-3)
        assert volumes.volume_of(made.difference)[1]["origin"] == pytest.approx(
            volumes.volume_of(node)[1]["origin"], abs=1e-3
        )
        made.scan_segmentation.GetRASBounds(outlines)
        centre = [(outlines[axis] + outlines[axis + 1]) / 2 for axis in (0, 2, 4)]
        assert all(here[2 * axis] < centre[axis] < here[2 * axis + 1] for axis in range(3))
        turn.Translate(100, 0, 0)  # the scan is moved again, and everything with it
        transform.SetMatrixTransformToParent(turn.GetMatrix())
