"""The registry: every model known by name, and the way from a name to a file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from HAGANCore.errors import HaganError
from HAGANCore.hashing import sha256_of
from HAGANCore.models import registry
from HAGANCore.models.errors import ModelFileError
from HAGANCore.models.registry import (
    RegistryEntry,
    model_folder,
    own_models,
    read_registry,
    registry_entry,
    resolve_model,
)

ENTRY: dict[str, Any] = {
    "name": "thorax",
    "title": "Thorax",
    "anatomy": "thorax",
    "size": 128,
    "resource": None,
    "url": "https://example.org/thorax.safetensors",
    "bytes": 1000,
    "sha256": "0" * 64,
    "licence": "CC0-1.0",
    "citation": "",
    "how_to_obtain": "Run 'hagan model download thorax'.",
}


@pytest.fixture(autouse=True)
def a_model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep downloaded models of this machine out of the tests."""
    monkeypatch.setenv("HAGAN_MODEL_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def a_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a registry of these entries, or this text, and make it the one in use."""

    def write(*entries: Any, text: str | None = None) -> Path:
        path = tmp_path / "models.json"
        path.write_text(text if text is not None else json.dumps({"version": 1, "models": entries}))
        monkeypatch.setattr(registry, "resource_path", lambda name: tmp_path / name)
        return path

    return write


# --- the registry that comes along --------------------


def test_the_shipped_registry_knows_the_demonstration_model_and_the_published_weights() -> None:
    entries = {entry.name: entry for entry in read_registry()}
    assert entries["demo"].resource == "Models/demo.safetensors"
    published = [entry for entry in entries.values() if entry.name.startswith("hagan-")]
    assert {entry.anatomy for entry in published} == {"thorax", "brain"}
    for entry in published:
        assert entry.url is None  # only their authors distribute them
        assert "hagan model import" in entry.how_to_obtain
        assert "10.1109/JBHI.2022.3172976" in entry.citation


def test_the_shipped_models_are_those_that_the_registry_describes() -> None:
    for entry in read_registry():
        if entry.resource is not None and entry.available:
            assert entry.path.stat().st_size == entry.bytes
            assert sha256_of(entry.path) == entry.sha256


def test_the_registry_is_read_where_there_is_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from HAGANCore.models.registry import read_registry\n"
        "from HAGANCore.models.download import download\n"
        "print(len(read_registry()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str(len(read_registry())), done.stderr


# --- reading --------------------


def test_an_entry_is_found_by_its_name(a_registry: Callable[..., Path]) -> None:
    a_registry(ENTRY, ENTRY | {"name": "brain"})
    assert registry_entry("brain") == RegistryEntry(**(ENTRY | {"name": "brain"}))
    with pytest.raises(HaganError, match="no model named 'spine'; known are thorax, brain"):
        registry_entry("spine")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "../x"}, "its name must be"),
        ({"name": None}, "its name must be"),
        ({"title": 1}, "'title' must be a text"),
        ({"size": "128"}, "'size' must be a positive whole number"),
        ({"size": True}, "'size' must be a positive whole number"),
        ({"bytes": -1}, "'bytes' must be"),
        ({"bytes": 1.5}, "'bytes' must be"),
        ({"sha256": "xyz"}, "64 hexadecimal digits"),
        ({"sha256": 5}, "'sha256' must be a text or null"),
        ({"sha256": None}, "the download could not be checked"),
        ({"bytes": None}, "the download could not be checked"),
        ({"colour": "red"}, "has the unknown entry 'colour'"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(
    a_registry: Callable[..., Path], change: dict[str, Any], expected: str
) -> None:
    with pytest.raises(HaganError, match=expected) as caught:
        read_registry(a_registry(ENTRY | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not valid JSON"),
        ("[]", r"must have version 1; found \[\]"),
        ('{"version": 2, "models": []}', "must have version 1; found 2.*Update"),
        ('{"version": 1}', "no list 'models'"),
        ('{"version": 1, "models": [3]}', "must be a JSON object; found 3"),
        ('{"version": 1, "models": [{"name": "a"}]}', "'a' in the registry lacks 'anatomy'"),
        (json.dumps({"version": 1, "models": [ENTRY, ENTRY]}), "two models of one name: thorax, thorax"),
    ],
)
def test_a_wrong_registry_is_refused(a_registry: Callable[..., Path], text: str, expected: str) -> None:
    with pytest.raises(HaganError, match=expected):
        read_registry(a_registry(text=text))


def test_a_missing_registry_is_said(tmp_path: Path) -> None:
    with pytest.raises(HaganError, match=r"cannot be read: No such file"):
        read_registry(tmp_path / "none.json")


# --- from a name to a file --------------------


def test_a_name_means_the_file_in_the_model_folder(
    a_registry: Callable[..., Path], a_model_folder: Path
) -> None:
    a_registry(ENTRY)
    with pytest.raises(ModelFileError, match=r"'thorax' is not at .*models/thorax\.safetensors\. Run 'hagan"):
        resolve_model("thorax")
    a_model_folder.mkdir()
    (a_model_folder / "thorax.safetensors").touch()
    assert resolve_model("thorax") == a_model_folder / "thorax.safetensors"


def test_a_shipped_model_is_found_among_the_resources(a_registry: Callable[..., Path]) -> None:
    folder = a_registry(ENTRY | {"name": "demo", "resource": "Models/demo.safetensors"}).parent
    with pytest.raises(ModelFileError, match="'demo' is not among the files of HAGANCore"):
        resolve_model("demo")
    (folder / "Models").mkdir()
    (folder / "Models" / "demo.safetensors").touch()
    assert resolve_model("demo") == folder / "Models" / "demo.safetensors"


def test_a_name_goes_before_a_file_of_that_name_and_a_path_is_a_path(
    a_registry: Callable[..., Path], a_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_registry(ENTRY)
    monkeypatch.chdir(tmp_path)
    Path("thorax").touch()
    with pytest.raises(ModelFileError, match="is not at"):
        resolve_model("thorax")
    assert resolve_model("./thorax").samefile(tmp_path / "thorax")
    assert resolve_model(tmp_path / "thorax") == tmp_path / "thorax"


def test_models_of_ones_own_are_found_by_name(a_registry: Callable[..., Path], a_model_folder: Path) -> None:
    a_registry(ENTRY)
    assert own_models() == []
    a_model_folder.mkdir()
    for name in ("thorax", "mine", "another"):
        (a_model_folder / f"{name}.safetensors").touch()
    (a_model_folder / "half.safetensors.part").touch()
    assert own_models() == ["another", "mine"]
    assert resolve_model("mine") == a_model_folder / "mine.safetensors"


def test_neither_name_nor_file_lists_the_names(a_registry: Callable[..., Path]) -> None:
    a_registry(ENTRY, ENTRY | {"name": "brain"})
    with pytest.raises(ModelFileError, match=r"no model file 'nose' .* known names are thorax, brain"):
        resolve_model("nose")


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "~/.local/share/hagan/models"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/hagan/models"),
        ("darwin", {}, "~/Library/Application Support/hagan/models"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/hagan/models"),
        ("linux", {"HAGAN_MODEL_DIR": "~/m"}, "~/m"),
    ],
)
def test_models_are_kept_where_the_system_keeps_such_data(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("HAGAN_MODEL_DIR", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(registry.sys, "platform", platform)
    assert model_folder() == Path(expected).expanduser()
