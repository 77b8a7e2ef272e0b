"""An extension of HA-GAN beside the paper: terms for small networks on small budgets.

The paper trains G by D alone and the encoders by an L1. That needs its widths and its 80,000 iterations. The
demonstration model has neither, and these terms made it vary and measure as its cohort does; what each does
is in :class:`~HAGANCore.gans.hagan.options.FidelityOptions`. The published losses, in :mod:`.gan`, know
nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..base import Losses, Moment, Turn
from .batch import Pair, SlabBatch
from .contents import ContentHead, tissue_distance, tissue_error
from .gan import HAGAN
from .prior import LatentPrior


class FidelityHAGAN(HAGAN):
    """HA-GAN with reconstructions in G, tissues, contents and a prior that follows the encoded latents."""

    def build(self) -> dict[str, nn.Module]:
        """Return HA-GAN's networks, and two that are used in training only."""
        return {
            **super().build(),
            "content_head": ContentHead(self.architecture.latent),
            "prior": LatentPrior(self.architecture.latent, self.options.prior == "encoded"),
        }

    @property
    def prior(self) -> LatentPrior:
        """The distribution that latents of generated volumes are drawn from."""
        prior = self.networks["prior"]
        assert isinstance(prior, LatentPrior)
        return prior

    def latents(self, count: int, random: torch.Generator) -> Tensor:
        """Draw latents (count, latent) from the prior."""
        return self.prior.draw(count, random)

    def turns(self, moment: Moment) -> Sequence[Turn]:
        """Return HA-GAN's turns; in the encoders' own iterations theirs, at a rate that falls to 0."""
        if moment.iteration < moment.iterations:
            return super().turns(moment)
        left = moment.all_iterations - moment.iteration
        return self.encoder_turns(self.options.lr_encoder * (left / self.options.encoder_iterations))

    def encoder_turns(self, lr: float) -> list[Turn]:
        """Return the turns E^H and E^G; the latter trains the head for the contents, too."""
        slab, ground = super().encoder_turns(lr)
        return [
            slab,
            replace(ground, trains=(*ground.trains, "content_head")),
        ]

    def judged(self, batch: SlabBatch, turn: str) -> list[Pair]:
        """Return generated pairs and, where they are judged, reconstructed ones."""
        fakes = super().judged(batch, turn)
        return [*fakes, batch.reconstruction(turn)] if self.options.judges_reconstructions else fakes

    def generator_loss(self, batch: SlabBatch) -> Losses:
        """The published loss, and what reconstructions and tissues weigh."""
        loss, scalars = super().generator_loss(batch)
        if not self.options.reconstruction_weight:
            return loss, scalars
        error, _ = self.reconstruction_error(batch, batch.reconstruction("G"))
        if self.options.tissue_weight:
            distance = tissue_distance(batch.fakes("G")[0], batch.real_slab())
            scalars["tissue_distance"] = distance.detach()
            error = error + self.options.tissue_weight * distance
        return loss + self.options.reconstruction_weight * error, scalars

    def ground_encoder_loss(self, batch: SlabBatch) -> Losses:
        """The published loss about the prior's mean, and what the latent should say of the contents."""
        z = self.networks["ground_encoder"](batch.features())
        self.prior.follow(z)
        loss, scalars = self.reconstruction_loss(batch, z, self.prior.mean)
        if self.options.content_weight:
            error = self.networks["content_head"](z, batch.real)
            scalars["content"] = error.detach()
            loss = loss + self.options.content_weight * error
        return loss, scalars

    def reconstruction_error(self, batch: SlabBatch, pair: Pair) -> Losses:
        """The published error, and the difference in tissues."""
        error, scalars = super().reconstruction_error(batch, pair)
        if self.options.tissue_weight:
            tissue = tissue_error(pair[0], batch.real_slab())
            scalars["tissue"] = tissue.detach()
            error = error + self.options.tissue_weight * tissue
        return error, scalars

    def exported(self) -> dict[str, Any]:
        """Return the networks of a model file, the prior folded into them."""
        networks = super().exported()
        generator, ground_encoder = self.prior.folded(
            networks["generator"], networks["ground_encoder"], self.options.prior_width
        )
        return networks | {"generator": generator, "ground_encoder": ground_encoder}
