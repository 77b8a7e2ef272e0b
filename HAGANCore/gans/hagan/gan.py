"""HA-GAN: its four networks and the four turns of an iteration (paper, section III and algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import GAN, Batch, Losses, Moment, Scalars, Turn
from ..losses import class_loss, logistic_critic, logistic_generator
from . import architecture as numbers
from .architecture import SLABS
from .augment import augment_pair
from .batch import Pair, SlabBatch
from .discriminator import Discriminator
from .encoders import Encoder, GroundEncoder
from .generator import Generator
from .options import HAGANOptions

_BETA_2 = 0.999
_CITATION = (
    "Sun L., Chen J., Xu Y., Gong M., Yu K., Batmanghelich K. Hierarchical Amortized GAN for 3D High "
    "Resolution Medical Image Synthesis. IEEE J Biomed Health Inform 26(8):3966-3975, 2022. "
    "doi 10.1109/JBHI.2022.3172976"
)


class HAGAN(GAN):
    """Hierarchical amortized GAN (Sun et al., IEEE JBHI 2022), with the published losses."""

    kind = "hagan"
    title = "HA-GAN"
    source = _CITATION
    Options = HAGANOptions
    Architecture = numbers.Architecture
    parts: ClassVar = {
        "generator": Generator,
        "encoder": Encoder,
        "ground_encoder": GroundEncoder,
        "discriminator": Discriminator,
    }
    shipped = ("generator", "encoder", "ground_encoder")
    encoders = ("encoder", "ground_encoder")
    conditional = True

    options: HAGANOptions
    architecture: numbers.Architecture

    @classmethod
    def create(cls, options: Any, size: int, class_frequencies: Tensor | None = None) -> GAN:
        """Return HA-GAN, or HA-GAN with the terms beside the paper where the options ask for one."""
        from .fidelity import FidelityHAGAN  # it derives from this class

        variant = FidelityHAGAN if options.extended else HAGAN
        return variant(options, size, class_frequencies)

    def build(self) -> dict[str, nn.Module]:
        """Return the networks, drawn in the order in which they are trained."""
        names = ("generator", "discriminator", "encoder", "ground_encoder")
        return {name: self.parts[name](self.architecture) for name in names}

    def turns(self, moment: Moment) -> Sequence[Turn]:
        """Return the turns D, G, E^H, E^G."""
        options = self.options
        shared = ("generator",) if options.share_fakes else ()
        return [
            Turn(
                name="D",
                trains=("discriminator",),
                loss=self.discriminator_loss,
                lr=options.lr_discriminator,
                betas=(0.0, _BETA_2),
                passes_through=shared,
            ),
            Turn(
                name="G",
                trains=("generator",),
                loss=self.generator_loss,
                lr=options.lr_generator,
                betas=(0.0, _BETA_2),
            ),
            *self.encoder_turns(options.lr_encoder),
        ]

    def encoder_turns(self, lr: float) -> list[Turn]:
        """Return the turns E^H and E^G."""
        betas = (self.options.encoder_momentum, _BETA_2)
        return [
            Turn(name="E^H", trains=("encoder",), loss=self.encoder_loss, lr=lr, betas=betas),
            Turn(name="E^G", trains=("ground_encoder",), loss=self.ground_encoder_loss, lr=lr, betas=betas),
        ]

    def begin(self, batch: Batch) -> SlabBatch:
        """Return the batch with the slab that is drawn for it."""
        return SlabBatch(self, batch)

    @classmethod
    def encode_with(cls, networks: Mapping[str, Any], volumes: Tensor) -> Tensor:
        """Return what E^G makes of the features of E^H."""
        z: Tensor = networks["ground_encoder"](networks["encoder"].volume(volumes))
        return z

    def judged(self, batch: SlabBatch, turn: str) -> list[Pair]:
        """Return what D has to tell from real pairs, with gradients to G."""
        return [batch.fakes(turn)[:2]]

    def discriminator_loss(self, batch: SlabBatch) -> Losses:
        """Binary cross-entropy of real and generated pairs, and the class of real ones that have one."""
        count = len(batch.real)
        # The generated pairs first: they are drawn from the batch's random numbers before the augmentation.
        fakes = [(slab.detach(), low.detach()) for slab, low in self.judged(batch, "D")]
        pairs = [(batch.real_slab(), batch.real_low()), *fakes]
        if self.options.judge_jointly:
            # One pass over all: D has no statistics over the batch, so they do not see each other.
            logits, class_logits = self._logits(batch, pairs)
        else:
            passes = [self._logits(batch, [pair]) for pair in pairs]
            logits = torch.cat([logits for logits, _ in passes])
            class_logits = passes[0][1]
        real_logits, fake_logits = logits[:count], logits[count:]
        loss = logistic_critic(real_logits, fake_logits)
        scalars = {"logit_real": real_logits.mean().detach(), "logit_fake": fake_logits.mean().detach()}
        if self.class_frequencies is not None:
            of_real = class_loss(class_logits[:count], batch.labels)
            loss = loss + of_real
            scalars["class_real"] = of_real.detach()
        return loss, scalars

    def generator_loss(self, batch: SlabBatch) -> Losses:
        """Non-saturating loss of generated pairs, and 0.1 × the loss of the class they were made for."""
        _, _, labels = batch.fakes("G")
        logits, class_logits = self._logits(batch, self.judged(batch, "G"))
        loss = logistic_generator(logits)
        scalars: Scalars = {}
        if self.class_frequencies is not None:
            of_fake = class_loss(class_logits[: len(labels)], labels)
            loss = loss + self.options.class_weight * of_fake
            scalars["class_fake"] = of_fake.detach()
        return loss, scalars

    def encoder_loss(self, batch: SlabBatch) -> Losses:
        """L1 of a slab after E^H and G^H.

        The slab is one of the eight that E^H sees a volume as, so every slab is encoded once per iteration;
        with the published draw it is the drawn slab, by itself.
        """
        architecture, generator = self.architecture, self.target()
        depth = architecture.slab_features
        if self.options.slab_draw == "voxel-grid":
            slab = batch.real_slab()
            reconstruction = generator.high.slab(batch.encode_drawn_slab(), 0, depth)
        else:
            features, index = batch.encode_one_slab()
            slab = batch.real.chunk(SLABS, dim=2)[index]
            reconstruction = generator.high.slab(features, index * depth, depth)
        return F.l1_loss(reconstruction.float(), slab), {}

    def ground_encoder_loss(self, batch: SlabBatch) -> Losses:
        """Half the L1 of the slab and half that of the low-resolution volume, after E^G and G.

        Plus a bound on the latent's norm: see ``HAGANOptions.latent_weight``.
        """
        z = self.networks["ground_encoder"](batch.features())
        return self.reconstruction_loss(batch, z)

    def reconstruction_loss(self, batch: SlabBatch, z: Tensor, mean: Tensor | float = 0.0) -> Losses:
        """Return the loss of what G makes of encoded latents z (N, latent), which lie about ``mean``."""
        generator = self.target()
        features = generator.features(z, batch.real_classes())
        error, scalars = self.reconstruction_error(
            batch, generator.slab_and_low(features, batch.feature_start)
        )
        mean_square = (z.float() - mean).square().mean(dim=1)
        scalars["latent_rms"] = mean_square.detach().mean().sqrt()
        return error + self.options.latent_weight * (mean_square - 1).abs().mean(), scalars

    def reconstruction_error(self, batch: SlabBatch, pair: Pair) -> Losses:
        """Return half the L1 of a reconstruction's slab and half that of its low-resolution volume."""
        slab, low = pair
        slab_loss = F.l1_loss(slab.float(), batch.real_slab())
        low_loss = F.l1_loss(low.float(), batch.real_low())
        return (slab_loss + low_loss) / 2, {"reconstruction_low": low_loss.detach()}

    def target(self) -> Any:
        """Return the generator that the encoders are trained against."""
        return (self.averages if self.options.encode_for_average else self.networks)["generator"]

    def _logits(self, batch: SlabBatch, pairs: list[Pair]) -> tuple[Tensor, Tensor]:
        """Return D's logits (P · N,) and class logits of pairs, augmented, in one pass."""
        kinds = self.options.augment
        slab, low = _joined([augment_pair(slab, low, kinds, batch.random) for slab, low in pairs])
        logits: tuple[Tensor, Tensor] = self.networks["discriminator"](
            slab, low, batch.first_slice.repeat(len(pairs))
        )
        return logits


def _joined(pairs: list[Pair]) -> Pair:
    """Return slabs and low-resolution volumes, each in one batch, in the precision of the last."""
    slabs, lows = zip(*pairs, strict=True)
    return torch.cat([s.to(slabs[-1].dtype) for s in slabs]), torch.cat([v.to(lows[-1].dtype) for v in lows])
