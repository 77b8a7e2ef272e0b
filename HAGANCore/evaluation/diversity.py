"""Multi-scale structural similarity: how alike two volumes are, and so how varied a set is."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 11
SIGMA = 1.5
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = 0.01**2, 0.03**2


def scales_for(size: int) -> int:
    """Return how many scales fit: each halves the volume, and the window must fit the smallest.

    >>> [scales_for(size) for size in (32, 64, 128, 256)]
    [2, 3, 4, 5]
    """
    scales = 1
    while scales < len(_WEIGHTS) and size // 2**scales >= WINDOW:
        scales += 1
    return scales


def ms_ssim(first: Tensor, second: Tensor, value_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """Return the multi-scale structural similarity of pairs of volumes.

    Wang, Simoncelli and Bovik (Asilomar 2003) in 3D: Gaussian window of 11 voxels (σ 1.5), as many of the
    five scales as fit the size, their weights scaled to sum to 1.

    Args:
        first: (N, 1, R, R, R).
        second: likewise.
        value_range: smallest and largest possible value.

    Returns:
        (N,), 1 for equal volumes.
    """
    weights = torch.tensor(_WEIGHTS[: scales_for(first.shape[-1])])
    weights = weights / weights.sum()
    low, high = value_range
    # About 0, where the differences of squares below lose fewest digits.
    first, second = ((volumes.float() - low) / (high - low) - 0.5 for volumes in (first, second))
    result = torch.ones(len(first), device=first.device)
    for scale, weight in enumerate(weights.tolist()):
        luminance, structure = _similarity(first, second)
        last = scale == len(weights) - 1
        term = (luminance * structure if last else structure).mean(dim=(1, 2, 3, 4)).clamp(min=0)
        result = result * term**weight
        first, second = F.avg_pool3d(first, 2), F.avg_pool3d(second, 2)
    return result


def mean_pairwise_ms_ssim(volumes: npt.NDArray[np.float32], pairs: int, seed: int = 0) -> float:
    """Return the mean similarity of ``pairs`` random pairs among volumes (N, R, R, R) in [-1, 1].

    High among generated and lower among real volumes means that the model varies too little.
    """
    every = list(itertools.combinations(range(len(volumes)), 2))
    chosen = np.random.default_rng(seed).permutation(len(every))[:pairs]
    values = []
    for batch in np.array_split(chosen, max(1, len(chosen) // 8)):
        left, right = (torch.from_numpy(volumes[[every[i][side] for i in batch]]) for side in (0, 1))
        values.append(ms_ssim(left[:, None], right[:, None]))
    return float(torch.cat(values).mean())


def _similarity(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the luminance and the contrast-structure map of one scale."""
    moments = torch.cat([first, second, first * first, second * second, first * second])
    mean_1, mean_2, square_1, square_2, product = _blurred(moments).chunk(5)
    variance_1, variance_2 = square_1 - mean_1**2, square_2 - mean_2**2
    covariance = product - mean_1 * mean_2
    # Luminance compares brightness, 0 to 1; about 0 its sign would depend on where black lies.
    light_1, light_2 = mean_1 + 0.5, mean_2 + 0.5
    luminance = (2 * light_1 * light_2 + _C1) / (light_1**2 + light_2**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    return luminance, structure


def _blurred(volumes: Tensor) -> Tensor:
    """Blur with the Gaussian window, one axis after the other, without padding."""
    offsets = torch.arange(WINDOW, dtype=torch.float32, device=volumes.device) - WINDOW // 2
    kernel = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()
    for shape in ((1, 1, -1, 1, 1), (1, 1, 1, -1, 1), (1, 1, 1, 1, -1)):
        volumes = F.conv3d(volumes, kernel.view(shape))
    return volumes
