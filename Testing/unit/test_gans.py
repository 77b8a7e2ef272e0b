"""What every GAN keeps to, the losses that several share, and WGAN-GP from a cohort to a volume."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.errors import HaganError
from HAGANCore.gans import GANS, gan_of
from HAGANCore.gans.losses import gradient_penalty
from HAGANCore.inference.model import load_model
from HAGANCore.models.modelfile import read_model
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.training import Trainer, TrainingConfig
from HAGANCore.training.checkpoint import list_checkpoints
from HAGANCore.training.export import export_model
from HAGANCore.training.log import read_log

SIZE = 32
WGAN = {"gan": "wgan-gp", "latent": 8, "width": 4, "critic_steps": 2}
RUN = {"iterations": 4, "batch": 2, "log_every": 1, "preview_every": 2, "precision": "float32"}


@pytest.fixture
def a_cohort(tmp_path: Path) -> Cohort:
    z, y, x = np.mgrid[:SIZE, :SIZE, :SIZE] - (SIZE - 1) / 2
    with CohortWriter(tmp_path / "cohort", PROFILES["thorax-ct-fov"], SIZE) as writer:
        for index in range(6):
            ball = np.sqrt(z**2 + y**2 + x**2) < 5 + index
            writer.add(f"ball{index}", np.where(ball, 0.5, -0.8))
    return Cohort.open(tmp_path / "cohort")


@pytest.mark.parametrize("kind", GANS)
def test_options_and_run_have_no_field_in_common(kind: str):
    config = TrainingConfig().changed({"gan": kind})
    assert set(config.options.__dataclass_fields__).isdisjoint(config.__dataclass_fields__)
    assert TrainingConfig().changed(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("kind", GANS)
def test_the_help_of_the_command_names_every_gan(kind: str):
    said = subprocess.run(
        [sys.executable, "-m", "HAGANCore", "train", "--help"], capture_output=True, text=True
    )
    assert kind in said.stdout


def test_a_gan_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(HaganError, match="no GAN 'biggan'; choose one of hagan, wgan-gp"):
        gan_of("biggan")
    with pytest.raises(HaganError, match="'wgan-gp' has no field 'slab_draw'"):
        TrainingConfig.of(gan="wgan-gp", slab_draw="voxel-grid")
    with pytest.raises(HaganError, match="WGAN-GP takes no classes"):
        gan_of("wgan-gp")(gan_of("wgan-gp").Options(), SIZE, torch.ones(2) / 2)


def test_the_gradient_penalty_is_that_of_a_known_gradient_over_all_voxels():
    weights = torch.linspace(-0.2, 0.3, 2 * 3 * 4).view(1, 1, 2, 3, 4)
    real, fake = torch.rand(5, 1, 2, 3, 4), torch.rand(5, 1, 2, 3, 4)
    random = torch.Generator().manual_seed(0)
    penalty = gradient_penalty(lambda x: (x * weights).flatten(1).sum(1), real, fake, random)
    # The gradient of a linear critic is its weights, wherever it is taken.
    assert penalty.item() == pytest.approx((float(weights.norm()) - 1) ** 2, rel=1e-5)


def test_the_gradient_penalty_equals_finite_differences():
    random = torch.Generator().manual_seed(3)
    one, two = (torch.randn(7, 24, generator=random, dtype=torch.float64) for _ in range(2))

    def critic(x: Tensor) -> Tensor:
        return (x.flatten(1) @ one.T).tanh().sum(1) + (x.flatten(1) @ two.T).square().sum(1) / 50

    real, fake = (torch.randn(3, 1, 2, 3, 4, generator=random, dtype=torch.float64) for _ in range(2))
    penalty = gradient_penalty(critic, real, fake, torch.Generator().manual_seed(5))
    where = torch.rand(3, 1, 1, 1, 1, generator=torch.Generator().manual_seed(5)).to(real)
    between = fake + where * (real - fake)
    step, slopes = 1e-6, torch.zeros(3, 24, dtype=torch.float64)
    for voxel in range(24):
        moved = torch.zeros(24, dtype=torch.float64)
        moved[voxel] = step
        moved = moved.view(1, 1, 2, 3, 4)
        slopes[:, voxel] = (critic(between + moved) - critic(between - moved)) / (2 * step)
    assert penalty.item() == pytest.approx(float((slopes.norm(dim=1) - 1).square().mean()), rel=1e-6)


def test_each_step_of_the_critic_sees_a_batch_of_its_own(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", TrainingConfig.of(**WGAN, **RUN))
    trainer.run()
    assert trainer.seen == 2 * 2 * 4
    assert [line["samples"] for line in read_log(tmp_path / "run" / "log.jsonl")] == [4, 8, 12, 16]


def test_the_average_follows_parameters_and_copies_the_statistics(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(
        a_cohort, tmp_path / "run", TrainingConfig.of(**WGAN, **RUN, ema_half_life=8, ema_ramp=0)
    )
    networks, averages = trainer.gan.networks["generator"], trainer.gan.averages["generator"]
    volumes = torch.from_numpy(np.stack([a_cohort.load(i) for i in range(2)]))[:, None]
    data = itertools.repeat((volumes, torch.full((2,), -1)))
    before = [p.clone() for p in averages.parameters()]
    trainer.iterate(data)
    # Four volumes of a half-life of eight: half of the way is left to 0.5 ** (4 / 8) of it.
    for old, kept, new in zip(before, averages.parameters(), networks.parameters(), strict=True):
        torch.testing.assert_close(kept, new + (old - new) * 0.5**0.5)
    for kept, buffer in zip(averages.buffers(), networks.buffers(), strict=True):
        assert torch.equal(kept, buffer)
    assert not averages.training


def test_a_model_file_generates_what_the_average_does(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", TrainingConfig.of(**WGAN, **RUN))
    trainer.run()
    path = export_model(trainer, tmp_path / "model.safetensors")
    file = read_model(path)
    assert (file.description.kind, file.stored) == ("wgan-gp", ("generator",))
    model = load_model(path, "cpu", "float32")
    volume = model.generate(seed=7)
    with torch.no_grad():
        wanted = trainer.gan.sample(torch.from_numpy(model.latent(seed=7).z)[None])[0, 0].numpy()
    made = model.profile.normalise(volume.array)
    np.testing.assert_allclose(made, wanted, atol=1e-3)  # volumes are of whole HU
    assert volume.meta["provenance"]["model_sha256"] == file.sha256
    assert model.generate(seed=7, preview=True).array.shape == (SIZE // 4,) * 3
    with pytest.raises(HaganError, match="no encoder, so it can generate but not encode"):
        model.encode(volume)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(a_cohort: Cohort, tmp_path: Path):
    run, often = tmp_path / "run", {"checkpoint_minutes": 1e-5}
    values = {**WGAN, **RUN, "iterations": 100_000, **often}

    def train(*more: str, **changed: object) -> subprocess.Popen:
        settings = [f"--set={name}={json.dumps(value)}" for name, value in (values | changed).items()]
        command = [sys.executable, "-m", "HAGANCore", "train", str(a_cohort.folder), "--out", str(run)]
        return subprocess.Popen([*command, *settings, *more], stderr=subprocess.PIPE, text=True)

    process = train()
    end = time.monotonic() + 60
    while len(list_checkpoints(run / "checkpoints")) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "no checkpoint within a minute"
        time.sleep(0.02)
    process.kill()
    process.wait()
    reached = len(read_log(run / "log.jsonl")) + 2
    assert train("--resume", iterations=reached).wait() == 0
    whole = Trainer(a_cohort, tmp_path / "whole", TrainingConfig.of(**values | {"iterations": reached}))
    whole.run()
    resumed = read_model(run / "model.safetensors").generator().state_dict()
    for name, value in whole.gan.averages["generator"].state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(resumed[name], value), name
