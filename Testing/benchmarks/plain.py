"""The networks as one would write them down first: upsample, then convolve; for comparison only."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from HAGANCore.gans.layers import UpsampleConv3d


class PlainUpsampleConv3d(UpsampleConv3d):
    """The same parameters, with the upsampled volume held in memory."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, D, H, W) to (N, out, 2D, 2H, 2W)."""
        return F.conv3d(F.interpolate(x, scale_factor=2), self.weight, self.bias, padding=1)


def make_plain(network: nn.Module) -> None:
    """Let every upsampling convolution of a network compute in two steps."""
    for module in network.modules():
        if isinstance(module, UpsampleConv3d):
            module.__class__ = PlainUpsampleConv3d
