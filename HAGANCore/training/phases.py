"""The phases of an iteration: D, G, E^H, E^G (paper, section III and algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks import SLABS, Generator
from .augment import augment_pair
from .config import TrainingConfig
from .step import Networks, Step

Scalars = dict[str, Tensor]
"""What a phase reports besides its loss, as scalar tensors on the device."""


@dataclass(slots=True)
class Phase:
    """One phase: which network it trains, with which loss and optimiser."""

    name: str
    module: torch.nn.Module
    loss: Callable[[Step], tuple[Tensor, Scalars]]
    optimiser: torch.optim.Optimizer
    also_in_graph: tuple[torch.nn.Module, ...] = ()
    """Networks that need gradients in this phase although it does not train them."""
    encodes: bool = False
    """Whether the phase goes on in the iterations for the encoders alone."""


def make_phases(networks: Networks, config: TrainingConfig) -> list[Phase]:
    """Return the phases in the order they run in."""

    def adam(module: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(module.parameters(), lr=rate, betas=(0.0, 0.999))

    d, g, eh, eg = networks.discriminator, networks.generator, networks.encoder, networks.ground_encoder
    shared = (g,) if config.reuses_fakes else ()
    return [
        Phase("D", d, discriminator_loss, adam(d, config.lr_discriminator), also_in_graph=shared),
        Phase("G", g, generator_loss, adam(g, config.lr_generator)),
        Phase("E^H", eh, encoder_loss, adam(eh, config.lr_encoder), encodes=True),
        Phase("E^G", eg, ground_encoder_loss, adam(eg, config.lr_encoder), encodes=True),
    ]


def discriminator_loss(step: Step) -> tuple[Tensor, Scalars]:
    """Binary cross-entropy of real and generated pairs, and the class of real ones that have one."""
    fake_slab, fake_low, _ = step.fakes()
    kinds = step.config.augment
    real = augment_pair(step.real_slab(), step.real_low(), kinds, step.random)
    fake = augment_pair(fake_slab.detach(), fake_low.detach(), kinds, step.random)
    # One pass over both halves: D has no statistics over the batch, so they do not see each other.
    slab, low = (torch.cat([r.to(f.dtype), f]) for r, f in zip(real, fake, strict=True))
    logits, class_logits = step.networks.discriminator(slab, low, step.first_slice.repeat(2))
    real_logits, fake_logits = logits.chunk(2)
    loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    scalars = {"logit_real": real_logits.mean().detach(), "logit_fake": fake_logits.mean().detach()}
    if step.architecture.classes:
        class_loss = _class_loss(class_logits[: len(step.real)], step.labels)
        loss = loss + class_loss
        scalars["class_real"] = class_loss.detach()
    return loss, scalars


def generator_loss(step: Step) -> tuple[Tensor, Scalars]:
    """Non-saturating loss of generated pairs, and 0.1 × the loss of the class they were made for."""
    slab, low, labels = step.fakes()
    slab, low = augment_pair(slab, low, step.config.augment, step.random)
    logits, class_logits = step.networks.discriminator(slab, low, step.first_slice)
    loss = F.softplus(-logits).mean()
    scalars: Scalars = {}
    if step.architecture.classes:
        class_loss = _class_loss(class_logits, labels)
        loss = loss + step.config.class_weight * class_loss
        scalars["class_fake"] = class_loss.detach()
    if step.config.reconstruction_weight:
        with torch.no_grad():
            z = step.networks.ground_encoder(step.networks.encoder.volume(step.real))
        slab_loss, low_loss = _reconstruction_losses(step, step.networks.generator, z)
        loss = loss + step.config.reconstruction_weight * (slab_loss + low_loss) / 2
    return loss, scalars


def encoder_loss(step: Step) -> tuple[Tensor, Scalars]:
    """L1 of a slab after E^H and G^H.

    The slab is one of the eight that E^H sees a volume as. The other seven are encoded without gradients
    and all eight kept for E^G, so every slab is encoded once per iteration.
    """
    architecture, index = step.architecture, step.encoder_slab
    slabs = step.real.chunk(SLABS, dim=2)
    mine = step.networks.encoder(slabs[index])
    with torch.no_grad():
        features = [
            mine.detach() if i == index else step.networks.encoder(slab) for i, slab in enumerate(slabs)
        ]
    step.real_features = torch.cat(features, dim=2)
    features[index] = mine
    depth = architecture.slab_features
    generator = _target(step)
    reconstruction = generator.high.slab(torch.cat(features, dim=2), index * depth, depth)
    return F.l1_loss(reconstruction.float(), slabs[index]), {}


def ground_encoder_loss(step: Step) -> tuple[Tensor, Scalars]:
    """Half the L1 of the slab and half that of the low-resolution volume, after E^G and G.

    Plus a bound on the latent's norm, see ``TrainingConfig.latent_weight``.
    """
    z = step.networks.ground_encoder(step.real_features)
    slab_loss, low_loss = _reconstruction_losses(step, _target(step), z)
    mean_square = z.float().square().mean(dim=1)
    excess = F.relu(mean_square - 1).mean()
    scalars = {"reconstruction_low": low_loss.detach(), "latent_rms": mean_square.detach().mean().sqrt()}
    return (slab_loss + low_loss) / 2 + step.config.latent_weight * excess, scalars


def _reconstruction_losses(step: Step, generator: Generator, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the L1 of the slab and of the low-resolution volume that G makes of encoded latents."""
    slab, low = generator.slab_and_low(generator.features(z, step.real_classes()), step.feature_start)
    return F.l1_loss(slab.float(), step.real_slab()), F.l1_loss(low.float(), step.real_low())


def _class_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the labelled part of a batch; 0 where nothing is labelled."""
    total = F.cross_entropy(class_logits, labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def _target(step: Step) -> Generator:
    """Return the generator that the encoders are trained against."""
    return step.networks.average if step.config.encode_for_average else step.networks.generator
