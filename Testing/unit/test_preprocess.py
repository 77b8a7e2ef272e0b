"""Preprocessing: the cube shows the right place, and the way back ends on the scan's own grid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore.anatomy import LEFT_LUNG, RIGHT_LUNG, segment
from HAGANCore.anatomy.location import locate_lungs
from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.itk import from_itk, to_itk
from HAGANCore.imaging.resample import axis_weights
from HAGANCore.imaging.volume import Geometry, Volume, nearest_rotation
from HAGANCore.preparation.preprocess import Preparation, prepare, restore
from HAGANCore.preparation.profiles import PROFILES

STRETCHED, FIXED, BRAIN = (PROFILES[name] for name in ("thorax-ct", "thorax-ct-fov", "brain-mr"))


def a_geometry(seed: int, shape=(40, 50, 60), spacing=(6.013, 6.517, 8.029)) -> Geometry:
    """An oblique, permuted, flipped grid about the world's origin."""
    rng = np.random.default_rng(seed)
    turned = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    frame = nearest_rotation(turned + rng.normal(scale=0.15, size=(3, 3)))
    middle = frame @ (np.array(spacing) * (np.array(shape[::-1]) - 1) / 2)
    return Geometry(
        shape=shape,
        spacing=spacing,
        origin=tuple(map(float, -middle)),
        direction=tuple(map(float, frame.ravel())),
    )


def world_grid(geometry: Geometry) -> np.ndarray:
    """World positions of all voxel centres, shape (z, y, x, 3)."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    index = np.stack([i, j, k, np.ones_like(i)], -1).astype(float)
    return (index @ geometry.matrix.T)[..., :3]


def a_smooth_volume(geometry: Geometry, centre=(10.0, -20.0, 15.0), width=70.0) -> Volume:
    distance2 = ((world_grid(geometry) - centre) ** 2).sum(-1)
    return Volume((1400 * np.exp(-distance2 / (2 * width**2)) - 1000).astype(np.float32), geometry)


@settings(derandomize=True, max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["thorax-ct", "thorax-ct-fov"]))
def test_a_smooth_scan_comes_back_to_its_own_grid(seed: int, name: str) -> None:
    scan = a_smooth_volume(a_geometry(seed))
    prepared = prepare(scan, PROFILES[name], 64)
    back = restore(prepared.record.denormalise(prepared.array), prepared.record, fill=-1024.0)
    assert back.geometry == scan.geometry
    inside = prepared.record.inside
    assert back.array[inside].size > 0.3 * back.array.size
    # The outermost voxels see the air or the repeated slice beyond the scan.
    core = tuple(slice(s.start + 2, s.stop - 2) for s in inside)
    assert np.abs(back.array[core] - scan.array[core]).max() < 25
    outside = np.ones(scan.array.shape, bool)
    outside[inside] = False
    assert (back.array[outside] == -1024).all()


@settings(derandomize=True, max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["thorax-ct", "thorax-ct-fov"]))
def test_a_ball_is_where_the_cubes_geometry_says(seed: int, name: str) -> None:
    centre = np.random.default_rng(seed).uniform(-60, 60, 3)
    scan = a_smooth_volume(a_geometry(seed), centre, width=20.0)
    prepared = prepare(scan, PROFILES[name], 64)
    weight = prepared.array - prepared.array.min()
    weight[weight < 0.1] = 0
    found = (world_grid(prepared.record.cube_geometry()) * weight[..., None]).sum((0, 1, 2)) / weight.sum()
    assert np.linalg.norm(found - centre) < 0.5


@pytest.mark.parametrize("name", ["thorax-ct", "thorax-ct-fov"])
def test_the_cube_agrees_with_simpleitk(name: str) -> None:
    scan = a_smooth_volume(a_geometry(3))
    prepared = prepare(scan, PROFILES[name], 96)  # cells smaller than voxels: both interpolate linearly
    grid = Volume(np.zeros((96,) * 3, np.float32), prepared.record.cube_geometry())
    theirs = sitk.Resample(to_itk(scan), to_itk(grid), sitk.Transform(), sitk.sitkLinear, -5000.0)
    there = from_itk(theirs).array
    ours = prepared.record.denormalise(prepared.array)
    # At the scan's border ITK keeps a half voxel of its own: compare what is well inside.
    inner = sitk.Resample(to_itk(scan, _core(scan)), to_itk(grid), sitk.Transform(), sitk.sitkLinear, 0.0)
    inside = from_itk(inner).array > 0.999
    assert inside.mean() > 0.3
    assert np.abs(ours - np.clip(there, -1024, 600))[inside].max() < 0.5


def _core(scan: Volume) -> np.ndarray:
    core = np.zeros(scan.array.shape, np.float32)
    core[3:-3, 3:-3, 3:-3] = 1
    return core


def test_the_cubes_axes_run_as_the_profile_says() -> None:
    for seed in range(6):
        scan = a_smooth_volume(a_geometry(seed))
        for profile, letters in ((FIXED, "SPL"), (BRAIN, "IAL")):
            assert profile.axes == letters
            got = np.reshape(prepare(scan, profile, 32).record.cube_geometry().direction, (3, 3))
            wanted = np.reshape(profile.cube_geometry(32).direction, (3, 3))
            assert (np.sum(got * wanted, axis=0) > 0.5).all()


def test_a_fixed_field_of_view_has_its_true_size_around_the_lungs(real_scans: Path) -> None:
    scan = read_volume(real_scans / "thorax_cip_64_oblique.nrrd")
    record = prepare(scan, FIXED, 64).record
    cube = record.cube_geometry()
    np.testing.assert_allclose(cube.extent_mm, (384.0, 320.0, 320.0))
    assert record.centred_on == "lungs"
    lungs = locate_lungs(scan)
    assert lungs is not None
    middle = np.array([sum(side) / 2 - 0.5 for side in lungs.box])
    centre = (cube.matrix @ [31.5, 31.5, 31.5, 1])[:3]
    np.testing.assert_allclose(centre, (scan.geometry.matrix @ [*middle[::-1], 1])[:3], atol=1e-3)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(
    n_in=st.integers(2, 60), n_out=st.integers(1, 40), start=st.floats(-20, 20), factor=st.floats(1.0, 4.0)
)
def test_averaging_keeps_the_mass_of_what_it_covers(
    n_in: int, n_out: int, start: float, factor: float
) -> None:
    values = np.random.default_rng(0).uniform(0, 1, n_in)
    weights = axis_weights(n_in, n_out, start, factor, edge=False).astype(float)
    faces = np.arange(n_in + 1)
    covered = np.clip(faces, start, start + n_out * factor)
    mass = (np.diff(covered) * values).sum()
    assert (weights @ values).sum() * factor == pytest.approx(mass, rel=1e-5, abs=1e-5)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(n_in=st.integers(2, 30), n_out=st.integers(1, 60), start=st.floats(-9, 9), step=st.floats(0.1, 4.0))
def test_a_repeated_edge_keeps_a_constant_constant(n_in: int, n_out: int, start: float, step: float) -> None:
    np.testing.assert_allclose(axis_weights(n_in, n_out, start, step, edge=True).sum(1), 1, rtol=1e-5)


def test_shrinking_does_not_alias() -> None:
    stripes = np.where(np.arange(64) % 2, 500.0, -1000.0)[None, None, :] * np.ones((64, 64, 1))
    prepared = prepare(Volume(stripes.astype(np.float32), Geometry(shape=(64,) * 3)), STRETCHED, 16)
    np.testing.assert_allclose(prepared.record.denormalise(prepared.array), -250.0, atol=0.1)


def test_outside_the_scan_is_air_in_plane_and_the_last_slice_above_and_below() -> None:
    scan = Volume(np.full((20, 20, 20), 100, np.int16), Geometry(shape=(20,) * 3, spacing=(4.0,) * 3))
    cube = prepare(scan, FIXED, 32)
    values = cube.record.denormalise(cube.array)
    assert cube.record.centred_on == "scan"
    np.testing.assert_allclose(values[:, 16, 16], 100, atol=0.1)
    np.testing.assert_allclose(values[16, 0, :], -1024, atol=0.1)
    np.testing.assert_allclose(values[16, :, 0], -1024, atol=0.1)


def test_blank_slices_are_dropped_as_published() -> None:
    array = np.full((30, 16, 16), -1024, np.int16)
    array[5:25] = 0
    array[7] = -2000  # a blank slice between stays: the scan must not lose its length there
    record = prepare(Volume(array, Geometry(shape=array.shape)), STRETCHED, 16).record
    assert (record.start[0], record.length[0]) == (5.0, 20.0)
    assert record.inside == (slice(5, 25), slice(0, 16), slice(0, 16))


def test_freesurfer_volumes_become_what_was_published() -> None:
    # Conformed: 256³ of 1 mm, array (L, I, A) in nibabel's order; the facts: transpose, crop, blank, window.
    rng = np.random.default_rng(1)
    lia = np.zeros((64, 64, 64), np.uint8)
    lia[8:56, 10:50, 6:58] = rng.integers(1, 200, (48, 40, 52))
    ras = np.array([[-4, 0, 0, 128], [0, 0, 4, -128], [0, -4, 0, 128], [0, 0, 0, 1]], float)
    lps = np.diag([-1, -1, 1, 1]) @ ras
    direction = lps[:3, :3] / 4
    geometry = Geometry(
        shape=(64, 64, 64),
        spacing=(4.0,) * 3,
        origin=tuple(lps[:3, 3]),
        direction=tuple(map(float, direction.ravel())),
    )
    scan = Volume(lia.T, geometry, {"source": "subject/mri/norm.mgz"})
    profile = replace(BRAIN, extent_mm=(160.0, 176.0, 176.0))  # a crop by 10 voxels of 4 mm on both sides
    cube = prepare(scan, profile, 44)
    published = np.transpose(lia, (1, 2, 0))[:, 10:-10, 10:-10].astype(float)
    published = published[published.any((1, 2))]
    published = np.clip(published, 0, 140) * 2 / 140 - 1
    assert cube.record.length == (40.0, 44.0, 44.0)
    # Only axis 0 is stretched, 40 to 44: compare where a cell lies on a voxel's centre.
    weights = axis_weights(40, 44, 0.0, 40 / 44, edge=True)
    np.testing.assert_allclose(cube.array, np.tensordot(weights, published, 1), atol=1e-5)


def test_other_t1_scans_are_scaled_by_their_percentiles(real_scans: Path) -> None:
    scan = read_volume(real_scans / "brain_t1_datalad_1mm.nii.gz")
    brighter = scan.with_array(scan.array.astype(np.float32) * 7.5)
    one, other = prepare(scan, BRAIN, 64), prepare(brighter, BRAIN, 64)
    np.testing.assert_allclose(one.array, other.array, atol=1e-4)
    assert other.record.window[1] == pytest.approx(7.5 * one.record.window[1], rel=1e-4)
    assert one.array.max() > 0.8


def test_labels_come_back_unmixed() -> None:
    scan = a_smooth_volume(a_geometry(5))
    record = prepare(scan, FIXED, 64).record
    labels = np.random.default_rng(0).choice([0, 3, 7], (64,) * 3).astype(np.uint8)
    back = restore(labels, record, fill=9, labels=True)
    assert back.array.dtype == np.uint8
    assert set(np.unique(back.array[record.inside])) == {0, 3, 7}
    assert set(np.unique(back.array)) == {0, 3, 7, 9}
    nearest = sitk.Resample(
        to_itk(Volume(labels, record.cube_geometry())),
        to_itk(scan),
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        9,
    )
    assert (from_itk(nearest).array == back.array)[record.inside].mean() > 0.999


def test_a_record_survives_json_and_damage_is_refused() -> None:
    record = prepare(a_smooth_volume(a_geometry(8)), FIXED, 32).record
    stored = json.loads(json.dumps(record.to_dict()))
    assert Preparation.from_dict(stored) == record
    for key, value in (("permutation", [0, 0, 1]), ("start", [1.0]), ("length", [0, 1, 1]), ("size", "x")):
        with pytest.raises(HaganError, match="damaged"):
            Preparation.from_dict({**stored, key: value})
    with pytest.raises(HaganError):
        Preparation.from_dict({})


def test_a_cube_of_another_size_is_refused() -> None:
    record = prepare(a_smooth_volume(a_geometry(8)), FIXED, 32).record
    with pytest.raises(HaganError, match=r"32.*\(16, 16, 16\)"):
        restore(np.zeros((16,) * 3), record, fill=0)


def test_nan_and_empty_scans() -> None:
    array = np.zeros((20, 20, 20), np.float32)
    array[3] = np.nan
    cube = prepare(Volume(array, Geometry(shape=array.shape)), STRETCHED, 20)
    assert np.isfinite(cube.array).all()
    assert (cube.array[3] == -1).all()
    with pytest.raises(HaganError, match="empty"):
        prepare(Volume(np.full((9, 9, 9), -1024), Geometry(shape=(9, 9, 9))), STRETCHED, 16)


@pytest.mark.parametrize(
    "name",
    [
        "thorax_lidc0001.nii.gz",
        "thorax_lungdx_a0001.nrrd",
        "dicom_lungdx_a0002",
        "thorax_cip_64.nrrd",
        "thorax_cip_64_oblique.nrrd",
        "one_lung_elastix.mha",
        "thorax_gas_under_diaphragm.nii.gz",
    ],
)
def test_lungs_are_located_where_they_are_measured(real_scans: Path, name: str) -> None:
    scan = read_volume(real_scans / name)
    lungs, found = locate_lungs(scan), segment(scan)
    assert lungs is not None
    assert lungs.volume_ml == pytest.approx(found.lungs_ml, rel=0.03)
    lung = (found.labels == RIGHT_LUNG) | (found.labels == LEFT_LUNG)
    inside = lung[tuple(slice(int(first), int(last)) for first, last in lungs.box)]
    assert inside.sum() > 0.97 * lung.sum()  # the deep recess alone is left out
    assert all(inside.any(axis=(1, 2))[[0, -1]])


@pytest.mark.parametrize("name", ["abdomen_totalseg_3mm.nii.gz", "brain_t1_datalad_1mm.nii.gz"])
def test_no_lungs_are_found_where_there_are_none(real_scans: Path, name: str) -> None:
    assert locate_lungs(read_volume(real_scans / name)) is None


def test_lungs_are_found_whatever_the_orientation(real_scans: Path) -> None:
    scan = read_volume(real_scans / "thorax_cip_64.nrrd")
    lungs = locate_lungs(scan)
    assert lungs is not None
    for order in ("RAI", "ASL", "PIR"):
        turned = from_itk(sitk.DICOMOrient(to_itk(scan), order))
        found = locate_lungs(turned)
        assert found is not None
        assert found.volume_ml == pytest.approx(lungs.volume_ml, rel=1e-3)
        cube, again = prepare(scan, FIXED, 32), prepare(turned, FIXED, 32)
        np.testing.assert_allclose(again.array, cube.array, atol=1e-5)


def test_lungs_that_are_cut_are_said_to_be(real_scans: Path) -> None:
    scan = read_volume(real_scans / "thorax_cip_64.nrrd")
    cut = Volume(scan.array[30:60], replace(scan.geometry, shape=(30, 64, 64)))
    lungs = locate_lungs(cut)
    assert lungs is not None
    assert lungs.cut_at == ("top", "bottom")
    half = Volume(scan.array[:, :, 16:], replace(scan.geometry, shape=(79, 64, 48)))
    lungs = locate_lungs(half)
    assert lungs is not None
    assert "side" in lungs.cut_at


def test_whole_numbers_come_back_as_whole_numbers() -> None:
    scan = a_smooth_volume(a_geometry(3))
    prepared = prepare(scan, FIXED, 64)
    cube = prepared.record.denormalise(prepared.array)
    whole = np.rint(cube).astype(np.int16)
    back = restore(whole, prepared.record, fill=-1024)
    assert back.array.dtype == np.int16
    expected = np.rint(restore(whole.astype(np.float32), prepared.record, fill=-1024).array)
    assert np.array_equal(back.array, expected)
