"""Directions: kept in the model file, moved along, refused where they do not belong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore.directions.direction import Calibration, Direction, directions_of, moved
from HAGANCore.directions.store import (
    add_directions,
    read_directions,
    remove_direction,
    rename_direction,
    save_direction,
)
from HAGANCore.errors import HaganError
from HAGANCore.inference.latent import read_latent
from HAGANCore.inference.model import Model, load_model
from HAGANCore.models.modelfile import read_model, write_directions

KNOTS = Calibration((-900.0, -200.0, 0.0, 500.0), (-2.0, -1.0, 0.0, 3.0))


@pytest.fixture(scope="module")
def a_model(a_model_file: Callable[..., Path]) -> Model:
    return load_model(a_model_file(), "cpu")


@pytest.fixture(scope="module")
def a_direction(a_model: Model) -> Direction:
    vector = np.zeros(16)
    vector[3] = 1
    return Direction(
        name="lung volume",
        unit="mL",
        vector=vector.astype(np.float32),
        gain=np.linspace(-0.1, 0.1, 16).astype(np.float32),
        target="lungs_ml",
        calibration=KNOTS,
        range=(-800.0, 400.0),
        held_fixed=("bones_ml",),
        effects={"bones_ml": 0.02},
        checked={"r2": 0.9},
        r2=0.91,
        samples=400,
        baseline={"mean": 4800.0, "sd": 1000.0},
        fitted_on={"model_sha256": a_model.file.networks_sha256, "seeds": [0, 399]},
    )


@pytest.fixture
def a_copy(a_model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "copy.safetensors"
    path.write_bytes(a_model.file.path.read_bytes())
    return path


@given(st.floats(-3000, 3000), st.floats(-3000, 3000))
@settings(derandomize=True, max_examples=50, deadline=None)
def test_calibration_rises_and_is_its_own_inverse(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert KNOTS.step_for(low) <= KNOTS.step_for(high)
    assert KNOTS.change_for(KNOTS.step_for(one)) == pytest.approx(one, abs=1e-6)
    assert KNOTS.step_for(0.0) == 0.0


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ((0.0, 0.0, 1.0), (0.0, 1.0, 2.0)),
        ((-1.0, 0.0, 1.0), (1.0, 0.0, -1.0)),
        ((1.0, 2.0), (1.0, 2.0)),
        ((0.0,), (0.0,)),
        ((0.0, 1.0), (0.0, 1.0, 2.0)),
        ((0.0, float("nan")), (0.0, 1.0)),
    ],
)
def test_calibrations_that_cannot_be_are_refused(change: tuple, step: tuple) -> None:
    with pytest.raises(HaganError, match="calibration"):
        Calibration(change, step)


def test_a_direction_in_the_file_is_the_same_again_and_leaves_the_networks_as_they_are(
    a_copy: Path, a_direction: Direction
) -> None:
    before = read_model(a_copy)
    weights = before.generator().state_dict()
    after = add_directions(a_copy, [a_direction])
    found = directions_of(after)["lung volume"]
    assert found.to_document() == a_direction.to_document()
    assert np.array_equal(found.vector, a_direction.vector)
    assert np.array_equal(found.gain, a_direction.gain)
    assert after.sha256 != before.sha256
    assert after.networks_sha256 == before.networks_sha256
    again = after.generator().state_dict()
    assert all(tensor.equal(again[name]) for name, tensor in weights.items())
    assert not list(a_copy.parent.glob(".tmp-*"))


def test_the_stored_type_of_the_weights_is_kept(a_model_file: Callable[..., Path], tmp_path: Path) -> None:
    import torch

    from HAGANCore.models.modelfile import write_model

    file = read_model(a_model_file())
    half = write_model(
        tmp_path / "half.safetensors", file.description, generator=file.generator(), dtype=torch.float16
    )
    before = read_model(half)
    write_directions(before, [], {})
    after = read_model(half)
    assert after.networks_sha256 == before.networks_sha256
    assert after.bytes == before.bytes


def test_a_latent_stays_good_when_directions_are_added(
    a_model: Model, a_copy: Path, a_direction: Direction, tmp_path: Path
) -> None:
    a_model.latent(seed=1).save(tmp_path / "z.latent.json")
    add_directions(a_copy, [a_direction])
    richer = load_model(a_copy, "cpu")
    latent = read_latent(tmp_path / "z.latent.json")
    assert latent.model_sha256 != richer.file.sha256
    assert np.array_equal(richer.cube(latent), a_model.cube(latent))


def test_a_latent_of_other_networks_is_refused(a_model: Model, a_model_file: Callable[..., Path]) -> None:
    other = load_model(a_model_file(seed=1), "cpu")
    with pytest.raises(HaganError, match="belongs to the model"):
        other.cube(a_model.latent(seed=1))


def test_steps_in_physical_units_move_by_the_calibrated_length(
    a_model: Model, a_direction: Direction
) -> None:
    plain = replace(a_direction, gain=None)
    start = a_model.latent(seed=2)
    there = moved(start, a_model, [(plain, -500.0)])
    assert there.z[3] - start.z[3] == pytest.approx(np.interp(-500, KNOTS.change, KNOTS.step), abs=1e-5)
    assert np.array_equal(np.delete(there.z, 3), np.delete(start.z, 3))
    assert there.origin == "moved"
    assert there.facts["steps"][0]["amount"] == -500.0
    assert there.facts["seed"] == 2
    assert a_model.decode(there).meta["provenance"]["kind"] == "moved"
    assert moved(start, a_model, []) is start


def test_the_order_of_steps_does_not_matter(a_model: Model, a_direction: Direction) -> None:
    vector = np.full(16, 0.25, np.float32)
    other = replace(a_direction, name="bone volume", vector=vector)
    start = a_model.latent(seed=3)
    one = moved(start, a_model, [(a_direction, 300.0), (other, -100.0)])
    two = moved(start, a_model, [(other, -100.0), (a_direction, 300.0)])
    assert np.allclose(one.z, two.z, atol=1e-6)


def test_a_latent_that_answers_more_gets_a_shorter_step(a_direction: Direction) -> None:
    eager, lazy = 2 * np.sign(a_direction.gain), -2 * np.sign(a_direction.gain)
    assert a_direction.step_for(300, eager) < a_direction.step_for(300) < a_direction.step_for(300, lazy)
    assert a_direction.gain_at(100 * eager) == 2.0
    assert a_direction.gain_at(100 * lazy) == 0.5


@pytest.mark.parametrize("amount", [-801.0, 400.1, float("nan"), float("inf")])
def test_amounts_out_of_range_are_refused_with_the_range(
    a_model: Model, a_direction: Direction, amount: float
) -> None:
    with pytest.raises(HaganError, match="−800 to 400 mL"):
        moved(a_model.latent(seed=1), a_model, [(a_direction, amount)])


def test_a_direction_of_another_model_is_refused_with_both_hashes(
    a_model: Model, a_model_file: Callable[..., Path], a_direction: Direction, tmp_path: Path
) -> None:
    other = load_model(a_model_file(seed=1), "cpu")
    hashes = f"{a_model.file.networks_sha256[:12]}.*{other.file.networks_sha256[:12]}"
    with pytest.raises(HaganError, match=hashes):
        moved(other.latent(seed=1), other, [(a_direction, 10.0)])
    with pytest.raises(HaganError, match=hashes):
        add_directions(other.file.path, [a_direction], out=tmp_path / "never.safetensors")
    assert not (tmp_path / "never.safetensors").exists()


def test_rename_and_remove(a_copy: Path, a_direction: Direction) -> None:
    add_directions(a_copy, [a_direction, replace(a_direction, name="other", gain=None)])
    assert list(directions_of(rename_direction(a_copy, "lung volume", "lungs"))) == ["lungs", "other"]
    with pytest.raises(HaganError, match="already"):
        rename_direction(a_copy, "lungs", "other")
    with pytest.raises(HaganError, match="without dots"):
        rename_direction(a_copy, "lungs", "a.b")
    with pytest.raises(HaganError, match="it has: lungs, other"):
        remove_direction(a_copy, "bones")
    left = remove_direction(a_copy, "lungs")
    assert list(left.directions) == ["other"]


def test_a_name_in_use_is_replaced_only_where_wanted(a_copy: Path, a_direction: Direction) -> None:
    add_directions(a_copy, [a_direction])
    newer = replace(a_direction, gain=None, r2=0.5)
    with pytest.raises(HaganError, match="already"):
        add_directions(a_copy, [newer])
    found = directions_of(add_directions(a_copy, [newer], replace=True))["lung volume"]
    assert found.r2 == 0.5
    assert found.gain is None


def test_a_direction_can_be_given_away_in_a_small_file(a_direction: Direction, tmp_path: Path) -> None:
    path = save_direction(a_direction, tmp_path / "lungs.direction.json")
    (again,) = read_directions(path)
    assert again.to_document() == a_direction.to_document()
    assert np.array_equal(again.vector, a_direction.vector)
    assert path.stat().st_size < 5000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2),
        ("calibration", {"change": [0, 1], "step": [1, 0]}),
        ("calibration", None),
        ("range", ["low", "high"]),
        ("range", [5, -5]),
        ("effects", {"bones_ml": "much"}),
        ("samples", -3),
        ("name", "a.b"),
        ("unit", 5),
        ("r2", "good"),
        ("fitted_on", None),
    ],
)
def test_damaged_directions_are_refused_in_one_line(
    a_direction: Direction, tmp_path: Path, key: str, value: object
) -> None:
    path = save_direction(a_direction, tmp_path / "d.direction.json")
    document = json.loads(path.read_text())
    document["direction"][key] = value
    path.write_text(json.dumps(document))
    with pytest.raises(HaganError) as caught:
        read_directions(path)
    assert "\n" not in str(caught.value)


def test_a_vector_of_another_length_than_one_is_refused(a_direction: Direction) -> None:
    with pytest.raises(HaganError, match="row of length 1"):
        replace(a_direction, vector=2 * a_direction.vector)
