"""Directions on other kinds of model: with classes, with a profile that stretches, fitted by an SVM."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from HAGANCore.anatomy import segment
from HAGANCore.directions.build import Plan, fit_directions
from HAGANCore.directions.closed_loop import reach
from HAGANCore.directions.direction import Direction, directions_of, moved
from HAGANCore.directions.samples import Measurements
from HAGANCore.directions.store import add_directions
from HAGANCore.errors import HaganError
from HAGANCore.imaging.volume import Volume
from HAGANCore.inference.model import Model, load_model
from HAGANCore.models.modelfile import write_model
from HAGANCore.phantoms import make_phantom
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.worker.client import WorkerClient


def lungs_ml(volume: Volume) -> float:
    return segment(volume).measurements()["lungs_ml"]


@pytest.fixture(scope="module")
def a_model_with_classes(a_steerable_model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration model with classes that are a step along lung volume: 'small' and 'large' lungs."""
    model = load_model(a_steerable_model_file, "cpu")
    generator = model.file.generator().state_dict()
    step = torch.from_numpy(directions_of(model)["lung volume"].vector)
    per_z = generator["common.linear.weight"]
    by_class = torch.stack([per_z @ (-1.0 * step), per_z @ step], dim=1)
    generator["common.linear.weight"] = torch.cat([per_z, by_class], dim=1)
    description = replace(
        model.description,
        architecture=replace(model.architecture, classes=2),
        classes=("small", "large"),
        directions=(),
    )
    return write_model(
        tmp_path_factory.mktemp("classes") / "classes.safetensors",
        description,
        generator=generator,
        encoder=model.file.encoder(),
        ground_encoder=model.file.ground_encoder(),
    )


def fitted(
    path: Path, method: str = "ridge", class_: str | None = None, samples: int = 30
) -> tuple[Model, Direction]:
    """Fit lung volume on few volumes, put it into the model file, and load that."""
    model = load_model(path, "cpu")
    plan = Plan(targets=("lungs_ml",), samples=samples, probes=5, method=method, class_=class_)
    add_directions(path, fit_directions(model, plan, Measurements(model, jobs=1)), replace=True)
    model = load_model(path, "cpu")
    return model, directions_of(model)["lung volume"]


def test_a_direction_of_a_model_with_classes_moves_each_class_and_keeps_it(a_model_with_classes: Path):
    model, direction = fitted(a_model_with_classes)
    assert direction.fitted_on["class"] == "drawn"
    change = 0.5 * direction.range[1]
    for class_ in ("small", "large"):
        start = model.latent(5, class_)
        there = moved(start, model, [(direction, change)])
        assert there.class_index == start.class_index
        assert 0.3 * change < lungs_ml(model.decode(there)) - lungs_ml(model.decode(start)) < 2.5 * change
    assert lungs_ml(model.generate(5, "large")) > lungs_ml(model.generate(5, "small"))


def test_a_direction_can_be_fitted_within_one_class(a_model_with_classes: Path):
    _, direction = fitted(a_model_with_classes, class_="large")
    assert direction.fitted_on["class"] == "large"
    with pytest.raises(HaganError, match="medium"):
        fitted(a_model_with_classes, class_="medium")


def test_a_plane_between_extremes_is_calibrated_stored_and_reached(a_copy_of_the_demonstration: Path):
    model, direction = fitted(a_copy_of_the_demonstration, "svm", samples=60)
    assert direction.method == "svm"
    assert direction.auc is not None
    assert direction.unit == "mL"
    asked = 0.4 * direction.range[1]
    assert reach(model, model.latent(5), direction, asked).measured == pytest.approx(asked, rel=0.03)


@pytest.fixture
def a_copy_of_the_demonstration(a_steerable_model_file: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(a_steerable_model_file.read_bytes())
    return copy


@pytest.fixture(scope="module")
def a_stretching_model(a_steerable_model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration model as if it had been trained with scans stretched to the cube, as published."""
    model = load_model(a_steerable_model_file, "cpu")
    description = replace(model.description, profile=PROFILES["thorax-ct"], directions=())
    path = write_model(
        tmp_path_factory.mktemp("stretching") / "stretching.safetensors",
        description,
        generator=model.file.generator(),
        encoder=model.file.encoder(),
        ground_encoder=model.file.ground_encoder(),
    )
    known = directions_of(model)["lung volume"]
    belongs = {"model_sha256": load_model(path, "cpu").file.networks_sha256}
    add_directions(path, [replace(known, fitted_on=belongs)])
    return path


@pytest.fixture(scope="module")
def a_small_patient() -> Volume:
    """A phantom at three quarters of its length, width and height."""
    volume = make_phantom(9_000_001, 64).volume
    geometry = volume.geometry
    spacing = tuple(0.75 * mm for mm in geometry.spacing)
    return replace(volume, geometry=replace(geometry, spacing=spacing))


def test_millilitres_asked_of_a_stretched_scan_are_the_patients(
    a_stretching_model: Path, a_small_patient: Volume
):
    model = load_model(a_stretching_model, "cpu")
    direction = directions_of(model)["lung volume"]
    latent = model.encode(a_small_patient).latent
    nominal = model.profile.cube_geometry(64).voxel_ml
    share = latent.preparation.cube_geometry().voxel_ml / nominal
    assert not model.profile.physical
    assert share != pytest.approx(1.0, abs=0.1)
    edge = direction.range[1] * share
    change = 0.5 * edge
    there = moved(latent, model, [(direction, change)])
    # The patient's own millilitres are other ones than the calibration's: the same part of the way is gone.
    wanted = direction.step_for(0.5 * direction.range[1], latent.z)
    assert there.facts["steps"][-1]["length"] == pytest.approx(wanted, rel=1e-6)
    assert there.facts["steps"][-1]["amount"] == pytest.approx(change)
    with pytest.raises(HaganError, match=f"{edge:g} mL"):
        moved(latent, model, [(direction, 1.01 * edge)])
    found = reach(model, latent, direction, change)
    assert found.measured == pytest.approx(change, rel=0.03)
    assert lungs_ml(model.decode(found.latent)) - lungs_ml(model.decode(latent)) == pytest.approx(
        found.measured, abs=1.0
    )


def test_the_worker_steps_a_stretched_scan_in_the_patients_millilitres(
    a_stretching_model: Path, a_small_patient: Volume, tmp_path: Path
):
    model = load_model(a_stretching_model, "cpu")
    direction = directions_of(model)["lung volume"]
    latent = model.encode(a_small_patient).latent
    share = latent.preparation.cube_geometry().voxel_ml / model.profile.cube_geometry(64).voxel_ml
    change = 0.5 * direction.range[1] * share
    with WorkerClient() as worker:
        answer = worker.call(
            "step",
            model=str(a_stretching_model),
            latent=latent.to_document(),
            steps=[{"direction": "lung volume", "amount": change}],
        )
    told = answer["volume"]["provenance"]["steps"][0]
    assert told["length"] == pytest.approx(direction.step_for(0.5 * direction.range[1], latent.z), rel=1e-5)
