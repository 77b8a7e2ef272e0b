"""WGAN with gradient penalty in 3D: the paper's first peer (Gulrajani et al., NeurIPS 2017).

The networks are those of the baseline that HA-GAN's authors compare with: a generator of upsampling and 3³
convolutions with batch normalisation from 4³, a critic of 4³ convolutions with stride 2 and no normalisation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..fields import number, whole
from .base import GAN, Architecture, Batch, Losses, Moment, Options, Turn
from .layers import LEAK, UpsampleConv3d, cube_doublings
from .losses import gradient_penalty


@dataclass(frozen=True, kw_only=True)
class WGANOptions(Options):
    """Options of the WGAN; the defaults are the baseline's."""

    latent: int = whole(1000, "Length of the latent z.", least=1)
    width: int = whole(64, "Channels of the generator's last and the critic's first hidden layer.", least=1)
    lr: float = number(1e-4, "Adam's learning rate of both networks.", above=0)
    critic_steps: int = whole(5, "Steps of the critic for one of the generator.", least=1)
    penalty_weight: float = number(10.0, "Weight of the gradient penalty.", least=0)


@dataclass(frozen=True, kw_only=True)
class WGANArchitecture(Architecture):
    """The numbers that define generator and critic."""

    latent: int = whole(1000, "Length of the latent z.", least=1, most=65536)
    width: int = whole(64, "Channels of the generator's last hidden layer.", least=1, most=512)

    def widths(self) -> list[int]:
        """Return the channels at 4³, 8³, … up to R/2."""
        return [self.width << level for level in reversed(range(cube_doublings(self.size)))]


class Generator(nn.Module):
    """z (N, latent) to volumes (N, 1, R, R, R) in [-1, 1]."""

    def __init__(self, architecture: WGANArchitecture) -> None:
        super().__init__()
        widths = architecture.widths()
        self.start = nn.ConvTranspose3d(architecture.latent, widths[0], 4)
        self.start_norm = nn.BatchNorm3d(widths[0])
        self.convs = nn.ModuleList(UpsampleConv3d(a, b) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm3d(width) for width in widths[1:])
        self.output = UpsampleConv3d(widths[-1], 1)

    def forward(self, z: Tensor) -> Tensor:
        """Return the volumes."""
        x = F.relu(self.start_norm(self.start(z[:, :, None, None, None])))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return torch.tanh(self.output(x))


class Critic(nn.Module):
    """Volumes (N, 1, R, R, R) to scores (N,), high for real ones."""

    def __init__(self, architecture: WGANArchitecture) -> None:
        super().__init__()
        widths = [1, *reversed(architecture.widths())]
        self.convs = nn.ModuleList(
            nn.Conv3d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.output = nn.Conv3d(widths[-1], 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        for conv in self.convs:
            x = F.leaky_relu(conv(x), LEAK)
        return self.output(x).flatten()


class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty."""

    kind = "wgan-gp"
    title = "WGAN-GP"
    source = "Gulrajani et al., NeurIPS 2017"
    Options, Architecture = WGANOptions, WGANArchitecture
    parts: ClassVar = {"generator": Generator, "critic": Critic}

    def turns(self, moment: Moment) -> Sequence[Turn]:
        """Return the critic's turn, of several steps, and the generator's."""
        shared: dict[str, Any] = {"lr": self.options.lr, "betas": (0.0, 0.9)}
        critic = Turn(name="C", trains=("critic",), loss=self.critic_loss, amp=False, **shared)
        return [
            replace(critic, repeat=self.options.critic_steps),
            Turn(name="G", trains=("generator",), loss=self.generator_loss, **shared),
        ]

    def critic_loss(self, batch: Batch) -> Losses:
        """Estimate of the negative Wasserstein distance, and the gradient penalty (eq. 3)."""
        critic = self.networks["critic"]
        with torch.no_grad():
            fake = self.networks["generator"](self.latents(len(batch.real), batch.random))
        distance = critic(batch.real).mean() - critic(fake).mean()
        penalty = gradient_penalty(critic, batch.real, fake, batch.random)
        loss = self.options.penalty_weight * penalty - distance
        return loss, {"wasserstein": distance.detach(), "penalty": penalty.detach()}

    def generator_loss(self, batch: Batch) -> Losses:
        """Negative mean score of generated volumes."""
        fake = self.networks["generator"](self.latents(len(batch.real), batch.random))
        return -self.networks["critic"](fake).mean(), {}
