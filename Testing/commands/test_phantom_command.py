"""``hagan phantom`` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cli import main
from HAGANCore.cohorts.store import Cohort
from HAGANCore.imaging.io import read_volume


def test_cohort_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"phantom --count 2 --size 32 --seed 5 --jobs 1 --json --out {tmp_path / 'cohort'}"
    assert main(line.split()) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["count"] == 2
    cohort = Cohort.open(tmp_path / "cohort")
    assert [entry.id for entry in cohort.entries] == ["phantom-000005", "phantom-000006"]
    assert cohort.profile.name == document["profile"] == "thorax-ct-fov"


def test_a_cohort_brings_its_true_label_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"phantom --count 2 --size 64 --seed 5 --jobs 1 --json --out {tmp_path / 'cohort'}".split()
    assert main(line) == 0
    assert "masks" not in json.loads(capsys.readouterr().out)
    before = {entry.id: entry.sha256 for entry in Cohort.open(tmp_path / "cohort").entries}
    assert main([*line, "--masks"]) == 0  # a cohort that was begun without gets them too
    document = json.loads(capsys.readouterr().out)
    cohort = Cohort.open(tmp_path / "cohort")
    assert {entry.id: entry.sha256 for entry in cohort.entries} == before
    assert {path.name for path in Path(document["masks"]).glob("*.gz")} == {f"{id}.nii.gz" for id in before}
    for index, entry in enumerate(cohort.entries):
        mask = read_volume(cohort.folder / entry.preparation["mask"])
        assert mask.meta["synthetic"] is True
        assert mask.geometry.shape == cohort.load(index).shape
        ml = {
            name: (mask.array == v).sum() * mask.geometry.voxel_ml for name, v in document["labels"].items()
        }
        lungs = ml["left_lung"] + ml["right_lung"]
        assert lungs == pytest.approx(entry.covariates["lung_volume_ml"], rel=0.02)
        assert ml["bones"] == pytest.approx(entry.covariates["bone_volume_ml"], rel=0.2)
        assert np.median(cohort.load(index)[np.isin(mask.array, (1, 2))]) < -0.5  # air, where the lungs are
        assert np.median(cohort.load(index)[mask.array == 3]) > 0.3


def test_scan_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = tmp_path / "one" / "thorax.nii.gz"
    assert main(["phantom", "--scan", str(scan), "--seed", "7", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    volume, labels = read_volume(scan), read_volume(document["labelmap"])
    assert volume.array.dtype == np.int16
    assert volume.meta["synthetic"] is True
    assert volume.meta["provenance"]["seed"] == 7
    assert volume.geometry.shape == labels.geometry.shape
    lungs = np.isin(labels.array, [document["labels"]["left_lung"], document["labels"]["right_lung"]])
    assert lungs.sum() * labels.geometry.voxel_ml == pytest.approx(document["lungs_ml"], rel=0.02)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("phantom --count 3", "--out"),
        ("phantom --scan thorax.txt", "suffix"),
        ("phantom --count 0 --out {folder}", "at least 1"),
        ("phantom --size 33 --out {folder}", "choose from 32, 64, 128, 256, 512"),
        ("phantom --jobs 0 --out {folder}", "1 or more; found '0'"),
        ("phantom --seed -1 --out {folder}", "0 or more"),
        ("phantom --seed -1 --scan thorax.nii.gz", "from 0"),
    ],
)
def test_mistakes_are_wrong_usage(
    line: str, words: str, tmp_path: Path, usage_error: Callable[..., str]
) -> None:
    assert words in usage_error(*line.format(folder=tmp_path / "cohort").split())
    assert not (tmp_path / "cohort").exists()
