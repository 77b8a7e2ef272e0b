"""Slicer's own displayable managers show the anatomy the right way up, with overlays where the organs are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from HAGANSlicerLib.scene import display, results, segments, volumes
from HAGANSlicerLib.showing import show_result
from PIL import Image
from slicer_harness.four_up import FourUp
from slicer_harness.scene import boot
from slicer_harness.views import write_png

from HAGANCore.anatomy.surfaces import surfaces_of
from HAGANCore.imaging.volume import Geometry
from HAGANCore.worker.meshes import surfaces_to_wire
from HAGANCore.worker.wire import open_array

RIGHT, LEFT, BONE = segments.STRUCTURES


@pytest.fixture(scope="session")
def a_four_up() -> FourUp:
    """Return the four views; there can be only one set of them in a process."""
    return FourUp(boot(), size=200)


@pytest.fixture
def a_shown_phantom(a_scene: Any, a_four_up: FourUp, a_phantom: Any) -> tuple[FourUp, Any, Any]:
    """Return the views with the phantom and its segments in them."""
    volume, found = a_phantom
    geometry = volume.geometry.to_dict()
    node = volumes.add_volume(a_scene, volume.array, geometry, "phantom")
    organs = segments.show_labels(a_scene, node, found.labels, geometry, "organs")
    return a_four_up, node, organs


def _centre(found: Any, label: int) -> tuple[float, float, float]:
    """Return the voxel nearest to the centre of a structure that lies well inside it, in RAS mm."""
    mask = found.labels == label
    for axis in (0, 1, 2):
        mask = mask & np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    indices = np.argwhere(mask)
    nearest = indices[np.argmin(np.linalg.norm(indices - indices.mean(0), axis=1))][::-1]
    x, y, z, _ = found.geometry.matrix @ [*nearest, 1]
    return -x, -y, z


def _likeness(pixel: np.ndarray, color: tuple[float, float, float]) -> float:
    """Return how much the pixel's tint is like a colour's: 1 for the same hue, 0 for grey."""
    tint, wanted = pixel - pixel.mean(), np.array(color) - np.mean(color)
    return float(tint @ wanted / (np.linalg.norm(wanted) * max(np.linalg.norm(tint), 10.0)))


def _assert_slice_through(view: Any, ras: tuple[float, float, float]) -> None:
    normal = [view.node.GetSliceToRAS().GetElement(row, 2) for row in range(3)]
    assert view.logic.GetSliceOffset() == pytest.approx(np.dot(normal, ras), abs=1e-3)


def test_slices_show_each_organ_in_its_colour_where_it_is(a_shown_phantom: Any, a_phantom: Any) -> None:
    views, node, organs = a_shown_phantom
    organs.GetDisplayNode().SetOpacity2DFill(0.6)
    for structure in (RIGHT, LEFT, BONE):
        ras = _centre(a_phantom[1], structure.label)
        views.picture(node, organs, ras)
        for view in views.slices:
            _assert_slice_through(view, ras)
            row, column = view.pixel_of(ras)
            assert _likeness(view.image()[row, column].astype(float), structure.color) > 0.8


def test_under_the_overlay_is_the_volume_and_around_it_air(a_shown_phantom: Any, a_phantom: Any) -> None:
    views, node, organs = a_shown_phantom
    views.picture(node, organs)
    organs.SetDisplayVisibility(False)
    axial = views.slices[0]
    picture = axial.image()
    assert (picture.max(2) == picture.min(2)).all(), "a CT alone is grey"
    volume, _ = a_phantom
    _, j, i = np.array(volume.array.shape) // 2
    matrix = volume.geometry.matrix
    k = round(float((axial.logic.GetSliceOffset() - matrix[2, 3]) / matrix[2, 2]))
    for voxel_j, voxel_i in ((j, i), (j, i // 2), (2, 2), (3 * j // 2, i)):
        x, y, _, _ = matrix @ [voxel_i, voxel_j, k, 1]
        row, column = axial.pixel_of((-x, -y, axial.logic.GetSliceOffset()))
        expected = np.clip((volume.array[k, voxel_j, voxel_i] + 1000) / 1600, 0, 1) * 255
        assert picture[row, column, 0] == pytest.approx(expected, abs=25)
    assert picture[..., 0].max() > 200


def test_the_patient_lies_as_in_slicer(a_shown_phantom: Any, a_phantom: Any) -> None:
    views, node, organs = a_shown_phantom
    axial, coronal, sagittal = views.slices
    views.picture(node, organs)
    right, left = _centre(a_phantom[1], 1), _centre(a_phantom[1], 2)
    for view in (axial, coronal):
        assert view.pixel_of(right)[1] < 100 < view.pixel_of(left)[1], "patient right is on image left"
    x, y, z = right
    back, front, head, foot = (x, y - 50, z), (x, y + 50, z), (x, y, z + 50), (x, y, z - 50)
    assert axial.pixel_of(back)[0] > axial.pixel_of(front)[0], "the back is below"
    assert sagittal.pixel_of(front)[1] < sagittal.pixel_of(back)[1], "the nose points left"
    for view in (coronal, sagittal):
        assert view.pixel_of(head)[0] < view.pixel_of(foot)[0], "the head is above"


def test_the_spine_is_bright_and_at_the_bottom_of_the_axial_view(a_shown_phantom: Any) -> None:
    views, node, organs = a_shown_phantom
    views.picture(node, organs)
    organs.SetDisplayVisibility(False)
    middle = views.slices[0].image()[:, 90:110, 0].astype(float)
    rows = np.flatnonzero(middle.mean(1) > 0.5 * middle.max())
    bone = np.flatnonzero((middle > 190).sum(1) >= 5)  # above 190 HU
    assert bone.size
    assert np.median(bone) > (rows.min() + rows.max()) / 2, "bright bone lies in the lower half of the body"


def test_lungs_and_bones_are_seen_in_3d(a_shown_phantom: Any) -> None:
    views, node, organs = a_shown_phantom
    views.picture(node, organs)
    view = views.three_d
    seen = {}
    display_node = organs.GetDisplayNode()
    for shown in segments.STRUCTURES:
        for structure in segments.STRUCTURES:
            display_node.SetSegmentVisibility3D(structure.id, structure is shown)
        picture = view.image().astype(int)
        for structure in segments.STRUCTURES:
            display_node.SetSegmentVisibility3D(structure.id, False)
        changed = np.abs(picture - view.image()).max(2) > 20
        seen[shown.id] = float(np.argwhere(changed)[:, 1].mean())
        assert changed.mean() > 0.03
    assert seen["right_lung"] < seen["bones"] < seen["left_lung"], "seen from the front"


def test_a_foreground_is_blended_over_the_background(a_shown_phantom: Any, a_scene: Any) -> None:
    views, node, organs = a_shown_phantom
    views.picture(node, organs)
    organs.SetDisplayVisibility(False)
    array, geometry = volumes.volume_of(node)
    bright = volumes.add_volume(a_scene, np.full_like(array, 600), geometry, "bright")
    axial, means = views.slices[0], []
    for opacity in (0.0, 0.5, 1.0):
        display.compare(a_scene, node, bright, opacity)
        means.append(axial.image().mean())
    assert means[0] < means[1] < means[2]
    display.show_volume(a_scene, node)
    assert axial.image().mean() == means[0]


def test_the_volume_rendering_shows_bone(a_shown_phantom: Any, a_scene: Any) -> None:
    views, node, organs = a_shown_phantom
    organs.SetDisplayVisibility(False)
    views.three_d.look_from((0, 1, 0))
    without = views.three_d.image().astype(int)
    display.volume_rendering(a_scene, node, "CT")
    views.three_d.look_from((0, 1, 0))
    changed = np.abs(views.three_d.image() - without).max(2) > 20
    assert 0.05 < changed.mean() < 0.9


def test_an_update_moves_the_overlay_in_the_picture(
    a_shown_phantom: Any, a_scene: Any, a_phantom: Any
) -> None:
    views, node, organs = a_shown_phantom
    volume, found = a_phantom
    ras = _centre(found, 1)
    views.picture(node, organs, ras)
    axial = views.slices[0]
    row, column = axial.pixel_of(ras)
    before = axial.image()[row, column].astype(float)
    labels = np.where(found.labels == 1, 2, np.where(found.labels == 2, 1, found.labels)).astype(np.uint8)
    segments.show_labels(a_scene, node, labels, volume.geometry.to_dict(), "", node=organs)
    after = axial.image()[row, column].astype(float)
    assert _likeness(before, RIGHT.color) > _likeness(after, RIGHT.color)
    assert _likeness(after, LEFT.color) > _likeness(before, LEFT.color)


def test_two_volumes_are_seen_from_the_same_place(a_shown_phantom: Any, a_scene: Any, a_phantom: Any) -> None:
    views, node, organs = a_shown_phantom
    views.show(node, organs)
    camera = views.camera()
    volume, found = a_phantom
    one_lung = np.where(found.labels == 1, 1, 0).astype(np.uint8)
    lung = segments.show_labels(a_scene, node, one_lung, volume.geometry.to_dict(), "lung")
    views.show(node, lung, camera=camera)
    seen_from = views.three_d.renderer.GetActiveCamera().GetPosition()
    assert seen_from == pytest.approx(camera.GetPosition())
    views.show(node, lung)
    seen_from = views.three_d.renderer.GetActiveCamera().GetPosition()
    assert seen_from != pytest.approx(camera.GetPosition()), "a single lung is seen from nearer"


def _with_ready_surfaces(part: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a message with the surfaces that the worker makes of its labels."""
    labels, place = open_array(part["labels"]), part["labels"]["geometry"]
    geometry = Geometry.from_dict({**place, "shape": labels.shape})
    part["labels"]["surfaces"] = surfaces_to_wire(folder, surfaces_of(labels, geometry, (1, 2, 3)))
    return part


def _around(picture: np.ndarray) -> np.ndarray:
    """Return where a 3D picture shows something before its background, a gradient from top to bottom."""
    return np.abs(picture.astype(int) - picture[:, :1].astype(int)).max(2) > 25


def test_the_3d_view_is_turned_to_a_new_result_and_then_left_alone(
    a_scene: Any, a_four_up: FourUp, a_generated_part: Any, tmp_path: Path
) -> None:
    view = a_four_up.three_d
    view.hide_box()
    camera = a_scene.GetFirstNodeByClass("vtkMRMLCameraNode")
    camera.SetFocalPoint(900, -700, 2_000)  # where an earlier result was looked at
    camera.SetPosition(900, -200, 2_000)
    nodes = results.add_generated(a_scene, _with_ready_surfaces(a_generated_part(7), tmp_path))
    show_result(a_scene, nodes, "CT")
    picture = view.image()
    shown = _around(picture)
    assert shown[50:150, 50:150].mean() > 0.3
    assert not shown[:2].any()
    assert not shown[-2:].any()
    assert not shown[:, -2:].any()
    view_direction = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
    assert view_direction / np.linalg.norm(view_direction) == pytest.approx([0, 1, 0])  # as it was
    camera.SetPosition(400, 400, 300)
    own = camera.GetPosition(), camera.GetFocalPoint()
    step = {**_with_ready_surfaces(a_generated_part(8), tmp_path), "quality": "full"}
    results.show_step(a_scene, step, "", nodes)
    view.image()
    assert (camera.GetPosition(), camera.GetFocalPoint()) == own


def test_ready_surfaces_look_like_the_application_s_own(
    a_scene: Any, a_four_up: FourUp, a_generated_part: Any, tmp_path: Path
) -> None:
    view = a_four_up.three_d
    view.hide_box()
    part = _with_ready_surfaces(a_generated_part(7), tmp_path)
    nodes = results.add_generated(a_scene, part)
    show_result(a_scene, nodes, "CT")
    ready = view.image()
    nodes.segmentation.GetSegmentation().CreateRepresentation("Closed surface", True)
    own = view.image()
    write_png(np.hstack([ready, own]), tmp_path / "ready_and_own.png")
    assert (_around(ready) != _around(own)).mean() < 0.05  # its own are smaller: they shrink
    both = _around(ready) & _around(own)
    assert np.abs(ready[both].astype(int) - own[both]).mean() < 30  # mirrored or inside out it is twice that


def test_neither_box_nor_axis_labels_after_a_scene_was_closed(a_four_up: FourUp) -> None:
    boot().scene.Clear(0)
    assert a_four_up.three_d.node.GetBoxVisible(), "a scene that was closed gives the view its box again"
    a_four_up.three_d.hide_box()
    assert not a_four_up.three_d.node.GetBoxVisible()
    assert not a_four_up.three_d.node.GetAxisLabelsVisible()


def test_the_four_up_picture_is_written(a_shown_phantom: Any, tmp_path: Path) -> None:
    views, node, organs = a_shown_phantom
    path = views.png(tmp_path / "four.png", node, organs)
    assert not views.three_d.node.GetBoxVisible()
    picture = np.asarray(Image.open(path))
    assert picture.shape == (416, 416, 3)
    quarters = [picture[r : r + 208, c : c + 208] for r in (0, 208) for c in (0, 208)]
    assert min(float(quarter.std()) for quarter in quarters) > 15
