"""The generator as a function of its latent that has a gradient: what refinement descends.

The same prepared kernels as :class:`~HAGANCore.gans.hagan.streaming.StreamedGenerator`, without writing into
tensors. Weights are constants.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .slab_layers import SlabConv
from .streaming import StreamedGenerator
from .tap_conv import TapConv


def features_of(generator: StreamedGenerator, z: Tensor, classes: Tensor | None) -> Tensor:
    """Return the common features (1, 2w, R/4, R/4, R/4) of a latent (1, latent)."""
    x = z if classes is None else torch.cat([z, classes.to(z)], dim=1)
    x = generator.linear(x).view(1, generator.base_width, 4, 4, 4).to(generator.dtype)
    for conv, norm in generator.common:
        x = _block(conv, norm, x)
    return x


def low_of(generator: StreamedGenerator, features: Tensor) -> Tensor:
    """Return the low-resolution volume (R/4, R/4, R/4) in [-1, 1]."""
    x = features
    for conv, norm in generator.low_blocks:
        x = _block(conv, norm, x)
    return _image(generator.low_output(x, 0, x.shape[2]))


def slab_of(generator: StreamedGenerator, high: SlabConv, features: Tensor, start: int, stop: int) -> Tensor:
    """Return the slab (4(stop - start), R, R) of the feature slices ``start`` to ``stop``.

    ``high`` is what :meth:`StreamedGenerator.normalising_high` returned for these or nearly these features:
    statistics of GroupNorm are constants here.
    """
    below, above = max(start - 1, 0), min(stop + 1, features.shape[2])
    x = high(features, below, above)
    if not isinstance(generator.high_norm, nn.GroupNorm):
        x = generator.high_norm(x).to(x)
    first = 2 * (start - below)
    return _image(generator.output(F.relu(x), first, first + 2 * (stop - start)))


def _block(conv: SlabConv | TapConv, norm: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(norm, nn.GroupNorm)
    x = conv(x, 0, x.shape[2])
    return F.relu(F.group_norm(x, norm.num_groups, norm.weight.to(x), norm.bias.to(x), norm.eps))


def _image(x: Tensor) -> Tensor:
    return torch.tanh(x[0, 0].to(torch.promote_types(x.dtype, torch.float32)))
