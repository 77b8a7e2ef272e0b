"""CCE-GAN in 3D (Xing et al., MIDL 2021): an autoencoder GAN whose latents return to themselves.

Only the abstract is public, and no code. It says: an auto-encoding GAN that encodes volumes to the standard
normal prior by a cycle-consistent embedding, without a code discriminator, by a Wasserstein measure. What
follows is therefore our reading:

* Generator, encoder and critic are those of :mod:`HAGANCore.gans.alpha_gan`; so is the volume critic's loss.
* Both cycles are closed: x → z → x by the L1 of the volumes, z → x → z by the mean square of the latents.
* The measure is the squared Wasserstein-2 distance between the numbers of a batch's encoded latents and
  N(0, 1), which is exact in one dimension: sorted numbers against normal quantiles. All numbers of a batch
  are taken together, because a batch of four has too few for a distance in each of a thousand dimensions;
  that each dimension is used is left to the cycle of the latents.
* All weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..fields import number, whole
from .alpha_gan import AlphaGAN, Critic, Encoder, Generator
from .base import Batch, Losses, Moment, Options, Turn
from .wgan_gp import WGANArchitecture

_BETAS = (0.0, 0.9)


@dataclass(frozen=True, kw_only=True)
class CCEGANOptions(Options):
    """Options of the CCE-GAN; the widths are those of the α-GAN."""

    latent: int = whole(1000, "Length of the latent z.", least=1)
    width: int = whole(64, "Channels next to the volume.", least=1)
    lr: float = number(2e-4, "Adam's learning rate of all networks.", above=0)
    critic_steps: int = whole(1, "Steps of the critic for one of generator and encoder.", least=1)
    penalty_weight: float = number(10.0, "Weight of the gradient penalty.", least=0)
    reconstruction_weight: float = number(10.0, "Weight of the L1 of x → z → x.", least=0)
    cycle_weight: float = number(10.0, "Weight of the mean square of z → x → z.", least=0)
    prior_weight: float = number(10.0, "Weight of the distance of encoded latents from N(0, 1).", least=0)


class CCEGAN(AlphaGAN):
    """Cycle-consistent embedding GAN."""

    kind = "cce-gan"
    title = "CCE-GAN"
    source = "Xing, Sinha, Hwang, MIDL 2021 (abstract; the details are our reading)"
    Options, Architecture = CCEGANOptions, WGANArchitecture
    parts: ClassVar = {"generator": Generator, "encoder": Encoder, "critic": Critic}
    conditional = False

    def turns(self, moment: Moment) -> Sequence[Turn]:
        """Return the turns of the critic, and of generator and encoder together."""
        common: dict[str, Any] = {"lr": self.options.lr, "betas": _BETAS}
        steps = self.options.critic_steps
        return [
            Turn(name="C", trains=("critic",), loss=self.critic_loss, repeat=steps, amp=False, **common),
            Turn(name="EG", trains=("encoder", "generator"), loss=self.autoencoder_loss, **common),
        ]

    def autoencoder_loss(self, batch: Batch) -> Losses:
        """Both cycles, the distance of the encoded latents from the prior, and the critic's scores."""
        options, critic, encoder = self.options, self.networks["critic"], self.networks["encoder"]
        reconstructed, encoded = self._reconstructed(batch, None)
        z = self.latents(len(batch.real), batch.random)
        generated = self.networks["generator"](z)
        error = F.l1_loss(reconstructed.float(), batch.real)
        cycle = F.mse_loss(encoder(generated).float(), z)
        distance = distance_from_normal(encoded)
        scores = critic(generated).mean() + critic(reconstructed).mean()
        loss = options.reconstruction_weight * error + options.cycle_weight * cycle
        loss = loss + options.prior_weight * distance - scores
        scalars = {"reconstruction": error, "cycle": cycle, "prior_distance": distance}
        return loss, {name: value.detach() for name, value in scalars.items()}


def distance_from_normal(codes: Tensor) -> Tensor:
    """Return the squared Wasserstein-2 distance between all numbers of codes (N, latent) and N(0, 1).

    In one dimension the best transport keeps the order, so it is the mean square of the difference between
    sorted numbers and the normal quantiles at the middles of as many equal steps.
    """
    numbers = codes.float().flatten().sort().values
    steps = (torch.arange(len(numbers), device=codes.device) + 0.5) / len(numbers)
    return F.mse_loss(numbers, torch.special.ndtri(steps))
