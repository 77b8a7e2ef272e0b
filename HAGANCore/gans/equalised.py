"""Layers that Progressive GAN and StyleGAN 2 share: equalised learning rates and statistics of a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class EqualConv3d(nn.Conv3d):
    """A convolution whose weights are N(0, 1) and are scaled to He's width in every forward.

    So Adam, which takes steps of one size, changes every layer equally fast (Karras et al., ICLR 2018,
    section 4.1). The result keeps the edge of the volume, or divides it by ``stride``.
    """

    def __init__(
        self,
        channels: int,
        made: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        gain: float = 1.0,
        bias: bool = True,
    ) -> None:
        padding = kernel // 2 if padding is None else padding
        super().__init__(channels, made, kernel, stride, padding, bias=bias)
        self.scale = gain / math.sqrt(self.weight[0].numel())

    def reset_parameters(self) -> None:
        """Draw the weights; a network that only has shapes draws none."""
        if not self.weight.is_meta:
            nn.init.normal_(self.weight)
            if self.bias is not None:
                nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the scaled weights."""
        return F.conv3d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class EqualLinear(nn.Linear):
    """A linear layer like :class:`EqualConv3d`.

    Args:
        features: numbers given.
        made: numbers made.
        gain: of what follows, such as √2 for a leaky ReLU.
        rate: how fast it learns compared with other layers.
        start: of the bias.
    """

    def __init__(
        self, features: int, made: int, *, gain: float = 1.0, rate: float = 1.0, start: float = 0.0
    ) -> None:
        self.rate, self.start = rate, start
        super().__init__(features, made)
        self.scale = gain * rate / math.sqrt(features)

    def reset_parameters(self) -> None:
        """Draw the weights; a network that only has shapes draws none."""
        if not self.weight.is_meta:
            nn.init.normal_(self.weight, std=1 / self.rate)
            nn.init.constant_(self.bias, self.start / self.rate)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply with the scaled weights."""
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


def unit_mean_square(x: Tensor) -> Tensor:
    """Return x (N, C, …) with a mean square of 1 over the channels (PixelNorm, idem, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def with_batch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Return x (N, C, D, H, W) with a channel that says how much a group of the batch varies.

    It lets a discriminator see that a generator makes the same volume again and again: the standard
    deviation over the group of every feature at every voxel, averaged (idem, section 3). Groups have at most
    ``group`` volumes, and fewer where the batch cannot be divided so.
    """
    count = len(x)
    size = max(d for d in range(1, min(group, count) + 1) if count % d == 0)
    grouped = x.float().view(size, count // size, *x.shape[1:])
    deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().flatten(1).mean(dim=1)
    channel = deviation.repeat(size).view(-1, 1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel.to(x)], dim=1)


def doubling_widths(width: int, widest: int, doublings: int) -> list[int]:
    """Return the channels at 4³, 8³, … R: ``width`` at R, twice as many at each half, at most ``widest``."""
    return [min(widest, width << level) for level in reversed(range(doublings + 1))]
