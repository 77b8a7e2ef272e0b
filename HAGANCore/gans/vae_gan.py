"""VAE-GAN in 3D (Larsen et al., ICML 2016): a variational autoencoder that a discriminator judges.

The networks are those of the baseline that HA-GAN's authors compare with: encoder and discriminator of 4³
convolutions with stride 2 down to 2³, a generator of upsampling and 3³ convolutions from 2³, all with batch
normalisation. Errors are compared in the discriminator's features, as published, or in voxels.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..fields import choice, number, whole
from .base import GAN, Architecture, Batch, Losses, Moment, Options, Turn
from .layers import LEAK, UpsampleConv3d, cube_doublings

_BETAS = (0.5, 0.999)
_CUBE = 2**3


@dataclass(frozen=True, kw_only=True)
class VAEGANOptions(Options):
    """Options of the VAE-GAN; the defaults are the baseline's."""

    latent: int = whole(1000, "Length of the latent z.", least=1)
    width: int = whole(16, "Channels next to the volume; 512 at 2³ for a volume of 128³.", least=1)
    hidden: int = whole(2048, "Numbers in the encoder's hidden layer.", least=1)
    lr: float = number(1e-4, "Adam's learning rate of the three networks.", above=0)
    reconstruction: str = choice(
        "features", "Where a scan and its reconstruction are compared.", of=("features", "voxels")
    )
    generator_weight: float = number(20.0, "Weight γ of the reconstruction in the generator.", least=0)
    encoder_weight: float = number(10.0, "Weight β of the reconstruction in the encoder.", least=0)


@dataclass(frozen=True, kw_only=True)
class VAEGANArchitecture(Architecture):
    """The numbers that define the three networks."""

    latent: int = whole(1000, "Length of the latent z.", least=1, most=65536)
    width: int = whole(16, "Channels next to the volume.", least=1, most=512)
    hidden: int = whole(2048, "Numbers in the encoder's hidden layer.", least=1, most=65536)

    def widths(self) -> list[int]:
        """Return the channels at 2³, 4³, … up to R/2."""
        return [self.width << level for level in reversed(range(cube_doublings(self.size) + 1))]


class Generator(nn.Module):
    """z (N, latent) to volumes (N, 1, R, R, R) in [-1, 1]."""

    def __init__(self, architecture: VAEGANArchitecture) -> None:
        super().__init__()
        widths = architecture.widths()
        self.start = nn.Linear(architecture.latent, widths[0] * _CUBE)
        self.start_norm = nn.BatchNorm3d(widths[0])
        self.convs = nn.ModuleList(UpsampleConv3d(a, b) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm3d(width) for width in widths[1:])
        self.output = UpsampleConv3d(widths[-1], 1)

    def forward(self, z: Tensor) -> Tensor:
        """Return the volumes."""
        x = F.relu(self.start_norm(self.start(z).view(len(z), -1, 2, 2, 2)))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return torch.tanh(self.output(x))


class _Features(nn.Module):
    """Volumes (N, 1, R, R, R) to features (N, C, 2, 2, 2)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        channels = [1, *widths]
        self.convs = nn.ModuleList(
            nn.Conv3d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise(channels)
        )
        self.norms = nn.ModuleList(nn.BatchNorm3d(width) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), LEAK)
        return x


class Encoder(nn.Module):
    """Volumes (N, 1, R, R, R) to the mean and the logarithm of the variance of z, each (N, latent)."""

    def __init__(self, architecture: VAEGANArchitecture) -> None:
        super().__init__()
        widths = architecture.widths()[::-1]
        self.features = _Features(widths)
        self.hidden = nn.Linear(widths[-1] * _CUBE, architecture.hidden)
        self.hidden_norm = nn.LayerNorm(architecture.hidden)
        self.mean = nn.Linear(architecture.hidden, architecture.latent)
        self.log_variance = nn.Linear(architecture.hidden, architecture.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance."""
        # Not normalised over the batch: that would be no number for a batch of one.
        x = F.leaky_relu(self.hidden_norm(self.hidden(self.features(x).flatten(1))), LEAK)
        return self.mean(x), self.log_variance(x)


class Discriminator(nn.Module):
    """Volumes (N, 1, R, R, R) to logits (N,) and the features (N, C, 2, 2, 2) before them."""

    def __init__(self, architecture: VAEGANArchitecture) -> None:
        super().__init__()
        widths = architecture.widths()[::-1]
        self.features = _Features(widths)
        self.output = nn.Linear(widths[-1] * _CUBE, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features."""
        features = self.features(x)
        return self.output(features.flatten(1)).flatten(), features


class VAEGAN(GAN):
    """Variational autoencoder with a learned measure of similarity."""

    kind = "vae-gan"
    title = "VAE-GAN"
    source = "Larsen et al., ICML 2016"
    Options, Architecture = VAEGANOptions, VAEGANArchitecture
    parts: ClassVar = {"generator": Generator, "encoder": Encoder, "discriminator": Discriminator}
    shipped = ("generator", "encoder")
    averaged = ("generator", "encoder")
    encoders = ("encoder",)

    def turns(self, moment: Moment) -> Sequence[Turn]:
        """Return the turns of the discriminator, the generator and the encoder (algorithm 1)."""
        common: dict[str, Any] = {"lr": self.options.lr, "betas": _BETAS}
        return [
            Turn(name="D", trains=("discriminator",), loss=self.discriminator_loss, **common),
            Turn(name="G", trains=("generator",), loss=self.generator_loss, **common),
            Turn(name="E", trains=("encoder",), loss=self.encoder_loss, **common),
        ]

    @classmethod
    def encode_with(cls, networks: Mapping[str, Any], volumes: Tensor) -> Tensor:
        """Return the means of the latents, which are the likeliest."""
        mean: Tensor = networks["encoder"](volumes)[0]
        return mean

    def discriminator_loss(self, batch: Batch) -> Losses:
        """Binary cross-entropy of real, generated and reconstructed volumes."""
        judge = self.networks["discriminator"]
        with torch.no_grad():
            generated = self._generated(batch)
            reconstructed, _, _ = self._reconstructed(batch)
        real, fakes = judge(batch.real)[0], [judge(v)[0] for v in (generated, reconstructed)]
        loss = F.softplus(-real).mean() + sum(F.softplus(fake).mean() for fake in fakes)
        return loss, {"logit_real": real.mean().detach(), "logit_fake": fakes[0].mean().detach()}

    def generator_loss(self, batch: Batch) -> Losses:
        """γ × the error of reconstructions, and what makes both kinds of volumes pass for real."""
        judge = self.networks["discriminator"]
        reconstructed, _, _ = self._reconstructed(batch)
        passing = sum(F.softplus(-judge(v)[0]).mean() for v in (self._generated(batch), reconstructed))
        error = self._error(batch, reconstructed)
        return self.options.generator_weight * error + passing, {"reconstruction": error.detach()}

    def encoder_loss(self, batch: Batch) -> Losses:
        """β × the error of reconstructions, and the divergence of the encoded latents from N(0, I)."""
        reconstructed, mean, log_variance = self._reconstructed(batch)
        divergence = divergence_from_normal(mean, log_variance)
        loss = divergence + self.options.encoder_weight * self._error(batch, reconstructed)
        return loss, {"divergence": divergence.detach()}

    def _generated(self, batch: Batch) -> Tensor:
        volumes: Tensor = self.networks["generator"](self.latents(len(batch.real), batch.random))
        return volumes

    def _reconstructed(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.networks["encoder"](batch.real)
        z = mean + (log_variance / 2).exp() * self.latents(len(mean), batch.random)
        return self.networks["generator"](z), mean, log_variance

    def _error(self, batch: Batch, reconstructed: Tensor) -> Tensor:
        if self.options.reconstruction == "voxels":
            return F.mse_loss(reconstructed.float(), batch.real)
        judge = self.networks["discriminator"]
        return F.mse_loss(judge(reconstructed)[1].float(), judge(batch.real)[1].float())


def divergence_from_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of N(mean, variance) from N(0, I), each (N, latent).

    As a mean over volumes and over the latent's numbers, like the error that it stands beside.
    """
    mean, log_variance = mean.float(), log_variance.float()
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
