"""Published checkpoints become model files whose networks compute what the published ones did.

What they are compared with is written here from the published layer list, without the engine's layers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from HAGANCore.errors import HaganError
from HAGANCore.gans.hagan import HAGAN
from HAGANCore.models.modelfile import ModelFile, read_model
from HAGANCore.models.published import find_checkpoints, import_published
from HAGANCore.models.registry import read_registry
from HAGANCore.preparation.profiles import PROFILES

State = dict[str, Tensor]
LATENT = 24
FILES = {"generator": "G", "discriminator": "D", "encoder": "E", "ground_encoder": "Sub_E"}


# --- checkpoints in the published form --------------------


def _affine(state: State, name: str, shape: tuple[int, ...], draw: torch.Generator) -> None:
    fan_in = max(1, torch.Size(shape[1:]).numel())
    state[f"{name}.weight"] = torch.randn(shape, generator=draw) * (2 / fan_in) ** 0.5
    state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=draw)


def _norm(state: State, name: str, channels: int, draw: torch.Generator) -> None:
    state[f"{name}.weight"] = 1 + 0.2 * torch.randn(channels, generator=draw)
    state[f"{name}.bias"] = 0.2 * torch.randn(channels, generator=draw)


def _spectral(state: State, name: str, shape: tuple[int, ...], draw: torch.Generator) -> None:
    _affine(state, name, shape, draw)
    state[f"{name}.u0"] = F.normalize(torch.randn(1, shape[0], generator=draw))
    state[f"{name}.sv0"] = torch.ones(1)


def published_g(width: int, latent: int, classes: int, draw: torch.Generator) -> State:
    state: State = {}
    widths = [16 * width, 16 * width, 16 * width, 8 * width, 4 * width, 2 * width, width]
    _affine(state, "fc1", (widths[0] * 64, latent + classes), draw)
    for i in range(1, 7):
        _affine(state, f"tp_conv{i}", (widths[i], widths[i - 1], 3, 3, 3), draw)
        _norm(state, f"bn{i}", widths[i], draw)
    _affine(state, "tp_conv7", (1, width, 3, 3, 3), draw)
    _affine(state, "sub_G.tp_conv1", (width, 2 * width, 3, 3, 3), draw)
    _norm(state, "sub_G.bn1", width, draw)
    _affine(state, "sub_G.tp_conv2", (width // 2, width, 3, 3, 3), draw)
    _norm(state, "sub_G.bn2", width // 2, draw)
    _affine(state, "sub_G.tp_conv3", (1, width // 2, 3, 3, 3), draw)
    return state


def published_d(size: int, width: int, classes: int, draw: torch.Generator) -> State:
    state: State = {}
    kernels = [(4, 4, 4)] * 3 + [(2, 4, 4)] * 2 + [(1, 4, 4)] * 2
    widths = [width // 32, width // 16, width // 8, width // 4, width // 2, width, width // 4]
    low_widths = [width // 16, width // 8, width // 4, width // 2, 1 + classes]
    first = 1 if size == 256 else 2
    before = low_before = 1
    for i in range(first, 8):
        _spectral(state, f"conv{i}", (widths[i - 1], before, *kernels[i - 1]), draw)
        before = widths[i - 1]
    for i in range(first, 6):
        _spectral(state, f"sub_D.conv{i}", (low_widths[i - 1], low_before, 4, 4, 4), draw)
        low_before = low_widths[i - 1]
    _spectral(state, "fc1", (width // 8, width // 4 + 1), draw)
    _spectral(state, "fc2", (1, width // 8), draw)
    if classes:
        _spectral(state, "fc2_class", (classes, width // 8), draw)
    return state


def published_e(width: int, draw: torch.Generator) -> State:
    state: State = {}
    for i, shape in enumerate([(width, 1, 4), (width, width, 3), (2 * width, width, 4)], start=1):
        _affine(state, f"conv{i}", (*shape[:2], *3 * shape[2:]), draw)
        _norm(state, f"bn{i}", shape[0], draw)
    return state


def published_sub_e(size: int, width: int, ground_width: int, latent: int, draw: torch.Generator) -> State:
    state: State = {}
    widths = [ground_width // 8, ground_width // 4, ground_width // 2, ground_width]
    before = 2 * width
    for i in range(1 if size == 256 else 2, 5):
        _affine(state, f"conv{i}", (widths[i - 1], before, 4, 4, 4), draw)
        _norm(state, f"bn{i}", widths[i - 1], draw)
        before = widths[i - 1]
    _affine(state, "conv5", (latent, before, 4, 4, 4), draw)
    return state


def published_states(size: int, classes: int) -> dict[str, State]:
    """All four networks with the published names and layers, at an eighth of the published widths."""
    draw = torch.Generator().manual_seed(size + classes)
    return {
        "generator": published_g(4, LATENT, classes, draw),
        "discriminator": published_d(size, 64, classes, draw),
        "encoder": published_e(4, draw),
        "ground_encoder": published_sub_e(size, 4, 32, LATENT, draw),
    }


def save_checkpoints(
    folder: Path,
    states: dict[str, State],
    prefix: str = "module.",
    bare: bool = False,
    iteration: int = 80000,
) -> dict[str, Path]:
    paths = {}
    for network, state in states.items():
        named = {f"{prefix}{name}": tensor for name, tensor in state.items()}
        paths[network] = folder / f"{FILES[network]}_iter{iteration}.pth"
        optimizer = {"state": {0: {"step": 5, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}
        torch.save(named if bare else {"model": named, "optimizer": optimizer}, paths[network])
    return paths


# --- the published networks, evaluated naively --------------------


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _normed(x: Tensor, s: State, name: str) -> Tensor:
    channels = s[f"{name}.weight"].shape[0]
    groups = 8 if channels % 8 == 0 else max(g for g in (1, 2, 4) if channels % g == 0)
    return F.relu(F.group_norm(x, groups, s[f"{name}.weight"], s[f"{name}.bias"]))


def _conv(x: Tensor, s: State, name: str, stride: int = 1, padding: int = 1) -> Tensor:
    return F.conv3d(x, s[f"{name}.weight"], s[f"{name}.bias"], stride=stride, padding=padding)


def naive_features(s: State, z: Tensor, size: int) -> Tensor:
    x = F.linear(z, s["fc1.weight"], s["fc1.bias"])
    x = x.view(len(z), -1, 4, 4, 4)
    for i in range(1, 6):
        if i > 1 and not (size == 128 and i == 5):
            x = _double(x)
        x = _normed(_conv(x, s, f"tp_conv{i}"), s, f"bn{i}")
    return x


def naive_high(s: State, features: Tensor) -> Tensor:
    x = _normed(_conv(_double(features), s, "tp_conv6"), s, "bn6")
    return torch.tanh(_conv(_double(x), s, "tp_conv7"))


def naive_low(s: State, features: Tensor) -> Tensor:
    x = _normed(_conv(features, s, "sub_G.tp_conv1"), s, "sub_G.bn1")
    x = _normed(_conv(x, s, "sub_G.tp_conv2"), s, "sub_G.bn2")
    return torch.tanh(_conv(x, s, "sub_G.tp_conv3"))


def naive_e(s: State, slab: Tensor) -> Tensor:
    x = _normed(_conv(slab, s, "conv1", stride=2), s, "bn1")
    x = _normed(_conv(x, s, "conv2"), s, "bn2")
    return _normed(_conv(x, s, "conv3", stride=2), s, "bn3")


def naive_sub_e(s: State, features: Tensor) -> Tensor:
    x = features
    for i in range(1, 5):
        if f"conv{i}.weight" in s:
            x = _normed(_conv(x, s, f"conv{i}", stride=2), s, f"bn{i}")
    return _conv(x, s, "conv5", padding=0).flatten(1)


def _divided(s: State, name: str) -> Tensor:
    weight = s[f"{name}.weight"]
    matrix = weight.reshape(weight.shape[0], -1)
    v = F.normalize(s[f"{name}.u0"].mm(matrix))
    u = F.normalize(v.mm(matrix.t()))
    return weight / u.mm(matrix).mm(v.t()).squeeze()


def naive_d(s: State, slab: Tensor, low: Tensor, first_slice: int, size: int) -> Tensor:
    strides = [2, 2, 2, 2, 2, (1, 2, 2), 1]
    paddings = [1, 1, 1, (0, 1, 1), (0, 1, 1), (0, 1, 1), 0]
    x = slab
    for i, (stride, padding) in enumerate(zip(strides, paddings, strict=True), start=1):
        if f"conv{i}.weight" in s:
            x = F.conv3d(x, _divided(s, f"conv{i}"), s[f"conv{i}.bias"], stride=stride, padding=padding)
            x = F.leaky_relu(x, 0.2)
    x = torch.cat([x.flatten(1), torch.full((len(x), 1), first_slice / (7 * size / 8))], dim=1)
    x = F.leaky_relu(F.linear(x, _divided(s, "fc1"), s["fc1.bias"]), 0.2)
    high = F.linear(x, _divided(s, "fc2"), s["fc2.bias"])
    if "fc2_class.weight" in s:
        high = torch.cat([high, F.linear(x, _divided(s, "fc2_class"), s["fc2_class.bias"])], dim=1)
    y = low
    for i in range(1, 5):
        if f"sub_D.conv{i}.weight" in s:
            y = F.conv3d(y, _divided(s, f"sub_D.conv{i}"), s[f"sub_D.conv{i}.bias"], stride=2, padding=1)
            y = F.leaky_relu(y, 0.2)
    y = F.conv3d(y, _divided(s, "sub_D.conv5"), s["sub_D.conv5.bias"]).flatten(1)
    return (high + y) / 2


# --- the import --------------------


@pytest.fixture
def an_import(tmp_path: Path) -> Callable[..., ModelFile]:
    """Import published checkpoints, by default all four of a folder, and read the model file."""

    def run(checkpoints: dict[str, Path] | None = None, size: int | None = None) -> ModelFile:
        return read_model(
            import_published(
                checkpoints or find_checkpoints(tmp_path),
                tmp_path / "imported.safetensors",
                name="imported",
                profile=PROFILES["thorax-ct"],
                size=size,
            )
        )

    return run


def _difference(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@pytest.mark.parametrize(
    ("size", "classes", "prefix", "bare"),
    [(128, 0, "module.", False), (128, 3, "", True), (256, 5, "module.", True)],
)
def test_imported_networks_compute_what_the_published_ones_did(
    tmp_path: Path, an_import: Callable[..., ModelFile], size: int, classes: int, prefix: str, bare: bool
) -> None:
    states = published_states(size, classes)
    save_checkpoints(tmp_path, states, prefix, bare)
    model = an_import()
    architecture = model.description.architecture
    assert (architecture.size, architecture.classes, architecture.latent) == (size, classes, LATENT)
    assert architecture.normalisation == "group"
    assert len(model.description.classes) == classes

    draw = torch.Generator().manual_seed(0)
    z = torch.randn(1, LATENT, generator=draw)
    label = F.one_hot(torch.tensor([classes - 1]), classes).float() if classes else None
    z_and_label = z if label is None else torch.cat([z, label], dim=1)
    encoder, ground, discriminator = model.encoder(), model.ground_encoder(), model.discriminator()
    assert encoder is not None
    assert ground is not None
    assert discriminator is not None
    with torch.inference_mode():
        generator = model.generator()
        features = generator.features(z, label)
        expected_features = naive_features(states["generator"], z_and_label, size)
        volume = generator.high(features)
        low = generator.low(features)
        assert _difference(features, expected_features) <= 1e-4
        assert _difference(volume, naive_high(states["generator"], expected_features)) <= 1e-4
        assert _difference(low, naive_low(states["generator"], expected_features)) <= 1e-4
        assert volume.std() > 0.05  # an image with content, or equality would say nothing

        slab = volume[:, :, : size // 8]
        assert _difference(encoder(slab), naive_e(states["encoder"], slab)) <= 1e-4
        codes = encoder.volume(volume)
        slabs = [naive_e(states["encoder"], part) for part in volume.split(size // 8, dim=2)]
        assert _difference(codes, torch.cat(slabs, dim=2)) <= 1e-4
        assert _difference(encoder(volume), naive_e(states["encoder"], volume)) <= 1e-4
        assert _difference(ground(codes), naive_sub_e(states["ground_encoder"], codes)) <= 1e-4

        start = size // 4
        slab = volume[:, :, start : start + size // 8]
        logit, class_logits = discriminator(slab, low, torch.tensor([start]))
        expected = naive_d(states["discriminator"], slab, low, start, size)
        assert _difference(torch.cat([logit[:, None], class_logits], dim=1), expected) <= 1e-4


def test_a_slab_of_the_imported_generator_is_the_published_slab(
    tmp_path: Path, an_import: Callable[..., ModelFile]
) -> None:
    states = published_states(128, 0)
    save_checkpoints(tmp_path, states)
    generator = an_import().generator()
    with torch.inference_mode():
        features = generator.features(torch.randn(1, LATENT, generator=torch.Generator().manual_seed(2)))
        slab, _ = generator.slab_and_low(features, start=3)
        assert _difference(slab, naive_high(states["generator"], features[:, :, 3:7])) <= 1e-4


def test_a_generator_of_the_published_size_computes_what_the_published_one_did(
    tmp_path: Path, an_import: Callable[..., ModelFile]
) -> None:
    state = published_g(32, 1024, 0, torch.Generator().manual_seed(1))
    assert sum(tensor.numel() for tensor in state.values()) == 52_518_210
    paths = save_checkpoints(tmp_path, {"generator": state})
    model = an_import(paths, size=128)
    z = torch.randn(1, 1024, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = naive_high(state, naive_features(state, z, 128))
        assert _difference(model.generator()(z), expected) <= 1e-4


def test_the_published_widths_have_the_published_number_of_parameters() -> None:
    draw = torch.Generator().manual_seed(0)
    counted = {
        size: sum(
            tensor.numel()
            for state in (published_d(size, 512, 0, draw), published_sub_e(size, 32, 256, 1024, draw))
            for name, tensor in state.items()
            if not name.endswith(("u0", "sv0"))
        )
        for size in (128, 256)
    }
    assert counted == {128: 7_241_442 + 19_663_168, 256: 7_402_258 + 19_663_264}


# --- which files --------------------


def test_the_latest_iteration_of_a_folder_is_taken_unless_one_is_named(tmp_path: Path) -> None:
    states = published_states(128, 0)
    save_checkpoints(tmp_path, states, iteration=9000)
    save_checkpoints(tmp_path, {"generator": states["generator"]}, iteration=10000)
    assert find_checkpoints(tmp_path) == {"generator": tmp_path / "G_iter10000.pth"}
    assert set(find_checkpoints(tmp_path, 9000)) == set(FILES)
    with pytest.raises(HaganError, match=r"no checkpoint of iteration 5; it has 9000, 10000"):
        find_checkpoints(tmp_path, 5)
    with pytest.raises(HaganError, match="no published checkpoint"):
        find_checkpoints(tmp_path / "elsewhere")


def test_generator_and_encoder_alone_do_not_tell_the_size(
    tmp_path: Path, an_import: Callable[..., ModelFile]
) -> None:
    draw = torch.Generator().manual_seed(0)
    states = {"generator": published_g(4, 1024, 2, draw), "encoder": published_e(4, draw)}
    paths = save_checkpoints(tmp_path, states)
    with pytest.raises(HaganError, match="--size"):
        an_import(paths)
    model = an_import(paths, size=256)
    assert (model.description.architecture.size, model.description.architecture.classes) == (256, 2)
    assert model.stored == ("generator", "encoder")
    assert model.ground_encoder() is None


def test_a_size_that_contradicts_the_discriminator_is_refused(
    tmp_path: Path, an_import: Callable[..., ModelFile]
) -> None:
    save_checkpoints(tmp_path, published_states(128, 0))
    with pytest.raises(HaganError, match="different sizes: 128, 128, 256"):
        an_import(size=256)


def test_the_file_says_what_it_was_imported_from(tmp_path: Path, an_import: Callable[..., ModelFile]) -> None:
    paths = save_checkpoints(tmp_path, published_states(128, 0))
    sources = an_import().description.training["imported_from"]
    assert sources.keys() == {path.name for path in paths.values()}
    assert all(len(digest) == 64 for digest in sources.values())


# --- what is refused --------------------


def test_a_checkpoint_of_another_network_is_refused_by_name(
    tmp_path: Path, an_import: Callable[..., ModelFile]
) -> None:
    paths = save_checkpoints(tmp_path, published_states(128, 0))
    with pytest.raises(HaganError, match=r"not a checkpoint of HA-GAN's E: it lacks 'bn1.bias'"):
        an_import(paths | {"encoder": paths["discriminator"]})
    with pytest.raises(HaganError, match="A generator"):
        an_import({"encoder": paths["encoder"]})


def test_tensors_of_a_wrong_shape_are_refused(tmp_path: Path, an_import: Callable[..., ModelFile]) -> None:
    states = published_states(128, 0)
    states["generator"]["tp_conv6.weight"] = torch.zeros(())
    save_checkpoints(tmp_path, states)
    with pytest.raises(HaganError, match=r"'tp_conv6.weight' has shape \(\)"):
        an_import()
    states["generator"]["tp_conv6.weight"] = torch.zeros(4, 8, 3, 3, 1)
    save_checkpoints(tmp_path, states)
    with pytest.raises(HaganError, match=r"has shape \(4, 8, 3, 3, 1\)"):
        an_import()
    assert not (tmp_path / "imported.safetensors").exists()


def test_the_registry_cites_the_paper_in_the_same_words() -> None:
    published = [entry for entry in read_registry() if entry.name.startswith("hagan-")]
    assert published
    assert all(entry.citation == HAGAN.source for entry in published)
