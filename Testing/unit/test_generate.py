"""Generating: what the same seed promises, where the volume lies, and that it says it is synthetic."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from HAGANCore.errors import Cancelled, HaganError, OutOfMemory
from HAGANCore.gans.hagan import one_hot
from HAGANCore.imaging.io import read_volume, write_volume
from HAGANCore.imaging.provenance import provenance_document
from HAGANCore.inference import model as model_module
from HAGANCore.inference.model import Model, load_model
from HAGANCore.inference.planning import smaller_plan

ModelFiles = Callable[..., Path]


@pytest.fixture
def a_model(a_model_file: ModelFiles) -> Model:
    return load_model(a_model_file(), "cpu", "float32")


@pytest.fixture
def a_conditional_model(a_model_file: ModelFiles) -> Model:
    return load_model(a_model_file(classes=3, normalisation="group"), "cpu", "float32")


def test_a_seed_gives_one_volume_whatever_else_is_asked_for(a_model: Model) -> None:
    alone = a_model.generate(seed=4)
    for seed, volume in zip((9, 4, 2), a_model.generate_many([9, 4, 2]), strict=True):
        assert volume.meta["provenance"]["seed"] == seed
        assert np.array_equal(volume.array, alone.array) == (seed == 4)
    torch.manual_seed(0)  # the latent comes from a generator of its own
    assert np.array_equal(a_model.generate(seed=4).array, alone.array)


def test_a_latent_is_the_same_on_every_machine(a_model: Model) -> None:
    expected = torch.randn(16, generator=torch.Generator().manual_seed(7)).numpy()
    assert np.array_equal(a_model.latent(7).z, expected)


def test_without_a_seed_one_is_drawn_and_told(a_model: Model) -> None:
    volume = a_model.generate()
    again = a_model.generate(volume.meta["provenance"]["seed"])
    assert np.array_equal(volume.array, again.array)
    assert a_model.latent().facts["seed"] != a_model.latent().facts["seed"]


def test_the_volume_is_the_generators_in_hu(a_model: Model) -> None:
    volume = a_model.generate(seed=1)
    z = torch.from_numpy(a_model.latent(1).z)[None]
    expected = a_model.profile.denormalise(a_model.file.generator()(z)[0, 0].numpy())
    assert volume.array.dtype == np.int16
    assert volume.array.std() > 100
    assert np.abs(volume.array - expected).max() <= 0.51  # rounded to whole HU


def test_the_volume_lies_in_the_profiles_field_of_view(a_model: Model) -> None:
    volume, preview = a_model.generate(1), a_model.generate(1, preview=True)
    assert volume.array.shape == (32, 32, 32)
    assert preview.array.shape == (8, 8, 8)
    z, y, x = a_model.profile.extent_mm
    for made in (volume, preview):
        assert made.geometry.extent_mm == pytest.approx((x, y, z))
        outer = made.geometry.matrix @ [-0.5, -0.5, -0.5, 1]
        assert outer[:3] == pytest.approx([-x / 2, -y / 2, -z / 2])


def test_a_preview_is_the_low_resolution_volume(a_model: Model) -> None:
    z = torch.from_numpy(a_model.latent(3).z)[None]
    generator = a_model.file.generator()
    low = generator.low(generator.features(z))[0, 0].numpy()
    assert np.abs(a_model.generate(3, preview=True).array - a_model.profile.denormalise(low)).max() <= 0.51


def test_truncation_shrinks_the_latent(a_model: Model) -> None:
    assert np.allclose(a_model.latent(5, truncation=0.25).z, 0.25 * a_model.latent(5).z)
    mean = a_model.generate(5, truncation=0.0)
    assert np.array_equal(mean.array, a_model.generate(6, truncation=0.0).array)


def test_the_class_is_the_one_asked_for(a_conditional_model: Model) -> None:
    model = a_conditional_model
    by_name, by_index = model.generate(2, class_="stage 1"), model.generate(2, class_=1)
    assert np.array_equal(by_name.array, by_index.array)
    assert by_name.meta["provenance"]["class"] == "stage 1"
    z = torch.from_numpy(model.latent(2).z)[None]
    expected = model.file.generator()(z, one_hot(torch.tensor([1]), 3))[0, 0].numpy()
    assert np.abs(by_name.array - model.profile.denormalise(expected)).max() <= 0.51
    drawn = {model.latent(seed).class_index for seed in range(20)}
    assert drawn == {0, 1, 2}
    assert model.latent(8).class_index == model.latent(8).class_index


def test_the_volume_says_how_to_make_it_again(a_conditional_model: Model, tmp_path: Path) -> None:
    volume = a_conditional_model.generate(11, class_=2, truncation=0.5)
    path = write_volume(volume, tmp_path / "volume.nii.gz")
    document = json.loads((tmp_path / "volume.json").read_text())
    assert document["synthetic"] is True
    facts = read_volume(path).meta["provenance"]
    assert facts == document["provenance"]
    assert facts["model_sha256"] == a_conditional_model.file.sha256
    assert {"hagan-core", "torch"} <= facts["versions"].keys()
    again = a_conditional_model.generate(facts["seed"], facts["class"], facts["truncation"])
    assert np.array_equal(read_volume(path).array, again.array)


def test_a_given_latent_is_told_with_the_volume(a_model: Model) -> None:
    z = np.linspace(-1, 1, 16)
    volume = a_model.decode(a_model.latent_from(z))
    facts = volume.meta["provenance"]
    assert facts["kind"] == "decoded"
    assert np.array_equal(a_model.decode(a_model.latent_from(facts["latent"])).array, volume.array)
    assert "latent" not in a_model.generate(1).meta["provenance"]  # the seed says it all


def test_files_made_twice_are_equal(a_model: Model) -> None:
    """Nothing that changes from one minute to the next, such as free memory, goes into a file."""
    documents = [json.dumps(provenance_document(a_model.generate(1).meta)) for _ in range(2)]
    assert documents[0] == documents[1]
    assert " GB" not in documents[0]


def test_magnetic_resonance_stays_in_its_own_unit(a_model_file: ModelFiles) -> None:
    volume = load_model(a_model_file(profile="brain-mr"), "cpu").generate(1)
    assert volume.array.dtype == np.float32
    assert volume.meta["unit"] == "a.u."
    assert volume.meta["provenance"]["millilitres"] == "nominal"
    assert 0 <= volume.array.min() < volume.array.max() <= 140


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "whole number from 0 .* found 1.5"),
        ({"seed": "a"}, "found 'a'"),
        ({"seed": 1, "truncation": 1.5}, "truncation"),
        ({"seed": 1, "class_": 3}, "0 to 2"),
        ({"seed": 1, "class_": "stage 9"}, "stage 0, stage 1, stage 2"),
    ],
)
def test_values_out_of_range_are_named(a_conditional_model: Model, arguments: dict, words: str) -> None:
    with pytest.raises(HaganError, match=words):
        a_conditional_model.generate(**arguments)


def test_a_class_needs_a_model_with_classes(a_model: Model) -> None:
    with pytest.raises(HaganError, match="has no classes"):
        a_model.generate(1, class_=0)


def test_a_latent_of_another_model_is_refused(a_model: Model, a_model_file: ModelFiles) -> None:
    other = load_model(a_model_file(seed=1), "cpu")
    with pytest.raises(HaganError, match=r"belongs to the model 'tiny'.*load that model"):
        a_model.decode(other.latent(1))
    with pytest.raises(HaganError, match="has 16 numbers; found 15"):
        a_model.latent_from(np.zeros(15))
    with pytest.raises(HaganError, match="has 0 classes"):
        a_model.decode(replace(a_model.latent(1), class_index=1))


def test_a_cancel_stops_the_work_and_leaves_the_model_usable(a_model: Model) -> None:
    def cancel(fraction: float, text: str = "") -> None:
        if fraction > 0:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        a_model.generate(1, progress=cancel)
    assert a_model.generate(1).array.shape == (32, 32, 32)


def test_progress_covers_all_volumes(a_model: Model) -> None:
    seen: list[float] = []
    list(a_model.generate_many([1, 2], progress=lambda fraction, text="": seen.append(fraction)))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_running_out_of_memory_goes_on_in_a_smaller_way(
    a_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = a_model.generate(1)
    assert a_model.plan.slab_bytes > 0
    heard: list[str] = []
    make = model_module.make_cube

    def too_large(generator: object, *args: object) -> np.ndarray:
        if a_model.plan.slab_bytes > 0:
            torch.empty(1 << 50)  # what torch itself raises when the machine's memory is used up
        return make(generator, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(model_module, "make_cube", too_large)
    volume = a_model.generate(1, progress=lambda fraction, text="": heard.append(text))
    assert np.array_equal(volume.array, expected.array) or np.abs(volume.array - expected.array).max() <= 1
    assert a_model.plan.slab_bytes == 0
    assert len(a_model.notes) == 1
    assert "Memory ran out; went on with" in a_model.notes[0]
    assert a_model.notes[0] in heard
    assert smaller_plan(a_model.plan) is None


def test_when_nothing_smaller_is_left_it_is_an_error(a_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*args: object) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(model_module, "make_cube", out_of_memory)
    with pytest.raises(OutOfMemory, match="Memory ran out although"):
        a_model.generate(1)


def test_other_errors_are_not_taken_for_memory(a_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> np.ndarray:
        raise RuntimeError("sizes of tensors must match")

    monkeypatch.setattr(model_module, "make_cube", broken)
    with pytest.raises(RuntimeError, match="must match"):
        a_model.generate(1)
    assert a_model.notes == []
