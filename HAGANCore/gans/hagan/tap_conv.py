"""An upsampling convolution with a matrix product for each of its 27 taps: the fewest multiplications.

Nearest ×2 upsampling and a 3-tap convolution give, along one axis and for an input x with taps w,

    even[i] = w0 x[i-1] + w1 x[i] + w2 x[i]        odd[i] = w0 x[i] + w1 x[i] + w2 x[i+1]

so three products for each input voxel make both outputs; the folded transposed convolution takes four. In
three dimensions that is 27 for 64, and the products of all taps are one matrix product, which reads the 3³
kernel and not the 4³ one. Where a volume is small and its channels are many, reading the kernel is the work:
512 channels at 4³ take 23 ms instead of 152, 512 to 256 at 8³ 82 ms instead of 265, 256 to 128 at 16³ 168 ms
instead of 361 (float32, one core, AVX2 instructions). What the sums cost grows with the voxels: where 128³
voxels of 32 channels come out, the transposed convolution is as fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

import torch
from torch import Tensor, nn

from ..layers import UpsampleConv3d, fold_upsampling
from .slab_layers import SlabConv, runs_of

_ROWS = 256
"""Voxels of one matrix product, at least: fewer do not fill the processor's registers."""


class TapConv:
    """Nearest ×2 upsampling and a 3³ convolution on a CPU in float32, with the face of SlabConv.

    Args:
        conv: an UpsampleConv3d; its parameter is the 3³ kernel.
        dtype: float32 or float64.
    """

    doubles = True

    def __init__(self, conv: nn.Conv3d, dtype: torch.dtype) -> None:
        weight = conv.weight.detach().to(dtype)
        out_channels, in_channels = weight.shape[:2]
        # Rows in the order in which the sums take the axes away: x, then y, then z.
        self.taps = weight.permute(4, 3, 2, 0, 1).reshape(27 * out_channels, in_channels).contiguous()
        assert conv.bias is not None
        self.bias = conv.bias.detach().to(dtype)

    def runs(self, x: Tensor, slab_bytes: int) -> Iterator[tuple[int, int]]:
        """Yield the runs ``start, stop`` of slices of ``x`` whose output takes about ``slab_bytes``."""
        return runs_of(x, 8 * self.bias.numel(), slab_bytes)

    def __call__(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Return what the slices ``start`` to ``stop`` of ``x`` (1, C, D, H, W) become in their place.

        Where gradients are recorded it is the transposed convolution, whose gradient torch has.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            return self._transposed()(x, start, stop)
        channels, depth, height, width = self.bias.numel(), *x.shape[2:]
        out = x.new_empty(stop - start, 2, 2 * height, 2 * width, channels)
        rows = x[0].permute(1, 2, 3, 0)
        step = max(1, _ROWS // (height * width))
        above: Tensor | None = None
        for first in range(max(start - 1, 0), min(stop + 1, depth), step):
            last = min(first + step, stop + 1, depth)
            planes = self._planes(rows[first:last])
            self._add_planes(out, planes, first - start, above)
            above = planes[-1, ..., 0, :]
        out += self.bias
        return out.view(-1, *out.shape[2:]).permute(3, 0, 1, 2)[None]

    def _planes(self, rows: Tensor) -> Tensor:
        """Return the sums over x and y for each tap of z, (n, 2H, 2W, 3, C), of slices (n, H, W, in)."""
        count, height, width, _ = rows.shape
        products = rows.reshape(-1, rows.shape[-1]) @ self.taps.T
        along_x = _doubled(products.view(count * height, width, 3, -1))
        by_y = along_x.view(count, height, 2 * width, 3, -1).transpose(2, 3)
        return _doubled(by_y).view(count, 2 * height, 2 * width, 3, -1)

    @staticmethod
    def _add_planes(out: Tensor, planes: Tensor, first: int, above: Tensor | None) -> None:
        """Add slices' sums to their output (n, 2, 2H, 2W, C); ``above``: what the slice before gives."""
        low, middle, high = planes.unbind(dim=3)
        for index in range(len(planes)):
            place = first + index
            below = above if index == 0 else low[index - 1]
            if 0 <= place < len(out):
                torch.add(middle[index], high[index], out=out[place, 0])
                torch.add(middle[index], low[index], out=out[place, 1])
                if below is not None:
                    out[place, 0] += below
            if 0 < place <= len(out):
                out[place - 1, 1] += high[index]

    def _transposed(self) -> SlabConv:
        weight = self.taps.view(3, 3, 3, self.bias.numel(), -1).permute(3, 4, 2, 1, 0)
        return SlabConv(fold_upsampling(weight.contiguous()), self.bias, doubles=True)


def _doubled(products: Tensor) -> Tensor:
    """Return (A, 2n, …) from the products (A, n, 3, …) of three taps along the second axis."""
    low, middle, high = products.unbind(dim=2)
    out = products.new_empty(*low.shape[:2], 2, *low.shape[2:])
    torch.add(middle, high, out=out[:, :, 0])
    torch.add(middle, low, out=out[:, :, 1])
    out[:, 1:, 0] += low[:, :-1]
    out[:, :-1, 1] += high[:, 1:]
    return out.flatten(1, 2)


def fits(conv: nn.Module, device: torch.device, dtype: torch.dtype) -> TypeGuard[UpsampleConv3d]:
    """Return whether a layer is one for :class:`TapConv` here.

    bfloat16 is left out: 27 rounded products would be added where the transposed convolution rounds once.
    """
    wide = dtype in (torch.float32, torch.float64)
    return isinstance(conv, UpsampleConv3d) and device.type == "cpu" and wide and conv.bias is not None
