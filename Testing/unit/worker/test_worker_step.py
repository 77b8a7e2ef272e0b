"""Steps along directions: the open loop, the closed one, and what a volume says of how it was made."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from HAGANCore.anatomy import segment
from HAGANCore.directions.direction import directions_of, moved
from HAGANCore.directions.step import measure
from HAGANCore.directions.store import add_directions
from HAGANCore.inference.model import load_model
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import RequestError, open_array, volume_to_wire


def test_an_exact_step_says_what_it_reached(a_worker: WorkerClient, a_steered_demonstration: Path):
    latent = load_model("demo", "cpu").latent(seed=3).to_document()  # made before the direction was added
    order: dict[str, Any] = {"model": str(a_steered_demonstration), "latent": latent, "quality": "full"}
    start = a_worker.call("step", **order, steps=[])
    moved = a_worker.call("step", **order, steps=[{"direction": "one of many", "amount": 30.0}], exact=True)
    change = moved["measurements"]["lungs_ml"] - start["measurements"]["lungs_ml"]
    assert moved["reached"]["requested"] == 30.0
    assert change == pytest.approx(moved["reached"]["measured"], abs=0.01)
    assert moved["reached"]["note"] or abs(change - 30.0) <= 5.0
    assert start["reached"] is None


def test_one_direction_twice_goes_as_far_as_both_together(a_worker: WorkerClient):
    latent = load_model("demo", "cpu").latent(seed=1).to_document()
    twice = [{"direction": "lung volume", "amount": amount} for amount in (200.0, 100.0)]
    met = a_worker.call("step", model="demo", latent=latent, steps=twice, exact=True)
    assert met["reached"]["requested"] == 300.0
    assert met["reached"]["measured"] == pytest.approx(300.0, rel=0.021)


def test_what_cannot_be_measured_on_a_volume_is_moved_as_calibrated(a_worker: WorkerClient, a_folder: Path):
    model = load_model("demo", "cpu")
    age = replace(
        directions_of(model)["lung volume"],
        name="age",
        unit="years",
        target="covariate:age",
        calibrated="predicted",
    )
    path = a_folder / "aged.safetensors"
    add_directions(model.file.path, [age], out=path)
    latent = model.latent(seed=3).to_document()
    steps = [{"direction": "age", "amount": 100.0}]
    order: dict[str, Any] = {"model": str(path), "latent": latent, "steps": steps, "quality": "full"}
    met, calibrated = (a_worker.call("step", **order, exact=exact) for exact in (True, False))
    assert met["reached"] is None
    assert np.array_equal(open_array(met["volume"]), open_array(calibrated["volume"]))


def test_what_the_directions_of_the_model_move_is_measured(a_worker: WorkerClient):
    model = load_model("demo", "cpu")
    direction, latent = directions_of(model)["body fat"], model.latent(seed=3)
    for steps in ([], [{"direction": "body fat", "amount": 1000.0}]):
        answer = a_worker.call("step", model="demo", latent=latent.to_document(), steps=steps)
        # What the engine measures in the same volume, whatever the weights make of it.
        volume = model.decode(moved(latent, model, [(direction, step["amount"]) for step in steps]))
        expected = measure(direction, volume, segment(volume))
        assert answer["measurements"]["fat_ml"] == pytest.approx(expected, rel=1e-3)
    assert "fat_ml" not in answer["labels"]["measurements"]
    assert "lung_density_hu" not in answer["measurements"]  # no direction moves it


def test_a_moved_volume_says_how_it_was_made_and_can_be_made_again(
    a_worker: WorkerClient, a_steered_model: Path
):
    latent = load_model(a_steered_model, "cpu").latent(seed=3).to_document()
    order: dict[str, Any] = {"model": str(a_steered_model), "segment": False}
    steps = [{"direction": "lung volume", "amount": 100.0}]
    moved = a_worker.call("step", **order, latent=latent, steps=steps)
    told = moved["volume"]["provenance"]["steps"][0]
    assert (told["direction"], told["amount"], told["unit"]) == ("lung volume", 100.0, "mL")
    assert moved["volume"]["synthetic"]
    again = a_worker.call("step", **order, latent=moved["latent"], steps=[])
    assert np.array_equal(open_array(again["volume"]), open_array(moved["volume"]))
    assert moved["labels"] is None
    assert moved["measurements"] is None


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"direction": "age", "amount": 1.0}, "no direction 'age'; it has 'lung volume'"),
        ({"direction": "lung volume", "amount": 501.0}, "from −500 to 500 mL; 501 was asked for"),
    ],
)
def test_a_step_that_cannot_be_is_refused(
    a_worker: WorkerClient, a_steered_model: Path, step: dict[str, Any], words: str
):
    latent = load_model(a_steered_model, "cpu").latent(seed=3).to_document()
    with pytest.raises(RequestError, match=words):
        a_worker.call("step", model=str(a_steered_model), latent=latent, steps=[step])


def test_a_latent_of_another_model_is_refused(a_worker: WorkerClient, a_steered_model: Path, a_folder: Path):
    latent = load_model("demo", "cpu").latent(seed=3).to_document()
    copy = shutil.copy(a_steered_model, a_folder / "another name.safetensors")
    with pytest.raises(RequestError, match="belongs to the model 'demo'"):
        a_worker.call("step", model=str(copy), latent=latent, steps=[])


PLACE = {"spacing": (5.0, 5.0, 5.0), "origin": (0.0, 0.0, 0.0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}


def test_what_nothing_can_be_measured_on_is_not_outlined(a_worker: WorkerClient):
    wire = volume_to_wire(a_worker.session, np.full((20, 20, 20), 40, np.int16), PLACE)
    with pytest.raises(RequestError, match="same value"):
        a_worker.call("segment", volume=wire)
