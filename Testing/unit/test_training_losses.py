"""One iteration against what it must be by definition, computed from what a run leaves: log and checkpoint.

Learning rates near 0 keep the networks as they were made, so that two runs with one seed differ in what is
asked about and in nothing else.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from HAGANCore import load_model
from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.inference.encode import encode_cube
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.training import Trainer, TrainingConfig
from HAGANCore.training.checkpoint import load_checkpoint
from HAGANCore.training.export import export_model
from HAGANCore.training.log import read_log

STILL = {"lr_generator": 1e-12, "lr_discriminator": 1e-12, "lr_encoder": 1e-12}
SMALL = TrainingConfig.of(
    latent=8,
    generator_width=4,
    discriminator_width=64,
    ground_encoder_width=16,
    iterations=1,
    batch=1,
    shuffle=False,
    log_every=1,
    preview_every=1000,
    precision="float32",
)
BETA_2 = 0.999


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Balls of two sizes, each labelled with its own."""
    folder = tmp_path_factory.mktemp("losses") / "cohort"
    distance = np.linalg.norm(np.mgrid[:32, :32, :32] - 15.5, axis=0)
    with CohortWriter(folder, PROFILES["thorax-ct-fov"], 32, ("small", "large")) as writer:
        for index, radius in enumerate((6, 12)):
            writer.add(f"ball{index}", np.where(distance < radius, 0.5, -0.8), label=index)
    return Cohort.open(folder)


@pytest.fixture
def trained(a_cohort: Cohort, tmp_path: Path):
    """Return a function that trains with some changes and returns the trainer."""

    def train(**changes: object) -> Trainer:
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        trainer = Trainer(a_cohort, folder, SMALL.changed(changes), "cpu")
        assert trainer.run()
        return trainer

    return train


def logged(trainer: Trainer) -> dict[str, float]:
    """Return the last line of a run's log."""
    return read_log(trainer.folder / "log.jsonl")[-1]


def weights(trainer: Trainer, network: str) -> dict[str, torch.Tensor]:
    """Return the weights of a network, or of the generator's ``average``, in the newest checkpoint."""
    prefix = "averages.generator." if network == "average" else f"networks.{network}."
    state = load_checkpoint(trainer.folder / "checkpoints")["networks"]
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def softplus(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def test_the_latent_is_weighed_by_its_distance_from_the_prior(trained, tmp_path: Path) -> None:
    off, on = (trained(**STILL, latent_weight=weight) for weight in (0.0, 0.5))
    model = load_model(export_model(off, tmp_path / "model.safetensors"), "cpu", "float32")
    z = encode_cube(model, off.cohort.load(0))[0].numpy()  # not shuffled: the first iteration saw the first
    distance = abs(float(np.mean(np.square(z, dtype=np.float64))) - 1)  # batch 1: the mean square of z
    assert distance > 0.05
    difference = logged(on)["loss_E^G"] - logged(off)["loss_E^G"]
    assert difference == pytest.approx(0.5 * distance, abs=3e-5)


def test_the_discriminators_loss_is_the_published_one(trained) -> None:
    line = logged(trained(**STILL, conditional=True))
    # Binary cross-entropy of one real and one generated pair, and the whole of the class loss.
    adversarial = softplus(-line["logit_real"]) + softplus(line["logit_fake"])
    assert line["class_real"] == pytest.approx(math.log(2), abs=0.4)  # two classes, nothing learned
    assert line["loss_D"] == pytest.approx(adversarial + line["class_real"], abs=5e-6)


def test_the_class_loss_of_the_generator_is_weighed(trained) -> None:
    none, tenth, full = (logged(trained(**STILL, conditional=True, class_weight=w)) for w in (0.0, 0.1, 1.0))
    assert full["class_fake"] == pytest.approx(math.log(2), abs=0.4)
    assert full["loss_G"] - none["loss_G"] == pytest.approx(full["class_fake"], abs=5e-6)
    assert tenth["loss_G"] - none["loss_G"] == pytest.approx(0.1 * full["class_fake"], abs=5e-6)


def test_gradients_of_the_parts_of_a_batch_are_averaged(trained) -> None:
    """Adam forgets the scale of a gradient in its step, not in its second moment: v = (1 - β₂) g².

    The norm of the latent is a mean over volumes and knows no slab. Weighed so heavily that little else
    counts, it gives a batch of two the same gradient in one part and in two.
    """
    changes = {**STILL, "batch": 2, "latent_weight": 5e3}
    gradients = []
    for parts in (1, 2):
        moments = load_checkpoint(trained(**changes, accumulate=parts).folder / "checkpoints")["optimisers"]
        squares = [values["exp_avg_sq"].flatten() for values in moments["E^G"]["state"]["state"].values()]
        gradients.append(torch.cat(squares).div(1 - BETA_2).sqrt())
    one, two = gradients
    assert float((one - two).norm()) < 0.02 * float(one.norm())


def test_the_average_of_the_generator_has_the_half_life_that_was_asked_for(trained) -> None:
    """Karras et al. 2020: after a half-life (in volumes) half of what was there is left."""
    changes = {"lr_generator": 1e-2, "batch": 2, "ema_ramp": 0.0}
    begun = weights(trained(**{**changes, "lr_generator": 1e-12}), "generator")
    for half_life, left in ((2.0, 0.5), (1.0, 0.25), (4.0, 0.5**0.5), (0.0, 0.0)):
        trainer = trained(**changes, ema_half_life=half_life)
        now, average = weights(trainer, "generator"), weights(trainer, "average")
        moved = 0.0
        for name, value in now.items():
            assert torch.allclose(average[name], left * begun[name] + (1 - left) * value, atol=1e-6), name
            moved = max(moved, float((value - begun[name]).abs().max()))
        assert moved > 5e-3  # or the average would be the same whatever its half-life


def test_the_half_life_grows_with_the_volumes_seen(trained) -> None:
    changes = {"lr_generator": 1e-2, "batch": 2, "ema_half_life": 1e9, "ema_ramp": 1.0}
    first, second = trained(**changes), trained(**changes, iterations=2)
    one, two = weights(first, "generator"), weights(second, "generator")
    # At the first update none were seen, so the average is G itself; at the second two, one half-life.
    assert all(torch.equal(weights(first, "average")[name], value) for name, value in one.items())
    for name, value in weights(second, "average").items():
        assert torch.allclose(value, (one[name] + two[name]) / 2, atol=1e-6), name


def test_the_average_is_what_is_shipped(trained, tmp_path: Path) -> None:
    trainer = trained(lr_generator=1e-2, ema_ramp=0.0, ema_half_life=1.0)
    shipped = load_model(export_model(trainer, tmp_path / "model.safetensors"), "cpu").file.generator()
    for name, value in weights(trainer, "average").items():
        assert torch.equal(shipped.state_dict()[name], value), name
