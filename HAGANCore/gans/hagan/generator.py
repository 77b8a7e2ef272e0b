"""The generator G: common block G^A, low-resolution block G^L, high-resolution block G^H (paper, Fig. 2)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ..layers import Block, UpsampleConv3d, VoxelNorm, group_norm
from .architecture import Architecture

HALO = 1
"""Feature slices on either side that a slab of G^H depends on: conv 3³ at R/2 and conv 3³ at R reach
1/2 + 1/4 of a feature slice."""


class CommonBlock(nn.Module):
    """G^A: latent (N, latent [+ classes]) to the common features (N, 2w, R/4, R/4, R/4)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        w = architecture.generator_width
        widths = (16 * w, 16 * w, 16 * w, 8 * w, 4 * w, 2 * w)
        self.base_width = widths[0]
        self.linear = nn.Linear(architecture.latent + architecture.classes, widths[0] * 4**3)
        doublings = (architecture.low_size // 4).bit_length() - 1
        # The published 256³ and 128³ networks start doubling at the second convolution; 512³ needs all five.
        first = 0 if doublings == 5 else 1
        self.blocks = nn.ModuleList(
            Block(
                UpsampleConv3d(a, b) if first <= i < first + doublings else nn.Conv3d(a, b, 3, padding=1),
                group_norm(b),
            )
            for i, (a, b) in enumerate(pairwise(widths))
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the common features."""
        x = self.linear(z).view(-1, self.base_width, 4, 4, 4)
        for block in self.blocks:
            x = block(x)
        return x


class LowResolutionBlock(nn.Module):
    """G^L: common features to the low-resolution volume (N, 1, R/4, R/4, R/4) in [-1, 1]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        w = architecture.generator_width
        self.blocks = nn.ModuleList(
            Block(nn.Conv3d(a, b, 3, padding=1), group_norm(b)) for a, b in ((2 * w, w), (w, w // 2))
        )
        self.output = nn.Conv3d(w // 2, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the low-resolution volume."""
        x = features
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.output(x))


class HighResolutionBlock(nn.Module):
    """G^H: common features (N, 2w, d, R/4, R/4) to the slab (N, 1, 4d, R, R) in [-1, 1]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        w = architecture.generator_width
        self.consistent = architecture.normalisation == "slab-consistent"
        self.block = Block(UpsampleConv3d(2 * w, w), VoxelNorm(w) if self.consistent else group_norm(w))
        self.output = UpsampleConv3d(w, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the high-resolution slab, or volume, of all the features given."""
        return torch.tanh(self.output(self.block(features)))

    def slab(self, features: Tensor, start: int, depth: int) -> Tensor:
        """Return the slab of feature slices ``start`` to ``start + depth`` of a whole volume's features.

        With slab-consistent normalisation this equals that part of ``forward(features)``. With GroupNorm
        it is the published training behaviour: the slab knows nothing of its neighbours.

        Returns:
            (N, 1, 4 · depth, R, R).
        """
        if not self.consistent:
            return self(features[:, :, start : start + depth])
        below = min(HALO, start)
        above = min(HALO, features.shape[2] - start - depth)
        x = self.block(features[:, :, start - below : start + depth + above])
        # Of the doubled halo only the slice next to the slab is right, and only that one is needed.
        x = x[:, :, below : x.shape[2] - above]
        x = self.output(x)
        return torch.tanh(x[:, :, 2 * below : x.shape[2] - 2 * above])


class Generator(nn.Module):
    """G: common features once; from them the low-resolution volume and any high-resolution slab."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.common = CommonBlock(architecture)
        self.low = LowResolutionBlock(architecture)
        self.high = HighResolutionBlock(architecture)

    def features(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the common features (N, 2w, R/4, R/4, R/4).

        Args:
            z: latents (N, latent).
            classes: class probabilities or one-hot labels (N, classes); needed if, and only if, the model
                is conditional.

        Raises:
            ValueError: classes are missing, or given to an unconditional model.
        """
        if (classes is not None) != bool(self.architecture.classes):
            raise ValueError(
                f"a model with {self.architecture.classes} classes got classes={classes is not None}"
            )
        return self.common(z if classes is None else torch.cat([z, classes.to(z)], dim=1))

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return whole volumes (N, 1, R, R, R) in [-1, 1]."""
        return self.high(self.features(z, classes))

    def slab_and_low(self, features: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Return the slab that starts at feature slice ``start``, and the low-resolution volume."""
        return self.high.slab(features, start, self.architecture.slab_features), self.low(features)
