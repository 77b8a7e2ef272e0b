"""What a volume consists of, wherever it lies: told from the latent, and kept by a reconstruction.

An L1 rewards shapes first. What is small, or only brighter or darker than in the next patient (a rib's
thickness, the density of bone, contrast medium), changes it so little that the encoders leave it out of the
latent; then the generator cannot draw it either, and neither has a gradient that would change that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HISTOGRAM_BINS = 32
_TISSUE_BINS = 8
_LEAST_CONTENT = 1e-3
"""Added to a bin's mean share, so that an intensity that hardly occurs does not outweigh the others."""


class ContentHead(nn.Module):
    """A linear map from the latent to the histogram of the volume's intensities; used in training only.

    Trained together with E^G (``HAGANOptions.content_weight``), it makes the latent say how much of each
    intensity the volume holds. It needs no labels.
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.told = nn.Linear(latent, _HISTOGRAM_BINS)
        # Running mean and deviation of each bin: the rare bins count as much as air and soft tissue.
        self.standardised = nn.BatchNorm1d(_HISTOGRAM_BINS, affine=False, momentum=0.02)

    def forward(self, z: Tensor, volumes: Tensor) -> Tensor:
        """Return the mean square, in standard deviations, of how far z (N, latent) is from its volumes."""
        told = self.told(z.float())
        if len(volumes) == 1 and self.training:  # one volume has no deviation to standardise with
            return told.sum() * 0.0
        return F.mse_loss(told, self.standardised(histogram(volumes)))


def histogram(volumes: Tensor) -> Tensor:
    """Return the root of how many voxels of volumes (N, 1, D, H, W) lie in each bin of [-1, 1], (N, 32).

    >>> histogram(torch.full((1, 1, 4, 4, 4), 0.99))[0, -2:].tolist()
    [0.0, 8.0]
    """
    bins = ((volumes.float().flatten(1) + 1) * (_HISTOGRAM_BINS / 2)).long().clamp(0, _HISTOGRAM_BINS - 1)
    counts = torch.zeros(len(volumes), _HISTOGRAM_BINS, device=volumes.device)
    return counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=counts.dtype)).sqrt()


def tissue_error(made: Tensor, real: Tensor) -> Tensor:
    """Return how far slabs differ in how much of each intensity lies in each of their blocks.

    The blocks are cubes as high as the slab, R/8 voxels: 48 mm in a field of view of 384 mm. Within a block
    the place does not count: a rib that is drawn a voxel off costs nothing, one that is missing costs all.
    The error of each intensity is relative to how much there is of it.

    Args:
        made: slabs (N, 1, R/8, R, R) in [-1, 1].
        real: what they should be.

    >>> thin, thick = torch.full((2, 1, 4, 32, 32), -1.0)
    >>> thin[..., 8], thick[..., 8:10] = 1.0, 1.0
    >>> moved = thin.roll(1, dims=-1)
    >>> float(tissue_error(moved[None], thin[None])), float(tissue_error(thick[None], thin[None])) > 0.1
    (0.0, True)
    """
    made, real = _content(made), _content(real)
    error = (made - real).abs().mean(dim=(0, 2, 3, 4))
    return (error / (real.mean(dim=(0, 2, 3, 4)) + _LEAST_CONTENT)).mean()


def tissue_distance(made: Tensor, real: Tensor) -> Tensor:
    """Return how differently two sets of slabs are distributed in how much of each intensity they hold.

    For generated slabs, which have no real slab each: the energy distance between the sets, intensity by
    intensity, relative to its mean; block by block, and for the slab as a whole, because blocks that vary
    rightly each may still not vary together. It is 0 on average only where mean, spread and shape agree.
    (Matching means drew all volumes towards the average one, and so does, a little, the Wasserstein
    distance of sets as small as a batch; the energy distance is estimated without bias.)

    Args:
        made: slabs (N, 1, R/8, R, R) in [-1, 1], N ≥ 2; of a single one nothing is known: 0.
        real: as many real slabs of the same place.

    Source: Székely and Rizzo, Energy statistics, J. Stat. Plan. Inference 2013, eq. 2.1 and 3.2.
    """
    if len(made) == 1:
        return made.sum() * 0.0
    made, real = _content(made).squeeze(2), _content(real).squeeze(2)
    # Of both sets: relative to the real one alone, what a batch happens to lack costs most, and little
    # spread pays.
    scale = (real + made.detach()).mean(dim=(0, 2, 3)) / 2 + _LEAST_CONTENT
    whole = _energy_distance(made.mean(dim=(2, 3)), real.mean(dim=(2, 3)))
    return ((_energy_distance(made, real).mean(dim=(1, 2)) + whole) / (2 * scale)).mean()


def _energy_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the energy distance of two samples (N, ...), for each of the other dimensions."""
    pairs = len(first) * (len(first) - 1)  # of different members: without bias

    def between(a: Tensor, b: Tensor) -> Tensor:
        return (a.unsqueeze(0) - b.unsqueeze(1)).abs().sum(dim=(0, 1))

    within = (between(first, first) + between(second, second)) / pairs
    return 2 * between(first, second) / len(first) ** 2 - within


def _content(slab: Tensor) -> Tensor:
    """Return the share of each of 8 intensities in each block, (N, 8, 1, 8, 8); between two it is divided."""
    centres = torch.linspace(-1, 1, _TISSUE_BINS, device=slab.device).reshape(1, -1, 1, 1, 1)
    shares = (1 - (slab.float() - centres).abs() * ((_TISSUE_BINS - 1) / 2)).clamp(min=0)
    return F.avg_pool3d(shares, slab.shape[2])
