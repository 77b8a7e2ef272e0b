"""What a run reports, in ``log.jsonl`` for programs and in TensorBoard's events for people."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.training import Trainer, TrainingConfig
from HAGANCore.training.device import peak_memory_mb
from HAGANCore.training.log import read_log

SMALL = TrainingConfig.of(
    latent=8,
    generator_width=4,
    discriminator_width=64,
    ground_encoder_width=16,
    iterations=3,
    batch=2,
    log_every=1,
    preview_every=1000,
    precision="float32",
)
LOSSES = ("loss_D", "loss_G", "loss_E^H", "loss_E^G")
RATES = ("samples", "seconds", "volumes_per_second")


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three iterations that was stopped after two and went on."""
    folder = tmp_path_factory.mktemp("training")
    random = np.random.default_rng(0)
    with CohortWriter(folder / "cohort", PROFILES["thorax-ct-fov"], 32) as writer:
        for index in range(4):
            writer.add(f"noise{index}", random.uniform(-1, 1, (32, 32, 32)))
    cohort = Cohort.open(folder / "cohort")
    Trainer(cohort, folder / "run", SMALL.changed({"iterations": 2})).run()
    Trainer(cohort, folder / "run", SMALL, resume=True).run()
    return folder / "run"


def test_each_line_has_losses_logits_speed_and_memory(a_run: Path):
    lines = read_log(a_run / "log.jsonl")
    assert [line["iteration"] for line in lines] == [1, 2, 3]
    assert [line["samples"] for line in lines] == [2, 4, 6]
    for line in lines:
        for name in (*LOSSES, "logit_real", "logit_fake"):
            assert math.isfinite(line[name]), name
        # The discriminator's loss is at least what its mean logits give, for softplus is convex.
        softplus = [math.log1p(math.exp(line["logit_fake"])), math.log1p(math.exp(-line["logit_real"]))]
        assert line["loss_D"] >= sum(softplus) - 1e-4
        assert all(line[name] > 0 for name in (*LOSSES, *RATES))
        told = peak_memory_mb(torch.device("cpu")) is not None
        assert ("peak_memory_mb" in line) == told
        assert not told or 50 < line["peak_memory_mb"] < 100_000


def test_tensorboard_shows_what_the_log_says(a_run: Path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(a_run)).Reload()
    lines = read_log(a_run / "log.jsonl")
    names = {name for line in lines for name in line} - {"iteration"}
    assert set(events.Tags()["scalars"]) == names
    for name in names:
        shown = {event.step: event.value for event in events.Scalars(name)}
        assert shown == pytest.approx({line["iteration"]: line[name] for line in lines}, rel=1e-5)
