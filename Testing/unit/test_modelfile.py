"""Model files: what is written is read again, and nothing else is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from small_model import DESCRIPTION, SMALL
from torch import Tensor, nn

from HAGANCore.gans.hagan import Architecture, Discriminator, Encoder, Generator, GroundEncoder
from HAGANCore.models import container, modelfile
from HAGANCore.models.modelfile import (
    ModelDescription,
    ModelFileError,
    count_parameters,
    read_description,
    read_model,
    write_model,
)
from HAGANCore.preparation.profiles import PROFILES


def networks(architecture: Architecture = SMALL) -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "generator": Generator(architecture),
        "encoder": Encoder(architecture),
        "ground_encoder": GroundEncoder(architecture),
        "discriminator": Discriminator(architecture),
    }


@pytest.fixture(scope="module")
def a_model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small model: four networks, two classes, one direction."""
    return write_model(
        tmp_path_factory.mktemp("model") / "small.safetensors",
        DESCRIPTION,
        **networks(),
        directions={"lung volume": torch.arange(8.0), "lung volume.bias": torch.ones(1)},
    )


@pytest.fixture
def a_variant(a_model_file: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the small model with other tensors or another document, past all checks of write_model."""

    def write(change: Callable[[dict[str, Tensor]], Any] = lambda tensors: None, **document: Any) -> Path:
        tensors = load_file(a_model_file)
        change(tensors)
        text = json.dumps(DESCRIPTION.to_dict() | document)
        save_file(tensors, tmp_path / "variant.safetensors", metadata={"hagan": text})
        return tmp_path / "variant.safetensors"

    return write


def refused(path: Path) -> str:
    """Return the one line with which a file is refused, at the latest when its networks are built."""
    with pytest.raises(ModelFileError) as caught:
        load_all(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 500
    return message


def load_all(path: Path) -> None:
    model = read_model(path)
    model.generator()
    model.encoder()
    model.ground_encoder()
    model.discriminator()


# --- written and read --------------------


def test_all_that_is_written_is_read_again(a_model_file: Path) -> None:
    model = read_model(a_model_file)
    assert model.description == DESCRIPTION == read_description(a_model_file)
    assert model.stored == ("generator", "encoder", "ground_encoder", "discriminator")
    assert model.bytes == a_model_file.stat().st_size
    assert model.sha256 == hashlib.sha256(a_model_file.read_bytes()).hexdigest()
    assert model.directions["lung volume"].tolist() == list(range(8))
    loaded = [model.generator(), model.encoder(), model.ground_encoder(), model.discriminator()]
    for network, expected in zip(loaded, networks().values(), strict=True):
        assert network is not None
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        state = network.state_dict()
        assert state.keys() == expected.state_dict().keys()
        for name, tensor in expected.state_dict().items():
            assert torch.equal(state[name], tensor), name


def test_others_may_read_a_model_file_as_any_other_file(a_model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert a_model_file.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_generator_alone_is_enough(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "g.safetensors", replace(DESCRIPTION, directions=()), generator=Generator(SMALL)
    )
    model = read_model(path)
    assert model.stored == ("generator",)
    assert model.encoder() is model.ground_encoder() is model.discriminator() is None
    assert model.directions == {}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
def test_half_precision_halves_the_file_and_is_read_as_float32(
    a_model_file: Path, tmp_path: Path, dtype: torch.dtype, tolerance: float
) -> None:
    path = write_model(
        tmp_path / "half.safetensors",
        DESCRIPTION,
        **networks(),
        directions={"lung volume": torch.full((8,), 1 / 3)},
        dtype=dtype,
    )
    assert path.stat().st_size < 0.55 * a_model_file.stat().st_size
    model = read_model(path)
    assert torch.equal(model.directions["lung volume"], torch.full((8,), 1 / 3))
    for name, expected in networks()["generator"].state_dict().items():
        found = model.generator().state_dict()[name]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_channels_last_weights_and_state_dicts_are_written_alike(tmp_path: Path) -> None:
    description = replace(DESCRIPTION, directions=())
    generator = networks()["generator"]
    plain = write_model(tmp_path / "a.safetensors", description, generator=generator.state_dict())
    generator.to(memory_format=torch.channels_last_3d)
    last = write_model(tmp_path / "b.safetensors", description, generator=generator)
    assert plain.read_bytes() == last.read_bytes()


def test_networks_do_not_depend_on_the_file_once_built(a_model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.safetensors"
    path.write_bytes(a_model_file.read_bytes())
    generator = read_model(path).generator()
    before = generator(torch.ones(1, 8), torch.eye(2)[:1])
    with path.open("rb+") as file:
        file.truncate(100)
    assert torch.equal(generator(torch.ones(1, 8), torch.eye(2)[:1]), before)


def test_a_file_that_changes_after_it_was_read_is_noticed(a_model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.safetensors"
    path.write_bytes(a_model_file.read_bytes())
    model = read_model(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelFileError, match="has changed since it was opened"):
        model.generator()


@pytest.mark.parametrize("name", ["model.pth", "model.pt", "model", "model.zip"])
def test_the_content_decides_and_not_the_extension(a_model_file: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(a_model_file.read_bytes())
    assert read_model(tmp_path / name).description == DESCRIPTION


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_parameters_are_counted_without_memory_for_them(size: int) -> None:
    totals = {32: 74_747_780, 64: 78_672_324, 128: 79_583_972, 256: 79_744_884}
    counts = count_parameters(Architecture(size=size))
    assert counts["total"] == totals[size]
    assert counts["generator"] == 52_518_210


# --- writing refuses what reading would refuse --------------------


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system cannot limit the length of files")
    path = tmp_path / "m.safetensors"
    path.write_text("older")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # the disk is as good as full
    try:
        with pytest.raises(ModelFileError, match=r"m\.safetensors' cannot be written: .*File too large"):
            write_model(path, replace(DESCRIPTION, directions=()), generator=Generator(SMALL))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    description = replace(DESCRIPTION, directions=())
    with pytest.raises(ModelFileError, match=r"'generator.common.linear.weight' has shape \(4096, 11\)"):
        write_model(path, description, generator=Generator(replace(SMALL, latent=9)))
    state = networks()["encoder"].state_dict()
    del state["blocks.2.norm.weight"]
    with pytest.raises(ModelFileError, match=r"'encoder.blocks.2.norm.weight' is missing"):
        write_model(path, description, generator=Generator(SMALL), encoder=state)
    with pytest.raises(ModelFileError, match=r"unknown tensor 'directions\.age'"):
        write_model(path, description, generator=Generator(SMALL), directions={"age": torch.ones(8)})
    broken = Generator(SMALL)
    nn.init.constant_(broken.low.output.weight, float("nan"))
    with pytest.raises(
        ModelFileError, match=r"'generator.low.output.weight' has 54 of 54 values that are not"
    ):
        write_model(path, description, generator=broken)
    nn.init.constant_(broken.low.output.weight, 1e6)
    with pytest.raises(ModelFileError, match="not finite"):
        write_model(path, description, generator=broken, dtype=torch.float16)
    with pytest.raises(ModelFileError, match=r"floating-point tensors; found torch\.int64"):
        write_model(
            path, description, generator=networks()["generator"].state_dict() | {"n": torch.ones(1).long()}
        )
    assert not path.exists()


# --- foreign files --------------------


def test_a_pickle_is_refused_under_any_name(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'run'}",)

    for name in ("a.pth", "b.safetensors", "c"):
        torch.save({"model": Evil()}, tmp_path / name)
        assert "hagan model import" in refused(tmp_path / name)
        torch.save({"model": Evil()}, tmp_path / name, _use_new_zipfile_serialization=False)
        assert "hagan model import" in refused(tmp_path / name)
        for protocol in (2, 3, 4, 5):
            (tmp_path / name).write_bytes(pickle.dumps(Evil(), protocol))
            assert "would be unpickled" in refused(tmp_path / name)
    assert not (tmp_path / "run").exists()


def test_what_is_no_file_or_no_model_is_said_to_be_so(tmp_path: Path, a_model_file: Path) -> None:
    whole = a_model_file.read_bytes()
    cases = {
        b"": "is empty",
        b"abc": "is not a model file",
        b"<html><body>404 Not Found</body></html>": "is not a model file",
        whole[:5]: "is not a model file",
        whole[:200]: "is truncated",
        whole[:-1]: "truncated or damaged",
        whole + b"\0": "truncated or damaged",
        struct.pack("<Q", 1 << 40) + b"{}": "announces a header of 1,099,511,627,776 bytes",
        struct.pack("<Q", 9) + b"{not json": "truncated or damaged",
        struct.pack("<Q", 2) + b"{}": "without the entry 'hagan'",
    }
    for content, expected in cases.items():
        (tmp_path / "case").write_bytes(content)
        assert expected in refused(tmp_path / "case")
    assert "is not a file but a folder" in refused(tmp_path)
    assert "There is no model file" in refused(tmp_path / "missing")
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors", metadata={"format": "pt"})
    assert "without the entry 'hagan'" in refused(tmp_path / "other.safetensors")


def test_an_oversized_file_is_refused_before_it_is_read(
    a_model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "MAX_FILE_BYTES", 1000)
    assert "no model file is larger than 1,000" in refused(a_model_file)


def test_a_file_that_may_not_be_read_says_why(a_model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ModelFileError, match="cannot be read: Permission denied"):
        read_description(a_model_file)


def test_a_document_that_lies_is_refused_with_the_name_of_its_file(a_variant: Callable[..., Path]) -> None:
    message = refused(a_variant(version=3))
    assert "variant.safetensors" in message
    assert "format version 3" in message


def test_the_largest_network_that_can_be_described_takes_no_memory_unless_its_weights_are_there(
    a_variant: Callable[..., Path],
) -> None:
    greedy = {"size": 512, "latent": 65536, "classes": 2, "generator_width": 256, "discriminator_width": 4096}
    message = refused(a_variant(architecture=greedy))  # its weights: 80 GB
    assert "has shape" in message


def _changes() -> list[tuple[Callable[[dict[str, Tensor]], Any], str]]:
    name = "generator.low.output.weight"
    return [
        (lambda t: t.pop(name), f"The tensor '{name}' is missing"),
        (lambda t: t.update({name: t[name][:, :1].contiguous()}), "has shape (1, 1, 3, 3, 3)"),
        (lambda t: t.update({name: t[name].reshape(-1)}), "has shape (54,)"),
        (lambda t: t.update({name: t[name].to(torch.int64)}), "has the type I64"),
        (lambda t: t.update({name: t[name].double()}), "has the type F64"),
        (lambda t: t.update({name: t[name] * float("inf")}), "values that are not finite"),
        (lambda t: t.update({"generator.extra": torch.ones(1)}), "unknown tensor 'generator.extra'"),
        (lambda t: t.update({"optimizer.step": torch.ones(1)}), "unknown tensor 'optimizer.step'"),
        (lambda t: t.update({"directions.age": torch.ones(8)}), "unknown tensor 'directions.age'"),
        (
            lambda t: t.update({"directions.lung volume": torch.full((8,), float("nan"))}),
            "8 of 8 values that are not finite",
        ),
        (lambda t: [t.pop(key) for key in list(t) if key.startswith("generator.")], "It holds no generator"),
        (lambda t: t.pop("encoder.blocks.0.conv.bias"), "'encoder.blocks.0.conv.bias' is missing"),
    ]


@pytest.mark.parametrize(("change", "expected"), _changes())
def test_tensors_that_do_not_fit_are_refused_in_one_line(
    a_variant: Callable[..., Path], change: Callable[[dict[str, Tensor]], Any], expected: str
) -> None:
    assert expected in refused(a_variant(change))


def test_directions_of_unlimited_size_are_refused(
    a_variant: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modelfile, "MAX_DIRECTION_BYTES", 1000)
    path = a_variant(lambda tensors: tensors.update({"directions.lung volume": torch.ones(251)}))
    assert "directions need 1,008 bytes" in refused(path)


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damage_anywhere_ends_in_one_line_or_in_a_model(
    a_model_file: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(a_model_file.read_bytes())
    header = 8 + struct.unpack("<Q", content[:8])[0]
    # Most of the file is weights, where damage only changes numbers; the header deserves the attention.
    places = st.one_of(st.integers(0, 15), st.integers(0, header + 8), st.integers(0, len(content) - 1))
    for place in data.draw(st.lists(places, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.just(len(content)), st.integers(0, header + 100)))
    (tmp_path / "damaged").write_bytes(content[:kept])
    with contextlib.suppress(ModelFileError):  # the only exception there may be
        load_all(tmp_path / "damaged")


def test_loading_a_network_takes_no_more_memory_than_the_network(tmp_path: Path) -> None:
    architecture = Architecture(size=32, latent=1024, generator_width=16)
    description = ModelDescription(
        name="m", title="m", architecture=architecture, profile=PROFILES["thorax-ct"]
    )
    path = write_model(tmp_path / "m.safetensors", description, generator=Generator(architecture))
    code = (
        "import resource, sys\n"
        "from HAGANCore.models.modelfile import read_model\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "generator = read_model(sys.argv[1]).generator()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    grown = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    )
    assert int(grown.stdout) * 1024 < 1.2 * path.stat().st_size + (20 << 20)
