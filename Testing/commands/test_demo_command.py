"""``hagan demo``: the whole chain on the scan that comes along, and on a real chest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from HAGANCore import read_latent, read_volume, resource_path
from HAGANCore.cli import main

TRUE_LUNGS_ML = 5086
"""Of the phantom in the sample scan, seed 20260, from its partial volumes."""


def demo(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    capsys.readouterr()
    assert main(["demo", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def a_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo ä")


@pytest.fixture
def a_demonstration(capsys: pytest.CaptureFixture[str], a_folder: Path) -> dict:
    """The demonstration as `make demo` runs it, with one synthetic volume and a short refinement."""
    done = a_folder / "document.json"
    if not done.exists():
        done.write_text(json.dumps(demo(capsys, "--count", 1, "--refine", 5, "--out", a_folder)))
    return json.loads(done.read_text())


def test_scan_reconstruction_and_synthetic_volume_are_measured(a_demonstration: dict):
    names = {row["volume"]: row for row in a_demonstration["volumes"]}
    assert list(names)[:3] == ["scan", "reconstruction", "synthetic, seed 1"]
    assert names["scan"]["lungs_ml"] == pytest.approx(TRUE_LUNGS_ML, rel=0.03)
    # What the table says is what the label maps beside it hold: voxels of a lung times their size.
    for row, path in zip(a_demonstration["volumes"], a_demonstration["files"]["labelmaps"], strict=True):
        image = nibabel.load(path)
        voxels = np.isin(np.asarray(image.dataobj), (1, 2)).sum()
        assert row["lungs_ml"] == pytest.approx(voxels * np.prod(image.header.get_zooms()) / 1000, rel=1e-4)
        assert row["lungs_ml"] > 500


def test_the_error_is_that_of_the_reconstruction_in_the_file(a_demonstration: dict):
    files = a_demonstration["files"]
    inside, window = (
        getattr(read_latent(files["latent"]).preparation, name) for name in ("inside", "window")
    )
    scan = read_volume(resource_path("SampleData/thorax_phantom.nii.gz")).array[inside]
    made = read_volume(files["volumes"][0]).array[inside]
    error = np.abs(np.clip(scan, *window).astype(float) - np.clip(made, *window)).mean()
    assert a_demonstration["errors"]["mae_hu"] == pytest.approx(error, rel=0.01)
    # Better than the scan's own mean everywhere: it is this scan's.
    assert error < 0.5 * np.abs(np.clip(scan, *window) - np.clip(scan, *window).mean()).mean()


def test_everything_that_is_said_to_be_written_is_there_and_says_that_it_is_synthetic(a_demonstration: dict):
    files = a_demonstration["files"]
    scan = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))
    for path in files["volumes"]:
        assert "synthetic" in Path(path).name
        assert read_volume(path).meta["synthetic"] is True
    reconstruction = read_volume(files["volumes"][0])
    assert np.allclose(reconstruction.geometry.matrix, scan.geometry.matrix, atol=1e-4)
    assert len(files["labelmaps"]) == 3 + len(a_demonstration["steps"])
    assert all(set(np.unique(read_volume(path).array)) <= {0, 1, 2, 3} for path in files["labelmaps"])
    assert read_latent(files["latent"]).preparation is not None
    picture = np.asarray(Image.open(files["picture"]).convert("RGB"))
    assert picture.shape[0] > 700
    rows = len(files["labelmaps"])
    for row in np.array_split(picture, rows):  # right lung, left lung and bones are outlined in each
        for colour in ((80, 200, 255), (120, 255, 120), (255, 190, 60)):
            assert (row == colour).all(axis=2).sum() > 20


def test_a_model_with_a_direction_for_lungs_shows_it(
    capsys: pytest.CaptureFixture[str], a_steerable_model_file: Path, tmp_path: Path
):
    document = demo(capsys, "--model", a_steerable_model_file, "--count", 1, "--refine", 0, "--out", tmp_path)
    assert [row["volume"].startswith("seed 1, lungs") for row in document["volumes"]] == [False] * 3 + [
        True
    ] * 2
    smaller, larger = document["steps"]
    assert smaller["direction"] == "lung volume"
    assert smaller["requested"] < 0 < larger["requested"]
    assert smaller["measured"] < -50 < 50 < larger["measured"]
    lungs = [row["lungs_ml"] for row in document["volumes"]]
    assert lungs[4] - lungs[3] == pytest.approx(larger["measured"] - smaller["measured"])
    assert all("synthetic" in Path(path).name for path in document["files"]["volumes"])


def test_a_real_chest_goes_through(capsys: pytest.CaptureFixture[str], real_scans: Path, tmp_path: Path):
    scan = real_scans / "thorax_cip_64.nrrd"
    document = demo(capsys, "--scan", scan, "--count", 1, "--refine", 5, "--out", tmp_path)
    lungs = [row["lungs_ml"] for row in document["volumes"][:2]]
    assert lungs[1] == pytest.approx(lungs[0], rel=0.35)  # a rough likeness, by a model of phantoms


def test_a_scan_without_lungs_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], real_scans: Path, tmp_path: Path
):
    assert (
        main(["demo", "--scan", str(real_scans / "brain_t1_datalad_1mm.nii.gz"), "--out", str(tmp_path)]) == 1
    )
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("hagan demo: ")
    assert "unexpected" not in error


def test_a_model_without_encoder_is_refused(
    capsys: pytest.CaptureFixture[str], a_model_file: Callable[..., Path], tmp_path: Path
):
    assert main(["demo", "--model", str(a_model_file(encoders=False)), "--out", str(tmp_path)]) == 1
    assert "no encoder" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "said"), [("--count 0", "found 0"), ("--refine -1", "found -1")])
def test_numbers_that_cannot_be_are_wrong_usage(options: str, said: str, usage_error: Callable[..., str]):
    assert said in usage_error("demo", "--model", "none", *options.split())


def test_the_voxel_size_of_a_scan_that_does_not_say_it_can_be_given(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, usage_error: Callable[..., str]
):
    phantom = nibabel.load(resource_path("SampleData/thorax_phantom.nii.gz"))
    sizes = ",".join(f"{size:.4f}" for size in phantom.header.get_zooms())
    unknown = nibabel.Nifti1Image(np.asarray(phantom.dataobj), phantom.affine)
    unknown.header["pixdim"][1:4] = 0
    unknown.header["sform_code"] = unknown.header["qform_code"] = 0
    nibabel.save(unknown, tmp_path / "scan.nii")
    line = ("--scan", tmp_path / "scan.nii", "--count", 1, "--refine", 0, "--out", tmp_path / "out")
    document = demo(capsys, *line, "--spacing", sizes)
    assert document["volumes"][0]["lungs_ml"] == pytest.approx(TRUE_LUNGS_ML, rel=0.03)
    assert any("voxel size" in warning for warning in document["warnings"])
    assert "--spacing needs a scan" in usage_error("demo", "--spacing", "1,1,1")
