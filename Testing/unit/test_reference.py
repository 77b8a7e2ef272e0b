"""``preset: reference`` is the published iteration: a naive one beside it gives the same gradients.

The naive iteration below follows the published algorithm turn by turn, with plain calls: two passes
of D, so two power iterations of its spectral normalisation; generated volumes of the classes of the
real ones; E^G after the step of E^H.
"""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.gans.hagan import SLABS
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.training import PRESETS, Trainer
from HAGANCore.training.data import random_stream

SIZE, BATCH, LATENT = 32, 2, 8
SMALL = {
    "latent": LATENT,
    "generator_width": 4,
    "discriminator_width": 64,
    "ground_encoder_width": 16,
    "batch": BATCH,
    "conditional": True,
    "lr_encoder": 1e-2,  # a step of E^H that its features cannot hide
}
DEVIATIONS = {
    "one pass of D": {"judge_jointly": True},
    "features of before the step of E^H": {"share_features": True},
    "classes drawn": {"generated_classes": "drawn"},
}


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder, random = tmp_path_factory.mktemp("reference"), np.random.default_rng(0)
    with CohortWriter(folder, PROFILES["thorax-ct-fov"], SIZE, ("ill", "well", "unknown")) as writer:
        for index, label in enumerate((2, 0, 1)):
            writer.add(f"v{index}", random.uniform(-1, 1, (SIZE,) * 3).astype(np.float32), label=label)
    return Cohort.open(folder)


def a_batch(cohort: Cohort) -> tuple[Tensor, Tensor]:
    volumes = torch.from_numpy(np.stack([cohort.load(index) for index in range(BATCH)]))[:, None]
    return volumes, torch.from_numpy(cohort.labels[:BATCH])


def gradients_of(cohort: Cohort, folder: Path, **changed: object) -> tuple[Trainer, torch.nn.ModuleDict]:
    """Return a trainer after one iteration, with its gradients, and its networks as they were before."""
    trainer = Trainer(cohort, folder, PRESETS["reference"].changed(SMALL | changed))
    before = copy.deepcopy(trainer.networks)
    trainer.iterate(itertools.repeat(a_batch(cohort)))
    return trainer, before


def published_iteration(networks: torch.nn.ModuleDict, real: Tensor, labels: Tensor) -> None:
    """Run the published iteration on these networks; the gradients stay with them."""
    d, g = networks["discriminator"], networks["generator"]
    e_h, e_g = networks["encoder"], networks["ground_encoder"]
    optimisers = {
        network: torch.optim.Adam(network.parameters(), lr=lr, betas=(0.0, 0.999))
        for network, lr in ((d, 4e-4), (g, 1e-4), (e_h, 1e-2), (e_g, 1e-2))
    }
    random = random_stream(0, 0, 0)
    start = int(torch.randint(0, SIZE - SIZE // 8 + 1, (), generator=random))
    torch.randint(0, SLABS, (), generator=random)
    real_slab, real_low = real[:, :, start : start + SIZE // 8], real[:, :, ::4, ::4, ::4]
    position, depth = torch.full((BATCH,), start), SIZE // 32
    classes = torch.eye(3)[labels]

    def generated() -> tuple[Tensor, Tensor]:
        z = torch.randn(BATCH, LATENT, generator=random)
        torch.multinomial(torch.ones(3), BATCH, replacement=True, generator=random)
        features = g.common(torch.cat([z, classes], dim=1))
        return g.high(features[:, :, start // 4 : start // 4 + depth]), g.low(features)

    d.requires_grad_(True)
    with torch.no_grad():
        fake_slab, fake_low = generated()
    logits, class_logits = d(real_slab, real_low, position)
    loss = F.binary_cross_entropy_with_logits(logits, torch.ones(BATCH))
    loss = loss + F.cross_entropy(class_logits, labels)
    logits, _ = d(fake_slab, fake_low, position)
    (loss + F.binary_cross_entropy_with_logits(logits, torch.zeros(BATCH))).backward()
    optimisers[d].step()

    d.requires_grad_(False)
    logits, class_logits = d(*generated(), position)
    loss = F.binary_cross_entropy_with_logits(logits, torch.ones(BATCH))
    (loss + 0.1 * F.cross_entropy(class_logits, labels)).backward()
    optimisers[g].step()

    g.requires_grad_(False)
    F.l1_loss(g.high(e_h(real_slab)), real_slab).backward()
    optimisers[e_h].step()

    with torch.no_grad():
        encoded = torch.cat([e_h(slab) for slab in real.chunk(SLABS, dim=2)], dim=2)
    features = g.common(torch.cat([e_g(encoded), classes], dim=1))
    slab = g.high(features[:, :, start // 4 : start // 4 + depth])
    ((F.l1_loss(slab, real_slab) + F.l1_loss(g.low(features), real_low)) / 2).backward()
    optimisers[e_g].step()


def apart(ours: torch.nn.ModuleDict, published: torch.nn.ModuleDict) -> dict[str, float]:
    """Return how far the gradients of each network are apart, relative to their norm."""
    errors = {}
    for name, network in published.items():
        one, other = (
            torch.cat([p.grad.flatten() for p in n.parameters()]).double() for n in (ours[name], network)
        )
        errors[name] = float((one - other).norm() / other.norm())
    return errors


def test_the_reference_has_the_published_gradients_and_power_iterations(a_cohort: Cohort, tmp_path: Path):
    trainer, networks = gradients_of(a_cohort, tmp_path / "run")
    published_iteration(networks, *a_batch(a_cohort))
    # Float32 sums of up to 10⁵ terms in two orders: 1e-5 is 100 roundings; each deviation below is far more.
    assert max(apart(trainer.networks, networks).values()) < 1e-5
    for name, network in networks.items():
        for key, value in network.named_buffers():  # u0 and sv0, after three power iterations
            torch.testing.assert_close(dict(trainer.networks[name].named_buffers())[key], value)


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_each_deviation_from_the_published_iteration_is_seen(
    a_cohort: Cohort, tmp_path: Path, deviation: str
):
    trainer, networks = gradients_of(a_cohort, tmp_path / "run", **DEVIATIONS[deviation])
    published_iteration(networks, *a_batch(a_cohort))
    assert max(apart(trainer.networks, networks).values()) > 1e-4
