"""The prior follows the encoded latents, and is folded away in the model file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.gans.hagan import Architecture, Generator, GroundEncoder
from HAGANCore.gans.hagan.prior import LatentPrior
from HAGANCore.inference.model import load_model
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.training import Trainer, TrainingConfig
from HAGANCore.training.export import export_model

LATENT = 8
SMALL = TrainingConfig.of(
    latent=LATENT,
    generator_width=4,
    discriminator_width=64,
    ground_encoder_width=32,
    batch=2,
    precision="float32",
)


def a_prior(follows: bool = True) -> tuple[LatentPrior, torch.Tensor]:
    """Return a prior that has followed normal latents, and the square root of their covariance."""
    random = torch.Generator().manual_seed(0)
    spread = 2 * torch.randn(LATENT, LATENT, generator=random)
    prior = LatentPrior(LATENT, follows)
    for _ in range(800):
        prior.follow(torch.randn(32, LATENT, generator=random) @ spread.T + 3)
    return prior, spread


def test_latents_are_drawn_from_where_encoded_ones_lie_and_from_all_around():
    prior, spread = a_prior()
    drawn = prior.draw(20_000, torch.Generator().manual_seed(1))
    covariance = spread @ spread.T + torch.eye(LATENT)
    assert float((drawn.mean(dim=0) - 3).abs().max()) < 0.05 * float(covariance.diagonal().max().sqrt())
    assert float((drawn.T.cov() - covariance).abs().max()) < 0.1 * float(covariance.abs().max())


def test_one_that_does_not_follow_stays_standard_normal():
    prior, _ = a_prior(follows=False)
    drawn = prior.draw(1000, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, torch.randn(1000, LATENT, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("width", [1.0, 1.25])
def test_folding_keeps_reconstructions_and_makes_encoded_latents_standard_normal(width: float):
    torch.manual_seed(0)
    architecture = Architecture(
        size=32, latent=LATENT, classes=2, generator_width=4, discriminator_width=64, ground_encoder_width=32
    )
    generator, ground_encoder = Generator(architecture).eval(), GroundEncoder(architecture).eval()
    prior = LatentPrior(LATENT, follows=True)
    features, classes = torch.randn(64, 8, 8, 8, 8), torch.eye(2).repeat(32, 1)
    with torch.no_grad():
        ground_encoder.output.weight.mul_(300)  # a random one's latents hardly differ
        for _ in range(600):
            prior.follow(ground_encoder(features))
        folded_generator, folded_encoder = prior.folded(generator, ground_encoder, width)
        z, folded_z = ground_encoder(features), folded_encoder(features)
        before, after = generator(z[:4], classes[:4]), folded_generator(folded_z[:4], classes[:4])
    assert float(z.mean(dim=0).norm()) > 1.0
    assert float(folded_z.mean(dim=0).norm()) < 0.05
    assert float(torch.linalg.eigvalsh(z.T.cov()).max()) > 10
    assert 0.9 < width**2 * float(torch.linalg.eigvalsh(folded_z.T.cov()).max()) < 1.05
    assert float((before - after).abs().max()) < 1e-4


def test_the_model_file_of_a_run_takes_standard_normal_latents(tmp_path: Path):
    random = np.random.default_rng(0)
    with CohortWriter(tmp_path / "cohort", PROFILES["thorax-ct-fov"], 32) as writer:
        for index in range(4):
            writer.add(f"noise{index}", random.uniform(-1, 1, (32, 32, 32)))
    encoded = {"reconstruction_weight": 1.0, "prior": "encoded", "prior_width": 1.25}
    config = SMALL.changed({"iterations": 6, "lr_encoder": 1e-2, **encoded})
    trainer = Trainer(Cohort.open(tmp_path / "cohort"), tmp_path / "run", config)
    trainer.run()
    networks, gan = trainer.networks, trainer.gan
    assert float(networks.prior.covariance.diagonal().sum()) > 0
    model = load_model(export_model(trainer, tmp_path / "model.safetensors"), "cpu", "float32")
    z = model.latent(seed=3).z
    root = torch.linalg.cholesky(networks.prior.covariance + torch.eye(LATENT))
    with torch.inference_mode():
        drawn = networks.prior.mean + 1.25 * torch.from_numpy(z) @ root.T
        wanted = gan.sample(drawn[None])[0, 0].numpy()
    made = model.description.profile.normalise(model.generate(seed=3).array)
    np.testing.assert_allclose(made, wanted, atol=1e-3)  # volumes are of whole HU


def test_encoders_settle_in_their_own_iterations(tmp_path: Path):
    with CohortWriter(tmp_path / "cohort", PROFILES["thorax-ct-fov"], 32) as writer:
        for index in range(2):
            writer.add(f"ball{index}", np.full((32, 32, 32), 0.1 * index))
    config = SMALL.changed({"iterations": 1, "encoder_iterations": 4, "lr_encoder": 1e-3})
    trainer = Trainer(Cohort.open(tmp_path / "cohort"), tmp_path / "run", config)
    rates: list[float] = []

    def note(fraction: float, text: str = "") -> None:
        rates.append(trainer.optimisers.by_turn["E^G"].param_groups[0]["lr"])

    trainer.run(note)
    assert rates == pytest.approx([1e-3, 1e-3, 7.5e-4, 5e-4, 2.5e-4])
