"""Refinement: what it minimises, what it keeps, and that the lungs gain from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from HAGANCore.anatomy import segment
from HAGANCore.gans.hagan import Normalisation
from HAGANCore.gans.hagan.differentiable import features_of, low_of, slab_of
from HAGANCore.gans.hagan.streaming import StreamedGenerator
from HAGANCore.imaging.volume import Volume
from HAGANCore.inference.encode import Encoding, lung_weights
from HAGANCore.inference.model import Model, load_model
from HAGANCore.inference.refine import PATIENCE, refine_latent
from HAGANCore.phantoms import make_phantom
from HAGANCore.preparation.preprocess import prepare
from HAGANCore.preparation.profiles import PROFILES

ModelFiles = Callable[..., Path]


@pytest.fixture
def a_model(a_model_file: ModelFiles) -> Model:
    return load_model(a_model_file(), "cpu", "float32")


def a_streamed(
    a_model_file: ModelFiles, normalisation: Normalisation, dtype: torch.dtype = torch.float64
) -> StreamedGenerator:
    file = load_model(a_model_file(normalisation=normalisation), "cpu").file
    return StreamedGenerator(file.generator().to(dtype), dtype, slab_bytes=1 << 16)


@pytest.mark.parametrize("normalisation", ["slab-consistent", "group"])
def test_the_differentiable_generator_is_the_generator(
    a_model_file: ModelFiles, normalisation: Normalisation
) -> None:
    streamed = a_streamed(a_model_file, normalisation)
    z = torch.randn(1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    features = features_of(streamed, z, None)
    torch.testing.assert_close(features, streamed.features(z), rtol=0, atol=1e-11)
    torch.testing.assert_close(low_of(streamed, features), streamed.low(features), rtol=0, atol=1e-11)
    whole = torch.cat([slab for _, slab in streamed.slabs(features)])
    high = streamed.normalising_high(features)
    for start, stop in ((0, 8), (0, 1), (3, 5), (7, 8)):
        slab = slab_of(streamed, high, features, start, stop)
        torch.testing.assert_close(slab, whole[4 * start : 4 * stop], rtol=0, atol=1e-11)


def test_the_gradient_is_right(a_model_file: ModelFiles) -> None:
    streamed = a_streamed(a_model_file, "slab-consistent")

    def error(z: torch.Tensor) -> torch.Tensor:
        features = features_of(streamed, z, None)
        slab = slab_of(streamed, streamed.high, features, 2, 3)
        return slab.square().mean() + low_of(streamed, features).square().mean()

    z = torch.randn(1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(error, z.requires_grad_(True), eps=1e-7, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize(("whole_size", "steps"), [(64, 30), (16, 32)])
def test_refinement_finds_its_way_back(
    a_model_file: ModelFiles, whole_size: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a disturbed latent towards the volume of the true one, as a whole and slab after slab."""
    monkeypatch.setattr("HAGANCore.inference.refine._WHOLE_SIZE", whole_size)
    streamed = a_streamed(a_model_file, "group", torch.float32)
    truth = torch.randn(1, 16, generator=torch.Generator().manual_seed(3))
    target = torch.cat([slab for _, slab in streamed.slabs(streamed.features(truth))])
    start = truth + 0.4
    seen: list[float] = []
    found = refine_latent(
        streamed, start, None, target, steps, progress=lambda fraction, text="": seen.append(fraction)
    )
    assert found.loss_after < 0.8 * found.loss_before
    assert (found.z - truth).norm() < (start - truth).norm()
    assert len(seen) == steps + 1


def test_refinement_stops_where_nothing_is_gained(a_model_file: ModelFiles) -> None:
    streamed = a_streamed(a_model_file, "slab-consistent", torch.float32)
    z = torch.zeros(1, 16)
    target = torch.cat([slab for _, slab in streamed.slabs(streamed.features(z))])
    found = refine_latent(streamed, z, None, target, 500)
    assert found.steps == PATIENCE + 1
    assert torch.equal(found.z, z)


def test_the_loss_is_half_of_each_error_and_a_weak_prior(a_model_file: ModelFiles) -> None:
    """By hand: L1 at full and at a quarter of the size, and 0.001 of the mean square of z."""
    streamed = a_streamed(a_model_file, "slab-consistent")
    z = torch.full((1, 16), 3.0, dtype=torch.float64)
    shown = torch.cat([slab for _, slab in streamed.slabs(streamed.features(z))])
    low = streamed.low(streamed.features(z))
    weights = torch.rand(shown.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weights /= weights.mean()
    target = torch.zeros_like(shown)
    coarse = weights.reshape(8, 4, 8, 4, 8, 4).mean((1, 3, 5))
    wanted = ((shown.abs() * weights).mean() + (low.abs() * coarse).mean()) / 2 + 0.001 * 9.0
    found = refine_latent(streamed, z, None, target, 1, weights=weights)
    assert found.loss_before == pytest.approx(float(wanted), rel=1e-9)


def test_the_prior_draws_a_latent_in_that_the_volume_does_not_hold(
    a_model_file: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the volume does not depend on z, only the prior is left, and Adam steps against its sign."""
    streamed = a_streamed(a_model_file, "slab-consistent")
    constant = streamed.features(torch.zeros(1, 16, dtype=torch.float64))
    monkeypatch.setattr(
        "HAGANCore.inference.refine.features_of", lambda generator, z, classes: constant + 0.0 * z.sum()
    )
    z = torch.linspace(-2, 2, 16, dtype=torch.float64)[None]
    found = refine_latent(streamed, z, None, torch.zeros((32,) * 3, dtype=torch.float64), 10)
    assert float(found.z.square().mean()) < float(z.square().mean())
    assert (found.z.abs() < z.abs()).all()


def test_half_of_the_weight_lies_in_the_lungs() -> None:
    phantom = make_phantom(3, 64)
    prepared = prepare(phantom.volume, PROFILES["thorax-ct-fov"], 32)
    weights = lung_weights(segment(phantom.volume), prepared)
    assert weights is not None
    inside = weights > weights.min()
    assert float(weights.mean()) == pytest.approx(1.0)
    assert float(weights.min()) == pytest.approx(0.5)
    # 0.5 of all voxels, and once more 0.5 that the lungs share.
    assert float(weights[inside].sum()) == pytest.approx(32**3 * (0.5 + 0.5 * float(inside.float().mean())))
    share = (
        float(inside.float().mean()) * 32**3 * float(np.prod(prepared.record.cube_geometry().spacing)) / 1000
    )
    assert share == pytest.approx(phantom.millilitres["lungs"], rel=0.05)


def test_refinement_of_a_chest_is_judged_inside_the_lungs_too(a_model: Model) -> None:
    scan = make_phantom(3, 48).volume
    encoding = a_model.encode(scan, refine=10)
    before, after = encoding.errors_before, encoding.errors
    assert before is not None
    assert before.lungs_mae is not None
    assert after.judged <= before.judged
    found = segment(scan)
    lungs = (found.labels == 1) | (found.labels == 2)
    lungs &= inside_of(encoding, scan)
    shown = encoding.reconstruction.array
    low, high = a_model.profile.window
    by_hand = np.abs(np.clip(scan.array[lungs], low, high) - np.clip(shown[lungs], low, high)).mean()
    assert after.lungs_mae == pytest.approx(float(by_hand), rel=1e-4)
    assert after.to_dict()["lungs_mae_hu"] == after.lungs_mae


def inside_of(encoding: Encoding, scan: Volume) -> np.ndarray:
    """Return the part of the scan that the cube covers, as a mask."""
    mask = np.zeros(scan.array.shape, bool)
    mask[encoding.inside] = True
    return mask
