"""Whole volumes from the generator, slab by slab, in memory that does not grow with the volume.

After the common features there is nothing but convolution and normalisation, so a slab of the volume needs
its own features and their nearest neighbours only. GroupNorm needs statistics of the whole volume: they are
gathered slab by slab in a first pass, and the second has them folded into its convolution. The result
equals :meth:`Generator.forward` to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import Block, VoxelNorm
from . import Generator
from .slab_layers import ChannelStatistics, PhaseConv, SlabConv, group_norm_relu, voxel_norm_relu_
from .tap_conv import TapConv, fits

SLAB_BYTES = 8 << 20
"""Activations of one slab. A few MB stay in the processor's cache between the layers."""
COMMON_BYTES = 32 << 20
"""Up to this size the activations of a common block are normalised as a whole, which is faster."""


class StreamedGenerator:
    """A generator made ready to produce whole volumes on one device, in one precision.

    Kernels are folded, cast and laid out once, when this is made; later changes of the generator's weights
    are not seen. One volume is computed at a time, so it never depends on what else is asked for.

    The layers are open to :mod:`~HAGANCore.gans.hagan.differentiable`, which computes gradients with them.

    Args:
        generator: G, on ``device``, in float32 (float64 for a check).
        dtype: precision of the convolutions.
        slab_bytes: about how much one layer's output for one slab may take; at least one slice is
            computed at a time.
    """

    def __init__(
        self, generator: Generator, dtype: torch.dtype = torch.float32, slab_bytes: int = SLAB_BYTES
    ) -> None:
        common, low, high = generator.common, generator.low, generator.high
        self.architecture = generator.architecture
        self.device, self.dtype = common.linear.weight.device, dtype
        self.slab_bytes = slab_bytes
        self.base_width = common.base_width
        self.linear = common.linear
        self.common = [self._prepared_common(block) for block in common.blocks]
        self.low_blocks = [self._prepared(block) for block in low.blocks]
        self.low_output = SlabConv.of(low.output, self.device, dtype)
        self.high, self.high_norm = self._prepared(high.block)
        self._output = PhaseConv(high.output, self.device, dtype)
        self.output = SlabConv.of(high.output, self.device, dtype)

    def _prepared(self, block: nn.Module) -> tuple[SlabConv, nn.Module]:
        assert isinstance(block, Block)
        return SlabConv.of(block.conv, self.device, self.dtype), block.norm

    def _prepared_common(self, block: nn.Module) -> tuple[SlabConv | TapConv, nn.Module]:
        """Return a block of G^A: small volumes of many channels, where kernels are most of what is read."""
        assert isinstance(block, Block)
        if not fits(block.conv, self.device, self.dtype):
            return self._prepared(block)
        return TapConv(block.conv, self.dtype), block.norm

    @torch.no_grad()
    def features(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the common features (1, 2w, R/4, R/4, R/4) of one latent (1, latent).

        Args:
            z: the latent.
            classes: class probabilities (1, classes) of a conditional model.
        """
        x = z if classes is None else torch.cat([z, classes.to(z)], dim=1)
        # One vector by a large matrix: reading the matrix is the work, casting it would double it.
        x = F.linear(x.to(self.linear.weight), self.linear.weight, self.linear.bias)
        x = x.view(1, self.base_width, 4, 4, 4).to(self.dtype)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        for conv, norm in self.common:
            x = self._common_block(conv, norm, x)
        return x

    @torch.no_grad()
    def low(self, features: Tensor) -> Tensor:
        """Return the low-resolution volume (R/4, R/4, R/4) in [-1, 1]."""
        x = features
        for conv, norm in self.low_blocks:
            x = self._common_block(conv, norm, x)
        x = self.low_output(x, 0, x.shape[2])[0, 0]
        return x.to(torch.promote_types(x.dtype, torch.float32)).tanh_()

    def _common_block(self, conv: SlabConv | TapConv, norm: nn.Module, x: Tensor) -> Tensor:
        """Return a block of G^A or G^L; a large one is filled slab by slab and normalised in place."""
        assert isinstance(norm, nn.GroupNorm)
        runs = list(conv.runs(x, max(COMMON_BYTES, self.slab_bytes)))
        if len(runs) == 1:
            return group_norm_relu(conv(x, 0, x.shape[2]), norm)
        factor = 2 if conv.doubles else 1
        shape = (1, conv.bias.numel(), *(factor * edge for edge in x.shape[2:]))
        out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d)
        statistics = ChannelStatistics()
        for start, stop in runs:
            slab = conv(x, start, stop)
            statistics.add(slab)
            out[:, :, factor * start : factor * stop] = slab
        scale, shift = (v.to(x).view(1, -1, 1, 1, 1) for v in statistics.affine(norm))
        for start, stop in runs:
            out[:, :, factor * start : factor * stop].mul_(scale).add_(shift).relu_()
        return out

    def high_slabs(self) -> int:
        """Return into how many slabs :meth:`slabs` divides a volume."""
        edge = self.architecture.low_size
        like = torch.empty((1, 1, edge, edge, edge), dtype=self.dtype, device="meta")
        return len(list(self.high.runs(like, self.slab_bytes)))

    @torch.no_grad()
    def normalising_high(self, features: Tensor) -> SlabConv:
        """Return G^H's first convolution with GroupNorm, if it has one, of all of ``features`` folded in."""
        if not isinstance(self.high_norm, nn.GroupNorm):
            return self.high
        statistics = ChannelStatistics()
        for start, stop in self.high.runs(features, self.slab_bytes):
            statistics.add(self.high(features, start, stop))
        return self.high.scaled(*statistics.affine(self.high_norm))

    @torch.no_grad()
    def slabs(self, features: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the volume of these features from below.

        Yields:
            The index of a slab's first slice, and the slab (d, R, R) in [-1, 1], at least float32.
        """
        high, norm = self.normalising_high(features), self.high_norm
        # The output's slices lie between the slices of the high block, so what the topmost of these adds is
        # carried over to the next slab, and nothing is computed twice.
        carried = None
        for start, stop in self.high.runs(features, self.slab_bytes):
            x = high(features, start, stop)
            x = voxel_norm_relu_(x, norm) if isinstance(norm, VoxelNorm) else x.relu_()
            parts = self._output.contributions(x)
            del x  # 17 MB at 512³ that would stay while the next one is computed
            first, last = carried is None, stop == features.shape[2]
            outside = torch.zeros_like(parts[:1])
            below, above = outside if carried is None else carried, [outside] if last else []
            carried = parts[-1:].clone()
            slab = self._output.between(torch.cat([below, parts, *above])).tanh_()
            del parts, below
            # Of the two slices between the volume and what is outside, one is outside.
            yield 4 * start - int(not first), slab[int(first) : len(slab) - int(last)]
