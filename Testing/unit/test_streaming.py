"""A volume made slab by slab is the volume the generator makes as a whole."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import assert_same
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from HAGANCore.gans.hagan import Architecture, Generator, one_hot, streaming
from HAGANCore.gans.hagan.slab_layers import ChannelStatistics, PhaseConv, SlabConv
from HAGANCore.gans.hagan.streaming import StreamedGenerator
from HAGANCore.gans.layers import UpsampleConv3d, VoxelNorm

NORMALISATIONS = ("slab-consistent", "group")


def a_generator(
    size: int = 32, normalisation: str = "group", classes: int = 0, dtype: torch.dtype = torch.float64
) -> Generator:
    """Return a small generator with random weights in every layer, norms included."""
    torch.manual_seed(size)
    architecture = Architecture(
        size=size, latent=16, generator_width=8, classes=classes, normalisation=normalisation
    )
    generator = Generator(architecture).eval().requires_grad_(False)
    for parameter in generator.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return generator.to(dtype)


def a_latent(seed: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(1, 16, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def streamed_volume(streamed: StreamedGenerator, features: Tensor) -> Tensor:
    """Return the volume put together from its slabs, which must follow each other without a gap."""
    slabs = []
    filled = 0
    for first, slab in streamed.slabs(features):
        assert first == filled
        filled += len(slab)
        slabs.append(slab)
    assert len(slabs) == streamed.high_slabs()
    return torch.cat(slabs)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    size=st.sampled_from([32, 64]),
    normalisation=st.sampled_from(NORMALISATIONS),
    kilobytes=st.sampled_from([0, 40, 130, 700, 100_000]),
    common_kilobytes=st.sampled_from([0, 30, 100_000]),
)
def test_streaming_equals_the_whole(
    size: int, normalisation: str, kilobytes: int, common_kilobytes: int
) -> None:
    generator = a_generator(size, normalisation)
    z = a_latent()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "COMMON_BYTES", common_kilobytes << 10)
        streamed = StreamedGenerator(generator, torch.float64, slab_bytes=kilobytes << 10)
        features = streamed.features(z)
        volume, low = streamed_volume(streamed, features), streamed.low(features)
    assert volume.shape == (size, size, size)
    assert_same(volume, generator(z)[0, 0], generator)
    assert_same(low, generator.low(generator.features(z))[0, 0], generator)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_streaming_equals_the_whole_in_float32(normalisation: str) -> None:
    generator = a_generator(64, normalisation, dtype=torch.float32)
    z = a_latent(dtype=torch.float32)
    streamed = StreamedGenerator(generator, slab_bytes=1 << 16)
    assert streamed.high_slabs() == 16
    volume = streamed_volume(streamed, streamed.features(z))
    assert volume.std() > 0.2
    assert_same(volume, generator(z)[0, 0], generator)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_bfloat16_stays_close(normalisation: str) -> None:
    generator = a_generator(32, normalisation, dtype=torch.float32)
    z = a_latent(dtype=torch.float32)
    streamed = StreamedGenerator(generator, torch.bfloat16, slab_bytes=1 << 14)
    volume = streamed_volume(streamed, streamed.features(z))
    assert volume.dtype is torch.float32
    error = (volume - generator(z)[0, 0]).abs()
    assert 1e-5 < error.mean() < 0.02  # 8 bits of mantissa through eight layers


def test_the_class_is_heard() -> None:
    generator = a_generator(32, classes=3)
    streamed = StreamedGenerator(generator, torch.float64)
    z = a_latent()
    volumes = []
    for label in (0, 2):
        classes = one_hot(torch.tensor([label]), 3).double()
        volumes.append(streamed_volume(streamed, streamed.features(z, classes)))
        assert_same(volumes[-1], generator(z, classes)[0, 0], generator)
    assert (volumes[0] - volumes[1]).abs().max() > 0.01


def test_the_generator_is_not_changed() -> None:
    generator = a_generator(32, "slab-consistent")
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    streamed = StreamedGenerator(generator, torch.float64)
    features = streamed.features(a_latent())
    first, again = (streamed_volume(streamed, features) for _ in range(2))
    assert torch.equal(first, again)
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())


class LargestTensor(TorchDispatchMode):
    """Notes the size in bytes of the largest new tensor that any operation returns."""

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        self.bytes = 0
        self.known = known.untyped_storage().data_ptr()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.untyped_storage().data_ptr() != self.known:
            self.bytes = max(self.bytes, result.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_memory_does_not_grow_with_the_volume(normalisation: str) -> None:
    largest = {}
    for size in (64, 128):
        generator = a_generator(size, normalisation, dtype=torch.float32)
        streamed = StreamedGenerator(generator, slab_bytes=1 << 18)
        features = torch.randn(1, 16, size // 4, size // 4, size // 4)
        with LargestTensor(features) as watched:
            for _ in streamed.slabs(features):
                pass
        largest[size] = watched.bytes
    assert largest[128] < 2 * largest[64]  # for eight times the volume: 2 to 4 slices are the least
    assert largest[128] < 128**3 * 4 / 7


def test_one_slice_is_the_least_a_slab_can_be() -> None:
    streamed = StreamedGenerator(a_generator(32), torch.float64, slab_bytes=0)
    assert streamed.high_slabs() == 8


@pytest.mark.parametrize(("depth", "step"), [*product([4, 7], [1, 2, 3, 7])])
@pytest.mark.parametrize("doubles", [True, False])
def test_a_convolution_of_runs_is_the_convolution(depth: int, step: int, doubles: bool) -> None:
    torch.manual_seed(depth)
    conv = (UpsampleConv3d(3, 5) if doubles else nn.Conv3d(3, 5, 3, padding=1)).double()
    slab_conv = SlabConv.of(conv, torch.device("cpu"), torch.float64)
    x = torch.randn(1, 3, depth, 6, 4, dtype=torch.float64)
    runs = [slab_conv(x, start, min(start + step, depth)) for start in range(0, depth, step)]
    assert_same(torch.cat(runs, dim=2), conv(x), conv)


def test_phases_are_the_upsampling_convolution() -> None:
    torch.manual_seed(1)
    conv = UpsampleConv3d(4, 1).double().requires_grad_(False)
    x = torch.randn(1, 4, 3, 5, 6, dtype=torch.float64)
    phases = PhaseConv(conv, torch.device("cpu"), torch.float64)
    # The slices outside the volume are zero, so they add nothing.
    parts = nn.functional.pad(phases.contributions(x), (0, 0, 0, 0, 0, 0, 1, 1))
    assert_same(phases.between(parts)[1:-1], conv(x)[0, 0], conv)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_statistics_of_slabs_are_those_of_the_whole(offset: float) -> None:
    x = torch.randn(1, 8, 10, 5, 5, generator=torch.Generator().manual_seed(2)) + offset
    statistics = ChannelStatistics()
    for slab in x.split([1, 4, 5], dim=2):
        statistics.add(slab)
    norm = nn.GroupNorm(4, 8).requires_grad_(False)
    norm.weight.copy_(torch.linspace(0.5, 2, 8))
    norm.bias.copy_(torch.linspace(-1, 1, 8))
    scale, shift = statistics.affine(norm)
    expected = norm.double()(x.double())
    normalised = x.double() * scale.view(1, -1, 1, 1, 1) + shift.view(1, -1, 1, 1, 1)
    # float32 means of values near 1e4 are good to 1e-3 of the standard deviation.
    torch.testing.assert_close(normalised, expected, rtol=0, atol=1e-5 if offset == 0 else 5e-3)


def test_voxel_norm_in_place_is_the_module() -> None:
    norm = VoxelNorm(6).requires_grad_(False)
    norm.bias.fill_(0.1)
    x = torch.randn(1, 6, 2, 3, 4, generator=torch.Generator().manual_seed(4))
    expected = torch.relu(norm(x))
    torch.testing.assert_close(streaming.voxel_norm_relu_(x.clone(), norm), expected)
