"""The generator's layers, made to work on a run of slices of a tensor instead of the whole."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import UpsampleConv3d, VoxelNorm, fold_upsampling

_PARITY_TAPS = ([3, 1], [2, 0])
"""Taps of the folded 4-tap kernel that reach an even (odd) output voxel, from the lower input voxel up."""


class SlabConv:
    """A 3³ convolution, upsampling or not, its kernel ready for one device and precision."""

    def __init__(self, weight: Tensor, bias: Tensor, doubles: bool) -> None:
        self.weight = weight.contiguous(memory_format=torch.channels_last_3d)
        self.bias = bias
        self.doubles = doubles

    @classmethod
    def of(cls, conv: nn.Module, device: torch.device, dtype: torch.dtype) -> SlabConv:
        """Return the convolution ``conv``; its kernel is folded once, not at each forward."""
        assert isinstance(conv, nn.Conv3d)
        doubles = isinstance(conv, UpsampleConv3d)
        weight = fold_upsampling(conv.weight) if doubles else conv.weight
        return cls(weight.to(device, dtype), _bias(conv).to(device, dtype), doubles)

    def scaled(self, scale: Tensor, shift: Tensor) -> SlabConv:
        """Return this convolution followed by ``scale`` and ``shift`` (C,) of its output channels."""
        shape = (1, -1, 1, 1, 1) if self.doubles else (-1, 1, 1, 1, 1)
        weight, bias = self.weight * scale.view(shape), self.bias * scale + shift
        return SlabConv(weight.to(self.weight), bias.to(self.bias), self.doubles)

    def runs(self, x: Tensor, slab_bytes: int) -> Iterator[tuple[int, int]]:
        """Yield the runs ``start, stop`` of slices of ``x`` whose output takes about ``slab_bytes``."""
        return runs_of(x, self.bias.numel() * (8 if self.doubles else 1), slab_bytes)

    def __call__(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Return what the slices ``start`` to ``stop`` of ``x`` (1, C, D, H, W) become in their place."""
        whole = start == 0 and stop == x.shape[2]
        run = x if whole else _with_neighbours(x, start, stop)
        if self.doubles:
            # The padding crops the neighbours' own four output slices, so they are never computed.
            padding = (1 if whole else 3, 1, 1)
            return F.conv_transpose3d(run, self.weight, self.bias, stride=2, padding=padding)
        return F.conv3d(run, self.weight, self.bias, padding=(1 if whole else 0, 1, 1))


def runs_of(x: Tensor, values: int, slab_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the runs ``start, stop`` of slices of ``x`` that become about ``slab_bytes``.

    Args:
        x: (1, C, D, H, W).
        values: what each of its voxels becomes.
        slab_bytes: of the output of a run; one slice is the least.
    """
    step = max(1, slab_bytes // (values * x.shape[3] * x.shape[4] * x.element_size()))
    for start in range(0, x.shape[2], step):
        yield start, min(start + step, x.shape[2])


def _with_neighbours(x: Tensor, start: int, stop: int) -> Tensor:
    """Return slices ``start`` - 1 to ``stop`` + 1 of ``x``; zeros stand in for those outside."""
    run = x[:, :, max(start - 1, 0) : min(stop + 1, x.shape[2])]
    below, above = int(start == 0), int(stop == x.shape[2])
    return F.pad(run, (0, 0, 0, 0, below, above)) if below or above else run


def _bias(conv: nn.Conv3d) -> Tensor:
    return torch.zeros(conv.out_channels) if conv.bias is None else conv.bias


class PhaseConv:
    """Nearest ×2 upsampling and a 3³ convolution to one channel, as one 2D convolution of each slice.

    The 2 × 2 × 2 output voxels between neighbouring input voxels see these and no others, each through a
    kernel 2³ of its own. The lower and the upper half of the eight kernels are 16 channels of a 2D
    convolution; added in pairs, all at once, and put in their places they are the output. For 8 slices of
    32 × 128² the convolution takes 10 ms in float32 and 5 in bfloat16 (one core with AVX-512), where the
    transposed convolution takes 50 and 28. A 3D convolution is no faster, and torch 2.13 runs a small one (up
    to 20,480 voxels times channels, the last axis aside) by a slow path that needs 41 ms where this needs
    3.7. With many output channels the transposed convolution is the fastest.
    """

    def __init__(self, conv: nn.Conv3d, device: torch.device, dtype: torch.dtype) -> None:
        folded = fold_upsampling(conv.weight)[:, 0]
        # Between two slices the odd one comes first: it is the upper neighbour of the lower slice.
        kernels = [
            folded[:, a[half]][:, b][:, :, c]
            for half in (0, 1)
            for a in reversed(_PARITY_TAPS)
            for b in _PARITY_TAPS
            for c in _PARITY_TAPS
        ]
        weight = torch.stack(kernels).to(device, dtype)
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias = _bias(conv).to(device, torch.promote_types(dtype, torch.float32))

    def contributions(self, x: Tensor) -> Tensor:
        """Return what each slice of ``x`` (1, C, d, H, W) adds to the output: (d, 16, H + 1, W + 1).

        Channels 0 to 7 go to the two output slices above it, 8 to 15 to those below.
        """
        return F.conv2d(x[0].transpose(0, 1), self.weight, padding=1)

    def between(self, contributions: Tensor) -> Tensor:
        """Return the 2(d - 1) output slices between the lowest and the topmost of d slices.

        Returns:
            (2(d - 1), 2H, 2W), float32, or float64 from float64.
        """
        count, height, width = len(contributions) - 1, contributions.shape[2] - 1, contributions.shape[3] - 1
        phases = contributions.permute(0, 2, 3, 1)
        wide = phases[:-1, ..., :8].to(self.bias.dtype).add(phases[1:, ..., 8:]).add_(self.bias)
        wide = wide.view(count, height + 1, width + 1, 2, 2, 2)
        out = self.bias.new_empty((count, 2, height, 2, width, 2))
        for b in (0, 1):
            for c in (0, 1):
                phase = wide[:, b : b + height, c : c + width, :, b, c]
                out[:, :, :, b, :, c] = phase.permute(0, 3, 1, 2)
        return out.view(2 * count, 2 * height, 2 * width)


class ChannelStatistics:
    """Mean and variance per channel of a tensor that is seen slab by slab.

    Two passes within a slab and the update of Chan, Golub and LeVeque (1979) between slabs, in float64
    where the device has it, so nothing cancels, whatever the mean.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros(())

    def add(self, slab: Tensor) -> None:
        """Take in a slab (1, C, d, H, W)."""
        rows = slab.permute(0, 2, 3, 4, 1).flatten(0, 3)
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        mean = rows.mean(dim=0)
        squares = (rows - mean).square_().sum(dim=0)
        if slab.device.type != "mps":
            mean, squares = mean.double(), squares.double()
        total = self.count + len(rows)
        if self.count:
            difference = mean - self.mean
            squares = self.squares + squares + difference.square() * (self.count * len(rows) / total)
            mean = self.mean + difference * (len(rows) / total)
        self.count, self.mean, self.squares = total, mean, squares

    def affine(self, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
        """Return scale and shift (C,) that normalise as ``norm`` would with the whole tensor before it."""
        means = self.mean.view(norm.num_groups, -1)
        mean = means.mean(dim=1, keepdim=True)
        variances = self.squares.view_as(means) / self.count + (means - mean).square()
        inverse = torch.rsqrt(variances.mean(dim=1, keepdim=True) + norm.eps)
        scale = norm.weight.to(means) * inverse.expand_as(means).flatten()
        return scale, norm.bias.to(means) - mean.expand_as(means).flatten() * scale


def group_norm_relu(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Return ReLU(GroupNorm(x)) in the precision of ``x``."""
    return F.relu_(F.group_norm(x, norm.num_groups, norm.weight.to(x), norm.bias.to(x), norm.eps))


def voxel_norm_relu_(x: Tensor, norm: VoxelNorm) -> Tensor:
    """Return ReLU(VoxelNorm(x)); overwrites ``x`` (1, C, d, H, W).

    A norm over the innermost axis and products in place: in channels-last memory 1.5 ms for 16 MB of
    float32 where the module's formula takes 12.3.
    """
    rows = x.permute(0, 2, 3, 4, 1)
    scale = torch.linalg.vector_norm(rows, dim=-1, keepdim=True).square_().div_(rows.shape[-1])
    rows.mul_(scale.add_(norm.eps).rsqrt_()).mul_(norm.weight.to(x)).add_(norm.bias.to(x)).relu_()
    return x
