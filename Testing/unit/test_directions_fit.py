"""Fitting directions: on truths that are known in closed form, and on volumes of the demonstration model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.anatomy import segment
from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.directions import samples as samples_module
from HAGANCore.directions.build import Plan, factor_directions, fit_directions, measure_matrix
from HAGANCore.directions.calibrate import calibrate
from HAGANCore.directions.closed_loop import reach
from HAGANCore.directions.cohorts import encode_cohort, fit_covariate, read_covariate
from HAGANCore.directions.direction import moved
from HAGANCore.directions.disentangle import EffectsMatrix, Responses, conditional, corrected, effects_of
from HAGANCore.directions.fit import factorise, fit
from HAGANCore.directions.optional import estimators
from HAGANCore.directions.samples import JOURNAL, Measurements, quality_for
from HAGANCore.directions.targets import TARGETS, body_fat_ml, measure_targets, target_named
from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.inference.model import Model, load_model
from HAGANCore.models.modelfile import write_model
from HAGANCore.phantoms import make_phantom

PLAN = Plan(targets=("lungs_ml",), hold=("bones_ml",), samples=30, probes=6)


def gaussian(count: int, size: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size))


@pytest.fixture(scope="module")
def a_demo() -> Model:
    return load_model("demo", "cpu")


@pytest.fixture(scope="module")
def a_report(a_demo: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which :data:`PLAN` has been measured."""
    folder = tmp_path_factory.mktemp("report")
    fit_directions(a_demo, PLAN, Measurements(a_demo, folder, jobs=1))
    return folder


@pytest.fixture(scope="module")
def a_lung_direction(a_demo: Model, a_report: Path):
    (direction,) = fit_directions(a_demo, PLAN, Measurements(a_demo, a_report, jobs=1))
    return direction


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory, a_demo: Model) -> Cohort:
    """Forty volumes of the demonstration model, older where they are denser."""
    folder = tmp_path_factory.mktemp("cohort")
    with CohortWriter(folder, a_demo.profile, size=64) as writer:
        for seed in range(40):
            cube = a_demo.profile.normalise(a_demo.generate(seed).array)
            writer.add(f"p{seed}", cube, covariates={"age": 100.0 + 100.0 * float(cube.mean())})
    return Cohort.open(folder)


def test_the_weights_are_the_average_gradient_of_a_bent_target() -> None:
    # Stein: E[z f(z)] = E[f'(z)]; for f = exp(w z) the gradient is w f, its mean w exp(w²/2).
    z, w = gaussian(20_000), np.array([0.5, -0.3, *[0.0] * 10])
    found = fit(z, np.exp(z @ w), "t")
    assert found.weights == pytest.approx(w * np.exp(w @ w / 2), abs=0.02)
    assert 0.7 < found.r2 < 1


def test_r2_has_seen_nothing_of_what_it_is_measured_on() -> None:
    noise = np.random.default_rng(1).normal(size=60)
    assert fit(gaussian(60, 40), noise, "noise").r2 < 0.1


def test_a_plane_between_the_extremes_finds_the_same_direction() -> None:
    z, w = gaussian(600), np.array([2.0, 1.0, *[0.0] * 10])
    found = fit(z, z @ w + np.random.default_rng(2).normal(size=600), "t", "svm")
    cosine = found.weights @ w / np.linalg.norm(found.weights) / np.linalg.norm(w)
    assert cosine > 0.95
    assert found.auc > 0.9
    assert found.r2 is None


def test_two_classes_are_told_apart() -> None:
    z = gaussian(300)
    found = fit(z, (z[:, 0] > 0.3).astype(float), "ill", "svm")
    assert abs(found.weights).argmax() == 0
    assert found.weights[0] > 0
    assert found.auc > 0.95


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full(100, 5.0), "what does not vary"),
        (np.where(np.arange(100) < 20, 1.0 * np.arange(100), np.nan), "known for 20 latents"),
    ],
)
def test_what_cannot_be_fitted_is_said(values: np.ndarray, said: str) -> None:
    with pytest.raises(HaganError, match=said):
        fit(gaussian(100), values, "t")


def test_factors_are_orthonormal_and_ordered_by_what_they_move(a_demo: Model) -> None:
    found = factorise(a_demo.file.generator(), 4)
    vectors, values = np.array([vector for vector, _ in found]), [value for _, value in found]
    assert vectors @ vectors.T == pytest.approx(np.eye(4), abs=1e-6)
    assert values == sorted(values, reverse=True)
    weight = a_demo.file.generator().common.linear.weight.double().numpy()
    assert np.linalg.norm(weight @ vectors[0]) == pytest.approx(values[0])
    with pytest.raises(HaganError, match="from 1 to 128"):
        factorise(a_demo.file.generator(), 129)


def test_factor_directions_are_lengths_of_latent_space(a_demo: Model) -> None:
    first, second = factor_directions(a_demo, 2, None)
    assert (first.unit, first.target, first.calibrated) == ("", None, "none")
    assert second.step_for(1.5) == pytest.approx(1.5)


def test_a_conditional_direction_does_not_move_what_is_held() -> None:
    a, b, c = gaussian(3)
    vector = conditional(a, [b, c])
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert abs(vector @ b) < 1e-12
    assert abs(vector @ c) < 1e-12
    assert vector @ a > 0
    with pytest.raises(HaganError, match="same thing"):
        conditional(a, [a + 1e-3 * b])


def test_what_is_measured_to_leak_is_taken_away() -> None:
    truth = np.array([[3.0, 1.0, 0.0], [0.5, 2.0, 0.0]])  # gradients of two targets
    vectors = [np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])]
    slopes = np.array([[v @ w for w in truth] for v in vectors])
    first, second = corrected(vectors, slopes, [[1], [0]])
    assert abs(first @ truth[1]) < 1e-12
    assert abs(second @ truth[0]) < 1e-12


def answers(curve: Callable[[np.ndarray], np.ndarray], gain: np.ndarray | None = None) -> Responses:
    """Responses of forty latents whose lungs follow a known curve, and bones half of it."""
    z, lengths = gaussian(40), np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
    factor = np.ones(40) if gain is None else 1 + z @ gain
    values = np.zeros((40, 6, len(TARGETS)))
    names = list(TARGETS)
    values[:, :, names.index("lungs_ml")] = 5000 + factor[:, None] * curve(lengths)
    values[:, :, names.index("bones_ml")] = 1000 + 0.5 * factor[:, None] * curve(lengths)
    base = np.zeros((40, len(TARGETS)))
    base[:, names.index("lungs_ml")], base[:, names.index("bones_ml")] = 5000, 1000
    return Responses(z, lengths, base, values)


def test_calibration_finds_the_curve_and_each_latents_gain() -> None:
    gain = np.array([0.1, -0.05, *[0.0] * 10])
    features = np.eye(12)[:3]
    found = calibrate(
        answers(lambda t: 400 * t + 40 * t**2, gain), "lungs_ml", features, (3000.0, 7000.0), "lungs"
    )
    # Gains are relative to the mean of these latents.
    expected = gain / (1 + gaussian(40) @ gain).mean()
    assert found.gain == pytest.approx(expected, abs=0.01)
    assert found.checked["r2"] > 0.99
    assert found.checked["monotone"] == 1.0
    step = found.calibration.step_for(1000.0)
    assert 400 * step + 40 * step**2 == pytest.approx(1000, rel=0.03)
    assert found.range == pytest.approx((-840.0, 1560.0), rel=0.05)


def test_the_range_ends_where_latents_stop_rising_and_where_volumes_stop_being_plausible() -> None:
    bent = answers(lambda t: np.where(t < 2.5, 300 * t, 300.0))
    found = calibrate(bent, "lungs_ml", np.eye(12)[:1], (4500.0, 9000.0), "lungs")
    assert found.range == (-500.0, 600.0)
    with pytest.raises(HaganError, match="does not raise"):
        calibrate(answers(lambda t: -t), "lungs_ml", np.eye(12)[:1], (0.0, 9000.0), "lungs")


def test_effects_are_in_standard_deviations_per_one_of_the_own() -> None:
    effects = effects_of(answers(lambda t: 400 * t), "lungs_ml", {"lungs_ml": 1000.0, "bones_ml": 250.0})
    assert effects == {"lungs_ml": pytest.approx(1.0), "bones_ml": pytest.approx(2.0)}


def test_the_matrix_is_written_and_drawn(tmp_path: Path) -> None:
    from PIL import Image

    matrix = EffectsMatrix.from_effects(
        [("lung volume", "lungs_ml", {"bones_ml": -0.02}), ("bone volume", "bones_ml", {"lungs_ml": 0.5})]
    )
    table, picture = matrix.save(tmp_path)
    assert table.read_text().splitlines()[1].startswith("lung volume,1.0000,,,-0.0200")
    assert matrix.to_dict()["bone volume"]["lungs_ml"] == 0.5
    assert "+0.50" in matrix.text()
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert (pixels[..., 0] - pixels[..., 2] > 80).sum() > 1000  # the red cell of 0.5


def test_targets_are_those_of_the_phantom() -> None:
    phantom = make_phantom(seed=3, size=64)
    found = measure_targets(phantom.volume, segment(phantom.volume))
    assert found["lungs_ml"] == pytest.approx(phantom.millilitres["lungs"], rel=0.05)
    assert found["left_lung_ml"] + found["right_lung_ml"] == pytest.approx(found["lungs_ml"])
    assert -950 < found["lung_density_hu"] < -600
    assert 0 <= found["emphysema_percent"] < 60
    with pytest.raises(HaganError, match="lungs_ml, left_lung_ml"):
        target_named("liver_ml")


def test_fat_is_counted_without_mixtures_of_air_and_tissue() -> None:
    from HAGANCore.imaging.volume import Geometry, Volume

    array = np.full((20, 40, 40), -1000, np.int16)
    array[:, 8:32, 8:32] = -100  # fat all over
    array[:, 14:26, 14:26] = 40  # muscle within
    geometry = Geometry(shape=array.shape, spacing=(4.0, 4.0, 4.0))
    # The outermost layer touches air.
    expected = 20 * (22 * 22 - 12 * 12) * 0.064
    assert body_fat_ml(Volume(array, geometry)) == pytest.approx(expected)


def test_nothing_found_is_no_volume_of_zero() -> None:
    from HAGANCore.imaging.volume import Geometry, Volume

    empty = Volume(np.full((32, 32, 32), -1000, np.int16), Geometry(shape=(32, 32, 32), spacing=(5.0,) * 3))
    values = measure_targets(empty, segment(empty))
    assert np.isnan(values["lungs_ml"])
    assert np.isnan(values["lung_density_hu"])


def test_an_interrupted_fit_goes_on_to_the_same_direction(
    a_demo: Model, a_report: Path, a_lung_direction, tmp_path: Path
) -> None:
    done = (a_report / JOURNAL).read_text().splitlines(keepends=True)
    torn = tmp_path / "torn"
    Measurements(a_demo, torn)
    # Killed while the line after the last fifteen was written.
    (torn / JOURNAL).write_text("".join(done[:-16]) + done[-16][: len(done[-16]) // 2])
    again = Measurements(a_demo, torn, jobs=1)
    assert again.count == len(done) - 16
    (direction,) = fit_directions(a_demo, PLAN, again)
    assert again.count == len(done)
    assert direction.to_document() == a_lung_direction.to_document()
    assert np.array_equal(direction.vector, a_lung_direction.vector)


def test_a_cancelled_fit_keeps_what_is_measured(a_demo: Model, tmp_path: Path) -> None:
    def stop(fraction: float, text: str = "") -> None:
        if "measured 3 of" in text:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        fit_directions(a_demo, PLAN, Measurements(a_demo, tmp_path, jobs=1), stop)
    assert Measurements(a_demo, tmp_path).count == 3


def test_processes_measure_the_same(a_demo: Model, a_report: Path, tmp_path: Path) -> None:
    latents = [a_demo.latent(seed) for seed in range(3)]
    known = Measurements(a_demo, a_report).of(latents)
    assert np.array_equal(Measurements(a_demo, tmp_path, jobs=2).of(latents), known)


def test_measurements_of_another_model_are_refused(a_report: Path, a_model_file: Callable[..., Path]) -> None:
    with pytest.raises(HaganError, match="another networks sha256"):
        Measurements(load_model(a_model_file(), "cpu"), a_report)


def test_volumes_without_organs_are_said(a_demo: Model, tmp_path: Path) -> None:
    faint = a_demo.file.generator()
    faint.high.output.weight.mul_(1e-3)  # all of one grey, but for some HU
    path = write_model(tmp_path / "faint.safetensors", a_demo.description, generator=faint)
    grey = load_model(path, "cpu")
    with pytest.raises(HaganError, match="found in only 0%"):
        Measurements(grey, jobs=1).of([grey.latent(1), grey.latent(2)])


def test_a_brain_has_no_lungs_to_measure(a_model_file: Callable[..., Path]) -> None:
    with pytest.raises(HaganError, match="CT of the chest"):
        Measurements(load_model(a_model_file(profile="brain-mr"), "cpu"))


def test_low_resolution_only_where_organs_can_be_outlined(a_demo: Model) -> None:
    assert quality_for(a_demo) == "full"
    with pytest.raises(HaganError, match="16³ voxels, too few"):
        quality_for(a_demo, "low")


def test_a_fitted_direction_moves_its_target(a_demo: Model, a_lung_direction) -> None:
    assert a_lung_direction.held_fixed == ("bones_ml",)
    assert set(a_lung_direction.effects) == set(TARGETS) - {"lungs_ml"}
    low, high = a_lung_direction.range
    start = a_demo.latent(seed=500)
    lungs = [
        segment(a_demo.decode(moved(start, a_demo, [(a_lung_direction, change)]))).lungs_ml
        for change in (0.8 * low, 0.0, 0.8 * high)
    ]
    assert lungs == sorted(lungs)


def test_the_closed_loop_meets_what_is_asked_or_says_what_is_nearest(a_demo: Model, a_lung_direction) -> None:
    latent = a_demo.latent(seed=501)
    base = segment(a_demo.decode(latent)).lungs_ml
    found = reach(a_demo, latent, a_lung_direction, 300.0)
    lungs = segment(a_demo.decode(found.latent)).lungs_ml
    assert found.note == ""
    assert lungs - base == pytest.approx(found.measured)
    assert found.measured == pytest.approx(300, rel=0.02)
    beyond = reach(a_demo, latent, a_lung_direction, 50_000.0, most=3)
    assert "out of range for this latent; the closest is +" in beyond.note
    assert 300 < beyond.measured < 50_000
    with pytest.raises(HaganError, match="no closed loop"):
        reach(a_demo, latent, factor_directions(a_demo, 1, None)[0], 1.0)


def test_the_matrix_can_be_measured_on_other_latents(a_demo: Model, a_report: Path, a_lung_direction) -> None:
    matrix = measure_matrix(a_demo, [a_lung_direction], Measurements(a_demo, a_report, jobs=1), range(3))
    assert matrix.to_dict()["lung volume"]["lungs_ml"] == pytest.approx(1.0)


def test_a_covariate_is_fitted_on_encoded_scans(a_cohort: Cohort, a_demo: Model, tmp_path: Path) -> None:
    direction = fit_covariate(a_demo, a_cohort, "age", unit="years", folder=tmp_path)
    assert (direction.target, direction.calibrated) == ("covariate:age", "predicted")
    assert direction.samples == 40
    assert direction.r2 > 0.3
    kept = next(tmp_path.glob("encoded-*.jsonl"))
    assert len(kept.read_text().splitlines()) == 40
    # Killed while it wrote: the rest is encoded again, to the same direction.
    kept.write_bytes(kept.read_bytes()[:-5000])
    again = fit_covariate(a_demo, a_cohort, "age", unit="years", folder=tmp_path)
    assert np.array_equal(again.vector, direction.vector)
    # The fitted line says of a step what the step was asked for, and older volumes are denser indeed.
    fitted = fit(encode_cohort(a_demo, a_cohort, tmp_path), a_cohort.covariates("age"), "age")
    assert fitted.weights @ direction.vector * direction.step_for(5.0) == pytest.approx(5.0, rel=1e-4)
    start = a_demo.latent(seed=600)
    older = moved(start, a_demo, [(direction, 0.9 * direction.range[1])])
    assert a_demo.decode(older).array.mean() > a_demo.decode(start).array.mean()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,age\np0,50\nq7,51\n", "1 of 2 ids .* not in the cohort .first: 'q7'"),
        ("id,age\np0,50\np1,\n", "not a number for 1 of 2 lines .*'p1'"),
        ("id,age\np0,nan\n", "not a number"),
        ("id,age\np0,50\np0,51\n", "two lines"),
        ("name,age\np0,50\n", "no column 'id'"),
        ("id,weight\np0,50\n", "no column 'age'"),
        ("", "no column 'id'"),
    ],
)
def test_covariates_that_cannot_be_used_are_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "patients.csv"
    path.write_text(text)
    with pytest.raises(HaganError, match=said):
        read_covariate(path, "age", ["p0", "p1", "p2"])


def test_cohorts_that_cannot_be_used_are_said(
    a_cohort: Cohort, a_demo: Model, a_model_file: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "patients.csv"
    path.write_text("id,age\np0,50\np1,51\n")
    with pytest.raises(HaganError, match="known for 2 latents"):
        fit_covariate(a_demo, a_cohort, "age", covariates=path)
    with pytest.raises(HaganError, match=r"needs thorax-ct-fov at 32³"):
        encode_cohort(load_model(a_model_file(), "cpu"), a_cohort)
    with pytest.raises(HaganError, match="no encoder"):
        encode_cohort(load_model(a_model_file(encoders=False), "cpu"), a_cohort)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"targets": ("liver_ml",)}, "no target 'liver_ml'"),
        ({"targets": ()}, "at least one"),
        ({"samples": 5}, "5 samples are too few"),
        ({"probes": 2}, "at least 5 latents"),
    ],
)
def test_plans_that_cannot_work_are_refused(wrong: dict, said: str) -> None:
    with pytest.raises(HaganError, match=said):
        Plan(**{"targets": ("lungs_ml",), **wrong})


def test_a_missing_package_is_said_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(HaganError, match=r"hagan-core\[directions\]"):
        estimators()


def test_a_process_that_fails_is_said(a_demo: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(volume: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(samples_module, "segment", fail)
    with pytest.raises(HaganError, match="could not be measured: no room"):
        Measurements(a_demo, jobs=1).of([a_demo.latent(900)])
