"""Every peer trains, goes on after an interruption bit for bit, and becomes a model that works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.imaging.volume import Volume
from HAGANCore.inference.model import Model, load_model
from HAGANCore.preparation.preprocess import prepare
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.training import Trainer, TrainingConfig
from HAGANCore.training.checkpoint import load_checkpoint
from HAGANCore.training.data import batches
from HAGANCore.training.export import export_model

SIZE = 32
OPTIONS: dict[str, dict[str, Any]] = {
    "wgan-gp": {"critic_steps": 2},
    "vae-gan": {"hidden": 16},
    "alpha-gan": {"code_width": 16, "critic_steps": 2},
    "progressive": {"widest": 4, "growing": 0.9},
    "stylegan2": {"widest": 4, "style": 8, "mapping_layers": 2},
    "cce-gan": {},
}
WITH_ENCODER = {"vae-gan", "alpha-gan", "cce-gan"}
ITERATIONS, INTERRUPTED = 18, 15
"""The interruption lies between the first and the second R1 of StyleGAN 2, which has path lengths on both
sides, and within the last fade of the Progressive GAN, to 32³."""
SMALL, LARGE = 6.0, 12.0
"""Radii of the two modes, in voxels."""


def two_balls(folder: Path, classes: tuple[str, ...] = ()) -> Cohort:
    """Write a cohort of small and large balls; the last two have no class."""
    z, y, x = np.mgrid[:SIZE, :SIZE, :SIZE] - (SIZE - 1) / 2
    distance = np.sqrt(z**2 + y**2 + x**2)
    with CohortWriter(folder, PROFILES["thorax-ct-fov"], SIZE, classes) as writer:
        for index in range(8):
            radius = (SMALL, LARGE)[index % 2]
            label = index % 2 if classes and index < 6 else -1
            writer.add(f"ball{index}", np.where(distance < radius, 0.8, -0.8), label=label)
    return Cohort.open(folder)


def config(kind: str, **changes: Any) -> TrainingConfig:
    values = {
        "gan": kind,
        "iterations": ITERATIONS,
        "batch": 2,
        "latent": 4,
        "width": 2,
        "ema_half_life": 20.0,
        "log_every": 1,
        "preview_every": 7,
        "precision": "float32",
    }
    return TrainingConfig.of(**values | OPTIONS[kind] | changes)


def train(cohort: Cohort, run: Path, configuration: TrainingConfig, resume: bool = False) -> Trainer:
    trainer = Trainer(cohort, run, configuration, resume=resume)
    assert trainer.run()
    return trainer


def interrupt(cohort: Cohort, run: Path, configuration: TrainingConfig) -> None:
    def stop(fraction: float, text: str = "") -> None:
        if fraction >= INTERRUPTED / ITERATIONS:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        Trainer(cohort, run, configuration).run(stop)


def tensors(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of a checkpoint with the way to it."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from tensors(value, f"{name}/{key}")


@pytest.mark.parametrize("kind", OPTIONS)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    cohort = two_balls(tmp_path / "cohort")
    interrupt(cohort, tmp_path / "two", config(kind))
    assert load_checkpoint(tmp_path / "two/checkpoints")["iteration"] == INTERRUPTED
    train(cohort, tmp_path / "two", config(kind), resume=True)
    train(cohort, tmp_path / "one", config(kind))
    one, two = (dict(tensors(load_checkpoint(tmp_path / run / "checkpoints"))) for run in ("one", "two"))
    assert one.keys() == two.keys()
    assert any("exp_avg_sq" in name for name in one)
    assert not [name for name in one if not torch.equal(one[name], two[name])]


@pytest.mark.parametrize("kind", ["vae-gan", "alpha-gan", "progressive", "stylegan2", "cce-gan"])
def test_a_run_becomes_a_model_that_generates_and_encodes(kind: str, tmp_path: Path) -> None:
    cohort = two_balls(tmp_path / "cohort")
    trainer = train(cohort, tmp_path / "run", config(kind))
    model = load_model(export_model(trainer, tmp_path / "model.safetensors"), "cpu", "float32")
    assert model.description.kind == kind
    assert_it_is_the_averaged_generator(model, trainer)
    volume = model.generate(3)
    assert volume.array.shape == (SIZE,) * 3
    assert np.array_equal(volume.array, model.generate(3).array)
    assert not np.array_equal(volume.array, model.generate(4).array)
    low, high = model.profile.window
    assert low <= volume.array.min() <= volume.array.max() <= high
    assert model.file.can_encode == (kind in WITH_ENCODER)
    if kind not in WITH_ENCODER:
        with pytest.raises(HaganError, match="has no encoder, so it can generate but not encode"):
            model.encode(volume, force=True)
        return
    assert_it_encodes(model, trainer, volume)


def assert_it_is_the_averaged_generator(model: Model, trainer: Trainer) -> None:
    latent = model.latent(3)
    trainer.gan.eval()
    with torch.no_grad():
        expected = trainer.gan.sample(torch.from_numpy(latent.z)[None])[0, 0]
    lower, upper = model.profile.window
    shown = (model.cube(latent).astype(np.float32) - lower) / (upper - lower) * 2 - 1
    # Half a Hounsfield unit of rounding.
    assert shown == pytest.approx(expected.numpy(), abs=0.51 * 2 / (upper - lower))


def assert_it_encodes(model: Model, trainer: Trainer, scan: Volume) -> None:
    encoding = model.encode(scan, force=True)
    cube = torch.from_numpy(prepare(scan, model.profile, SIZE).array)
    with torch.no_grad():
        expected = trainer.gan.encode(cube[None, None])
    assert expected is not None
    assert encoding.latent.z == pytest.approx(expected[0].numpy(), abs=1e-5)
    assert encoding.reconstruction.array.shape == scan.array.shape
    with pytest.raises(HaganError, match="Only latents of HA-GAN can be refined"):
        model.encode(scan, refine=5, force=True)


def test_a_conditional_alpha_gan_makes_and_finds_classes(tmp_path: Path) -> None:
    cohort = two_balls(tmp_path / "cohort", ("small", "large"))
    trainer = train(cohort, tmp_path / "run", config("alpha-gan", conditional=True))
    model = load_model(export_model(trainer, tmp_path / "model.safetensors"), "cpu", "float32")
    assert model.description.classes == ("small", "large")
    small, large = (model.generate(3, class_).array for class_ in ("small", "large"))
    assert not np.array_equal(small, large)
    assert model.encode(model.generate(3, "small"), force=True).latent.class_index in (0, 1)


@pytest.mark.parametrize("kind", ["progressive", "stylegan2"])
def test_a_truncation_that_would_change_nothing_is_refused(kind: str, tmp_path: Path) -> None:
    trainer = Trainer(two_balls(tmp_path / "cohort"), tmp_path / "run", config(kind))
    model = load_model(export_model(trainer, tmp_path / "model.safetensors"), "cpu")
    with pytest.raises(HaganError, match=r"must be 1, because it uses only the direction .* found 0.5"):
        model.generate(3, truncation=0.5)


MODES: dict[str, tuple[int, dict[str, Any]]] = {
    "vae-gan": (80, {"batch": 8, "latent": 2, "hidden": 32, "reconstruction": "voxels", "lr": 1e-3}),
    "alpha-gan": (200, {"batch": 4, "latent": 8, "code_width": 32, "lr": 2e-3}),
    "cce-gan": (120, {"batch": 4, "latent": 8, "critic_steps": 2, "lr": 2e-3}),
    # At 16³, where its steps are quick.
    "progressive": (700, {"batch": 8, "latent": 2, "widest": 16, "lr": 1e-3, "iterations": 1600}),
    "stylegan2": (60, {"batch": 4, "latent": 8, "style": 16, "widest": 16}),
}
"""Iterations and options with which a GAN learns that there are two balls, in 10 to 40 s of one core."""


@pytest.mark.parametrize("kind", MODES)
def test_generated_volumes_have_both_modes_of_a_cohort(kind: str, tmp_path: Path) -> None:
    cohort, (iterations, options) = two_balls(tmp_path / "cohort"), MODES[kind]
    trainer = Trainer(cohort, tmp_path / "run", config(kind, ema_half_life=0.0, width=4, **options))
    seen: list[Tensor] = []
    # Two networks that play against each other swing, and how far at one moment differs between processors:
    # both modes must be there at one of the moments. A generator that does not use z never has both.
    with closing(batches(cohort, trainer.order, trainer.config.batch, 0, trainer.device)) as data:
        for step in range(1, 2 * iterations + 1):
            trainer.iterate(data)
            if step >= iterations and step % (iterations // 4) == 0:
                seen.append(radii_of(generated_by(trainer)))
                if has_both_modes(seen[-1]):
                    return
    raise AssertionError(seen)


def generated_by(trainer: Trainer) -> Tensor:
    """Return 16 volumes of a run as it is now; most of them show something bright in the middle."""
    trainer.gan.eval()
    with torch.no_grad():
        generated = trainer.gan.sample(trainer.gan.latents(16, torch.Generator().manual_seed(1)))
    trainer.gan.train()
    middle = generated[..., 14:18, 14:18, 14:18].flatten(1).mean(dim=1)
    corner = generated[..., :4, :4, :4].flatten(1).mean(dim=1)
    assert (middle - corner > 0.5).sum() >= 10, (middle, corner)  # 1.6 in the cohort
    return generated


def has_both_modes(radii: Tensor) -> bool:
    """Return whether radii lie on both sides of the middle: after so few steps no more is sure."""
    return bool((radii < SMALL + 2).sum() >= 2 and (radii > LARGE - 2).sum() >= 2)


def radii_of(volumes: Tensor) -> Tensor:
    """Return the radius of the ball that has as many voxels as are bright, of each volume (N,)."""
    voxels = (volumes > 0).flatten(1).sum(dim=1)
    return (voxels * 3 / 4 / np.pi) ** (1 / 3)
