"""Geometry: voxels keep their place in the patient through views, files and the cube."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import read_volume, write_volume
from HAGANCore.imaging.orientation import canonical_view
from HAGANCore.imaging.volume import Geometry, Volume, nearest_rotation


def rotations() -> st.SearchStrategy[np.ndarray]:
    """Any orthonormal frame, right- or left-handed."""
    return st.tuples(st.integers(0, 2**31), st.booleans()).map(lambda pick: a_frame(*pick))


def a_frame(seed: int, mirrored: bool) -> np.ndarray:
    frame = nearest_rotation(np.random.default_rng(seed).normal(size=(3, 3)))
    return frame * [-1, 1, 1] if mirrored else frame


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    shape = draw(st.tuples(*[st.integers(2, 6)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.2, 8.0)] * 3))
    origin = draw(st.tuples(*[st.floats(-600.0, 600.0)] * 3))
    frame = draw(rotations())
    return Geometry(shape=shape, spacing=spacing, origin=origin, direction=tuple(map(float, frame.ravel())))


def corners(geometry: Geometry) -> np.ndarray:
    """World positions of the outermost voxel centres of a scan with this grid but 500 mm long."""
    z, y, x = (max(2, round(500 / s)) for s in geometry.spacing[::-1])
    index = np.array([[i, j, k, 1] for i in (0, x) for j in (0, y) for k in (0, z)], float)
    return (index @ geometry.matrix.T)[:, :3]


@settings(derandomize=True, max_examples=60, deadline=None)
@given(geometry=geometries(), suffix=st.sampled_from([".nii.gz", ".nii", ".nrrd", ".mha"]))
def test_a_file_keeps_every_voxel_within_a_tenth_of_a_micrometre(
    tmp_path_factory: pytest.TempPathFactory, geometry: Geometry, suffix: str
) -> None:
    array = np.arange(np.prod(geometry.shape), dtype=np.int16).reshape(geometry.shape)
    path = tmp_path_factory.mktemp("geometry") / f"scan{suffix}"
    write_volume(Volume(array, geometry), path)
    again = read_volume(path)
    np.testing.assert_array_equal(again.array, array)
    assert np.abs(corners(again.geometry) - corners(geometry)).max() < 1e-4


def test_a_half_turn_that_the_nifti_quaternion_cannot_hold_is_kept(tmp_path) -> None:
    # Rotation by nearly 180° leaves the quaternion's first component near 0, where float32 loses it.
    angle = np.pi - 2e-4
    frame = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    geometry = Geometry(shape=(3, 4, 5), direction=tuple(map(float, frame.ravel())), origin=(-300, 200, 100))
    write_volume(Volume(np.zeros((3, 4, 5), np.int16), geometry), tmp_path / "turned.nii.gz")
    again = read_volume(tmp_path / "turned.nii.gz").geometry
    assert np.abs(corners(again) - corners(geometry)).max() < 1e-4


@settings(derandomize=True, max_examples=60, deadline=None)
@given(geometry=geometries(), axes=st.sampled_from(["SPL", "IAL", "LPS", "ARI"]))
def test_a_canonical_view_looks_along_the_body(geometry: Geometry, axes: str) -> None:
    array = np.arange(np.prod(geometry.shape)).reshape(geometry.shape)
    view = canonical_view(array, geometry, axes)
    assert np.shares_memory(view.array, array)
    assert sorted(view.permutation) == [0, 1, 2]
    # A step along each axis of the view goes the way its letter says, more than along any other order.
    letters = {"L": (0, 1), "P": (1, 1), "S": (2, 1), "R": (0, -1), "A": (1, -1), "I": (2, -1)}
    for axis, letter in enumerate(axes):
        ends = [
            np.unravel_index(view.array[tuple(at)], geometry.shape) for at in (_at(axis, 0), _at(axis, 1))
        ]
        step = np.subtract(*(geometry.matrix[:3, :3] @ np.array(end[::-1]) for end in ends[::-1]))
        world, sign = letters[letter]
        assert step[world] * sign > 0


def _at(axis: int, value: int) -> list[int]:
    return [value if other == axis else 0 for other in range(3)]


@settings(derandomize=True, max_examples=30, deadline=None)
@given(geometry=geometries())
def test_a_box_survives_the_change_of_axes(geometry: Geometry) -> None:
    view = canonical_view(np.zeros(geometry.shape), geometry, "SPL")
    box = tuple((0.25 * n, 0.75 * n - 0.1) for n in geometry.shape)
    np.testing.assert_allclose(view.to_source_box(view.from_source_box(box)), box)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(geometry=geometries())
def test_a_geometry_survives_json(geometry: Geometry) -> None:
    assert Geometry.from_dict(json.loads(json.dumps(geometry.to_dict()))) == geometry


@pytest.mark.parametrize(
    "damage", [{}, {"shape": [1, 2]}, {"spacing": None}, {"direction": [1.0] * 8}, {"shape": "x"}]
)
def test_a_damaged_geometry_is_refused(damage: dict) -> None:
    whole = Geometry(shape=(1, 2, 3)).to_dict()
    with pytest.raises(HaganError, match="geometry"):
        Geometry.from_dict({**whole, **damage} if damage else {})


def test_volumes_and_lengths() -> None:
    geometry = Geometry(shape=(10, 20, 30), spacing=(1.0, 2.0, 5.0))
    assert geometry.voxel_ml == pytest.approx(0.01)
    assert geometry.extent_mm == (30.0, 40.0, 50.0)
