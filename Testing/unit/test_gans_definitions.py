"""The peers' layers and losses against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from HAGANCore.errors import HaganError
from HAGANCore.gans import GANS, Batch, gan_of
from HAGANCore.gans.alpha_gan import AlphaGAN, AlphaGANOptions
from HAGANCore.gans.base import Moment
from HAGANCore.gans.cce_gan import distance_from_normal
from HAGANCore.gans.equalised import EqualConv3d, EqualLinear, unit_mean_square, with_batch_deviation
from HAGANCore.gans.losses import gradient_penalty, gradient_square
from HAGANCore.gans.progressive import (
    Critic,
    Generator,
    ProgressiveArchitecture,
    ProgressiveGAN,
    ProgressiveOptions,
    shrunk,
)
from HAGANCore.gans.stylegan2 import StyleGAN2
from HAGANCore.gans.stylegan2 import networks as style
from HAGANCore.gans.stylegan2.gan import StyleGAN2Options, path_lengths
from HAGANCore.gans.vae_gan import divergence_from_normal

GROWING = ProgressiveArchitecture(size=32, latent=4, width=2, widest=4)
STYLES = style.StyleGAN2Architecture(size=32, latent=4, style=6, mapping_layers=2, width=2, widest=4)
FEW = {"latent": 4, "style": 6, "mapping_layers": 2, "width": 2, "widest": 4}


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_demodulation_is_that_of_the_weights_of_each_volume():
    conv = style.ModulatedConv3d(3, 5, 3)
    x, scales = drawn(2, 3, 6, 6, 6), drawn(2, 3, seed=2)
    kernel = conv.kernel.weight / math.sqrt(3 * 27)
    expected = []
    for volume, scale in zip(x, scales, strict=True):
        modulated = kernel * scale[None, :, None, None, None]
        norm = torch.stack([(of_one**2).sum().sqrt() for of_one in modulated])
        expected.append(F.conv3d(volume[None], modulated / norm[:, None, None, None, None], padding=1))
    torch.testing.assert_close(conv(x, scales), torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_demodulated_features_have_unit_variance_for_any_style():
    conv = style.ModulatedConv3d(16, 64, 3)
    x = drawn(1, 16, 16, 16, 16)
    with torch.no_grad():
        made = conv(x, 20 * drawn(1, 16, seed=2))[..., 1:-1, 1:-1, 1:-1]  # the border sees zeros
    assert float(made.std()) == pytest.approx(1, abs=0.05)
    plain = style.ModulatedConv3d(16, 64, 3, demodulate=False)
    with torch.no_grad():
        assert float(plain(x, 20 * drawn(1, 16, seed=2)).std()) > 5


def test_equalised_layers_keep_the_variance_and_the_mapping_learns_slower():
    with torch.no_grad():
        made = EqualConv3d(32, 64, 3)(drawn(1, 32, 12, 12, 12))[..., 1:-1, 1:-1, 1:-1]
    assert float(made.std()) == pytest.approx(1, abs=0.05)
    slow = EqualLinear(256, 256, rate=0.01, start=2.0)
    x = drawn(64, 256)
    with torch.no_grad():
        made = slow(x)
    assert float((made - 2).std()) == pytest.approx(1, abs=0.05)
    assert float(slow.weight.detach().std()) == pytest.approx(100, rel=0.05)


def test_smoothing_halves_exactly_and_keeps_a_constant():
    x = torch.full((1, 2, 8, 8, 8), 3.0)
    assert style.smoothed(x, 2).shape[-1] == 9
    assert style.smoothed(x, 1).shape[-1] == 7
    torch.testing.assert_close(style.smoothed(x, 1)[..., 1:-1, 1:-1, 1:-1], x[..., :5, :5, :5])
    assert torch.equal(
        style.smoothed(drawn(1, 2, 8, 8, 8), 1)[..., ::2, ::2, ::2],
        style.smoothed(drawn(1, 2, 8, 8, 8), 1, stride=2),
    )
    impulse = torch.zeros(1, 1, 7, 7, 7)
    impulse[..., 3, 3, 3] = 1
    axis = torch.tensor([1.0, 3, 3, 1]) / 8
    torch.testing.assert_close(style.smoothed(impulse, 0)[0, 0], torch.einsum("i,j,k->ijk", axis, axis, axis))


def test_noise_is_constant_without_a_generator_and_drawn_with_one():
    torch.manual_seed(0)
    generator = style.Generator(STYLES).eval()
    for conv in generator.convs:
        conv.noise_strength.data.fill_(0.5)
    z = drawn(2, 4)
    with torch.no_grad():
        assert torch.equal(generator(z), generator(z))
        torch.testing.assert_close(generator(z[1:]), generator(z)[1:], rtol=1e-4, atol=1e-5)
        styles = generator.mapping(z)[:, None].expand(-1, len(generator.convs), -1)
        one, other = (generator.synthesis(styles, torch.Generator().manual_seed(s)) for s in (1, 2))
    assert not torch.equal(one, other)


def test_only_the_direction_of_a_latent_counts_where_a_gan_says_so():
    torch.manual_seed(0)
    z = drawn(1, 4)
    for kind, options in (("stylegan2", FEW), ("progressive", {"latent": 4, "width": 2, "widest": 4})):
        gan = gan_of(kind).create(gan_of(kind).Options(**options), 32)
        assert gan.normalises_latents
        with torch.no_grad():
            torch.testing.assert_close(gan.sample(z), gan.sample(z / 2), rtol=1e-3, atol=1e-4)


def test_path_length_of_a_linear_generator_is_known():
    matrix = drawn(27, 6)

    def volumes_of(styles: Tensor) -> Tensor:
        return (styles.sum(dim=1) @ matrix.T).view(-1, 1, 3, 3, 3)

    styles = drawn(2, 4, 6, seed=3).requires_grad_()
    lengths = path_lengths(volumes_of(styles), styles, torch.Generator().manual_seed(5))
    y = torch.randn(2, 1, 3, 3, 3, generator=torch.Generator().manual_seed(5)) / math.sqrt(27)
    # All layers have the same part in this generator, so their root mean square is that of one.
    torch.testing.assert_close(lengths, (y.flatten(1) @ matrix).norm(dim=1))


def test_path_length_agrees_with_finite_differences():
    torch.manual_seed(3)
    generator = style.Generator(STYLES).double()
    layers = len(generator.convs)
    styles = drawn(1, layers, 6, seed=4).double().requires_grad_()
    found = path_lengths(generator.synthesis(styles), styles, torch.Generator().manual_seed(7))
    y = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(7)).double()

    def projected(at: Tensor) -> float:
        with torch.no_grad():
            return float((generator.synthesis(at) * y).sum() / math.sqrt(32**3))

    step, slopes = 1e-5, torch.zeros(layers, 6, dtype=torch.float64)
    for layer in range(layers):
        for number in range(6):
            move = torch.zeros_like(styles)
            move[0, layer, number] = step
            slopes[layer, number] = (projected(styles + move) - projected(styles - move)) / (2 * step)
    expected = slopes.square().sum(dim=1).mean().sqrt()
    assert float(found.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_regularisation_is_lazy_and_shares_the_optimiser_of_its_network():
    gan = StyleGAN2(StyleGAN2Options(**FEW), 32)
    turns = {
        turn.name: turn for turn in gan.turns(Moment(iteration=0, iterations=9, all_iterations=9, seen=0))
    }
    assert {name: (turn.every, turn.optimiser) for name, turn in turns.items()} == {
        "G": (1, ""),
        "P": (4, "G"),
        "D": (1, ""),
        "R1": (16, "D"),
    }
    assert turns["D"].lr == turns["R1"].lr == pytest.approx(0.002 * 16 / 17)
    assert turns["G"].betas == turns["P"].betas == (0.0, pytest.approx(0.99 ** (4 / 5)))


def test_styles_are_mixed_in_the_configured_share():
    gan = StyleGAN2(StyleGAN2Options(**FEW, mixing=1.0), 32)
    _, styles = gan._generated(8, torch.Generator().manual_seed(1))
    changes = (styles[:, 1:] != styles[:, :-1]).any(dim=2).sum(dim=1)
    assert changes.tolist() == [1] * 8
    gan = StyleGAN2(StyleGAN2Options(**FEW, mixing=0.0), 32)
    _, styles = gan._generated(8, torch.Generator().manual_seed(1))
    assert torch.equal(styles, styles[:, :1].expand_as(styles))


def test_r1_of_a_linear_discriminator_is_the_square_of_its_weights():
    weights = drawn(1, 1, 4, 4, 4)
    volumes = drawn(3, 1, 4, 4, 4, seed=2)
    found = gradient_square(lambda x: (x * weights).flatten(1).sum(dim=1), volumes)
    torch.testing.assert_close(found, weights.square().sum())


def test_r1_agrees_with_finite_differences():
    def critic(x: Tensor) -> Tensor:
        return (x.sin() * x.roll(1, 2)).flatten(1).sum(dim=1)

    volumes = drawn(1, 1, 3, 3, 3).double()
    slopes = []
    for voxel in range(27):
        move = torch.zeros(27, dtype=torch.float64)
        move[voxel] = 1e-5
        ahead, back = (critic(volumes + sign * move.view(1, 1, 3, 3, 3)) for sign in (1, -1))
        slopes.append((ahead - back) / 2e-5)
    torch.testing.assert_close(gradient_square(critic, volumes), torch.cat(slopes).square().sum())


def test_gradient_penalty_takes_the_norm_over_all_axes():
    weights = drawn(1, 1, 4, 4, 4)
    real, fake = drawn(2, 1, 4, 4, 4, seed=2), drawn(2, 1, 4, 4, 4, seed=3)
    found = gradient_penalty(lambda x: (x * weights).flatten(1).sum(dim=1), real, fake, torch.Generator())
    torch.testing.assert_close(found, (weights.norm() - 1).square())


def test_gradient_penalty_takes_codes_too():
    weights = drawn(1, 7)
    real, fake = drawn(2, 7, seed=2), drawn(2, 7, seed=3)
    seen = []

    def critic(codes: Tensor) -> Tensor:
        seen.append(codes.detach())
        return (codes * weights).sum(dim=1)

    found = gradient_penalty(critic, real, fake, torch.Generator().manual_seed(1))
    assert seen[0].shape == real.shape
    torch.testing.assert_close(found, (weights.norm() - 1).square())
    where = (seen[0] - fake) / (real - fake)  # one number for each code
    torch.testing.assert_close(where, where[:, :1].expand_as(where), rtol=1e-3, atol=1e-4)


def test_deviation_of_the_batch_is_that_of_groups():
    x = drawn(8, 3, 2, 2, 2)
    added = with_batch_deviation(x, group=4)
    assert torch.equal(added[:, :3], x)
    # Volumes 0, 2, 4, 6 are one group, 1, 3, 5, 7 the other.
    for first in (0, 1):
        expected = x[first::2].std(dim=0, unbiased=False).mean()
        torch.testing.assert_close(added[first::2, 3], expected.expand(4, 2, 2, 2))
    assert float(with_batch_deviation(x[:1].repeat(4, 1, 1, 1, 1))[:, 3].max()) < 1e-3
    assert with_batch_deviation(x[:3]).shape == (3, 4, 2, 2, 2)


def test_channels_get_a_unit_mean_square():
    x = 7 * drawn(2, 5, 3, 3, 3)
    torch.testing.assert_close(unit_mean_square(x).square().mean(dim=1), torch.ones(2, 3, 3, 3))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_fade_in_begins_as_the_level_before_and_ends_as_the_level_alone(level: int):
    torch.manual_seed(0)
    generator, critic = Generator(GROWING), Critic(GROWING)
    z, volumes = drawn(2, 4), drawn(2, 1, *[4 * 2**level] * 3)
    with torch.no_grad():
        before = F.interpolate(generator.at(z, level - 1, 1.0), scale_factor=2)
        own, half = generator.at(z, level, 1.0), generator.at(z, level, 0.5)
        torch.testing.assert_close(generator.at(z, level, 0.0), before)
        torch.testing.assert_close(half, (before + own) / 2)
        assert not torch.allclose(own, before)
        older = critic(F.avg_pool3d(volumes, 2), level - 1, 1.0)
        torch.testing.assert_close(critic(volumes, level, 0.0), older)
        torch.testing.assert_close(critic(volumes, level, 1 - 1e-6), critic(volumes, level, 1.0))
        assert not torch.allclose(critic(volumes, level, 1.0), older)


def test_real_volumes_are_as_coarse_as_the_level_and_fade_with_it():
    x = drawn(1, 1, 16, 16, 16)
    coarse = F.avg_pool3d(x, 2)
    torch.testing.assert_close(shrunk(x, 1, 1.0), coarse)
    blocks = F.interpolate(F.avg_pool3d(x, 4), scale_factor=2)
    torch.testing.assert_close(shrunk(x, 1, 0.0), blocks)
    torch.testing.assert_close(shrunk(x, 1, 0.5), (blocks + coarse) / 2)


def test_growing_runs_through_all_levels_in_its_share_of_a_run_and_never_shrinks():
    gan = ProgressiveGAN(ProgressiveOptions(latent=4, width=2, widest=4, growing=0.5), 32)

    def at(iteration: int, iterations: int = 120) -> tuple[int, float, int]:
        moment = Moment(iteration=iteration, iterations=iterations, all_iterations=iterations, seen=0)
        eras = {turn.era for turn in gan.turns(moment)}
        return gan.level, gan.fade, eras.pop()

    # Six phases of ten iterations: 4³, fade to 8³, 8³, fade to 16³, 16³, fade to 32³.
    expected = {
        0: (0, 1.0),
        9: (0, 1.0),
        15: (1, 0.5),
        20: (1, 1.0),
        29: (1, 1.0),
        35: (2, 0.5),
        58: (3, 0.8),
    }
    for iteration, (level, fade) in expected.items():
        assert at(iteration) == (level, pytest.approx(fade, abs=1e-6), level)
    assert at(60) == (3, 1.0, 3)
    assert at(61, iterations=1_000_000) == (3, 1.0, 3)


def test_divergence_is_the_closed_form():
    mean, log_variance = drawn(4, 9), drawn(4, 9, seed=2)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(divergence_from_normal(mean, log_variance), expected)


def test_distance_from_normal_is_the_squared_wasserstein_distance():
    z = drawn(100, 1000)
    assert float(distance_from_normal(z)) < 1e-4
    # Between N(m, s²) and N(0, 1) it is m² + (s - 1)², and order does not count.
    assert float(distance_from_normal(3 * z + 2)) == pytest.approx(8, rel=0.01)
    assert float(distance_from_normal(z.flip(0) / 2)) == pytest.approx(0.25, rel=0.01)


def test_critic_of_an_unlabelled_volume_is_told_the_frequencies():
    frequencies = torch.tensor([0.25, 0.75])
    gan = AlphaGAN(AlphaGANOptions(latent=4, width=2, code_width=4), 32, frequencies)
    labels = torch.tensor([1, -1, 0])
    batch = Batch(real=torch.zeros(3, 1, 32, 32, 32), labels=labels, random=torch.Generator().manual_seed(1))
    known, made = gan._classes(batch)
    assert known is not None
    assert made is not None
    assert known.tolist() == [[0.0, 1.0], [0.25, 0.75], [1.0, 0.0]]
    assert made[[0, 2]].tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert sorted(made[1].tolist()) == [0.0, 1.0]


@pytest.mark.parametrize("kind", GANS)
def test_only_hagan_and_alpha_gan_take_classes(kind: str):
    frequencies = torch.tensor([0.5, 0.5])
    if kind in ("hagan", "alpha-gan"):
        assert gan_of(kind).conditional
    else:
        with pytest.raises(HaganError, match="takes no classes; set 'conditional' to false"):
            gan_of(kind).create(gan_of(kind).Options(), 32, frequencies)
