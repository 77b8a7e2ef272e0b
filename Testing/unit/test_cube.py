"""A model that computes nothing to see: an error that names the value, wherever a volume would be shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from HAGANCore.errors import HaganError
from HAGANCore.imaging.volume import Volume
from HAGANCore.inference.model import load_model
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import RequestError

Change = Callable[[str, torch.Tensor], torch.Tensor]
Altered = Callable[..., Path]


def overflowing(name: str, values: torch.Tensor) -> torch.Tensor:
    """Weights that are finite one by one, so that the file passes; their sums of products are not."""
    return values * 1e30 if name.startswith("generator.") else values


def zero(name: str, values: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(values) if name.startswith("generator.") else values


def overflowing_encoder(name: str, values: torch.Tensor) -> torch.Tensor:
    return values * 1e30 if name.startswith("ground_encoder.") else values


@pytest.fixture
def altered(a_model_file: Callable[..., Path], tmp_path: Path) -> Altered:
    """Return a function that returns a model file whose weights were changed."""

    def alter(change: Change, **options: object) -> Path:
        source, path = a_model_file(**options), tmp_path / f"{change.__name__}.safetensors"
        with safe_open(source, "pt") as file:
            metadata = file.metadata()
        tensors = {name: change(name, values) for name, values in load_file(source).items()}
        assert all(bool(torch.isfinite(values).all()) for values in tensors.values())
        save_file(tensors, path, metadata=metadata)
        return path

    return alter


@pytest.fixture
def a_scan(a_model_file: Callable[..., Path]) -> Volume:
    """A scan that lies in the field of view of the small models."""
    volume = load_model(a_model_file(), "cpu").generate(1)
    return Volume(volume.array, volume.geometry, {"modality": "CT", "unit": "HU"})


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize("normalisation", ["slab-consistent", "group"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("profile", ["thorax-ct-fov", "brain-mr"])
def test_a_volume_that_is_not_finite_is_an_error(
    altered: Altered, preview: bool, normalisation: str, precision: str, profile: str
) -> None:
    model = load_model(altered(overflowing, normalisation=normalisation, profile=profile), "cpu", precision)
    with pytest.raises(HaganError, match=r"not finite \(nan\)"):
        model.generate(1, preview=preview)


@pytest.mark.parametrize("preview", [False, True])
@pytest.mark.parametrize(
    # tanh(0) = 0 is the middle of the window: (-1024 + 600) / 2 HU; that of an MRI goes from 0 to 140.
    ("profile", "said"),
    [("thorax-ct-fov", "-212 HU in every voxel"), ("brain-mr", r"70 a\.u\. in every voxel")],
)
def test_a_volume_of_one_value_is_an_error(altered: Altered, preview: bool, profile: str, said: str) -> None:
    model = load_model(altered(zero, profile=profile), "cpu", "float32")
    with pytest.raises(HaganError, match=said):
        model.generate(1, preview=preview)


def test_the_last_slab_alone_is_enough(a_model_file: Callable[..., Path]) -> None:
    model = load_model(a_model_file(), "cpu", "float32")
    made = model.generator().slabs
    slab_count = model.generator().high_slabs()

    def last_is_broken(features: torch.Tensor):
        for index, (first, slab) in enumerate(made(features)):
            if index == slab_count - 1:
                slab[-1, -1, -1] = float("nan")
            yield first, slab

    model.generator().slabs = last_is_broken  # type: ignore[method-assign]
    with pytest.raises(HaganError, match="not finite"):
        model.generate(1)


def test_a_faint_volume_is_none_of_one_value(a_model_file: Callable[..., Path]) -> None:
    """One voxel that differs by one HU is a volume: what it shows is not for this check to say."""
    model = load_model(a_model_file(), "cpu", "float32")

    def faint(features: torch.Tensor):
        slab = torch.zeros(32, 32, 32)
        slab[3, 4, 5] = 2 / 1624
        yield 0, slab

    model.generator().slabs = faint  # type: ignore[method-assign]
    values, counts = np.unique(model.generate(1).array, return_counts=True)
    assert values.tolist() == [-212, -211]
    assert counts.tolist() == [32**3 - 1, 1]


def test_no_latent_and_no_reconstruction_come_of_it(altered: Altered, a_scan: Volume) -> None:
    with pytest.raises(HaganError, match=r"encoder of the model 'tiny' gives 16 of 16 values .* \(nan\)"):
        load_model(altered(overflowing_encoder), "cpu").encode(a_scan, force=True)
    for change, said in ((overflowing, "not finite"), (zero, "one value")):
        with pytest.raises(HaganError, match=said):
            load_model(altered(change), "cpu").encode(a_scan, force=True)


def test_a_worker_says_it_and_goes_on(altered: Altered, a_model_file: Callable[..., Path]) -> None:
    with WorkerClient() as worker:
        model = load_model(altered(zero), "cpu")
        latent = model.latent(1).to_document()
        requests = [
            ("generate", {"model": str(model.file.path), "seed": 1}),
            ("step", {"model": str(model.file.path), "latent": latent, "steps": []}),
        ]
        for name, arguments in requests:
            with pytest.raises(RequestError, match="one value") as caught:
                worker.call(name, **arguments)
            assert caught.value.kind == "input"
        assert worker.call("generate", model=str(a_model_file()), seed=1)["count"] == 1
