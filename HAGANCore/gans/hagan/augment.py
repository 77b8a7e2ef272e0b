"""Differentiable augmentation of what the discriminator sees (Zhao et al., NeurIPS 2020), in 3D.

Real and generated volumes are changed alike before D judges them, so D cannot learn a small cohort by
heart, and G is not taught the changes. A slab and its low-resolution volume show the same body, so both
get the same change.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = 4
"""A voxel of the low-resolution volume is four voxels of the slab."""


def augment_pair(
    slab: Tensor, low: Tensor, kinds: tuple[str, ...], random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return slab (N, 1, R/8, R, R) and low-resolution volume (N, 1, R/4, R/4, R/4), changed alike."""
    for kind in kinds:
        slab, low = _KINDS[kind](slab, low, random)
    return slab, low


def _uniform(like: Tensor, random: torch.Generator) -> Tensor:
    """Return one number in [0, 1) per volume, broadcastable; drawn on the CPU so that devices agree."""
    return torch.rand(len(like), 1, 1, 1, 1, generator=random).to(like)


def _intensity(slab: Tensor, low: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shift by up to ±0.1 and scale the contrast about the low-resolution mean by 0.8 to 1.2."""
    shift = 0.2 * _uniform(slab, random) - 0.1
    contrast = 0.8 + 0.4 * _uniform(slab, random)
    mean = low.mean(dim=(1, 2, 3, 4), keepdim=True)
    return (slab - mean) * contrast + mean + shift, (low - mean) * contrast + mean + shift


def _shift(slab: Tensor, low: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Move in the axial plane by up to 1/8 of its edge; what comes in is air."""
    reach = low.shape[-1] // 8
    steps = torch.randint(-reach, reach + 1, (len(low), 2), generator=random).tolist()
    return (
        torch.stack([_moved(s, SCALE * dy, SCALE * dx) for s, (dy, dx) in zip(slab, steps, strict=True)]),
        torch.stack([_moved(v, dy, dx) for v, (dy, dx) in zip(low, steps, strict=True)]),
    )


def _moved(volume: Tensor, dy: int, dx: int) -> Tensor:
    height, width = volume.shape[-2:]
    moved = torch.full_like(volume, -1.0)
    moved[..., max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = volume[
        ..., max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)
    ]
    return moved


def _cutout(slab: Tensor, low: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blank a column of half the plane's edge, at a random place, to the middle of the range."""
    edge = low.shape[-1]
    corners = torch.randint(-edge // 4, edge - edge // 4, (len(low), 2), generator=random).tolist()
    slab_mask, low_mask = torch.ones_like(slab), torch.ones_like(low)
    for index, (y, x) in enumerate(corners):
        rows, columns = (max(y, 0), y + edge // 2), (max(x, 0), x + edge // 2)
        low_mask[index, ..., rows[0] : rows[1], columns[0] : columns[1]] = 0
        slab_mask[index, ..., SCALE * rows[0] : SCALE * rows[1], SCALE * columns[0] : SCALE * columns[1]] = 0
    return slab * slab_mask, low * low_mask


_KINDS = {"intensity": _intensity, "shift": _shift, "cutout": _cutout}
