"""The four networks: their published sizes, and the identities that make them fast and memory-saving."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import assert_same
from torch import Tensor, nn
from torch.nn import functional as F

from HAGANCore.errors import HaganError
from HAGANCore.gans.hagan import (
    SIZES,
    SLABS,
    Architecture,
    Discriminator,
    Encoder,
    Generator,
    GroundEncoder,
    Normalisation,
    one_hot,
)
from HAGANCore.gans.layers import SpectralConv3d, SpectralLinear, UpsampleConv3d, VoxelNorm, fold_upsampling


def small(size: int, classes: int = 0, normalisation: Normalisation = "slab-consistent") -> Architecture:
    return Architecture(
        size=size,
        latent=6,
        classes=classes,
        generator_width=4,
        discriminator_width=64,
        ground_encoder_width=16,
        normalisation=normalisation,
    )


def counted(network: type[nn.Module], architecture: Architecture) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in network(architecture).parameters())


def naive_upsample_conv(layer: nn.Conv3d, x: Tensor) -> Tensor:
    return F.conv3d(F.interpolate(x, scale_factor=2, mode="nearest"), layer.weight, layer.bias, padding=1)


# --- sizes --------------------


@pytest.mark.parametrize(
    ("size", "generator", "discriminator", "encoder", "ground_encoder", "total"),
    [
        (256, 52_518_210, 7_402_258, 161_152, 19_663_264, 79_744_884),
        (128, 52_518_210, 7_241_442, 161_152, 19_663_168, 79_583_972),
        (64, 52_518_210, 6_592_130, 161_152, 19_400_832, 78_672_324),
        (32, 52_518_210, 4_240_834, 161_152, 17_827_584, 74_747_780),
    ],
)
def test_the_published_networks_have_the_published_number_of_parameters(
    size: int, generator: int, discriminator: int, encoder: int, ground_encoder: int, total: int
) -> None:
    for normalisation in ("slab-consistent", "group"):
        architecture = Architecture(size=size, normalisation=normalisation)
        counts = [counted(kind, architecture) for kind in (Generator, Discriminator, Encoder, GroundEncoder)]
        assert counts == [generator, discriminator, encoder, ground_encoder]
        assert sum(counts) == total


def test_512_can_be_built_and_its_networks_fit_together() -> None:
    architecture = Architecture(size=512)
    with torch.device("meta"):
        generator, encoder = Generator(architecture), Encoder(architecture)
        features = generator.features(torch.zeros(1, 1024))
        volume = generator.high(features)
        slab, low = generator.slab_and_low(features, 0)
        latent = GroundEncoder(architecture)(encoder.volume(volume))
    assert volume.shape == (1, 1, 512, 512, 512)
    assert low.shape == (1, 1, 128, 128, 128)
    assert slab.shape == (1, 1, 64, 512, 512)
    assert latent.shape == (1, 1024)
    assert counted(Discriminator, architecture) > 7_402_258


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("normalisation", ["slab-consistent", "group"])
@pytest.mark.parametrize("batch", [1, 2])
def test_shapes_fit_together(size: int, classes: int, normalisation: Normalisation, batch: int) -> None:
    architecture = small(size, classes, normalisation)
    # Computing is only possible here for small sizes; the shapes of the others are worked out on "meta".
    device = "cpu" if size <= 64 else "meta"
    with torch.device(device):
        labels = one_hot(torch.zeros(batch, dtype=torch.long), classes) if classes else None
        generator, encoder = Generator(architecture), Encoder(architecture)
        features = generator.features(torch.zeros(batch, 6), labels)
        slab, low = generator.slab_and_low(features, architecture.low_size - architecture.slab_features)
        volume = generator(torch.zeros(batch, 6), labels)
        codes = encoder.volume(volume)
        latent = GroundEncoder(architecture)(codes)
    quarter, eighth = size // 4, size // 8
    assert features.shape == codes.shape == (batch, 8, quarter, quarter, quarter)
    assert low.shape == (batch, 1, quarter, quarter, quarter)
    assert slab.shape == (batch, 1, eighth, size, size)
    assert volume.shape == (batch, 1, size, size, size)
    assert latent.shape == (batch, 6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [0, 3])
def test_the_discriminator_judges_slabs_of_every_size(size: int, classes: int) -> None:
    discriminator = Discriminator(small(size, classes)).eval()
    slab, low = torch.zeros(1, 1, size // 8, size, size), torch.zeros(1, 1, *3 * [size // 4])
    with torch.inference_mode():
        logit, class_logits = discriminator(slab, low, torch.tensor([size - size // 8]))
    assert (logit.shape, class_logits.shape) == ((1,), (1, classes))


def test_the_smallest_and_odd_widths_build() -> None:
    architecture = Architecture(
        size=32, latent=1, generator_width=6, discriminator_width=192, ground_encoder_width=48
    )
    volume = Generator(architecture)(torch.zeros(1, 1))
    codes = Encoder(architecture).volume(volume)
    assert GroundEncoder(architecture)(codes).shape == (1, 1)
    assert torch.isfinite(
        Discriminator(architecture)(volume[:, :, :4], volume[:, :, ::4, ::4, ::4], torch.zeros(1))[0]
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": 48}, "volume size"),
        ({"latent": 0}, "'latent'"),
        ({"latent": 8.0}, "'latent'"),
        ({"classes": -1}, "'classes'"),
        ({"generator_width": 5}, "'generator_width'"),
        ({"discriminator_width": 96}, "'discriminator_width'"),
        ({"ground_encoder_width": 8}, "'ground_encoder_width'"),
        ({"normalisation": "batch"}, "normalisation"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(change: dict, named: str) -> None:
    with pytest.raises(HaganError, match=named):
        Architecture(**{"size": 32, **change})


def test_classes_must_be_given_where_the_model_has_them_and_only_there() -> None:
    with pytest.raises(ValueError, match="3 classes got classes=False"):
        Generator(small(32, classes=3)).features(torch.zeros(1, 6))
    with pytest.raises(ValueError, match="0 classes got classes=True"):
        Generator(small(32)).features(torch.zeros(1, 6), torch.ones(1, 1))


def test_a_class_changes_the_volume() -> None:
    torch.manual_seed(0)
    generator = Generator(small(32, classes=2)).eval()
    with torch.inference_mode():
        healthy, ill = generator(torch.ones(2, 6), torch.eye(2))
    assert (healthy - ill).abs().max() > 0.01


# --- the folded upsampling convolution --------------------


@settings(max_examples=20, derandomize=True, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    shape=st.tuples(st.integers(1, 3), *(st.integers(1, 6) for _ in range(3))),
    seed=st.integers(0, 2**31),
)
def test_folded_upsampling_is_upsampling_then_convolution(
    channels: tuple[int, int], shape: tuple[int, int, int, int], seed: int
) -> None:
    torch.manual_seed(seed)
    layer = UpsampleConv3d(*channels).double()
    x = torch.randn(shape[0], channels[0], *shape[1:], dtype=torch.float64, requires_grad=True)
    folded, naive = layer(x), naive_upsample_conv(layer, x)
    assert (folded - naive).abs().max() <= 1e-12
    pull = torch.randn_like(naive)
    inputs = [x, layer.weight, layer.bias]
    for ours, theirs in zip(
        torch.autograd.grad(folded, inputs, pull), torch.autograd.grad(naive, inputs, pull), strict=True
    ):
        assert (ours - theirs).abs().max() <= 1e-11 * max(1.0, float(theirs.abs().max()))


def test_folding_keeps_the_sum_of_the_kernel_for_each_of_the_eight_new_voxels() -> None:
    weight = torch.randn(3, 2, 3, 3, 3, dtype=torch.float64)
    folded = fold_upsampling(weight)
    assert folded.shape == (2, 3, 4, 4, 4)
    torch.testing.assert_close(folded.sum((2, 3, 4)), 8 * weight.sum((2, 3, 4)).T)


def test_the_parameter_of_a_folded_layer_is_the_published_kernel() -> None:
    assert UpsampleConv3d(5, 7).weight.shape == (7, 5, 3, 3, 3)


# --- a slab is a part of the whole --------------------


@pytest.mark.parametrize("size", [32, 64, 128])
def test_every_slab_is_exactly_that_part_of_the_whole_volume(size: int) -> None:
    architecture = small(size)
    torch.manual_seed(size)
    generator = Generator(architecture).double()
    high = generator.high
    nn.init.normal_(high.block.norm.bias)
    features = torch.randn(1, 8, architecture.low_size, 3, 3, dtype=torch.float64)
    with torch.inference_mode():
        whole = high(features)
        for depth in {1, architecture.slab_features}:
            for start in range(architecture.low_size - depth + 1):
                slab = high.slab(features, start, depth)
                part = whole[:, :, 4 * start : 4 * (start + depth)]
                assert slab.shape == part.shape
                assert (slab - part).abs().max() <= 1e-12


def test_slabs_of_a_generated_volume_make_up_the_volume() -> None:
    architecture = small(32)
    torch.manual_seed(1)
    generator = Generator(architecture).double()
    with torch.inference_mode():
        z = torch.randn(2, 6, dtype=torch.float64)
        features = generator.features(z)
        slabs = [generator.slab_and_low(features, start)[0] for start in range(SLABS)]
        assert (torch.cat(slabs, dim=2) - generator(z)).abs().max() <= 1e-12


def test_with_group_normalisation_a_slab_knows_nothing_of_its_neighbours() -> None:
    generator = Generator(small(64, normalisation="group"))
    features = torch.randn(1, 8, 16, 16, 16)
    other = features.clone()
    other[:, :, :4] = other[:, :, 6:] = 0
    with torch.inference_mode():
        slab = generator.high.slab(features, 4, 2)
        assert torch.equal(slab, generator.high.slab(other, 4, 2))
        assert (slab - generator(torch.zeros(1, 6))[:, :, 16:24]).abs().max() > 1e-3


def test_voxel_norm_gives_each_voxel_the_same_length() -> None:
    x = 3 * torch.randn(2, 7, 3, 4, 5, dtype=torch.float64)
    y = VoxelNorm(7).double()(x)
    torch.testing.assert_close(
        y.square().mean(1), torch.ones(2, 3, 4, 5, dtype=torch.float64), rtol=1e-3, atol=0
    )


def test_voxel_norm_keeps_bfloat16_under_autocast() -> None:
    torch.manual_seed(0)
    norm, x = VoxelNorm(8), torch.randn(2, 8, 3, 4, 5)
    with torch.no_grad():
        norm.weight.add_(torch.randn(8))
        norm.bias.add_(torch.randn(8))
    x[0, :, 0, 0, 0] = 0  # no direction to normalise
    narrow = x.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(narrow)
    assert y.dtype == torch.bfloat16  # float32 here would double the memory of the largest tensor in training
    assert (y - norm(narrow.float())).abs().max() < 0.05
    y.sum().backward()
    assert norm.weight.grad is not None
    assert norm.weight.grad.dtype == torch.float32
    assert narrow.grad is not None
    assert narrow.grad.isfinite().all()


# --- batches --------------------


@pytest.mark.parametrize("normalisation", ["slab-consistent", "group"])
def test_a_volume_does_not_depend_on_the_others_in_its_batch(normalisation: Normalisation) -> None:
    architecture = small(32, normalisation=normalisation)
    torch.manual_seed(0)
    networks = (
        Generator(architecture).eval(),
        Encoder(architecture).eval(),
        GroundEncoder(architecture).eval(),
    )
    generator, encoder, ground = networks
    z = torch.randn(3, 6)
    with torch.inference_mode():
        together = generator(z)
        alone = torch.cat([generator(row[None]) for row in z])
        assert_same(together, alone, generator)
        codes = torch.cat([ground(encoder.volume(one[None])) for one in together])
        assert_same(ground(encoder.volume(together)), codes, nn.ModuleList([encoder, ground]))


def test_all_networks_train_on_a_batch_of_one() -> None:
    architecture = small(32, classes=2)
    torch.manual_seed(0)
    generator, discriminator = Generator(architecture), Discriminator(architecture)
    encoder, ground = Encoder(architecture), GroundEncoder(architecture)
    features = generator.features(torch.randn(1, 6), torch.eye(2)[:1])
    slab, low = generator.slab_and_low(features, 7)
    logit, class_logits = discriminator(slab, low, torch.tensor([28]))
    latent = ground(encoder.volume(generator.high(features)))
    (logit.sum() + class_logits.sum() + latent.sum()).backward()
    for network in (generator, discriminator, encoder, ground):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_the_discriminator_sees_where_the_slab_lies() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(small(32)).eval()
    slab, low = torch.randn(1, 1, 4, 32, 32), torch.randn(1, 1, 8, 8, 8)
    with torch.inference_mode():
        lowest, highest = (discriminator(slab, low, torch.tensor([first]))[0] for first in (0, 28))
        assert lowest != highest
        hidden = discriminator.high(slab, torch.ones(1, 1)) + discriminator.low(low)
        torch.testing.assert_close(highest, hidden[:, 0] / 2)  # the highest slab's position is 1


# --- spectral normalisation --------------------


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (SpectralConv3d(2, 6, (2, 3, 3), (1, 1, 1), (0, 1, 1)), torch.ones(1, 2, 4, 4, 4)),
        (SpectralLinear(9, 5), torch.ones(1, 9)),
    ],
    ids=["conv", "linear"],
)
def test_spectral_norm_moves_its_vectors_in_training_only(layer: nn.Module, x: Tensor) -> None:
    weight = layer.weight.detach().clone()
    layer.eval()
    u0, sv0 = layer.u0.clone(), layer.sv0.clone()
    layer(x)
    assert torch.equal(layer.u0, u0)
    assert torch.equal(layer.sv0, sv0)
    layer.train()
    for _ in range(200):
        layer(x)
    assert not torch.equal(layer.u0, u0)
    largest = torch.linalg.matrix_norm(weight.flatten(1), ord=2)
    torch.testing.assert_close(layer.sv0, largest[None], rtol=1e-4, atol=0)
    assert torch.equal(layer.weight, weight)
    normalised = layer.normalised_weight().flatten(1)
    torch.testing.assert_close(
        torch.linalg.matrix_norm(normalised, ord=2), torch.tensor(1.0), rtol=1e-4, atol=0
    )


def test_the_gradient_of_spectral_norm_holds_its_vectors_constant() -> None:
    torch.manual_seed(0)
    layer = SpectralLinear(4, 3).double().eval()
    u0 = layer.u0.clone()
    x = torch.randn(2, 4, dtype=torch.float64)
    (ours,) = torch.autograd.grad(layer(x).square().sum(), [layer.weight])
    weight = layer.weight.detach().clone().requires_grad_()
    v = F.normalize(u0 @ weight.detach())
    u = F.normalize(v @ weight.detach().T)
    sigma = (u @ weight @ v.T).squeeze()
    (theirs,) = torch.autograd.grad(F.linear(x, weight / sigma, layer.bias.detach()).square().sum(), [weight])
    torch.testing.assert_close(ours, theirs)
