"""The upsampling convolution by taps, against what it stands for: nearest ×2, then a 3³ convolution."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import rounding
from torch import Tensor, nn
from torch.nn import functional as F

from HAGANCore.gans.hagan.tap_conv import TapConv, fits
from HAGANCore.gans.layers import UpsampleConv3d

CPU = torch.device("cpu")


def a_conv(in_channels: int, out_channels: int) -> UpsampleConv3d:
    """Return a layer whose bias and every tap are different."""
    conv = UpsampleConv3d(in_channels, out_channels).double()
    with torch.no_grad():
        conv.weight.normal_()
        conv.bias.normal_()  # type: ignore[union-attr]
    return conv


def upsampled_then_convolved(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """The definition, by torch's own two operations."""
    return F.conv3d(F.interpolate(x, scale_factor=2, mode="nearest"), conv.weight, conv.bias, padding=1)


# 4 × 4 voxels: 16 slices for a matrix product, so that 40 slices are three; 17 × 16: each slice one.
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 4), (40, 4, 4), (5, 17, 16), (3, 2, 7)])
def test_it_is_the_convolution_of_the_upsampled_volume(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(1)
    conv = a_conv(3, 5)
    x = torch.randn(1, 3, *shape, dtype=torch.float64)
    with torch.no_grad():
        found, expected = TapConv(conv, torch.float64)(x, 0, shape[0]), upsampled_then_convolved(conv, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(conv, expected))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 40), st.sampled_from([(4, 4), (2, 3), (16, 17)]), st.sets(st.integers(1, 39), max_size=4)
)
def test_runs_of_slices_put_together_are_the_whole(
    depth: int, plane: tuple[int, int], cuts: set[int]
) -> None:
    torch.manual_seed(depth)
    conv = a_conv(2, 3)
    x = torch.randn(1, 2, depth, *plane, dtype=torch.float64)
    edges = [0, *sorted(cut for cut in cuts if cut < depth), depth]
    taps = TapConv(conv, torch.float64)
    with torch.no_grad():
        runs = [taps(x, start, stop) for start, stop in pairwise(edges)]
        expected = upsampled_then_convolved(conv, x)
    assert [run.shape[2] for run in runs] == [2 * (stop - start) for start, stop in pairwise(edges)]
    torch.testing.assert_close(torch.cat(runs, 2), expected, rtol=0, atol=rounding(conv, expected))


def test_in_float32_only_rounding_is_added() -> None:
    torch.manual_seed(2)
    conv = a_conv(64, 8)
    x = torch.randn(1, 64, 8, 4, 4)
    with torch.no_grad():
        found = TapConv(conv, torch.float32)(x, 0, 8)
        expected = upsampled_then_convolved(conv, x.double())
    assert found.dtype == torch.float32
    bound = rounding(conv, expected, torch.float32)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound)


@pytest.mark.parametrize(("start", "stop"), [(0, 6), (0, 2), (2, 5), (5, 6)])
def test_gradients_pass_through_a_run(start: int, stop: int) -> None:
    torch.manual_seed(3)
    conv = a_conv(3, 4).requires_grad_(False)
    x = torch.randn(1, 3, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    found = TapConv(conv, torch.float64)(x, start, stop)
    expected = upsampled_then_convolved(conv, x)[:, :, 2 * start : 2 * stop]
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(conv, expected))
    weights = torch.randn_like(found)
    (of_taps,), (of_definition,) = (torch.autograd.grad((y * weights).sum(), x) for y in (found, expected))
    torch.testing.assert_close(of_taps, of_definition, rtol=0, atol=rounding(conv, of_definition))
    assert of_definition.abs().max() > 0


def test_the_runs_cover_every_slice_once_and_keep_to_the_memory() -> None:
    taps, x = TapConv(a_conv(2, 3), torch.float32), torch.zeros(1, 2, 10, 4, 4)
    slice_bytes = 8 * 3 * 4 * 4 * 4  # eight output voxels of each, three channels, float32
    assert list(taps.runs(x, 4 * slice_bytes)) == [(0, 4), (4, 8), (8, 10)]
    assert list(taps.runs(x, 0)) == [(index, index + 1) for index in range(10)]


def test_it_is_taken_for_upsampling_layers_on_a_cpu_in_a_wide_type() -> None:
    conv = UpsampleConv3d(2, 2)
    assert fits(conv, CPU, torch.float32)
    assert fits(conv, CPU, torch.float64)
    assert not fits(conv, CPU, torch.bfloat16)
    assert not fits(conv, torch.device("cuda"), torch.float32)
    assert not fits(nn.Conv3d(2, 2, 3, padding=1), CPU, torch.float32)
