"""MS-SSIM: equal is 1, it falls with what is added, and it tells a varied set from a collapsed one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from HAGANCore.evaluation.diversity import mean_pairwise_ms_ssim, ms_ssim

SIZE = 32


def balls(radii: np.ndarray) -> np.ndarray:
    """Return smooth balls (N, SIZE, SIZE, SIZE) in [-1, 1]."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return np.tanh(radii[:, None, None, None] - distance).astype(np.float32)


def test_a_volume_is_wholly_similar_to_itself():
    volume = torch.from_numpy(balls(np.array([8.0, 10.0])))[:, None]
    assert ms_ssim(volume, volume).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)


def test_similarity_is_symmetric_and_falls_with_noise():
    volume = torch.from_numpy(balls(np.array([9.0])))[:, None]
    noise = torch.randn(volume.shape, generator=torch.Generator().manual_seed(0))
    values = [float(ms_ssim(volume, volume + sigma * noise)[0]) for sigma in (0.0, 0.05, 0.2, 0.5)]
    assert values == sorted(values, reverse=True)
    assert float(ms_ssim(volume + 0.2 * noise, volume)[0]) == pytest.approx(values[2], abs=1e-6)


def test_a_collapsed_set_is_more_similar_than_a_varied_one():
    varied = balls(np.linspace(4, 13, 8))
    collapsed = balls(np.linspace(8.5, 8.6, 8))
    assert mean_pairwise_ms_ssim(collapsed, pairs=20) > 0.99
    assert mean_pairwise_ms_ssim(varied, pairs=20) < 0.9


def test_one_scale_is_the_published_single_scale_formula():
    """At 16 voxels one scale fits: a uniform change of brightness leaves only the luminance term."""
    for first, second in ((0.5, 0.6), (0.5, -0.5), (-1.0, 1.0)):
        x, y = (first + 1) / 2, (second + 1) / 2
        expected = (2 * x * y + 0.01**2) / (x**2 + y**2 + 0.01**2)
        volumes = (torch.full((1, 1, 16, 16, 16), value) for value in (first, second))
        assert float(ms_ssim(*volumes)[0]) == pytest.approx(expected, abs=1e-4)


def test_the_range_of_the_values_does_not_change_the_result():
    volume = torch.from_numpy(balls(np.array([8.0, 10.0])))[:, None]
    hounsfield = (volume + 1) * 812 - 1024
    in_hounsfield = ms_ssim(hounsfield[:1], hounsfield[1:], value_range=(-1024.0, 600.0))
    assert float(ms_ssim(volume[:1], volume[1:])[0]) == pytest.approx(float(in_hounsfield[0]), abs=1e-4)
