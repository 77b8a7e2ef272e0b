"""Whole volumes from the generators of GANs that cannot be streamed, all at once.

Only HA-GAN's generator is nothing but convolutions after its common features. Batch normalisation could be
streamed, too, but these GANs are here to be compared with, at sizes that fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..gans import gan_of
from ..gans.layers import UpsampleConv3d

_TAPS_UPSAMPLED = 8
"""Multiplications of a folded 3³ kernel for each voxel put out, per pair of channels."""


class WholeGenerator:
    """A generator with the face of :class:`~HAGANCore.gans.hagan.streaming.StreamedGenerator`.

    Args:
        generator: the network, on its device.
        architecture: its numbers.
        dtype: precision of the convolutions.
    """

    def __init__(self, generator: nn.Module, architecture: Any, dtype: torch.dtype) -> None:
        self.generator, self.architecture, self.dtype = generator, architecture, dtype

    @torch.no_grad()
    def features(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Return the volume (1, 1, R, R, R) of one latent (1, latent), which is all there is."""
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            volume: Tensor = self.generator(z) if classes is None else self.generator(z, classes)
        return volume.float()

    def low(self, features: Tensor) -> Tensor:
        """Return the volume averaged to (R/4, R/4, R/4): a preview, though it costs what the volume costs."""
        return F.avg_pool3d(features, 4)[0, 0]

    def slabs(self, features: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield 0 and the volume (R, R, R), as one slab."""
        yield 0, features[0, 0]


def whole_cost(kind: str, architecture: Any, dtype: torch.dtype) -> tuple[int, int]:
    """Return bytes above the weights and multiplications of one volume, from the shapes alone."""
    with torch.device("meta"):
        generator = gan_of(kind).parts["generator"](architecture).eval()
        z = torch.empty(1, architecture.latent)
    sizes: list[int] = []
    multiplications = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal multiplications
        sizes.append(given[0].numel() + made.numel())
        if isinstance(module, nn.Conv3d):
            taps = _TAPS_UPSAMPLED if isinstance(module, UpsampleConv3d) else module.weight[0, 0].numel()
            multiplications += taps * module.in_channels * made.numel()
        elif isinstance(module, nn.ConvTranspose3d):
            multiplications += given[0].numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(count) for module in generator.modules() if not list(module.children())
    ]
    with torch.no_grad():
        generator(z) if not architecture.classes else generator(
            z, torch.empty(1, architecture.classes, device="meta")
        )
    for hook in hooks:
        hook.remove()
    # What goes into a layer, what comes out of it, the activation between two of them, and the int16 volume.
    return int(1.5 * max(sizes)) * dtype.itemsize + 6 * architecture.size**3, multiplications
