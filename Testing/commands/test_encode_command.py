"""``hagan encode`` as a user types it, on a real chest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cli import main
from HAGANCore.imaging.io import read_volume, write_volume
from HAGANCore.inference.latent import read_latent
from HAGANCore.inference.model import load_model
from HAGANCore.phantoms.cohort import scan_phantom

ModelFiles = Callable[..., Path]


@pytest.fixture(scope="session")
def a_phantom_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with every second voxel of a phantom's scan."""
    volume = scan_phantom(3)[0].volume
    x, y, z = volume.geometry.spacing
    thin = np.ascontiguousarray(volume.array[:, ::4, ::4])
    geometry = replace(volume.geometry, shape=thin.shape, spacing=(4 * x, 4 * y, z))
    small = replace(volume, array=thin, geometry=geometry)
    return write_volume(small, tmp_path_factory.mktemp("scan") / "chest.v2.nii.gz")


def encode_json(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    assert main(["encode", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_files_and_numbers(
    a_model_file: ModelFiles, a_phantom_scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_file = a_model_file()
    document = encode_json(
        capsys, a_phantom_scan, "--model", model_file, "--device", "cpu", "--out", tmp_path
    )
    scan, shown = read_volume(a_phantom_scan), read_volume(document["reconstruction"])
    assert Path(document["reconstruction"]) == tmp_path / "chest.v2.reconstruction.nii.gz"
    assert np.allclose(shown.geometry.matrix, scan.geometry.matrix, atol=1e-4)
    assert shown.array.shape == scan.array.shape
    assert shown.meta["synthetic"] is True
    latent = read_latent(document["latent"])
    assert document["latent"] == str(tmp_path / "chest.v2.latent.json")
    again = load_model(model_file, "cpu").reconstruct(latent)
    assert np.array_equal(again.array, shown.array)
    part = latent.preparation.inside
    error = np.abs(np.clip(scan.array[part].astype(float), -1024, 600) - shown.array[part]).mean()
    assert document["mae_hu"] == pytest.approx(error, rel=1e-4)
    assert 0 < document["psnr_db"] < 30
    assert -1 < document["ssim"] < 1
    assert document["tissue_mae_hu"].keys() == {"air", "lung", "soft_tissue", "bone"}
    assert document["before_refinement"] is None
    assert document["seconds"] > 0
    assert isinstance(document["warnings"], list)
    assert document["synthetic"] is True


def test_refinement_reports_before_and_after(
    a_model_file: ModelFiles, a_phantom_scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = (a_phantom_scan, "--model", a_model_file(), "--refine", 15, "--out", tmp_path)
    document = encode_json(capsys, *line)
    assert document["mae_hu"] < document["before_refinement"]["mae_hu"]
    assert main(["encode", *map(str, line)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("before refinement: error ")
    assert lines[2].startswith("after refinement:  error ")
    assert any(line.startswith("reconstruction (synthetic): ") for line in lines)


def test_a_real_chest(
    a_model_file: ModelFiles, real_scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = encode_json(
        capsys, real_scans / "thorax_cip_64.nrrd", "--model", a_model_file(classes=3), "--out", tmp_path
    )
    assert document["class"] in {"stage 0", "stage 1", "stage 2"}
    assert document["coverage"] > 0.9


def test_a_dicom_folder_gives_its_name(
    a_model_file: ModelFiles, real_scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = f"{real_scans / 'dicom_lungdx_a0002'}/"
    document = encode_json(capsys, folder, "--model", a_model_file(), "--out", tmp_path)
    assert Path(document["latent"]).name == "dicom_lungdx_a0002.latent.json"
    assert read_volume(document["reconstruction"]).array.shape == (30, 512, 512)


def test_a_scan_that_does_not_fit_is_refused_and_leaves_nothing(
    a_model_file: ModelFiles, real_scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    scan = real_scans / "abdomen_totalseg_3mm.nii.gz"
    line = ["encode", str(scan), "--model", str(a_model_file()), "--out", str(out)]
    assert main(line) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("hagan encode: No lungs are in view")
    assert not out.exists()
    document = encode_json(capsys, *line[1:], "--force")
    assert any("No lungs" in warning for warning in document["warnings"])


@pytest.mark.parametrize(
    ("scan", "options", "words"),
    [
        ("{folder}/none.nii.gz", "", "There is no file or folder"),
        ("{scan}", "--class stage", "has no classes"),
    ],
)
def test_mistakes_get_one_line(
    scan: str,
    options: str,
    words: str,
    a_model_file: ModelFiles,
    a_phantom_scan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = scan.format(folder=tmp_path, scan=a_phantom_scan)
    line = ["encode", path, "--model", str(a_model_file()), *options.split(), "--out", str(tmp_path / "out")]
    assert main(line) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_negative_refinement_is_wrong_usage(usage_error: Callable[..., str]) -> None:
    line = "encode none.nii.gz --model none --out none --refine -3"
    assert "0 or more; found -3" in usage_error(*line.split())


def test_a_scans_name_is_kept_only_if_asked(
    a_model_file: ModelFiles, a_phantom_scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [a_phantom_scan, "--model", a_model_file(), "--out"]
    document = encode_json(capsys, *map(str, [*line, tmp_path / "without"]))
    facts = read_latent(Path(document["latent"])).facts
    assert a_phantom_scan.name not in json.dumps(facts)
    assert len(facts["scan_sha256"]) == 64
    document = encode_json(capsys, *map(str, [*line, tmp_path / "with", "--keep-names"]))
    assert read_latent(Path(document["latent"])).facts == {**facts, "source": a_phantom_scan.name}
