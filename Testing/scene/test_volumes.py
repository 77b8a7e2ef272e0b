"""Volumes lie in the scene exactly where the engine says, and come back from where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from HAGANSlicerLib.scene import volumes
from HAGANSlicerLib.scene.geometry import geometry_of, ijk_to_ras, matrix_array, vtk_matrix
from hypothesis import given, settings
from hypothesis import strategies as st

import HAGANCore
from HAGANCore.errors import HaganError
from HAGANCore.imaging.volume import Geometry, nearest_rotation

IDENTITY = {"spacing": [1, 1, 1], "origin": [0, 0, 0], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]}
CUBE = np.arange(4 * 3 * 2, dtype=np.int16).reshape(4, 3, 2)


def _rotation(angles: tuple[float, float, float], flip: bool) -> np.ndarray:
    transform = vtk.vtkTransform()
    for turn, angle in zip((transform.RotateX, transform.RotateY, transform.RotateZ), angles, strict=True):
        turn(angle)
    rotation = nearest_rotation(matrix_array(transform.GetMatrix())[:3, :3])
    return rotation * ([-1, 1, 1] if flip else [1, 1, 1])


_angles = st.tuples(*[st.floats(-180, 180)] * 3)
_spacings = st.tuples(*[st.floats(0.2, 10)] * 3)
_origins = st.tuples(*[st.floats(-1000, 1000)] * 3)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(angles=_angles, flip=st.booleans(), spacing=_spacings, origin=_origins)
def test_every_voxel_lies_where_the_engine_says(angles, flip, spacing, origin) -> None:
    geometry = Geometry(
        shape=(300, 512, 512),
        spacing=spacing,
        origin=origin,
        direction=tuple(_rotation(angles, flip).ravel()),
    )
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetIJKToRASMatrix(vtk_matrix(ijk_to_ras(geometry.to_dict())))
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    corners = np.array([[0, 0, 0, 1], [511, 0, 0, 1], [0, 511, 0, 1], [0, 0, 299, 1], [511, 511, 299, 1]]).T
    lps = np.diag([-1, -1, 1, 1]) @ matrix_array(matrix) @ corners
    assert np.abs(lps - geometry.matrix @ corners).max() < 1e-4
    back = Geometry.from_dict({**geometry_of(matrix_array(matrix)), "shape": geometry.shape})
    assert np.abs(back.matrix @ corners - geometry.matrix @ corners).max() < 1e-4


def test_a_volume_has_the_voxels_and_the_window_of_its_modality(a_scene: Any) -> None:
    node = volumes.add_volume(a_scene, CUBE, IDENTITY, "chest", attributes={"a": "b"})
    array, geometry = volumes.volume_of(node)
    assert np.array_equal(array, CUBE)
    assert array.dtype == np.int16
    assert geometry == {key: list(map(float, value)) for key, value in IDENTITY.items()}
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (1600, -200)
    assert not node.GetDisplayNode().GetAutoWindowLevel()
    assert node.GetVoxelValueUnits().GetCodeMeaning() == "Hounsfield unit"
    assert node.GetAttribute("a") == "b"


def test_a_volume_of_another_modality_gets_its_window_from_its_values(a_scene: Any) -> None:
    node = volumes.add_volume(a_scene, np.linspace(0, 100, 1000).reshape(10, 10, 10), IDENTITY, "MR", "MR")
    assert node.GetDisplayNode().GetLevel() == pytest.approx(50, abs=1)
    assert node.GetDisplayNode().GetWindow() == pytest.approx(98, abs=1)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i2", "int32", "float32", "float64"])
def test_types_that_mrml_knows_are_kept(a_scene: Any, dtype: str) -> None:
    array = volumes.volume_of(volumes.add_volume(a_scene, CUBE.astype(dtype), IDENTITY, "x"))[0]
    assert array.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(array, CUBE)


@pytest.mark.parametrize("dtype", ["bool", "float16", "int64"])
def test_types_that_mrml_does_not_know_keep_their_values(a_scene: Any, dtype: str) -> None:
    array = volumes.volume_of(volumes.add_volume(a_scene, CUBE.astype(dtype), IDENTITY, "x"))[0]
    assert np.array_equal(array, CUBE.astype(dtype))


def test_an_update_of_the_same_shape_keeps_the_image_and_says_that_it_changed(a_scene: Any) -> None:
    node = volumes.add_volume(a_scene, CUBE, IDENTITY, "x")
    image, events = node.GetImageData(), []
    node.AddObserver(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, lambda *_: events.append(1))
    before = image.GetMTime()
    volumes.update_volume(node, CUBE + 7, IDENTITY)
    assert node.GetImageData() is image
    assert image.GetPointData().GetScalars().GetMTime() > before
    assert events
    assert np.array_equal(volumes.volume_of(node)[0], CUBE + 7)


def test_an_update_of_another_shape_and_place_replaces_both(a_scene: Any) -> None:
    node = volumes.add_volume(a_scene, CUBE, IDENTITY, "x")
    place = {"spacing": [2, 2, 2], "origin": [1, 2, 3], "direction": [0, 1, 0, 1, 0, 0, 0, 0, 1]}
    volumes.update_volume(node, np.ones((5, 6, 7), np.float32), place)
    array, geometry = volumes.volume_of(node)
    assert (array.shape, array.dtype) == ((5, 6, 7), np.float32)
    assert np.allclose(ijk_to_ras(geometry), ijk_to_ras(place))


def _under(scene: Any, node: Any, matrix: np.ndarray) -> None:
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(vtk_matrix(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())


def test_a_linear_transform_moves_the_volume_as_hardening_it_does(a_scene: Any) -> None:
    moved = np.eye(4)
    moved[:3, :3] = _rotation((10, 20, 30), flip=False)
    moved[:3, 3] = 5, -6, 7
    nodes = [volumes.add_volume(a_scene, CUBE, IDENTITY, name) for name in "ab"]
    for node in nodes:
        _under(a_scene, node, moved)
    nodes[1].HardenTransform()
    read, hardened = (ijk_to_ras(volumes.volume_of(node)[1]) for node in nodes)
    assert np.allclose(read, hardened, atol=1e-6)
    assert not np.allclose(read, ijk_to_ras(IDENTITY))


def test_a_shearing_transform_is_refused(a_scene: Any) -> None:
    node, shear = volumes.add_volume(a_scene, CUBE, IDENTITY, "x"), np.eye(4)
    shear[0, 1] = 0.3
    _under(a_scene, node, shear)
    with pytest.raises(HaganError, match="right angles"):
        volumes.volume_of(node)


def test_a_nonlinear_transform_is_refused(a_scene: Any) -> None:
    node = volumes.add_volume(a_scene, CUBE, IDENTITY, "x")
    warp = a_scene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    for landmarks in (spline.SetSourceLandmarks, spline.SetTargetLandmarks):
        points = vtk.vtkPoints()
        for point in (
            (0, 0, 0),
            (9, 0, 0),
            (0, 9, 0),
            (0, 0, 9 + 3 * (landmarks == spline.SetTargetLandmarks)),
        ):
            points.InsertNextPoint(*point)
        landmarks(points)
    warp.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(HaganError, match="'warp', which is not linear"):
        volumes.volume_of(node)


def test_what_is_no_scalar_volume_is_refused(a_scene: Any) -> None:
    empty = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(HaganError, match="'nothing' holds no voxels"):
        volumes.volume_of(empty)
    with pytest.raises(HaganError, match="'none' holds no voxels"):
        volumes.volume_of(None)
    colours = a_scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "colours")
    image = vtk.vtkImageData()
    image.SetDimensions(2, 2, 2)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colours.SetAndObserveImageData(image)
    with pytest.raises(HaganError, match="3 values per voxel"):
        volumes.volume_of(colours)


@pytest.mark.parametrize(
    "change",
    [{"spacing": [1, 1]}, {"spacing": [1, 0, 1]}, {"origin": [0, np.nan, 0]}, {"direction": [0] * 9}],
)
def test_a_damaged_geometry_is_refused_and_leaves_no_node(a_scene: Any, change: dict) -> None:
    with pytest.raises(HaganError, match="geometry"):
        volumes.add_volume(a_scene, CUBE, IDENTITY | change, "x")
    assert a_scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_the_difference_is_reconstruction_minus_scan_in_diverging_colours(a_scene: Any) -> None:
    scan = volumes.add_volume(a_scene, CUBE - 2000, IDENTITY, "scan")
    other = volumes.add_volume(a_scene, CUBE - 1000, IDENTITY, "reconstruction")
    node = volumes.difference_volume(a_scene, scan, other, "difference", window=(-1024, 600))
    assert np.array_equal(volumes.volume_of(node)[0], CUBE - 1000 - np.clip(CUBE - 2000, -1024, 600))
    colors = node.GetDisplayNode().GetColorNode()
    low, middle, high = (colors.GetLookupTable().GetTableValue(index)[:3] for index in (0, 128, 255))
    assert low[2] > 2 * low[0]
    assert high[0] > 2 * high[2]
    assert np.ptp(middle) < 0.05
    assert node.GetDisplayNode().GetLevel() == 0
    assert volumes.difference_colors(a_scene) is colors


def test_a_difference_needs_one_grid(a_scene: Any) -> None:
    scan = volumes.add_volume(a_scene, CUBE, IDENTITY, "scan")
    other = volumes.add_volume(a_scene, CUBE, IDENTITY | {"origin": [0, 0, 1]}, "other")
    with pytest.raises(HaganError, match="do not lie on one grid"):
        volumes.difference_volume(a_scene, scan, other, "difference")


def test_slicer_s_own_reader_and_the_engine_s_agree_on_a_real_oblique_scan(
    a_scene: Any, real_scans: Path
) -> None:
    path = real_scans / "thorax_cip_64_oblique.nrrd"
    scan = HAGANCore.read_volume(path)
    node = volumes.add_volume(a_scene, scan.array, scan.geometry.to_dict(), "ours")
    loaded = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "slicer's")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(loaded) == 1
    matrices = [vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()]
    node.GetIJKToRASMatrix(matrices[0])
    loaded.GetIJKToRASMatrix(matrices[1])
    assert np.allclose(matrix_array(matrices[0]), matrix_array(matrices[1]), atol=1e-4)
    assert np.array_equal(volumes.volume_of(node)[0], volumes.volume_of(loaded)[0])
