"""Thorax phantoms: reproducible, anatomically true, and honest about their own volumes."""

from __future__ import annotations

from dataclasses import astuple, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore.anatomy.location import locate_lungs
from HAGANCore.cohorts.store import Cohort
from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.volume import Geometry
from HAGANCore.phantoms import PROFILE, SEVERITY_LIMITS, Phantom, draw_parameters, make_phantom, severity
from HAGANCore.phantoms.cohort import LABELS, SCANNER, scan_phantom, write_phantom_cohort
from HAGANCore.phantoms.draw import draw
from HAGANCore.phantoms.grid import RenderGrid, averaged
from HAGANCore.phantoms.patient import Patient, roll
from HAGANCore.phantoms.primitives import Ellipsoid, Tubes, fill_plates, fill_tubes
from HAGANCore.resources import resource_path


@pytest.fixture(scope="module")
def a_phantom() -> Phantom:
    return make_phantom(11, 64)


@pytest.fixture(scope="module")
def a_fine_phantom() -> Phantom:
    return make_phantom(11, 128)


@pytest.fixture(scope="module")
def some_phantoms() -> list[Phantom]:
    return [make_phantom(seed, 48, noise=False) for seed in range(16)]


def millilitres(mask: np.ndarray, phantom: Phantom) -> float:
    return float(mask.sum()) * phantom.volume.geometry.voxel_ml


def test_same_seed_gives_the_same_phantom_bit_for_bit(a_phantom: Phantom) -> None:
    again = make_phantom(11, 64)
    np.testing.assert_array_equal(again.volume.array, a_phantom.volume.array)
    assert again.millilitres == a_phantom.millilitres
    assert again.covariates == a_phantom.covariates


def test_seeds_differ_in_every_parameter() -> None:
    one, other = astuple(draw_parameters(1)), astuple(draw_parameters(2))
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_volume_says_what_it_is(a_phantom: Phantom) -> None:
    volume = a_phantom.volume
    assert volume.geometry == PROFILE.cube_geometry(64)
    assert volume.array.dtype == np.float32
    assert volume.meta["synthetic"] is True
    assert volume.meta["unit"] == "HU"
    assert volume.meta["provenance"] == {"kind": "phantom", "seed": 11, "noise": True}


def test_masks_agree_with_true_millilitres(a_fine_phantom: Phantom) -> None:
    truth, masks = a_fine_phantom.millilitres, a_fine_phantom.masks
    for name in ("left_lung", "right_lung"):
        assert millilitres(masks[name], a_fine_phantom) == pytest.approx(truth[name], rel=0.01)
    assert millilitres(masks["bones"], a_fine_phantom) == pytest.approx(truth["bones"], rel=0.05)
    assert truth["lungs"] == pytest.approx(truth["left_lung"] + truth["right_lung"], rel=1e-5)
    assert not (masks["left_lung"] & masks["right_lung"]).any()
    assert not (masks["bones"] & (masks["left_lung"] | masks["right_lung"])).any()


def test_resolution_does_not_change_the_truth(a_phantom: Phantom, a_fine_phantom: Phantom) -> None:
    for name, value in a_fine_phantom.millilitres.items():
        assert a_phantom.millilitres[name] == pytest.approx(value, rel=0.02), name


def test_coarse_voxels_hold_the_mean_of_fine_ones() -> None:
    patient = Patient(2, draw_parameters(2))
    coarse, fine = (draw(patient, PROFILE.cube_geometry(size)) for size in (64, 192))
    image, bone = averaged(fine.image, 3), averaged(fine.bone, 3)
    np.testing.assert_allclose(coarse.bone[bone > 0.3], bone[bone > 0.3], atol=0.2)
    for low, high in ((0.1, 0.4), (0.4, 0.7), (0.7, 1.1)):
        part = (bone >= low) & (bone < high)
        assert coarse.bone[part].mean() == pytest.approx(bone[part].mean(), rel=0.02)
        # Compact bone, marrow and what is around each keep their share: none hides another.
        assert coarse.image[part].mean() == pytest.approx(image[part].mean(), abs=12)


def test_finer_grid_covers_the_same_space() -> None:
    geometry = Geometry(shape=(4, 5, 6), spacing=(5.0, 4.0, 6.0), origin=(-7.0, 3.0, 11.0))
    grid = RenderGrid(geometry, roll(7.0))
    finer = grid.finer(2)
    for coarse_axis, fine_axis in zip(grid.points(), finer.points(), strict=True):
        fine_axis = np.broadcast_to(fine_axis, finer.shape)
        np.testing.assert_allclose(
            averaged(fine_axis, 2), np.broadcast_to(coarse_axis, grid.shape), atol=1e-4
        )


def test_scanner_grid_shows_the_same_patient(a_phantom: Phantom) -> None:
    # The cube's field of view, other voxels; the true volumes must not notice.
    grid = Geometry(shape=(100, 128, 160), spacing=(2.4, 2.5, 3.2), origin=(-190.8, -158.75, -158.4))
    scan = make_phantom(11, geometry=grid)
    assert scan.volume.geometry == grid
    for name, value in a_phantom.millilitres.items():
        assert scan.millilitres[name] == pytest.approx(value, rel=0.02), name
    world_z = -158.4 + 3.2 * np.argwhere(scan.masks["left_lung"])[:, 0].mean()
    coarse_z = -157.5 + 5.0 * np.argwhere(a_phantom.masks["left_lung"])[:, 0].mean()
    assert world_z == pytest.approx(coarse_z, abs=1.0)


def test_oblique_grid_shows_the_same_lungs(a_phantom: Phantom) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    direction = (1.0, 0.0, 0.0, 0.0, c, -s, 0.0, s, c)
    spacing, shape = (4.0, 4.0, 5.0), (88, 100, 96)
    matrix = np.reshape(direction, (3, 3)) * spacing
    x, y, z = (float(v) for v in -matrix @ ((np.array(shape[::-1]) - 1) / 2))
    scan = make_phantom(
        11, geometry=Geometry(shape=shape, spacing=spacing, origin=(x, y, z), direction=direction)
    )
    for name in ("left_lung", "right_lung", "lungs"):
        assert scan.millilitres[name] == pytest.approx(a_phantom.millilitres[name], rel=0.02), name


def test_lungs_lie_where_the_preprocessing_puts_those_of_a_scan(some_phantoms: list[Phantom]) -> None:
    for phantom in some_phantoms:
        location = locate_lungs(phantom.volume)
        assert location is not None
        middle = [(first + last) / 2 for first, last in location.box]
        # One voxel of this grid: the box is known no better, and the patient is off by up to 2 mm.
        assert np.abs(np.array(middle) - 24).max() <= 1.0
        left, right = (np.argwhere(phantom.masks[name]) for name in ("left_lung", "right_lung"))
        assert left[:, 2].mean() > right[:, 2].mean() + 10


def test_parameters_without_room_for_lungs_are_refused() -> None:
    with pytest.raises(HaganError, match="larger chest"):
        make_phantom(1, 32, parameters=replace(draw_parameters(1), body_scale=0.3))


def test_tissues_have_their_attenuation(a_fine_phantom: Phantom) -> None:
    image, masks = a_fine_phantom.volume.array, a_fine_phantom.masks
    lungs = image[masks["left_lung"] | masks["right_lung"]]
    assert -930 < np.median(lungs) < -780
    bones = image[masks["bones"]]
    assert np.median(bones) == pytest.approx(250, abs=40)  # as patients'
    assert np.mean(bones > 110) > 0.9
    assert bones.max() > 700
    outside_patient = image[:, :8, :8]
    assert np.mean(outside_patient) == pytest.approx(-1000, abs=3)
    fat = np.abs(image + 100) < 40
    assert millilitres(fat, a_fine_phantom) == pytest.approx(a_fine_phantom.millilitres["fat"], rel=0.2)
    muscle = np.abs(image - 52) < 25
    assert millilitres(muscle, a_fine_phantom) > 2000


def test_blood_is_enhanced_by_contrast_medium() -> None:
    plain = replace(draw_parameters(11), contrast=0.0)
    images = [
        make_phantom(11, 64, parameters=p, noise=False) for p in (plain, replace(plain, contrast=180.0))
    ]
    change = images[1].volume.array - images[0].volume.array
    assert np.mean(change > 150) * images[0].millilitres["body"] > 50  # heart and great vessels
    assert abs(np.median(change)) < 1


def test_noise_has_the_size_that_is_written(a_fine_phantom: Phantom) -> None:
    quiet = make_phantom(11, 128, noise=False).volume.array
    difference = (a_fine_phantom.volume.array - quiet)[:, :10, :10]
    cells = 1 + np.prod(a_fine_phantom.volume.geometry.spacing) / 4
    # Around the patient the noise is half of what it is inside.
    assert difference.std() == pytest.approx(0.5 * draw_parameters(11).noise / np.sqrt(cells), rel=0.1)


@pytest.mark.parametrize(
    ("name", "low", "high", "measure"),
    [
        ("inflation", 0.85, 1.1, lambda p: p.millilitres["lungs"]),
        ("body_scale", 0.9, 1.07, lambda p: p.millilitres["body"]),
        ("bone_size", 0.85, 1.15, lambda p: p.millilitres["bones"]),
        ("bone_density", 160.0, 290.0, lambda p: float(np.median(p.volume.array[p.masks["bones"]]))),
        ("fat", 6.0, 30.0, lambda p: p.millilitres["fat"]),
    ],
)
def test_parameter_moves_what_it_names(name: str, low: float, high: float, measure) -> None:
    base = draw_parameters(5)
    small, large = (
        measure(make_phantom(5, 48, parameters=replace(base, **{name: value}))) for value in (low, high)
    )
    assert large > 1.1 * small


def test_emphysema_covariate_is_seen_in_the_image(some_phantoms: list[Phantom]) -> None:
    wanted, seen = [], []
    for phantom in some_phantoms:
        lungs = phantom.masks["left_lung"] | phantom.masks["right_lung"]
        wanted.append(phantom.covariates["emphysema_fraction"])
        seen.append(np.mean(phantom.volume.array[lungs] < -950))
    assert np.corrcoef(wanted, seen)[0, 1] > 0.97
    assert 0.5 < np.polyfit(wanted, seen, 1)[0] < 1.1


def test_emphysema_prefers_the_upper_lobes() -> None:
    sick = make_phantom(3, 64, parameters=replace(draw_parameters(3), emphysema=0.25), noise=False)
    lungs = sick.masks["left_lung"] | sick.masks["right_lung"]
    middle = int(np.argwhere(lungs)[:, 0].mean())
    low, high = (
        np.mean(sick.volume.array[part][lungs[part]] < -950)
        for part in (slice(0, middle), slice(middle, None))
    )
    assert high > 1.5 * low


def test_parameters_spread_widely_and_independently() -> None:
    table = np.array([astuple(draw_parameters(seed)) for seed in range(600)])
    correlation = np.corrcoef(table.T) - np.eye(table.shape[1])
    assert np.abs(correlation).max() < 0.2
    names = [field.name for field in fields(draw_parameters(0))]
    fat, emphysema, inflation = (table[:, names.index(n)] for n in ("fat", "emphysema", "inflation"))
    assert fat.min() < 8
    assert fat.max() > 32
    assert emphysema.max() < 0.45
    assert inflation.std() / inflation.mean() > 0.05
    labels = np.bincount([severity(e) for e in emphysema], minlength=5) / len(emphysema)
    assert labels.min() > 0.05


def test_lung_volumes_cover_small_women_and_tall_men(some_phantoms: list[Phantom]) -> None:
    lungs = np.array([phantom.millilitres["lungs"] for phantom in some_phantoms])
    assert lungs.min() > 2200
    assert lungs.max() < 8200
    assert lungs.std() / lungs.mean() > 0.15


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=50, derandomize=True, deadline=None)
def test_severity_never_falls_with_emphysema(one: float, other: float) -> None:
    assert severity(min(one, other)) <= severity(max(one, other))


def test_severity_changes_at_its_limits() -> None:
    assert [severity(limit) for limit in SEVERITY_LIMITS] == [1, 2, 3, 4]
    assert [severity(limit - 1e-9) for limit in SEVERITY_LIMITS] == [0, 1, 2, 3]


def test_label_follows_the_covariate(some_phantoms: list[Phantom]) -> None:
    for phantom in some_phantoms:
        assert phantom.label == severity(phantom.covariates["emphysema_fraction"])


@given(
    radius=st.floats(0.4, 9.0),
    flat=st.floats(0.0, 8.0),
    tilt=st.floats(-1.2, 1.2),
    shift=st.tuples(*[st.floats(-3, 3)] * 3),
)
@settings(max_examples=25, derandomize=True, deadline=None)
def test_tubes_fill_their_true_volume(radius: float, flat: float, tilt: float, shift: tuple) -> None:
    # A long tube through a grid of 4 mm voxels: thinner or thicker than a voxel, its section stays true.
    grid = RenderGrid(
        Geometry(shape=(40, 24, 24), spacing=(4.0, 4.0, 4.0), origin=(-46.0, -46.0, -78.0)), np.eye(4)
    )
    across, along = np.array([np.cos(tilt), np.sin(tilt), 0.0]), np.array([0.0, 0.0, 200.0])
    tube = Tubes.along([shift - along, shift + along], radius, flat * across)
    filled = fill_tubes(grid, tube)
    section = filled.sum() * 4.0**3 / (40 * 4.0)
    expected = np.pi * radius**2 + 4 * flat * radius
    # A line thinner than the voxels is sampled where the voxels happen to lie: less exact, never lost.
    assert section == pytest.approx(expected, rel=0.12 if radius > 2 else 0.3)


def test_plates_fill_their_true_volume() -> None:
    grid = RenderGrid(
        Geometry(shape=(40, 40, 40), spacing=(3.0, 3.0, 3.0), origin=(-58.5, -58.5, -58.5)), np.eye(4)
    )
    corners = np.array([[[-40.0, -30.0, -35.0], [40.0, -20.0, -30.0], [0.0, 20.0, 40.0]]])
    area = 0.5 * np.linalg.norm(np.cross(corners[0, 1] - corners[0, 0], corners[0, 2] - corners[0, 0]))
    for radius in (0.8, 2.5):
        volume = fill_plates(grid, corners, radius).sum() * 27
        assert volume == pytest.approx(2 * radius * area, rel=0.2)


def test_ellipsoid_fills_its_true_volume_in_any_pose() -> None:
    geometry = Geometry(shape=(40, 40, 40), spacing=(3.0, 3.0, 3.0), origin=(-58.5, -58.5, -58.5))
    grid = RenderGrid(geometry, roll(20.0))
    shape = Ellipsoid((5.0, -4.0, 3.0), (30.0, 20.0, 14.0))
    filled = np.zeros(grid.shape)
    box = shape.box(grid)
    assert box is not None
    filled[box] = grid.filled(shape.distance(*grid.points(box)))
    assert filled.sum() * 27 == pytest.approx(4 / 3 * np.pi * 30 * 20 * 14, rel=0.02)


def test_cohort_holds_the_truth_and_goes_on(tmp_path) -> None:
    write_phantom_cohort(tmp_path / "whole", 3, 32, seed=40)
    with pytest.raises(Cancelled):
        write_phantom_cohort(tmp_path / "broken", 3, 32, seed=40, progress=_cancel_after(0.5))
    assert 1 <= len(Cohort.open(tmp_path / "broken").entries) < 3
    write_phantom_cohort(tmp_path / "broken", 3, 32, seed=40, jobs=2)
    whole, broken = (Cohort.open(tmp_path / name) for name in ("whole", "broken"))
    hashes = [{entry.id: entry.sha256 for entry in cohort.entries} for cohort in (whole, broken)]
    assert hashes[0] == hashes[1]  # interrupted and in parallel, still the same voxels
    phantom = make_phantom(41, 32)
    entry = next(e for e in whole.entries if e.id == "phantom-000041")
    assert entry.label == phantom.label
    assert entry.covariates["lung_volume_ml"] == phantom.millilitres["lungs"]
    values = PROFILE.denormalise(whole.load(whole.entries.index(entry)))
    expected = np.clip(phantom.volume.array, -1024, 600)
    np.testing.assert_allclose(values, expected, atol=0.05)


def test_unlabelled_cohort_keeps_covariates(tmp_path) -> None:
    write_phantom_cohort(tmp_path, 1, 16, labelled=False)
    cohort = Cohort.open(tmp_path)
    assert cohort.classes == ()
    assert cohort.entries[0].label == -1
    assert "severity" in cohort.entries[0].covariates


@pytest.mark.parametrize(
    ("count", "size", "seed", "words"), [(0, 32, 0, "at least 1"), (1, 8, 0, "16"), (1, 32, -1, "0 or more")]
)
def test_impossible_cohorts_are_refused(tmp_path, count: int, size: int, seed: int, words: str) -> None:
    with pytest.raises(HaganError, match=words):
        write_phantom_cohort(tmp_path, count, size, seed)


def test_sample_scan_is_what_this_code_makes() -> None:
    phantom, labels = scan_phantom(20260)
    image = phantom.volume.array
    assert image.shape == labels.shape == SCANNER.shape
    assert image.min() == -1024
    assert np.all(image[:, 0, 0] == -1024)
    for name, value in LABELS.items():
        np.testing.assert_array_equal(labels == value, phantom.masks[name])
    sample = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))
    assert sample.meta["provenance"] == phantom.volume.meta["provenance"]
    assert sample.geometry.origin == pytest.approx(SCANNER.origin)
    np.testing.assert_allclose(sample.array, image, atol=1.0)  # the file holds whole HU


def _cancel_after(limit: float):
    def progress(fraction: float, text: str = "") -> None:
        if fraction > limit:
            raise Cancelled("Stopped.")

    return progress
