"""α-GAN in 3D (Rosca et al., 2017; Kwon et al., MICCAI 2019): an autoencoder with two critics.

The volume critic compares real volumes with generated and reconstructed ones, the code critic compares drawn
latents with encoded ones; both with Wasserstein losses and gradient penalties, as Kwon et al. have it.
Generator and critic are those of :mod:`HAGANCore.gans.wgan_gp`; the encoder is the critic with batch
normalisation.

Classes enter as numbers beside z and as constant channels beside the volume. Where a class is unknown, the
critic is given the classes' frequencies, for the real volume and for the generated one it is compared with.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..fields import number, whole
from . import wgan_gp
from .base import GAN, Batch, Losses, Moment, Options, Turn
from .layers import LEAK, one_hot
from .losses import gradient_penalty

_BETAS = (0.0, 0.9)


@dataclass(frozen=True, kw_only=True)
class AlphaGANOptions(Options):
    """Options of the α-GAN; the defaults are those of Kwon et al."""

    latent: int = whole(1000, "Length of the latent z.", least=1)
    width: int = whole(64, "Channels next to the volume.", least=1)
    code_width: int = whole(750, "Numbers in each of the code critic's hidden layers.", least=1)
    lr: float = number(2e-4, "Adam's learning rate of all networks.", above=0)
    critic_steps: int = whole(1, "Steps of the critics for one of generator and encoder.", least=1)
    penalty_weight: float = number(10.0, "Weight of the gradient penalties.", least=0)
    reconstruction_weight: float = number(10.0, "Weight of the L1 of reconstructions.", least=0)


@dataclass(frozen=True, kw_only=True)
class AlphaGANArchitecture(wgan_gp.WGANArchitecture):
    """The numbers that define the four networks."""

    code_width: int = whole(750, "Numbers in each of the code critic's hidden layers.", least=1, most=65536)


class Generator(wgan_gp.Generator):
    """z (N, latent), and classes (N, classes) where there are some, to volumes (N, 1, R, R, R) in [-1, 1]."""

    def __init__(self, architecture: AlphaGANArchitecture) -> None:
        super().__init__(replace(architecture, latent=architecture.latent + architecture.classes))

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the volumes."""
        return super().forward(z if classes is None else torch.cat([z, classes], dim=1))


class Critic(wgan_gp.Critic):
    """Volumes (N, 1, R, R, R) and classes (N, classes) to scores (N,), high for real ones."""

    def __init__(self, architecture: AlphaGANArchitecture) -> None:
        super().__init__(architecture)
        if architecture.classes:
            self.convs[0] = nn.Conv3d(1 + architecture.classes, architecture.width, 4, stride=2, padding=1)

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the scores."""
        if classes is not None:
            channels = classes.to(x)[:, :, None, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, channels], dim=1)
        return super().forward(x)


class Encoder(nn.Module):
    """Volumes (N, 1, R, R, R) to latents (N, latent)."""

    def __init__(self, architecture: AlphaGANArchitecture) -> None:
        super().__init__()
        widths = architecture.widths()[::-1]
        self.convs = nn.ModuleList(
            nn.Conv3d(a, b, 4, stride=2, padding=1) for a, b in itertools.pairwise([1, *widths])
        )
        self.norms = nn.ModuleList(nn.BatchNorm3d(width) for width in widths)
        self.output = nn.Conv3d(widths[-1], architecture.latent, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the latents."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), LEAK)
        return self.output(x).flatten(1)


class CodeCritic(nn.Sequential):
    """Latents (N, latent) to scores (N, 1), high for drawn ones."""

    def __init__(self, architecture: AlphaGANArchitecture) -> None:
        width = architecture.code_width
        super().__init__(
            nn.Linear(architecture.latent, width),
            nn.LeakyReLU(LEAK),
            nn.Linear(width, width),
            nn.LeakyReLU(LEAK),
            nn.Linear(width, 1),
        )


class AlphaGAN(GAN):
    """Auto-encoding GAN."""

    kind = "alpha-gan"
    title = "α-GAN"
    source = "Rosca et al., arXiv 1706.04987, 2017; in 3D: Kwon et al., MICCAI 2019"
    Options: ClassVar[type[Any]] = AlphaGANOptions
    Architecture: ClassVar[type[Any]] = AlphaGANArchitecture
    parts: ClassVar = {
        "generator": Generator,
        "encoder": Encoder,
        "critic": Critic,
        "code_critic": CodeCritic,
    }
    shipped = ("generator", "encoder")
    averaged = ("generator", "encoder")
    encoders = ("encoder",)
    conditional = True

    def turns(self, moment: Moment) -> Sequence[Turn]:
        """Return the turns of generator and encoder together, of the critic and of the code critic."""
        common: dict[str, Any] = {"lr": self.options.lr, "betas": _BETAS}
        critics = common | {"repeat": self.options.critic_steps, "amp": False}
        return [
            Turn(name="C", trains=("critic",), loss=self.critic_loss, **critics),
            Turn(name="Z", trains=("code_critic",), loss=self.code_critic_loss, **critics),
            Turn(name="EG", trains=("encoder", "generator"), loss=self.autoencoder_loss, **common),
        ]

    def critic_loss(self, batch: Batch) -> Losses:
        """Negative distance of real from generated and reconstructed volumes, and gradient penalties."""
        known, drawn = self._classes(batch)
        with torch.no_grad():
            fakes = self._generated(batch, drawn), self._reconstructed(batch, known)[0]

        def critic(volumes: Tensor) -> Tensor:
            scores: Tensor = self.networks["critic"](volumes, known)
            return scores

        distance = critic(batch.real).mean() - torch.cat([critic(fake) for fake in fakes]).mean()
        penalty = sum(gradient_penalty(critic, batch.real, fake, batch.random) for fake in fakes) / 2
        loss = self.options.penalty_weight * penalty - distance
        return loss, {"wasserstein": distance.detach(), "penalty": torch.as_tensor(penalty).detach()}

    def code_critic_loss(self, batch: Batch) -> Losses:
        """Negative distance of drawn from encoded latents, and the gradient penalty."""
        critic: Callable[[Tensor], Tensor] = self.networks["code_critic"]
        drawn = self.latents(len(batch.real), batch.random)
        with torch.no_grad():
            encoded = self.networks["encoder"](batch.real)
        distance = critic(drawn).mean() - critic(encoded).mean()
        penalty = gradient_penalty(critic, drawn, encoded, batch.random)
        return self.options.penalty_weight * penalty - distance, {"wasserstein_codes": distance.detach()}

    def autoencoder_loss(self, batch: Batch) -> Losses:
        """L1 of reconstructions, and the negative scores of volumes and of encoded latents."""
        known, drawn = self._classes(batch)
        reconstructed, encoded = self._reconstructed(batch, known)
        generated = self._generated(batch, drawn)
        critic = self.networks["critic"]
        error = F.l1_loss(reconstructed.float(), batch.real)
        scores = critic(generated, known).mean() + critic(reconstructed, known).mean()
        loss = self.options.reconstruction_weight * error - scores
        return loss - self.networks["code_critic"](encoded).mean(), {"reconstruction": error.detach()}

    def _classes(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Return what is known of the volumes' classes, and classes to generate: each (N, classes)."""
        frequencies = self.class_frequencies
        if frequencies is None:
            return None, None
        labels = batch.labels.cpu()
        drawn = torch.multinomial(frequencies, len(labels), replacement=True, generator=batch.random)
        labelled = (labels >= 0)[:, None]
        made = one_hot(torch.where(labels >= 0, labels, drawn), len(frequencies))
        known = torch.where(labelled, made, frequencies)
        return known.to(batch.real), made.to(batch.real)

    def _generated(self, batch: Batch, classes: Tensor | None) -> Tensor:
        z = self.latents(len(batch.real), batch.random)
        volumes: Tensor = self.networks["generator"](z, classes)
        return volumes

    def _reconstructed(self, batch: Batch, classes: Tensor | None) -> tuple[Tensor, Tensor]:
        encoded = self.networks["encoder"](batch.real)
        return self.networks["generator"](encoded, classes), encoded
