"""The encoders: E^H from a slab to its features, E^G from those to the latent (paper, Fig. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..layers import Block, group_norm
from .architecture import SLABS, Architecture
from .discriminator import layers_dropped


def _halving(before: int, width: int) -> Block:
    return Block(nn.Conv3d(before, width, 4, stride=2, padding=1), group_norm(width))


class Encoder(nn.Module):
    """E^H: a slab (N, 1, d, R, R) in [-1, 1] to its features (N, 2w, d/4, R/4, R/4).

    Its GroupNorm sees one slab, in training and afterwards, so a volume is always encoded slab by slab
    (:meth:`volume`), which also bounds the memory.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        w = architecture.generator_width
        self.blocks = nn.ModuleList(
            [
                _halving(1, w),
                Block(nn.Conv3d(w, w, 3, padding=1), group_norm(w)),
                _halving(w, architecture.common_width),
            ]
        )

    def forward(self, slab: Tensor) -> Tensor:
        """Return the features of a slab."""
        x = slab
        for block in self.blocks:
            x = block(x)
        return x

    def volume(self, volume: Tensor) -> Tensor:
        """Return the features (N, 2w, R/4, R/4, R/4) of whole volumes, encoded as eight slabs."""
        return torch.cat([self(slab) for slab in volume.chunk(SLABS, dim=2)], dim=2)


class GroundEncoder(nn.Module):
    """E^G: features (N, 2w, R/4, R/4, R/4) of a volume to its latent (N, latent)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        g = architecture.ground_encoder_width
        hidden = [g // 16, g // 8, g // 4, g // 2, g][layers_dropped(architecture.size) :]
        widths = [architecture.common_width, *hidden]
        self.blocks = nn.ModuleList(_halving(a, b) for a, b in zip(widths, hidden, strict=False))
        self.output = nn.Conv3d(g, architecture.latent, 4)

    def forward(self, features: Tensor) -> Tensor:
        """Return the latents."""
        x = features
        for block in self.blocks:
            x = block(x)
        return self.output(x).flatten(1)
