"""``hagan model``: what a person sees, what a script reads, and how it fails."""

from __future__ import annotations

import hashlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from HAGANCore.cli import main
from HAGANCore.models import registry
from HAGANCore.models.modelfile import read_model

SMALL = [
    "--size=32",
    "--latent=8",
    "--generator-width=4",
    "--discriminator-width=64",
    "--ground-encoder-width=16",
]
Hagan = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def a_model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep downloaded models of this machine out of the tests."""
    monkeypatch.setenv("HAGAN_MODEL_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def hagan(capsys: pytest.CaptureFixture[str]) -> Hagan:
    """Run ``hagan model … --json`` and return its document."""

    def run(*arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["model", *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def failure(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a ``hagan model …`` that must fail and return its one line."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main(["model", *map(str, arguments)]) == 1
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1
        assert printed.err.startswith("hagan model: ")
        return printed.err

    return run


def write_published_generator(folder: Path) -> None:
    """Write a small G in the published form, latent 5, as iteration 7."""
    shapes: dict[str, tuple[int, ...]] = {"fc1.weight": (4096, 5), "fc1.bias": (4096,)}
    widths = [64, 64, 64, 32, 16, 8, 4, 1]
    layers = [(f"tp_conv{i}", f"bn{i}", widths[i - 1], widths[i]) for i in range(1, 8)]
    for i, (before, width) in enumerate([(8, 4), (4, 2), (2, 1)], start=1):
        layers.append((f"sub_G.tp_conv{i}", f"sub_G.bn{i}", before, width))
    for conv, norm, before, width in layers:
        shapes |= {f"{conv}.weight": (width, before, 3, 3, 3), f"{conv}.bias": (width,)}
        if width > 1:  # the last convolution of G^H and of G^L has no normalisation
            shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    state = {f"module.{name}": torch.ones(shape) for name, shape in shapes.items()}
    torch.save({"model": state, "optimizer": {}}, folder / "G_iter7.pth")


def test_new_writes_a_model_and_says_the_keys_that_scripts_read(hagan: Hagan, tmp_path: Path) -> None:
    path = tmp_path / "random.safetensors"
    made = hagan("new", *SMALL, "--classes", 2, "--profile", "brain-mr", "--out", path)
    assert made["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (made["size"], made["classes"], made["bytes"]) == (32, 2, path.stat().st_size)
    parameters = made["parameters"]
    assert parameters.keys() == {"generator", "discriminator", "encoder", "ground_encoder", "total"}
    assert parameters["total"] == sum(parameters.values()) - parameters["total"]
    assert made["description"]["profile"]["name"] == "brain-mr"
    assert made["description"]["classes"] == ["class 0", "class 1"]
    assert hagan("info", path) == made


def test_new_without_the_discriminator_still_tells_its_parameters(hagan: Hagan, tmp_path: Path) -> None:
    whole = hagan("new", *SMALL, "--out", tmp_path / "whole.safetensors")
    part = hagan("new", *SMALL, "--no-discriminator", "--out", tmp_path / "part.safetensors")
    assert part["parameters"] == whole["parameters"]
    assert part["stored"] == ["generator", "encoder", "ground_encoder"]
    assert part["bytes"] < whole["bytes"]


def test_the_same_seed_makes_the_same_file_and_another_does_not(hagan: Hagan, tmp_path: Path) -> None:
    torch.manual_seed(1)
    path = tmp_path / "m.safetensors"
    first, again, other = (
        hagan("new", *SMALL, "--seed", seed, "--out", path)["sha256"] for seed in (5, 5, 6)
    )
    assert first == again != other


def test_info_reads_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "random.safetensors"
    assert main(["model", "new", *SMALL, "--classes", "2", "--no-discriminator", "--out", str(path)]) == 0
    made = capsys.readouterr().out
    assert main(["model", "info", str(path)]) == 0
    assert capsys.readouterr().out == made
    for text in ("Random weights, 32³ [random]", "−1024 to 600", "class 0, class 1", "thorax-ct"):
        assert text in made
    assert "(not in the file); total" in made


def test_json_may_stand_before_or_after_the_action(capsys: pytest.CaptureFixture[str], hagan: Hagan) -> None:
    assert main(["model", "--json", "list"]) == 0
    assert json.loads(capsys.readouterr().out) == hagan("list")


def test_list_says_what_is_here_and_how_to_obtain_the_rest(
    capsys: pytest.CaptureFixture[str], hagan: Hagan, a_model_folder: Path
) -> None:
    hagan("new", *SMALL, "--out", a_model_folder / "mine.safetensors")
    document = hagan("list")
    assert document["own"] == ["mine"]
    assert document["folder"] == str(a_model_folder)
    by_name = {model["name"]: model for model in document["models"]}
    assert by_name["hagan-copdgene"]["available"] is False
    assert main(["model", "list"]) == 0
    printed = capsys.readouterr().out
    assert by_name["hagan-copdgene"]["how_to_obtain"] in printed
    assert hagan("info", "mine")["path"] == str(a_model_folder / "mine.safetensors")


def test_verify_reads_every_weight(hagan: Hagan, failure: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "random.safetensors"
    hagan("new", *SMALL, "--out", path)
    document = hagan("verify", path)
    assert (document["valid"], document["registry"]) == (True, None)
    content = bytearray(path.read_bytes())
    content[-4:] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert "values that are not finite" in failure("verify", path)


def test_an_import_that_cannot_be_done_says_what_is_missing(
    failure: Callable[..., str], tmp_path: Path, a_model_folder: Path
) -> None:
    write_published_generator(tmp_path)
    assert "--size" in failure("import", tmp_path, "--name", "mine")
    assert "latent should have 1024" in failure("import", tmp_path, "--name", "mine", "--size", 128)
    assert "needed; encoders" in failure("import", "--encoder", tmp_path / "G_iter7.pth", "--name", "mine")
    assert "no checkpoint of iteration 8" in failure("import", tmp_path, "--iteration", 8, "--name", "mine")
    assert not a_model_folder.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("import none", "Say where to write"),
        ("import --out x.safetensors", "Give the FOLDER"),
        ("import --name x --generator G.pth --iteration 3", "give the FOLDER"),
        ("import none --name x --profile mouse", "no preprocessing profile 'mouse'"),
        ("new --size 48 --out x.safetensors", "The volume size must be one of"),
        ("new --size 32 --profile mouse --out x.safetensors", "no preprocessing profile 'mouse'"),
    ],
)
def test_options_that_cannot_be_are_wrong_usage(
    options: str, message: str, usage_error: Callable[..., str]
) -> None:
    assert message in usage_error("model", *options.split())


def test_the_published_form_becomes_a_model_file(hagan: Hagan, tmp_path: Path, a_model_folder: Path) -> None:
    write_published_generator(tmp_path)
    sub_e = {"conv5.weight": torch.ones(5, 16, 4, 4, 4), "conv5.bias": torch.ones(5)}
    for i, (before, width) in {2: (8, 4), 3: (4, 8), 4: (8, 16)}.items():
        sub_e |= {f"conv{i}.weight": torch.ones(width, before, 4, 4, 4), f"conv{i}.bias": torch.ones(width)}
        sub_e |= {f"bn{i}.weight": torch.ones(width), f"bn{i}.bias": torch.ones(width)}
    torch.save(sub_e, tmp_path / "Sub_E_iter7.pth")
    document = hagan("import", tmp_path, "--name", "mine", "--profile", "brain-mr")
    assert document["path"] == str(a_model_folder / "mine.safetensors")
    assert document["stored"] == ["generator", "ground_encoder"]
    assert document["size"] == 128
    description = read_model(document["path"]).description
    assert (description.name, description.profile.name, description.architecture.latent) == (
        "mine",
        "brain-mr",
        5,
    )
    given = hagan(
        "import", "--generator", tmp_path / "G_iter7.pth", "--ground-encoder", tmp_path / "Sub_E_iter7.pth",
        "--out", tmp_path / "given one.safetensors",
    )  # fmt: skip
    assert given["description"]["name"] == "given-one"


def test_download_keeps_the_model_in_the_model_folder(
    hagan: Hagan,
    failure: Callable[..., str],
    tmp_path: Path,
    a_model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = tmp_path / "site"
    made = hagan("new", *SMALL, "--out", site / "m.safetensors")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    entry = {
        "name": "far", "title": "Far", "anatomy": "thorax", "size": 32, "resource": None,
        "url": f"http://127.0.0.1:{server.server_address[1]}/m.safetensors", "bytes": made["bytes"],
        "sha256": made["sha256"], "licence": "", "citation": "", "how_to_obtain": "hagan model download far",
    }  # fmt: skip
    (tmp_path / "models.json").write_text(json.dumps({"version": 1, "models": [entry]}))
    monkeypatch.setattr(registry, "resource_path", lambda name: tmp_path / name)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    try:
        assert "hagan model download far" in failure("info", "far")
        document = hagan("download", "far")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert document["path"] == str(a_model_folder / "far.safetensors")
    assert hagan("verify", "far")["registry"] == "far"
    hagan("new", *SMALL, "--seed", 1, "--out", a_model_folder / "far.safetensors")
    assert "not the one the registry calls 'far'" in failure("verify", "far")
    assert "no model named 'near'" in failure("download", "near")


def test_a_model_that_only_its_authors_distribute_says_how_to_obtain_it(failure: Callable[..., str]) -> None:
    assert "hagan model import FOLDER" in failure("download", "hagan-gsp")
    assert "hagan model import FOLDER" in failure("info", "hagan-gsp")
    assert "cannot be downloaded. It comes with" in failure("download", "demo")


def test_a_checkpoint_given_as_a_model_is_refused_with_the_command_to_use(
    failure: Callable[..., str], tmp_path: Path
) -> None:
    torch.save({"model": {}}, tmp_path / "model.safetensors")
    assert "hagan model import" in failure("info", tmp_path / "model.safetensors")


def test_wrong_usage_ends_with_code_2_and_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["model"], ["model", "new"], ["model", "fly"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    for action in ("info", "list", "verify", "download", "new", "import"):
        capsys.readouterr()
        with pytest.raises(SystemExit, match="0"):
            main(["model", action, "--help"])
        assert f"example:\n  hagan model {action}" in capsys.readouterr().out


def test_the_installed_command_prints_one_json_document(tmp_path: Path) -> None:
    hagan = Path(sys.executable).with_name("hagan")
    done = subprocess.run([hagan, "model", "list", "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "models" in json.loads(done.stdout)
    assert done.stderr == ""
