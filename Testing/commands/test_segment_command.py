"""``hagan segment``: what a person reads, what a script reads, what is written, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from HAGANCore.cli import main
from HAGANCore.imaging.io import read_volume, write_volume
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.phantoms import make_phantom

KEYS = {
    "lungs_ml",
    "left_lung_ml",
    "right_lung_ml",
    "bones_ml",
    "thorax_ml",
    "lungs_percent",
    "bones_percent",
    "labelmap",
    "seconds",
    "warnings",
}


@pytest.fixture(scope="module")
def a_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a phantom in a file."""
    return write_volume(make_phantom(3, 64).volume, tmp_path_factory.mktemp("scan") / "thorax.nii.gz")


@pytest.fixture
def hagan(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run ``hagan segment … --json`` and return its document."""

    def run(*arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["segment", *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_a_script_reads_the_millilitres(a_scan: Path, tmp_path: Path, hagan: Callable) -> None:
    document = hagan(a_scan, "--out", tmp_path / "labels.nrrd")
    assert document.keys() >= KEYS
    labels, scan = read_volume(document["labelmap"]), read_volume(a_scan)
    assert labels.array.dtype == np.uint8
    assert labels.geometry.shape == scan.geometry.shape
    np.testing.assert_allclose(labels.geometry.matrix, scan.geometry.matrix, atol=1e-4)
    assert labels.meta["synthetic"] is True, "the label map of a synthetic volume says so"
    for name, value in document["labels"].items():
        counted = float((labels.array == value).sum()) * scan.geometry.voxel_ml
        assert document[f"{name}_ml"] == pytest.approx(counted, abs=0.001), name
    assert document["lungs_percent"] == pytest.approx(
        100 * document["lungs_ml"] / document["thorax_ml"], abs=0.01
    )


def test_a_person_reads_a_table(
    a_scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["segment", str(a_scan)]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[:5]] == [
        "lungs",
        "right",
        "left",
        "bones",
        "thorax",
    ]
    assert " mL" in printed.splitlines()[0]
    assert " %" in printed.splitlines()[0]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".gz"] == [
        "thorax.segmentation.nii.gz"
    ]


def test_what_is_not_hounsfield_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (20, 24, 28)).astype(np.uint8)
    scan = write_volume(Volume(grey, Geometry(shape=grey.shape)), tmp_path / "grey.nii.gz")
    assert main(["segment", str(scan), "--out", str(tmp_path / "labels.nii.gz")]) == 1
    assert "not Hounsfield units (values 0..254)" in capsys.readouterr().err
    assert not (tmp_path / "labels.nii.gz").exists()


def test_an_organ_at_the_border_is_incomplete(
    a_scan: Path, tmp_path: Path, hagan: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = hagan(a_scan, "--out", tmp_path / "labels.nii.gz")
    assert whole["complete"]["lungs"]
    assert not whole["complete"]["bones"]  # the spine goes on above and below
    scan = read_volume(a_scan)
    shown = Volume(scan.array[22:], replace(scan.geometry, shape=(42, 64, 64)))
    cut = write_volume(shown, tmp_path / "cut.nii.gz")
    document = hagan(cut, "--out", tmp_path / "cut_labels.nii.gz")
    assert document["complete"] == dict.fromkeys(document["complete"], False)
    assert document["doubtful"]["right_lung"]
    assert not document["doubtful"]["bones"]
    # The warning speaks of what the table holds.
    (right,) = [text for text in document["warnings"] if text.startswith("The right lung is cut")]
    assert f"at the bottom of the scan ({document['right_lung_ml']:,.0f} mL in view)" in right
    assert main(["segment", str(cut), "--out", str(tmp_path / "cut_labels.nii.gz")]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split("mL")[1].strip() == "incomplete (bottom), doubtful"


def test_strict_fails_on_a_doubt_and_writes_all_the_same(
    a_scan: Path, tmp_path: Path, real_scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(a_scan), "--strict", "--out", str(tmp_path / "one.nii.gz")]) == 0
    capsys.readouterr()
    scan = real_scans / "thorax_gas_under_diaphragm.nii.gz"
    assert main(["segment", str(scan), "--strict", "--json", "--out", str(tmp_path / "two.nii.gz")]) == 1
    printed = capsys.readouterr()
    assert "Part of the right lung may be too dense to be found" in printed.err.splitlines()[-1]
    assert json.loads(printed.out)["doubtful"]["right_lung"]
    assert (tmp_path / "two.nii.gz").exists()


def test_a_label_map_takes_the_place_of_the_rules(a_scan: Path, tmp_path: Path, hagan: Callable) -> None:
    first = hagan(a_scan, "--out", tmp_path / "labels.nii.gz")
    labels = read_volume(first["labelmap"])
    labels.array[labels.array == 3] = 0
    mine = write_volume(labels, tmp_path / "mine.nii.gz")
    document = hagan(a_scan, "--labels", mine, "--out", tmp_path / "out.nii.gz")
    assert document["lungs_ml"] == first["lungs_ml"]
    assert document["thorax_ml"] == first["thorax_ml"]
    assert document["bones_ml"] == 0


def test_a_missing_scan_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "nowhere.nii.gz"]) == 1
    printed = capsys.readouterr()
    assert "no file or folder" in printed.err.splitlines()[-1]
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_dicom_folder_is_segmented(real_scans: Path, tmp_path: Path, hagan: Callable) -> None:
    document = hagan(real_scans / "dicom_lungdx_a0002", "--out", tmp_path / "labels.nii.gz")
    assert 2600 < document["lungs_ml"] < 2950
    assert document["left_lung_ml"] > document["right_lung_ml"], "the tumour took its share of the right lung"


def test_an_abdomen_says_that_it_has_no_lungs(real_scans: Path, tmp_path: Path, hagan: Callable) -> None:
    document = hagan(real_scans / "abdomen_totalseg_3mm.nii.gz", "--out", tmp_path / "labels.nii.gz")
    assert document["lungs_ml"] == 0
    assert document["bones_ml"] > 800
    assert any("No lungs are in view" in warning for warning in document["warnings"])


def test_a_label_map_of_no_known_format_is_wrong_usage(usage_error: Callable[..., str]) -> None:
    assert "does not end in a label map's suffix" in usage_error(
        "segment", "none.nii.gz", "--out", "labels.png"
    )


def test_what_nothing_can_be_measured_on_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    geometry = Geometry(shape=(20, 20, 20), spacing=(5.0, 5.0, 5.0))
    scan = write_volume(Volume(np.full((20, 20, 20), 40, np.int16), geometry), tmp_path / "flat.nii.gz")
    assert main(["segment", str(scan), "--out", str(tmp_path / "labels.nii.gz")]) == 1
    assert "same value" in capsys.readouterr().err
    assert not (tmp_path / "labels.nii.gz").exists()


def test_a_voxel_size_of_the_users_is_in_the_results(
    a_scan: Path, tmp_path: Path, hagan: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = read_volume(a_scan)
    sizes = " ".join(map(str, scan.array.shape[::-1]))
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nendian: little\nencoding: raw\n\n"
    path = tmp_path / "without.nrrd"
    path.write_bytes(head.encode() + np.ascontiguousarray(scan.array, "<i2").tobytes())
    assert main(["segment", str(path), "--out", str(tmp_path / "a.nrrd")]) == 1
    assert "does not say how large its voxels are" in capsys.readouterr().err
    given = [f"{size:.6g}" for size in scan.geometry.spacing]
    document = hagan(path, "--spacing", ",".join(given), "--out", tmp_path / "a.nrrd")
    assert any("was given by the user" in warning for warning in document["warnings"])
    assert any("left and right" in warning for warning in document["warnings"])
    expected = hagan(a_scan, "--out", tmp_path / "b.nrrd")["bones_ml"]
    assert document["bones_ml"] == pytest.approx(expected, rel=0.15)  # the orientation is a guess
    provenance = json.loads((tmp_path / "a.json").read_text())["provenance"]
    assert provenance["voxel_size_from"] == "given by the user"
    assert provenance["voxel_size_given_mm"] == [float(size) for size in given]


def test_a_voxel_size_that_is_none_is_wrong_usage(a_scan: Path, usage_error: Callable[..., str]) -> None:
    for text in ("1,1", "1,1,0", "1,1,x", "1,1,inf"):
        assert "three lengths in mm" in usage_error("segment", a_scan, "--spacing", text)


def test_a_name_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clear the screen, turn the letters around, begin a line that looks like another message."""
    path = tmp_path / "a\x1b[2J\u202eb\u2066c\nwarning: all is well.nii.gz"
    assert main(["segment", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "a\\x1b[2J\\u202eb\\u2066c\\nwarning: all is well" in error
    assert not set(error) & set("\x1b\u202e\u2066")
