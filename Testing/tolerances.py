"""How far two computations of the same number may lie apart, from the rounding of their type alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_SPREAD = 8.0
"""Standard deviations; the largest of 10⁹ normally distributed errors is expected near 6.1."""


def rounding(network: nn.Module, values: Tensor, dtype: torch.dtype | None = None) -> float:
    """Return the absolute difference that two orders of the same operations may show in an output.

    A sum of n products, added in any order with unit roundoff u = eps / 2, is off by about √n · u times the
    root of the sum of their squares, rounding errors being independent (Higham & Mary, SIAM J. Sci. Comput.
    41, 2019; the certain bound is n · u, hundreds of times what is ever seen). A layer's output before its
    normalisation has about the scale of that root of squares, so each layer adds an error of relative size
    √n · u, and the normalisation that follows keeps the relative size. Errors of the L layers add up as
    independent ones: relative size u · √(n₁ + … + n_L) where the output is of the values' own scale. Both
    computations round, which makes √2; the largest error of a volume is within 8 standard deviations.

    Args:
        network: whose convolutions and linear layers count, each with n = kernel voxels × input channels
            (all of them, though not every output passes through every layer).
        values: an output; its largest absolute value is the scale.
        dtype: in which it was computed; that of ``values`` unless given.

    Returns:
        The bound for :func:`torch.testing.assert_close` with ``rtol=0``.
    """
    terms = [
        module.weight[0].numel()
        for module in network.modules()
        if isinstance(module, nn.modules.conv._ConvNd | nn.Linear)
    ]
    roundoff = torch.finfo(dtype or values.dtype).eps / 2
    return _SPREAD * math.sqrt(2) * roundoff * math.sqrt(sum(terms)) * float(values.detach().abs().max())


def assert_same(found: Tensor, expected: Tensor, network: nn.Module) -> None:
    """Fail where ``found`` differs from ``expected`` by more than rounding in ``network`` allows."""
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(network, expected))
