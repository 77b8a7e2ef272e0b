"""``hagan phantom`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cli import main
from HAGANCore.volumes.cohort import Cohort
from HAGANCore.volumes.io import read_volume


def test_cohort_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"phantom --count 2 --size 32 --seed 5 --jobs 1 --json --out {tmp_path / 'cohort'}"
    assert main(line.split()) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["count"] == 2
    cohort = Cohort.open(tmp_path / "cohort")
    assert [entry.id for entry in cohort.entries] == ["phantom-000005", "phantom-000006"]
    assert cohort.profile.name == document["profile"] == "thorax-ct-fov"


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
    ],
)
def test_mistakes_get_one_line(
    line: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.format(folder=tmp_path / "cohort").split()) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert words in error[-1]
    assert not (tmp_path / "cohort").exists()
