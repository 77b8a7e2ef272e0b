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
from .contents import tissue_distance, tissue_error
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

    def adam(rate: float, *modules: torch.nn.Module, momentum: float = 0.0) -> torch.optim.Optimizer:
        parameters = [parameter for module in modules for parameter in module.parameters()]
        return torch.optim.Adam(parameters, lr=rate, betas=(momentum, 0.999))

    d, g, eh, eg = networks.discriminator, networks.generator, networks.encoder, networks.ground_encoder
    head, momentum = networks.content_head, config.encoder_momentum
    shared = (g,) if config.reuses_fakes else ()
    return [
        Phase("D", d, discriminator_loss, adam(config.lr_discriminator, d), also_in_graph=shared),
        Phase("G", g, generator_loss, adam(config.lr_generator, g)),
        Phase("E^H", eh, encoder_loss, adam(config.lr_encoder, eh, momentum=momentum), encodes=True),
        Phase(
            "E^G",
            eg,
            ground_encoder_loss,
            adam(config.lr_encoder, eg, head, momentum=momentum),
            also_in_graph=(head,),
            encodes=True,
        ),
    ]


def discriminator_loss(step: Step) -> tuple[Tensor, Scalars]:
    """Binary cross-entropy of real and generated pairs, and the class of real ones that have one."""
    kinds, count = step.config.augment, len(step.real)
    made = [step.fakes()[:2]]
    if step.config.judges_reconstructions:
        made.append(step.reconstruction())
    pairs = [(step.real_slab(), step.real_low()), *((slab.detach(), low.detach()) for slab, low in made)]
    # One pass over all: D has no statistics over the batch, so they do not see each other.
    slab, low = _joined([augment_pair(slab, low, kinds, step.random) for slab, low in pairs])
    logits, class_logits = step.networks.discriminator(slab, low, step.first_slice.repeat(len(pairs)))
    real_logits, fake_logits = logits[:count], logits[count:]
    loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    scalars = {"logit_real": real_logits.mean().detach(), "logit_fake": fake_logits.mean().detach()}
    if step.architecture.classes:
        class_loss = _class_loss(class_logits[:count], step.labels)
        loss = loss + class_loss
        scalars["class_real"] = class_loss.detach()
    return loss, scalars


def generator_loss(step: Step) -> tuple[Tensor, Scalars]:
    """Non-saturating loss of generated pairs, and 0.1 × the loss of the class they were made for."""
    kinds, count = step.config.augment, len(step.real)
    fake_slab, fake_low, labels = step.fakes()
    reconstruction = step.reconstruction() if step.config.reconstruction_weight else None
    pairs = [(fake_slab, fake_low)]
    if reconstruction is not None and step.config.judge_reconstructions:
        pairs.append(reconstruction)
    slab, low = _joined([augment_pair(slab, low, kinds, step.random) for slab, low in pairs])
    logits, class_logits = step.networks.discriminator(slab, low, step.first_slice.repeat(len(pairs)))
    loss = F.softplus(-logits).mean()
    scalars: Scalars = {}
    if step.architecture.classes:
        class_loss = _class_loss(class_logits[:count], labels)
        loss = loss + step.config.class_weight * class_loss
        scalars["class_fake"] = class_loss.detach()
    if reconstruction is not None:
        error, _ = _reconstruction_error(step, *reconstruction)
        if step.config.tissue_weight:
            distance = tissue_distance(fake_slab, step.real_slab())
            scalars["tissue_distance"] = distance.detach()
            error = error + step.config.tissue_weight * distance
        loss = loss + step.config.reconstruction_weight * error
    return loss, scalars


def encoder_loss(step: Step) -> tuple[Tensor, Scalars]:
    """L1 of a slab after E^H and G^H.

    The slab is one of the eight that E^H sees a volume as. The other seven are encoded without gradients
    and all eight kept for E^G, so every slab is encoded once per iteration. With the published draw it is the
    drawn slab, by itself, and the eight are encoded besides.
    """
    if step.config.slab_draw == "voxel-grid":
        return _drawn_slab_loss(step), {}
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


def _drawn_slab_loss(step: Step) -> Tensor:
    slab = step.real_slab()
    features = step.networks.encoder(slab)
    reconstruction = _target(step).high.slab(features, 0, step.architecture.slab_features)
    with torch.no_grad():
        step.real_features = step.networks.encoder.volume(step.real)
    return F.l1_loss(reconstruction.float(), slab)


def ground_encoder_loss(step: Step) -> tuple[Tensor, Scalars]:
    """Half the L1 of the slab and half that of the low-resolution volume, after E^G and G.

    Plus a bound on the latent's norm and what the latent should tell: see ``latent_weight``,
    ``tissue_weight`` and ``content_weight`` of ``TrainingConfig``.
    """
    z = step.networks.ground_encoder(step.real_features)
    generator = _target(step)
    features = generator.features(z, step.real_classes())
    error, scalars = _reconstruction_error(step, *generator.slab_and_low(features, step.feature_start))
    step.networks.prior.follow(z)
    mean_square = (z.float() - step.networks.prior.mean).square().mean(dim=1)
    distance = (mean_square - 1).abs().mean()
    scalars["latent_rms"] = mean_square.detach().mean().sqrt()
    loss = error + step.config.latent_weight * distance
    if step.config.content_weight:
        told = step.networks.content_head(z, step.real)
        scalars["content"] = told.detach()
        loss = loss + step.config.content_weight * told
    return loss, scalars


def _joined(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return slabs and low-resolution volumes, each in one batch, in the precision of the last."""
    slabs, lows = zip(*pairs, strict=True)
    return torch.cat([s.to(slabs[-1].dtype) for s in slabs]), torch.cat([v.to(lows[-1].dtype) for v in lows])


def _reconstruction_error(step: Step, slab: Tensor, low: Tensor) -> tuple[Tensor, Scalars]:
    """Return half the L1 of a reconstruction's slab and half that of its low-resolution volume.

    Plus the difference in tissues, see ``TrainingConfig.tissue_weight``.
    """
    slab_loss = F.l1_loss(slab.float(), step.real_slab())
    low_loss = F.l1_loss(low.float(), step.real_low())
    error, scalars = (slab_loss + low_loss) / 2, {"reconstruction_low": low_loss.detach()}
    if step.config.tissue_weight:
        tissue = tissue_error(slab, step.real_slab())
        scalars["tissue"] = tissue.detach()
        error = error + step.config.tissue_weight * tissue
    return error, scalars


def _class_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the labelled part of a batch; 0 where nothing is labelled."""
    total = F.cross_entropy(class_logits, labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def _target(step: Step) -> Generator:
    """Return the generator that the encoders are trained against."""
    return step.networks.average if step.config.encode_for_average else step.networks.generator
