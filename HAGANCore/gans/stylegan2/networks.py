"""Generator and discriminator of StyleGAN 2, with three axes.

The published filter [1, 3, 3, 1] smooths before volumes get smaller; where they get larger, linear
interpolation is the same filter.

In training, noise is drawn for every volume. Otherwise it is constant: each layer's comes from a fixed seed,
on the CPU's random numbers, so one z is one volume everywhere, and a model file need not hold the noise.
"""

from __future__ import annotations

import itertools
import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...fields import whole
from ..base import Architecture
from ..equalised import EqualConv3d, EqualLinear, doubling_widths, unit_mean_square, with_batch_deviation
from ..layers import LEAK, cube_doublings

_MAPPING_RATE = 0.01


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Architecture(Architecture):
    """The numbers that define generator and discriminator."""

    latent: int = whole(512, "Length of the latent z.", least=1, most=65536)
    style: int = whole(512, "Length of the styles w.", least=1, most=65536)
    mapping_layers: int = whole(8, "Layers of the mapping network.", least=1, most=64)
    width: int = whole(32, "Channels at the full size.", least=1, most=512)
    widest: int = whole(512, "Most channels of a layer.", least=1, most=4096)

    def widths(self) -> list[int]:
        """Return the channels at 4³, 8³, … up to R."""
        return doubling_widths(self.width, self.widest, cube_doublings(self.size))


class ModulatedConv3d(nn.Module):
    """A convolution whose input channels a style scales, and whose output is scaled back to unit variance.

    Scaling the volume before and after is the same as scaling the weights for each volume of a batch
    (eq. 1 and 3), and needs no kernel of its own for each.
    """

    def __init__(self, channels: int, made: int, kernel: int, *, demodulate: bool = True) -> None:
        super().__init__()
        self.kernel = EqualConv3d(channels, made, kernel, bias=False)
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map (N, C, D, H, W) and the scales (N, C) of its channels to (N, made, D, H, W)."""
        y: Tensor = self.kernel(x * _per_channel(style).to(x))
        if not self.demodulate:
            return y
        squares = (self.kernel.weight * self.kernel.scale).square().flatten(2).sum(dim=2)  # (made, C)
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            factors = (style.to(squares).square() @ squares.T + 1e-8).rsqrt()
        return y * _per_channel(factors).to(y)


class Mapping(nn.Module):
    """Latents z (N, latent) to styles w (N, style)."""

    def __init__(self, architecture: StyleGAN2Architecture) -> None:
        super().__init__()
        widths = [architecture.latent, *[architecture.style] * architecture.mapping_layers]
        self.layers = nn.ModuleList(
            EqualLinear(a, b, rate=_MAPPING_RATE) for a, b in itertools.pairwise(widths)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the styles; of z, only its direction counts."""
        w = unit_mean_square(z)
        for layer in self.layers:
            w = _activated(layer(w))
        return w


class StyledConv(nn.Module):
    """A modulated convolution, noise, bias and leaky ReLU; with ``up``, the volume is doubled before."""

    def __init__(self, channels: int, made: int, style: int, index: int, *, up: bool = False) -> None:
        super().__init__()
        self.up, self.index = up, index
        self.style = EqualLinear(style, channels, start=1.0)
        self.conv = ModulatedConv3d(channels, made, 3)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(made))

    def forward(self, x: Tensor, w: Tensor, random: torch.Generator | None) -> Tensor:
        """Return the features; ``random`` draws the noise, without it the noise is constant."""
        x = self.conv(_doubled(x) if self.up else x, self.style(w))
        noise = self._noise(x, random).to(x)
        return _activated(x + noise * self.noise_strength.to(x) + _per_channel(self.bias.to(x)[None]))

    def _noise(self, x: Tensor, random: torch.Generator | None) -> Tensor:
        count, edge = (1 if random is None else len(x)), x.shape[2:]
        if x.is_meta:
            return torch.empty(count, 1, *edge, device="meta")
        source = torch.Generator().manual_seed(self.index) if random is None else random
        return torch.randn(count, 1, *edge, generator=source, device=source.device).to(x.device)


class Output(nn.Module):
    """Features to one channel, modulated and not demodulated."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.style = EqualLinear(style, channels, start=1.0)
        self.conv = ModulatedConv3d(channels, 1, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return what this level adds to the volumes."""
        volumes: Tensor = self.conv(x, self.style(w)) + self.bias.to(x)
        return volumes


class Generator(nn.Module):
    """z (N, latent) to volumes (N, 1, R, R, R)."""

    def __init__(self, architecture: StyleGAN2Architecture) -> None:
        super().__init__()
        widths, style = architecture.widths(), architecture.style
        self.mapping = Mapping(architecture)
        self.start = nn.Parameter(torch.empty(1, widths[0], 4, 4, 4))
        if not self.start.is_meta:
            nn.init.normal_(self.start)
        convs = [StyledConv(widths[0], widths[0], style, 0)]
        for a, b in itertools.pairwise(widths):
            convs += [
                StyledConv(a, b, style, len(convs), up=True),
                StyledConv(b, b, style, len(convs) + 1),
            ]
        self.convs = nn.ModuleList(convs)
        self.outputs = nn.ModuleList(Output(width, style) for width in widths)

    def forward(self, z: Tensor) -> Tensor:
        """Return the volumes; the published output is linear, a model's is clipped."""
        w = self.mapping(z)
        volumes = self.synthesis(w[:, None].expand(-1, len(self.convs), -1))
        return volumes if self.training else volumes.clamp(-1, 1)

    def synthesis(self, styles: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Return the volumes of styles (N, layers, style), one for each convolution."""
        x = self.start.expand(len(styles), -1, -1, -1, -1)
        volumes: Tensor | None = None
        for index, conv in enumerate(self.convs):
            x = conv(x, styles[:, index], random)
            if index % 2 == 0:  # the last convolution of its level
                # An output has the style of the next level's first convolution, as published.
                w = styles[:, min(index + 1, len(self.convs) - 1)]
                added = self.outputs[index // 2](x, w)
                volumes = added if volumes is None else _doubled(volumes) + added
        assert volumes is not None
        return volumes


class _Residual(nn.Module):
    """Two convolutions beside one of 1³, to half the edge."""

    def __init__(self, channels: int, made: int) -> None:
        super().__init__()
        self.first = EqualConv3d(channels, channels, 3)
        self.second = EqualConv3d(channels, made, 3, stride=2, padding=0)
        self.skip = EqualConv3d(channels, made, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = _activated(self.second(smoothed(_activated(self.first(x)), 2)))
        return (y + self.skip(smoothed(x, 1, stride=2))) / math.sqrt(2)


class Discriminator(nn.Module):
    """Volumes (N, 1, R, R, R) to logits (N,)."""

    def __init__(self, architecture: StyleGAN2Architecture) -> None:
        super().__init__()
        widths = architecture.widths()[::-1]
        self.input = EqualConv3d(1, widths[0], 1)
        self.blocks = nn.Sequential(*(_Residual(a, b) for a, b in itertools.pairwise(widths)))
        self.end_conv = EqualConv3d(widths[-1] + 1, widths[-1], 3)
        self.end = EqualLinear(widths[-1] * 64, widths[-1])
        self.output = EqualLinear(widths[-1], 1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Return the logits."""
        x = self.blocks(_activated(self.input(volumes)))
        x = _activated(self.end_conv(with_batch_deviation(x)))
        logits: Tensor = self.output(_activated(self.end(x.flatten(1))))
        return logits.flatten()


def smoothed(x: Tensor, padding: int, stride: int = 1) -> Tensor:
    """Return x (N, C, D, H, W) filtered with [1, 3, 3, 1] / 8 along each axis, of every ``stride``-th voxel.

    Sums of slices, because a grouped convolution with so few taps was up to three times as slow on a CPU.
    """
    x = F.pad(x, [padding] * 6)
    for axis in (2, 3, 4):
        turned = x.transpose(2, axis)
        last = turned.shape[2] - 3
        taps = [turned[:, :, tap : last + tap : stride] for tap in range(4)]
        x = (((taps[0] + taps[3]) + 3 * (taps[1] + taps[2])) / 8).transpose(2, axis)
    return x


def _activated(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK) * math.sqrt(2)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="trilinear")


def _per_channel(values: Tensor) -> Tensor:
    return values[:, :, None, None, None]
