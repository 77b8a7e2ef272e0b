"""Lungs and bones: on phantoms by the truth, on drawn bodies rule by rule, on real scans by landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore.anatomy import BONES, LABELS, LEFT_LUNG, RIGHT_LUNG, Segmentation, segment
from HAGANCore.anatomy.junction import left_of_junction
from HAGANCore.anatomy.morphology import dilate, erode
from HAGANCore.errors import Cancelled
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.orientation import canonical_view
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.phantoms import Phantom, draw_parameters, make_phantom
from HAGANCore.phantoms.cohort import LABELS as PHANTOM_LABELS


@cache
def a_phantom(seed: int, size: int = 64) -> Phantom:
    """Return a phantom, made once in this run."""
    return make_phantom(seed, size)


def test_a_phantoms_true_labels_have_the_values_of_found_ones() -> None:
    # `volumes` must not import `segmentation`, so both have the values.
    assert PHANTOM_LABELS == LABELS


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the overlap of two masks."""
    return 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))


def a_body(width: int = 128) -> Volume:
    """Return a drawn chest with voxels of 3 mm: body, table, two lungs, windpipe, stomach gas and a spine."""
    z, y, x = np.mgrid[:80, :100, :width].astype(np.float32)
    x = x - width / 2

    def column(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1

    def ball(cx: float, cy: float, cz: float, rx: float, ry: float, rz: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 < 1

    hu = np.full(x.shape, -1000.0, np.float32)
    hu[column(0, 45, 55, 36)] = 40
    hu[:, 88:91] = 200  # the table
    for side in (-1, 1):
        hu[ball(side * 28, 45, 40, 18, 26, 30)] = -850
    hu[column(0, 38, 3, 3) & (z > 50)] = -1000  # the windpipe
    hu[ball(25, 30, 7, 9, 7, 5)] = -1000  # gas in the stomach
    hu[column(0, 66, 6, 6)] = 300
    return Volume(hu, Geometry(shape=hu.shape, spacing=(3.0, 3.0, 3.0)))


BALL_ML = 4 / 3 * np.pi * 18 * 26 * 30 * 27 / 1000
"""mL of each lung of :func:`a_body`."""


@pytest.mark.parametrize("seed", [0, 9])  # 9: contrast medium, severe emphysema
def test_phantoms_of_128(seed: int) -> None:
    phantom = a_phantom(seed, 128)
    found = segment(phantom.volume)
    for name, least in (("right_lung", 0.97), ("left_lung", 0.97), ("bones", 0.90)):
        assert dice(found.labels == LABELS[name], phantom.masks[name]) >= least, name
    assert found.lungs_ml == pytest.approx(phantom.millilitres["lungs"], rel=0.03)
    assert found.bones_ml == pytest.approx(phantom.millilitres["bones"], rel=0.10)
    assert found.thorax_ml == pytest.approx(phantom.millilitres["body"], rel=0.01)


# 6, 14: lungs that touch broadly; 11: blood denser than marrow. A rib is no wider than two of these voxels.
@pytest.mark.parametrize(("seed", "bones"), [(6, 0.92), (11, 0.88), (14, 0.92)])
def test_phantoms_of_64(seed: int, bones: float) -> None:
    phantom = a_phantom(seed)
    found = segment(phantom.volume)
    for name, least in (("right_lung", 0.97), ("left_lung", 0.97), ("bones", bones)):
        assert dice(found.labels == LABELS[name], phantom.masks[name]) >= least, name


def test_volumes_of_64_follow_the_truth() -> None:
    phantoms = [a_phantom(seed) for seed in (0, 3, 6, 9, 11, 14, 16, 19)]
    found = [segment(phantom.volume) for phantom in phantoms]
    overlaps = [dice(f.labels == BONES, p.masks["bones"]) for f, p in zip(found, phantoms, strict=True)]
    assert np.mean(overlaps) >= 0.90
    for name, least in (("lungs_ml", 0.995), ("bones_ml", 0.99)):
        truth = [phantom.millilitres[name.removesuffix("_ml")] for phantom in phantoms]
        assert np.corrcoef([getattr(item, name) for item in found], truth)[0, 1] >= least, name


def test_a_drawn_body_is_measured() -> None:
    found = segment(a_body())
    assert found.right_lung_ml == pytest.approx(BALL_ML, rel=0.02)
    assert found.left_lung_ml == pytest.approx(BALL_ML, rel=0.02)
    assert found.thorax_ml == pytest.approx(np.pi * 55 * 36 * 80 * 27 / 1000, rel=0.02)
    assert not found.labels[:, 86:].any(), "the table"
    assert not found.labels[55:, 36:41, 62:67].any(), "the windpipe"
    assert not found.labels[:12, 22:38, 80:100].any(), "gas in the stomach"
    assert (found.labels[10:70, 66, 64] == BONES).all(), "the spine"


def test_measurements_agree_with_the_labels() -> None:
    found = segment(a_body())
    measured = found.measurements()
    assert measured["lungs_ml"] == pytest.approx(np.isin(found.labels, (RIGHT_LUNG, LEFT_LUNG)).sum() * 0.027)
    assert measured["lungs_ml"] == pytest.approx(measured["left_lung_ml"] + measured["right_lung_ml"])
    assert measured["bones_percent"] == pytest.approx(100 * found.bones_ml / found.thorax_ml)
    assert set(measured) == {
        "lungs_ml", "left_lung_ml", "right_lung_ml", "bones_ml", "thorax_ml", "lungs_percent", "bones_percent"
    }  # fmt: skip


def test_a_finer_grid_gives_the_same_volumes() -> None:
    coarse = a_body()
    fine = Volume(
        coarse.array.repeat(2, 0).repeat(3, 1).repeat(3, 2),
        Geometry(shape=(160, 300, 384), spacing=(1.0, 1.0, 1.5)),
    )
    expected, found = segment(coarse).measurements(), segment(fine).measurements()
    for name in ("right_lung_ml", "left_lung_ml", "bones_ml", "thorax_ml"):
        assert found[name] == pytest.approx(expected[name], rel=0.02), name


def test_blocks_that_do_not_fit_the_grid_are_whole_at_the_far_end() -> None:
    fine = a_body().array.repeat(2, 1).repeat(2, 2)[:79, :199, :255]
    found = segment(Volume(fine, Geometry(shape=fine.shape, spacing=(1.5, 1.5, 3.0))))
    assert found.lungs_ml == pytest.approx(2 * BALL_ML, rel=0.02)
    assert found.thorax_ml == pytest.approx(np.pi * 55 * 36 * 79 * 27 / 1000, rel=0.02)


@settings(derandomize=True, max_examples=8, deadline=None)
@given(order=st.permutations((0, 1, 2)), flips=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_orientation_of_the_grid_does_not_matter(order: list[int], flips: tuple[bool, ...]) -> None:
    volume = a_phantom(3, 32).volume
    expected = segment(volume)
    matrix = volume.geometry.matrix
    axes = np.eye(3)[::-1]  # column k: what array axis k does to the index (i, j, k)
    turned = volume.array.transpose(order)
    steps, corner = axes[:, order], np.zeros(3)
    for axis, flip in enumerate(flips):
        if flip:
            turned = np.flip(turned, axis)
            corner += steps[:, axis] * (turned.shape[axis] - 1)
            steps[:, axis] *= -1
    direction = matrix[:3, :3] @ steps[:, ::-1]
    spacing = np.linalg.norm(direction, axis=0)
    geometry = Geometry(
        shape=turned.shape,  # type: ignore[arg-type]
        spacing=tuple(spacing),
        origin=tuple(matrix[:3, :3] @ corner + matrix[:3, 3]),
        direction=tuple((direction / spacing).ravel()),
    )
    found = segment(Volume(turned, geometry))
    labels = expected.labels.transpose(order)
    for axis, flip in enumerate(flips):
        labels = np.flip(labels, axis) if flip else labels
    np.testing.assert_array_equal(found.labels, labels)
    assert found.measurements() == pytest.approx(expected.measurements())


def test_window_of_the_models_changes_nothing() -> None:
    volume = a_phantom(6).volume
    clipped = volume.with_array(np.clip(volume.array, -1024, 600))
    np.testing.assert_array_equal(segment(clipped).labels, segment(volume).labels)


def test_contrast_medium_is_no_bone() -> None:
    plain = replace(draw_parameters(4), contrast=0.0)
    without, with_contrast = (
        segment(make_phantom(4, 64, parameters=parameters).volume).bones_ml
        for parameters in (plain, replace(plain, contrast=200.0))
    )
    assert with_contrast == pytest.approx(without, rel=0.06)


def test_stones_and_clips_are_no_bone() -> None:
    body = a_body()
    body.array[20:23, 30:33, 50:53] = 1500
    assert not (segment(body).labels[18:25, 28:35, 48:55] == BONES).any()


@pytest.mark.parametrize("touches", [False, True], ids=["inside", "at the chest wall"])
def test_a_tumour_belongs_to_the_lung(touches: bool) -> None:
    body = a_body()
    z, y, x = np.ogrid[:80, :100, :128]
    centre = 24 if touches else 36  # the lung reaches from x 18 to 54
    tumour = (z - 40) ** 2 + (y - 45) ** 2 + (x - centre) ** 2 < 6.5**2
    before = segment(body)
    tumour &= before.labels == RIGHT_LUNG
    body.array[tumour] = 40
    found = segment(body)
    assert (found.labels[tumour] == RIGHT_LUNG).mean() > 0.97
    assert found.right_lung_ml == pytest.approx(before.right_lung_ml, rel=0.005)


def test_a_narrow_heart_that_a_lung_reaches_round_is_none_of_its_tumours() -> None:
    body = a_body()
    z, y, x = np.ogrid[:80, :100, :128]
    arms = (z > 20) & (z < 60) & (x > 56) & (x < 80) & (y > 30) & (y < 57)
    body.array[arms] = -850  # the left lung before and behind the heart, up to the right lung
    heart = (z > 15) & (z < 65) & (x > 50) & (x < 74) & (y > 36) & (y < 50)
    body.array[heart] = 40
    found = segment(body)
    assert (found.labels[40, (33, 53), 64] == LEFT_LUNG).all()
    assert not found.labels[40, 43, 57:72].any()


def test_lungs_that_touch_along_a_wall_thinner_than_a_voxel() -> None:
    body = a_body()
    body.array[28:50, 42:58, 50:79] = -850
    body.array[28:50, 42:58, 64] = -600  # 1 mm of tissue in a voxel of 3 mm
    found = segment(body)
    right, left = (found.labels == number for number in (RIGHT_LUNG, LEFT_LUNG))
    assert right[:, :, 66:].sum() < 0.01 * right.sum()
    assert left[:, :, :63].sum() < 0.01 * left.sum()
    assert found.right_lung_ml == pytest.approx(found.left_lung_ml, rel=0.05)


def test_a_scan_of_one_lung() -> None:
    volume = a_phantom(0).volume
    middle = volume.array.shape[2] // 2 + 3
    half = volume.array[:, :, :middle]
    found = segment(Volume(half, replace(volume.geometry, shape=half.shape)))
    assert found.left_lung_ml == 0
    assert found.right_lung_ml == pytest.approx(segment(volume).right_lung_ml, rel=0.05)


def test_a_scan_below_the_lungs_has_bones_only() -> None:
    phantom = a_phantom(0)
    lowest = int(np.flatnonzero(phantom.masks["left_lung"].any((1, 2)))[0])
    below = phantom.volume.array[:lowest]
    found = segment(Volume(below, replace(phantom.volume.geometry, shape=below.shape)))
    assert found.lungs_ml == 0
    assert found.bones_ml > 30


@pytest.mark.parametrize("shape", [(0, 4, 4), (1, 1, 1), (2, 3, 4), (1, 40, 40), (40, 1, 40), (16, 24, 20)])
@pytest.mark.parametrize(
    "fill", [-1024, 0, 2000, np.nan, np.inf, np.uint8(200), np.uint16(60000), True], ids=str
)
def test_what_is_no_chest_gives_no_error(shape: tuple[int, int, int], fill: float) -> None:
    array = np.full(shape, fill)
    found = segment(Volume(array, Geometry(shape=shape, spacing=(0.5, 5.0, 6.0))))
    assert found.labels.shape == shape
    assert found.lungs_ml == 0
    assert all(np.isfinite(value) for value in found.measurements().values())


def test_noise_gives_no_error() -> None:
    noise = np.random.default_rng(0).normal(-400, 500, (20, 30, 40)).astype(np.float32)
    noise[3, 4, 5] = np.nan
    found = segment(Volume(noise, Geometry(shape=noise.shape, spacing=(3.0, 3.0, 3.0))))
    assert np.isfinite(found.thorax_ml)


def test_the_input_is_left_alone_and_labels_are_bytes() -> None:
    body = a_body()
    before = body.array.copy()
    body.array.flags.writeable = False
    found = segment(body)
    np.testing.assert_array_equal(body.array, before)
    assert found.labels.dtype == np.uint8
    assert found.geometry == body.geometry


def test_progress_rises_and_can_stop_the_work() -> None:
    seen: list[float] = []
    segment(a_phantom(3, 32).volume, lambda fraction, text="": seen.append(fraction))
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert seen == sorted(seen)

    def stop(fraction: float, text: str = "") -> None:
        if fraction > 0.4:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        segment(a_phantom(3, 32).volume, stop)


def test_morphology_is_measured_in_millimetres() -> None:
    point = np.zeros((31, 31, 31), bool)
    point[15, 15, 15] = True
    grown = dilate(point, 12.0, (6.0, 3.0, 2.0))
    reach = [int(np.ptp(np.flatnonzero(grown.any(axes)))) for axes in ((1, 2), (0, 2), (0, 1))]
    assert reach == [2 * 2, 2 * 4, 2 * 6]
    np.testing.assert_array_equal(erode(grown, 12.0, (6.0, 3.0, 2.0)), point)
    ball, cube = 4 / 3 * np.pi * 9.5**3, 19**3
    assert ball < dilate(point, 9.0, (1.0, 1.0, 1.0)).sum() < 0.7 * cube


# Millilitres were read off when every slice of the overlays had been looked at.
REAL = {
    "thorax_lidc0001.nii.gz": (1985, 1768, 1202),
    "thorax_lungdx_a0001.nrrd": (3211, 2396, 1423),
    "dicom_lungdx_a0002": (1183, 1582, 839),
    "thorax_cip_64.nrrd": (2470, 2189, 573),
    "one_lung_elastix.mha": (3337, 0, 572),
    "abdomen_totalseg_3mm.nii.gz": (0, 0, 1152),
}
LANDMARKS = {
    # What, then (z, y, x) from below, front and right, and the label there.
    "thorax_lidc0001.nii.gz": [
        ("windpipe", (112, 233, 235), 0),
        ("left main bronchus", (83, 289, 283), 0),
        ("aorta with contrast medium", (69, 323, 268), 0),
        ("heart with contrast medium", (69, 241, 297), 0),
        ("vertebra", (69, 352, 237), BONES),
        ("right lung", (80, 300, 120), RIGHT_LUNG),
        ("left lung", (80, 300, 380), LEFT_LUNG),
    ],
    "thorax_lungdx_a0001.nrrd": [
        ("windpipe", (53, 284, 260), 0),
        ("tumour in the left lung", (46, 349, 321), LEFT_LUNG),
    ],
    "dicom_lungdx_a0002": [
        ("windpipe", (23, 269, 239), 0),
        ("tumour in the right lung", (15, 293, 174), RIGHT_LUNG),
    ],
}
TABLE = {"thorax_lidc0001.nii.gz": 430, "thorax_lungdx_a0001.nrrd": 440, "dicom_lungdx_a0002": 400}
"""First row (y) behind the patient."""


@pytest.fixture(scope="module")
def a_real_scan(real_scans: Path) -> Callable[[str], tuple[Volume, Segmentation]]:
    """Return a function that reads and segments a real scan, once in this run."""

    @cache
    def read(name: str) -> tuple[Volume, Segmentation]:
        volume = read_volume(real_scans / name)
        return volume, segment(volume)

    return read


@pytest.mark.parametrize("name", REAL)
def test_millilitres_of_real_scans(name: str, a_real_scan: Callable) -> None:
    _, found = a_real_scan(name)
    measured = (found.right_lung_ml, found.left_lung_ml, found.bones_ml)
    for value, expected, tolerance in zip(measured, REAL[name], (0.02, 0.02, 0.06), strict=True):
        assert value == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("name", LANDMARKS)
def test_landmarks_of_real_scans(name: str, a_real_scan: Callable) -> None:
    volume, found = a_real_scan(name)
    labels = canonical_view(found.labels, volume.geometry, "SPL").array
    for what, place, label in LANDMARKS[name]:
        assert labels[place] == label, what
    assert not labels[:, TABLE[name] :].any(), "table"


def test_an_oblique_grid_gives_the_same_millilitres(a_real_scan: Callable) -> None:
    _, straight = a_real_scan("thorax_cip_64.nrrd")
    _, oblique = a_real_scan("thorax_cip_64_oblique.nrrd")
    for name, value in straight.measurements().items():
        assert oblique.measurements()[name] == pytest.approx(value, rel=0.01), name


def test_where_no_line_is_seen_between_touching_lungs_their_border_does_not_leap_from_slice_to_slice() -> (
    None
):
    hu = np.random.default_rng(0).normal(-850.0, 40.0, (40, 40, 60))
    left = left_of_junction(np.ones(hu.shape, bool), hu, 30.0, (3.0, 3.0, 3.0))
    border = left.argmax(axis=2)
    # Within 9 mm in nearly every row; it was 61 % of them where each slice was looked at alone.
    assert np.mean(np.abs(np.diff(border, axis=0)) > 3) < 0.1


@pytest.mark.parametrize("slices", [2, 12])
def test_a_hole_in_the_chest_wall_loses_no_lung(slices: int) -> None:
    phantom = make_phantom(seed=3, size=64)
    whole = segment(phantom.volume)
    array = phantom.volume.array.copy()
    middle = len(array) // 2
    rows = np.flatnonzero((whole.labels[middle] == RIGHT_LUNG).any(axis=1))
    row = int(rows[len(rows) // 2])
    edge = int(np.flatnonzero(whole.labels[middle, row] == RIGHT_LUNG).min())
    array[middle : middle + slices, row - 2 : row + 3, : edge + 2] = -1000
    holed = segment(replace(phantom.volume, array=array))
    assert holed.right_lung_ml > 0.97 * whole.right_lung_ml
