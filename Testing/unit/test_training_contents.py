"""The latent is taught what a volume consists of, and reconstructions keep it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.gans.hagan.contents import ContentHead, tissue_distance, tissue_error
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.training import Trainer, TrainingConfig
from HAGANCore.training.log import read_log


@pytest.fixture
def a_cohort_that_differs_only_in_brightness(tmp_path: Path) -> Cohort:
    z, y, x = np.mgrid[:32, :32, :32] - 15.5
    ball = np.sqrt(z**2 + y**2 + x**2) < 6
    with CohortWriter(tmp_path / "cohort", PROFILES["thorax-ct-fov"], 32) as writer:
        for index in range(8):
            writer.add(f"ball{index}", np.where(ball, -0.4 + 0.15 * index, -0.8))
    return Cohort.open(tmp_path / "cohort")


def test_the_latent_learns_to_tell_what_only_differs_in_brightness(
    a_cohort_that_differs_only_in_brightness: Cohort, tmp_path: Path
):
    config = TrainingConfig.of(
        latent=8,
        generator_width=4,
        discriminator_width=64,
        ground_encoder_width=32,
        iterations=0,
        encoder_iterations=80,
        batch=8,
        lr_encoder=2e-3,
        encoder_momentum=0.9,
        content_weight=1.0,
        log_every=1,
        precision="float32",
    )
    Trainer(a_cohort_that_differs_only_in_brightness, tmp_path / "run", config).run()
    told = [line["content"] for line in read_log(tmp_path / "run" / "log.jsonl")]
    assert np.mean(told[-10:]) < 0.5 * np.mean(told[:5])


def test_one_volume_alone_gives_no_content_error_and_no_error():
    head = ContentHead(8)
    assert head(torch.randn(1, 8), torch.zeros(1, 1, 8, 8, 8)).item() == 0.0


def test_the_tissue_error_is_relative_to_how_much_there_is():
    real = torch.full((1, 1, 4, 32, 32), -1.0)
    real[:, :, :, 0, 0] = 1.0
    without, doubled = real.clone(), real.clone()
    without[:, :, :, 0, 0] = -1.0
    doubled[:, :, :, 0, 1] = 1.0
    assert float(tissue_error(without, real)) == pytest.approx(float(tissue_error(doubled, real)), rel=0.01)
    assert float(tissue_error(without, real)) > 50 * float((without - real).abs().mean()) / 2


@pytest.mark.parametrize(("spread", "shift"), [(0.1, 0.0), (0.6, 0.0), (0.3, 0.3)])
def test_the_tissue_distance_is_least_where_both_sets_are_distributed_alike(spread: float, shift: float):
    random = torch.Generator().manual_seed(1)

    def slabs(spread: float, shift: float = 0.0) -> torch.Tensor:
        # Of each of 8 slabs, its brightness; around it noise, so that blocks hold several intensities.
        brightness = torch.randn(8, 1, 1, 1, 1, generator=random) * spread + shift
        return (brightness + 0.1 * torch.randn(8, 1, 4, 32, 32, generator=random)).clamp(-1, 1)

    def mean_distance(spread: float, shift: float) -> float:
        pairs = [(slabs(spread, shift), slabs(0.3)) for _ in range(200)]
        return float(np.mean([float(tissue_distance(made, real)) for made, real in pairs]))

    alike = mean_distance(0.3, 0.0)
    assert abs(alike) < 0.03
    assert mean_distance(spread, shift) > abs(alike) + 0.05


def test_one_slab_alone_has_no_tissue_distance():
    slab = torch.rand(1, 1, 4, 32, 32)
    assert tissue_distance(slab, -slab).item() == 0.0
