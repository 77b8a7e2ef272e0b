"""The discriminator D: D^H judges a slab, D^L the low-resolution volume (paper, Fig. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import LEAK, SpectralConv3d, SpectralLinear
from .architecture import SIZES, Architecture

_HALVE = ((4, 4, 4), (2, 2, 2), (1, 1, 1))
_HALVE_SLAB = ((2, 4, 4), (2, 2, 2), (0, 1, 1))
_HALVE_PLANE = ((1, 4, 4), (1, 2, 2), (0, 1, 1))
_REDUCE_PLANE = ((1, 4, 4), (1, 1, 1), (0, 0, 0))
_REDUCE = ((4, 4, 4), (1, 1, 1), (0, 0, 0))


def layers_dropped(size: int) -> int:
    """Return how many first layers of the 512³ network a network of this size goes without."""
    return SIZES[::-1].index(size)


class SlabDiscriminator(nn.Module):
    """D^H: a slab (N, 1, R/8, R, R) and where it lies, to a logit and class logits."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        w = architecture.discriminator_width
        layers = [
            (w // 64, _HALVE),
            (w // 32, _HALVE),
            (w // 16, _HALVE),
            (w // 8, _HALVE),
            (w // 4, _HALVE_SLAB),
            (w // 2, _HALVE_SLAB),
            (w, _HALVE_PLANE),
            (w // 4, _REDUCE_PLANE),
        ][layers_dropped(architecture.size) :]
        widths = [1, *(width for width, _ in layers)]
        self.convs = nn.ModuleList(
            SpectralConv3d(before, width, *shape)
            for before, (width, shape) in zip(widths, layers, strict=False)
        )
        self.hidden = SpectralLinear(w // 4 + 1, w // 8)
        self.logit = SpectralLinear(w // 8, 1)
        self.class_logits = SpectralLinear(w // 8, architecture.classes) if architecture.classes else None

    def forward(self, slab: Tensor, position: Tensor) -> Tensor:
        """Return (N, 1 + classes); ``position`` (N, 1) of the slab is 0 (lowest) to 1 (highest)."""
        x = slab
        for conv in self.convs:
            x = F.leaky_relu(conv(x), LEAK)
        x = torch.cat([x.flatten(1), position.to(x)], dim=1)
        x = F.leaky_relu(self.hidden(x), LEAK)
        logit = self.logit(x)
        return logit if self.class_logits is None else torch.cat([logit, self.class_logits(x)], dim=1)


class LowDiscriminator(nn.Module):
    """D^L: the low-resolution volume (N, 1, R/4, R/4, R/4) to (N, 1 + classes)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        w = architecture.discriminator_width
        hidden = [w // 32, w // 16, w // 8, w // 4, w // 2][layers_dropped(architecture.size) :]
        widths = [1, *hidden]
        convs = [SpectralConv3d(a, b, *_HALVE) for a, b in zip(widths, hidden, strict=False)]
        self.convs = nn.ModuleList([*convs, SpectralConv3d(w // 2, 1 + architecture.classes, *_REDUCE)])

    def forward(self, low: Tensor) -> Tensor:
        """Return logit and class logits."""
        x = low
        for conv in self.convs[:-1]:
            x = F.leaky_relu(conv(x), LEAK)
        return self.convs[-1](x).flatten(1)


class Discriminator(nn.Module):
    """D: the mean of D^H and D^L."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.high = SlabDiscriminator(architecture)
        self.low = LowDiscriminator(architecture)

    def forward(self, slab: Tensor, low: Tensor, first_slice: Tensor) -> tuple[Tensor, Tensor]:
        """Judge slabs together with their low-resolution volumes.

        Args:
            slab: (N, 1, R/8, R, R) in [-1, 1].
            low: (N, 1, R/4, R/4, R/4) in [-1, 1].
            first_slice: (N,), the index of the slab's first slice in the volume, 0 to 7R/8.

        Returns:
            Logits (N,), high for real, and class logits (N, classes).
        """
        size = self.architecture.size
        position = first_slice.to(slab.dtype).view(-1, 1) / (size - self.architecture.slab_depth)
        both = (self.high(slab, position).float() + self.low(low).float()) / 2
        return both[:, 0], both[:, 1:]
