"""The wheel is complete: what a clone finds in Resources/, an installed wheel finds in the package."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CARRIED = (
    "models.json",
    "Models/demo.safetensors",
    "SampleData/thorax_phantom.nii.gz",
    "Segmentation/thick_voxels.safetensors",
)


@pytest.fixture(scope="module")
def an_unpacked_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("hagan_core-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.parametrize("name", CARRIED)
def test_the_wheel_finds_what_it_carries(an_unpacked_wheel: Path, tmp_path: Path, name: str):
    code = f"from HAGANCore.resources import resource_path; print(resource_path({name!r}))"
    environment = {**os.environ, "PYTHONPATH": str(an_unpacked_wheel)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    found = Path(done.stdout.strip())
    assert found.is_relative_to(an_unpacked_wheel)
    assert found.read_bytes() == (ROOT / "Resources" / name).read_bytes()


def test_the_wheel_carries_the_engine_and_nothing_else(an_unpacked_wheel: Path):
    names = {path.name for path in an_unpacked_wheel.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"HAGANCore"}
    assert not list(an_unpacked_wheel.rglob("test_*.py"))
