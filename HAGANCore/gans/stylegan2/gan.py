"""StyleGAN 2 in 3D (Karras et al., CVPR 2020): the published turns over three axes.

The logistic loss, R1 every 16 iterations, path length regularisation every 4, and mixed styles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...fields import number, whole
from ..base import GAN, Batch, Losses, Moment, Options, Turn
from ..losses import gradient_square, logistic_critic, logistic_generator
from .networks import Discriminator, Generator, StyleGAN2Architecture

_R1_EVERY = 16
_PATH_EVERY = 4
_PATH_DECAY = 0.01


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Options(Options):
    """Options of the StyleGAN 2; the defaults are the published ones."""

    latent: int = whole(512, "Length of the latent z.", least=1)
    style: int = whole(512, "Length of the styles w, and width of the mapping network.", least=1)
    mapping_layers: int = whole(8, "Layers of the mapping network.", least=1)
    width: int = whole(32, "Channels at the full size; each halving doubles them.", least=1)
    widest: int = whole(512, "Most channels of a layer.", least=1)
    lr: float = number(2e-3, "Adam's learning rate of both networks.", above=0)
    r1_weight: float = number(10.0, "Weight γ of R1; its half multiplies the square.", least=0)
    path_weight: float = number(2.0, "Weight of the path length penalty.", least=0)
    mixing: float = number(0.9, "Share of volumes that mix the styles of two latents.", least=0)


class StyleGAN2(GAN):
    """Style-based generator, second version."""

    kind = "stylegan2"
    title = "StyleGAN 2"
    source = "Karras et al., CVPR 2020"
    Options, Architecture = StyleGAN2Options, StyleGAN2Architecture
    parts: ClassVar = {"generator": Generator, "discriminator": Discriminator}
    normalises_latents = True

    path_mean: Tensor
    """Moving average of path lengths, which a step takes as the length to have."""

    def __init__(self, options: Any, size: int, class_frequencies: Tensor | None = None) -> None:
        super().__init__(options, size, class_frequencies)
        self.register_buffer("path_mean", torch.zeros(()))

    def turns(self, moment: Moment) -> Sequence[Turn]:
        """Return the turns of both networks, and every so often that of each one's regularisation.

        Adam's numbers are those of as many steps as without the additional ones (StyleGAN 2, appendix B).
        """
        critic, generator = self._adam(_R1_EVERY), self._adam(_PATH_EVERY)
        lazy: dict[str, Any] = {"amp": False}
        of_critic = {"trains": ("discriminator",), **critic}
        of_generator = {"trains": ("generator",), **generator}
        return [
            Turn(name="G", loss=self.generator_loss, **of_generator),
            Turn(name="P", loss=self.path_loss, every=_PATH_EVERY, optimiser="G", **lazy, **of_generator),
            Turn(name="D", loss=self.discriminator_loss, **of_critic),
            Turn(name="R1", loss=self.r1_loss, every=_R1_EVERY, optimiser="D", **lazy, **of_critic),
        ]

    def _adam(self, every: int) -> dict[str, Any]:
        share = every / (every + 1)
        return {"lr": self.options.lr * share, "betas": (0.0, 0.99**share)}

    def discriminator_loss(self, batch: Batch) -> Losses:
        """Logistic loss of real and generated volumes."""
        judge = self.networks["discriminator"]
        with torch.no_grad():
            fake = self._generated(len(batch.real), batch.random)[0]
        real_logits, fake_logits = judge(batch.real), judge(fake)
        scalars = {"logit_real": real_logits.mean().detach(), "logit_fake": fake_logits.mean().detach()}
        return logistic_critic(real_logits, fake_logits), scalars

    def r1_loss(self, batch: Batch) -> Losses:
        """γ/2 × the square of the discriminator's gradient at real volumes, × its iterations."""
        square = gradient_square(self.networks["discriminator"], batch.real)
        return square * (self.options.r1_weight / 2 * _R1_EVERY), {"r1": square.detach()}

    def generator_loss(self, batch: Batch) -> Losses:
        """Non-saturating loss of generated volumes."""
        volumes, _ = self._generated(len(batch.real), batch.random)
        return logistic_generator(self.networks["discriminator"](volumes)), {}

    def path_loss(self, batch: Batch) -> Losses:
        """Square of how far path lengths of half a batch are from their average, × its iterations."""
        volumes, styles = self._generated(max(1, len(batch.real) // 2), batch.random)
        lengths = path_lengths(volumes, styles, batch.random)
        mean = torch.lerp(self.path_mean, lengths.detach().mean(), _PATH_DECAY)
        self.path_mean.copy_(mean)
        penalty = (lengths - mean).square().mean()
        return penalty * (self.options.path_weight * _PATH_EVERY), {"path_length": lengths.detach().mean()}

    def _generated(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return volumes, and the styles (N, layers, style) they are made of, some mixed of two latents."""
        generator: Any = self.networks["generator"]
        layers = len(generator.convs)
        one, other = (generator.mapping(self.latents(count, random)) for _ in range(2))
        mixed = torch.rand(count, generator=random) < self.options.mixing
        cut = torch.where(mixed, torch.randint(1, layers, (count,), generator=random), layers)
        first = (torch.arange(layers) < cut[:, None]).to(one.device)[..., None]
        styles = torch.where(first, one[:, None], other[:, None])
        # Drawn on the device, for this is a number for each voxel of each layer.
        seed = int(torch.randint(2**62, (), generator=random))
        return generator.synthesis(styles, torch.Generator(one.device).manual_seed(seed)), styles


def path_lengths(volumes: Tensor, styles: Tensor, random: torch.Generator) -> Tensor:
    """Return how far volumes (N, 1, R, R, R) move for a step of their styles (N, layers, style), (N,).

    The norm of Jᵀy for a random direction y in the volume (eq. 4), as root mean square over the layers.
    """
    voxels = volumes[0].numel()
    direction = torch.randn(volumes.shape, generator=random).to(volumes) / math.sqrt(voxels)
    (gradient,) = torch.autograd.grad((volumes * direction).sum(), styles, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
