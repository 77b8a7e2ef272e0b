"""The Slicer extension: its lists are complete, and what they install finds the engine and its files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import extension_files
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
LISTS = extension_files.wanted()


def the_address() -> str:
    return (ROOT / "Resources/ExtensionsIndex/address.txt").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize(("cmake_file", "variable"), LISTS, ids=lambda value: getattr(value, "name", value))
def test_every_file_is_listed_and_every_listed_file_is_there(cmake_file: Path, variable: str) -> None:
    listed, there = extension_files.listed(cmake_file, variable), LISTS[cmake_file, variable]
    missing, extra = sorted(set(there) - set(listed)), sorted(set(listed) - set(there))
    message = f"{cmake_file.name}: {missing=}, {extra=}; run `python Testing/extension_files.py`"
    assert listed == there, message


@pytest.fixture(scope="module")
def an_extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of scripted modules of an installed extension: every listed file in its place."""
    folder = tmp_path_factory.mktemp("an extension ü") / "qt-scripted-modules"
    for cmake_file, variable in LISTS:
        source = ROOT if cmake_file.parent.name == "CMake" else cmake_file.parent
        for name in extension_files.listed(cmake_file, variable):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    return folder


def found_from(module_folder: Path) -> list[str]:
    """Return where HAGANCore and its files come from when Slicer has this folder on its path."""
    code = f"""
import sys
sys.path.insert(0, {str(module_folder)!r})
from HAGANSlicerLib.core import add_core_to_path
add_core_to_path()
import HAGANCore
from HAGANCore.resources import resource_path
model = HAGANCore.load_model("demo")
for path in (HAGANCore.__file__, resource_path("models.json"), model.file.path,
             resource_path("SampleData/thorax_phantom.nii.gz"),
             resource_path("Segmentation/thick_voxels.safetensors")):
    print(path)
"""
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=module_folder.parent, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_installed_extension_has_its_own_engine_and_files(an_extension: Path) -> None:
    paths = found_from(an_extension)
    assert len(paths) == 5
    assert all(Path(path).is_relative_to(an_extension) for path in paths)


def test_a_clone_has_its_engine_one_folder_up() -> None:
    paths = found_from(ROOT / "HAGANSlicer")
    assert len(paths) == 5
    assert all(Path(path).is_relative_to(ROOT) for path in paths)


def test_the_index_entry_keeps_to_the_schema() -> None:
    """Facts of schema 1.0.1: required and allowed entries, their types and values."""
    entry = json.loads((ROOT / "Resources/ExtensionsIndex/HAGANSlicer.json").read_text(encoding="utf-8"))
    texts = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_subdirectory"}
    assert (
        {"$schema", "category", "scm_url"} <= set(entry) <= texts | {"build_dependencies", "enabled", "tier"}
    )
    assert all(isinstance(entry[name], str) and entry[name] for name in texts & set(entry))
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["tier"] in (1, 3, 5)
    assert entry["scm_type"] == "git"
    assert entry["build_dependencies"] == _cmake_values()["EXTENSION_DEPENDS"].split()
    assert entry["category"] == _cmake_values()["EXTENSION_CATEGORY"] == "Image Synthesis"


def test_the_address_has_one_place() -> None:
    entry = json.loads((ROOT / "Resources/ExtensionsIndex/HAGANSlicer.json").read_text(encoding="utf-8"))
    assert entry["scm_url"] == the_address()
    values = _cmake_values()
    assert values["EXTENSION_HOMEPAGE"] == "${HAGANSlicer_ADDRESS}"
    for name in ("EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"):
        for address in values[name].split():
            prefix, _, file = address.partition("/")
            assert prefix == "${HAGANSlicer_FILES}"
            assert (ROOT / file).is_file()
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        cloned = re.findall(r"git clone\s+(\S+)", text)
        assert all(address.removesuffix(".git") == the_address() for address in cloned)


def test_meta_information_survives_cmake_lists() -> None:
    values = _cmake_values()
    assert {f"EXTENSION_{name}" for name in ("CONTRIBUTORS", "DESCRIPTION", "DEPENDS")} <= set(values)
    assert not any(";" in value or '"' in value for value in values.values())


def test_the_icon_is_128_pixels_wide() -> None:
    folder = ROOT / "HAGANSlicer/Resources/Icons"
    with Image.open(folder / "HAGANSlicer.png") as icon:
        assert icon.size == (128, 128)
        assert icon.convert("RGBA").getpixel((0, 0))[3] == 0  # its corners are clear
    assert (folder / "HAGANSlicer.svg").read_text(encoding="utf-8").startswith("<svg ")


def _cmake_values() -> dict[str, str]:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\((EXTENSION_\w+) "([^\n]*)"\)$', text, re.MULTILINE))
