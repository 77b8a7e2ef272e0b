"""The few layers the networks share."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import HaganError

GROUPS = 8
LEAK = 0.2

# One axis of "nearest ×2, then a 3-tap convolution" as a 4-tap transposed convolution: tap t of the
# latter collects the taps k of the former that meet the same input voxel.
_FOLD_AXIS = ((0.0, 0.0, 1.0, 1.0), (0.0, 1.0, 1.0, 0.0), (1.0, 1.0, 0.0, 0.0))


@cache
def _fold_matrix(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the 27 × 64 matrix of all three axes.

    Kept, because copying it to a GPU in every forward would make the CPU wait for the GPU; and no inference
    tensor wherever it is first asked for, because training needs it too.
    """
    with torch.inference_mode(False):
        axis = torch.tensor(_FOLD_AXIS, device=device, dtype=dtype)
        return torch.kron(axis, torch.kron(axis, axis))


def fold_upsampling(weight: Tensor) -> Tensor:
    """Fold nearest ×2 upsampling into the convolution that follows it.

    Args:
        weight: kernel (out, in, 3, 3, 3) of the convolution (padding 1).

    Returns:
        Kernel (in, out, 4, 4, 4) of the transposed convolution (stride 2, padding 1) that gives the same
        result from the volume before upsampling, with 27/8 fewer multiplications and without ever
        holding the upsampled volume: 3 × 3 × 3 taps on eight equal copies collapse to 2 × 2 × 2.
    """
    out_channels, in_channels = weight.shape[:2]
    folded = weight.reshape(-1, 27) @ _fold_matrix(weight.device, weight.dtype)
    return folded.view(out_channels, in_channels, 4, 4, 4).transpose(0, 1)


class UpsampleConv3d(nn.Conv3d):
    """Nearest ×2 upsampling and a 3³ convolution, computed as one transposed convolution.

    The parameter is the 3³ kernel, so weights are those of the published networks; it is folded at each
    forward (a 27 × 64 matrix product: under 2 % of a forward at 256³).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, D, H, W) to (N, out, 2D, 2H, 2W)."""
        return F.conv_transpose3d(x, fold_upsampling(self.weight), self.bias, stride=2, padding=1)


class VoxelNorm(nn.Module):
    """Normalise each voxel's channels to unit root mean square, then scale and shift per channel.

    PixelNorm (Karras et al., ICLR 2018) with an affine map. No statistics over space, so the result for a
    slab does not depend on the rest of the volume.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, D, H, W) to the same shape."""
        shape = (1, -1, 1, 1, 1)
        weight, bias = self.weight.to(x).view(shape), self.bias.to(x).view(shape)
        # The mean of squares in float32; the volume itself keeps its type, under autocast, too: there a CUDA
        # device makes squares and float32 weights turn bfloat16 into float32, which is twice the memory.
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            wide = torch.promote_types(x.dtype, torch.float32)
            squares = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=wide).square()
            scale = torch.rsqrt(squares / x.shape[1] + self.eps).to(x)
            return x * scale * weight + bias


def group_norm(channels: int) -> nn.GroupNorm:
    """Return the published GroupNorm(8); with fewer groups where 8 does not divide a reduced width."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


class Block(nn.Module):
    """Convolution, normalisation, ReLU: the unit that generator and encoders are built from."""

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return F.relu(self.norm(self.conv(x)))


class _SpectralNorm(nn.Module):
    """Divide ``weight`` by its largest singular value, estimated by one power iteration per forward.

    ``weight`` stays the raw parameter; ``u0`` (1, out) and ``sv0`` (1,) are the published buffers. They
    are written in training mode only (Miyato et al., ICLR 2018).
    """

    weight: Tensor
    u0: Tensor
    sv0: Tensor

    def _register_buffers(self) -> None:
        u0 = torch.empty(1, self.weight.shape[0])
        # To draw for a network that only has shapes would load torch's compiler: 1.2 s for each process.
        self.register_buffer("u0", u0 if u0.is_meta else F.normalize(torch.randn(u0.shape)))
        self.register_buffer("sv0", torch.ones(1))

    def normalised_weight(self) -> Tensor:
        """Return weight / σ; σ is differentiable in the weight, its singular vectors are constants."""
        matrix = self.weight.flatten(1)
        # In full precision: bfloat16 would leave σ with two to three digits.
        with torch.autocast(matrix.device.type, enabled=False):
            with torch.no_grad():
                v = F.normalize(self.u0 @ matrix)
                u = F.normalize(v @ matrix.T)
            sigma = (u @ matrix * v).sum()
        if self.training:
            with torch.no_grad():
                self.u0.copy_(u)
                self.sv0.copy_(sigma)
        return self.weight / sigma


class SpectralConv3d(nn.Conv3d, _SpectralNorm):
    """A 3D convolution with spectral normalisation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int, int],
        stride: tuple[int, int, int],
        padding: tuple[int, int, int],
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, padding)
        self._register_buffers()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the normalised weight."""
        return F.conv3d(x, self.normalised_weight(), self.bias, self.stride, self.padding)


class SpectralLinear(nn.Linear, _SpectralNorm):
    """A linear layer with spectral normalisation."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self._register_buffers()

    def forward(self, x: Tensor) -> Tensor:
        """Multiply with the normalised weight."""
        return F.linear(x, self.normalised_weight(), self.bias)


def cube_doublings(size: int) -> int:
    """Return how often 4³ is doubled to reach a cube of this edge.

    Raises:
        HaganError: it is not reached, or is smaller than 32³.
    """
    doublings = (size // 4).bit_length() - 1
    if size < 32 or size != 4 << doublings:
        raise HaganError(f"The volume size must be 32, 64, 128, 256 or 512; found {size!r}.")
    return doublings


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return labels (N,) as float one-hot rows (N, classes)."""
    return F.one_hot(labels, classes).float()
