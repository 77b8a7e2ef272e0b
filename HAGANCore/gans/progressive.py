"""Progressive GAN in 3D (Karras et al., ICLR 2018): generator and critic grow from 4³ to R.

The published recipe with convolutions over three axes: equalised learning rates, PixelNorm, the deviation of
the batch as a channel, WGAN-GP with one step of the critic, and a fade-in of each new level. The paper counts
600,000 images for each fade and as many between two; cohorts of volumes are small, so the phases are equal
shares of the run's first part instead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..fields import number, whole
from .base import GAN, Architecture, Batch, Losses, Moment, Options, Turn
from .equalised import EqualConv3d, EqualLinear, doubling_widths, unit_mean_square, with_batch_deviation
from .layers import LEAK, cube_doublings
from .losses import gradient_penalty

_GAIN = math.sqrt(2)


@dataclass(frozen=True, kw_only=True)
class ProgressiveOptions(Options):
    """Options of the Progressive GAN; the defaults are the published ones where there are any."""

    latent: int = whole(512, "Length of the latent z.", least=1)
    width: int = whole(16, "Channels at the full size; each halving doubles them.", least=1)
    widest: int = whole(512, "Most channels of a layer.", least=1)
    lr: float = number(1e-3, "Adam's learning rate of both networks.", above=0)
    growing: float = number(
        0.5,
        "Share of the run's iterations in which the networks grow from 4³ to the full size.",
        above=0,
        below=1,
    )
    penalty_weight: float = number(10.0, "Weight of the gradient penalty.", least=0)
    drift_weight: float = number(1e-3, "Weight of the square of the scores of real volumes.", least=0)


@dataclass(frozen=True, kw_only=True)
class ProgressiveArchitecture(Architecture):
    """The numbers that define generator and critic."""

    latent: int = whole(512, "Length of the latent z.", least=1, most=65536)
    width: int = whole(16, "Channels at the full size.", least=1, most=512)
    widest: int = whole(512, "Most channels of a layer.", least=1, most=4096)

    def widths(self) -> list[int]:
        """Return the channels at 4³, 8³, … up to R."""
        return doubling_widths(self.width, self.widest, cube_doublings(self.size))


class _Convs(nn.Module):
    """Two 3³ convolutions, the generator's with PixelNorm."""

    def __init__(self, channels: int, between: int, made: int, *, normalise: bool) -> None:
        super().__init__()
        self.first = EqualConv3d(channels, between, 3, gain=_GAIN)
        self.second = EqualConv3d(between, made, 3, gain=_GAIN)
        self.normalise = normalise

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.first, self.second):
            x = F.leaky_relu(conv(x), LEAK)
            x = unit_mean_square(x) if self.normalise else x
        return x


class Generator(nn.Module):
    """z (N, latent) to volumes (N, 1, R, R, R)."""

    def __init__(self, architecture: ProgressiveArchitecture) -> None:
        super().__init__()
        widths = architecture.widths()
        self.last = len(widths) - 1
        self.start = EqualLinear(architecture.latent, widths[0] * 64, gain=_GAIN)
        self.start_conv = EqualConv3d(widths[0], widths[0], 3, gain=_GAIN)
        self.blocks = nn.ModuleList(_Convs(a, b, b, normalise=True) for a, b in itertools.pairwise(widths))
        self.outputs = nn.ModuleList(EqualConv3d(width, 1, 1) for width in widths)

    def forward(self, z: Tensor) -> Tensor:
        """Return the volumes of the grown network; the published output is linear, a model's is clipped."""
        volumes = self.at(z, self.last, 1.0)
        return volumes if self.training else volumes.clamp(-1, 1)

    def at(self, z: Tensor, level: int, fade: float) -> Tensor:
        """Return volumes of (4 · 2^level)³: at ``fade`` 0 those of the level before, at 1 all its own."""
        x = F.leaky_relu(self.start(unit_mean_square(z)), LEAK).view(len(z), -1, 4, 4, 4)
        x = unit_mean_square(F.leaky_relu(self.start_conv(unit_mean_square(x)), LEAK))
        before = x
        for block in self.blocks[:level]:
            before, x = x, block(_doubled(x))
        volumes: Tensor = self.outputs[level](x)
        if fade < 1:
            volumes = torch.lerp(_doubled(self.outputs[level - 1](before)), volumes, fade)
        return volumes


class Critic(nn.Module):
    """Volumes of a level to scores (N,), high for real ones."""

    def __init__(self, architecture: ProgressiveArchitecture) -> None:
        super().__init__()
        widths = architecture.widths()
        self.inputs = nn.ModuleList(EqualConv3d(1, width, 1, gain=_GAIN) for width in widths)
        self.blocks = nn.ModuleList(_Convs(b, b, a, normalise=False) for a, b in itertools.pairwise(widths))
        self.end_conv = EqualConv3d(widths[0] + 1, widths[0], 3, gain=_GAIN)
        self.end = EqualLinear(widths[0] * 64, widths[0], gain=_GAIN)
        self.output = EqualLinear(widths[0], 1)

    def forward(self, volumes: Tensor, level: int, fade: float) -> Tensor:
        """Return the scores of volumes of (4 · 2^level)³."""
        x = F.leaky_relu(self.inputs[level](volumes), LEAK)
        for index in reversed(range(level)):
            x = F.avg_pool3d(self.blocks[index](x), 2)
            if index == level - 1 and fade < 1:
                older = F.leaky_relu(self.inputs[index](F.avg_pool3d(volumes, 2)), LEAK)
                x = torch.lerp(older, x, fade)
        x = F.leaky_relu(self.end_conv(with_batch_deviation(x)), LEAK)
        scores: Tensor = self.output(F.leaky_relu(self.end(x.flatten(1)), LEAK))
        return scores.flatten()


class ProgressiveGAN(GAN):
    """Progressive growing of GANs."""

    kind = "progressive"
    title = "Progressive GAN"
    source = "Karras et al., ICLR 2018"
    Options, Architecture = ProgressiveOptions, ProgressiveArchitecture
    parts: ClassVar = {"generator": Generator, "critic": Critic}
    normalises_latents = True

    growth: Tensor
    """Levels grown so far. Kept with the networks, so that a run that is prolonged does not shrink."""

    def __init__(self, options: Any, size: int, class_frequencies: Tensor | None = None) -> None:
        super().__init__(options, size, class_frequencies)
        self.last = cube_doublings(size)
        self.level, self.fade = self.last, 1.0
        self.register_buffer("growth", torch.zeros(()))

    def turns(self, moment: Moment) -> Sequence[Turn]:
        """Return the turns of critic and generator at the size that they have grown to."""
        done = moment.iteration / (moment.iterations * self.options.growing)
        growth = max(float(self.growth), grown(done, self.last))
        self.growth.fill_(growth)
        self.level = math.ceil(growth)
        self.fade = 1.0 if self.level == 0 else growth - self.level + 1
        common: dict[str, Any] = {"lr": self.options.lr, "era": self.level}
        return [
            Turn(name="C", trains=("critic",), loss=self.critic_loss, amp=False, **common),
            Turn(name="G", trains=("generator",), loss=self.generator_loss, **common),
        ]

    def critic_loss(self, batch: Batch) -> Losses:
        """Negative Wasserstein distance, gradient penalty, and the drift of real scores."""
        with torch.no_grad():
            fake = self._fakes(batch)
        real = shrunk(batch.real, self.last - self.level, self.fade)
        scores = self._scores(real)
        distance = scores.mean() - self._scores(fake).mean()
        penalty = gradient_penalty(self._scores, real, fake, batch.random)
        loss = self.options.penalty_weight * penalty - distance
        loss = loss + self.options.drift_weight * scores.square().mean()
        size = torch.tensor(4.0 * 2**self.level)
        return loss, {"wasserstein": distance.detach(), "penalty": penalty.detach(), "size": size}

    def generator_loss(self, batch: Batch) -> Losses:
        """Negative mean score of generated volumes."""
        return -self._scores(self._fakes(batch)).mean(), {}

    def sample(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the volumes (N, 1, R, R, R), with larger voxels while the generator grows."""
        generator: Any = self.averages["generator"]
        volumes = generator.at(z, self.level, self.fade).clamp(-1, 1)
        return F.interpolate(volumes, scale_factor=float(2 ** (self.last - self.level)))

    def _fakes(self, batch: Batch) -> Tensor:
        generator: Any = self.networks["generator"]
        fakes: Tensor = generator.at(self.latents(len(batch.real), batch.random), self.level, self.fade)
        return fakes

    def _scores(self, volumes: Tensor) -> Tensor:
        scores: Tensor = self.networks["critic"](volumes, self.level, self.fade)
        return scores


def grown(done: float, last: int) -> float:
    """Return the levels that networks have grown when this share of the growing is done.

    4³ as it is, a fade to 8³, 8³ as it is, … a fade to the last level: phases of equal length.

    >>> [grown(share, 2) for share in (0, 0.25, 0.375, 0.5, 0.7, 0.75, 0.875, 1, 2)]
    [0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.5, 2.0, 2.0]
    """
    phase, within = divmod(min(done, 1.0) * 2 * last, 1)
    return (phase + 1) / 2 - 1 + within if phase % 2 else phase / 2


def shrunk(volumes: Tensor, halvings: int, fade: float) -> Tensor:
    """Return real volumes as a level sees them: averaged, and as coarse as generated ones in a fade."""
    if halvings:
        volumes = F.avg_pool3d(volumes, 2**halvings)
    return volumes if fade == 1 else torch.lerp(_doubled(F.avg_pool3d(volumes, 2)), volumes, fade)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0)
