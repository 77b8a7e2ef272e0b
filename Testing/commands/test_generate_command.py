"""``hagan generate`` as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cli import main
from HAGANCore.imaging.io import read_volume

ModelFiles = Callable[..., Path]


def run_json(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_seeds_become_files_that_say_what_they_are(
    a_model_file: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("generate", "--model", a_model_file(), "--seed", "1..2,9", "--device", "cpu", "--out", tmp_path)
    document = run_json(capsys, *line)
    assert [entry["seed"] for entry in document["volumes"]] == [1, 2, 9]
    assert "CPU" in document["plan"]
    assert "GB free" in document["plan"]
    assert 50 < document["peak_memory_mb"] < 10_000
    for entry in document["volumes"]:
        path = Path(entry["path"])
        assert path.name == f"synthetic_tiny_seed{entry['seed']}.nii.gz"
        assert entry["synthetic"] is True
        assert entry["seconds"] > 0
        volume = read_volume(path)
        assert volume.meta["synthetic"] is True
        assert volume.meta["provenance"]["seed"] == entry["seed"]
        assert json.loads(path.with_name(f"{path.name[:-7]}.json").read_text())["synthetic"] is True


def test_the_plan_is_said_before_the_work(
    a_model_file: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "one.nrrd"
    line = f"generate --model {a_model_file()} --device cpu --precision float32 --out {target}"
    assert main(line.split()) == 0
    first, second = capsys.readouterr().out.strip().splitlines()
    assert first.startswith("CPU, ")
    assert "float32, whole volume: needs 0.1 GB of " in first
    assert second.startswith(f"{target}: synthetic, seed 1, ")
    assert target.is_file()


def test_options_reach_the_volume(
    a_model_file: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("generate", "--model", a_model_file(classes=3), "--count", 2, "--class", "stage 1", "--preview")
    document = run_json(capsys, *line, "--truncation", "0.5", "--out", tmp_path)
    names = [Path(entry["path"]).name for entry in document["volumes"]]
    assert names == [
        f"synthetic_tiny_seed{seed}_classstage-1_truncation0.5_preview.nii.gz" for seed in (1, 2)
    ]
    assert {entry["class"] for entry in document["volumes"]} == {"stage 1"}
    volume = read_volume(tmp_path / names[0])
    assert volume.array.shape == (8, 8, 8)
    assert volume.meta["provenance"]["truncation"] == 0.5


def test_segment_writes_the_label_map_and_measures(
    a_model_file: ModelFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("generate", "--model", a_model_file(), "--segment", "--out", tmp_path / "one.nii.gz")
    entry = run_json(capsys, *line)["volumes"][0]
    labels = read_volume(entry["labelmap"])
    assert Path(entry["labelmap"]).name == "one_labels.nii.gz"
    assert labels.meta["synthetic"] is True
    assert labels.array.shape == (32, 32, 32)
    assert entry["lungs_ml"] == pytest.approx(entry["left_lung_ml"] + entry["right_lung_ml"], abs=0.01)
    lungs = np.isin(labels.array, [1, 2]).sum() * labels.geometry.voxel_ml
    assert entry["lungs_ml"] == pytest.approx(lungs, abs=0.01)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--seed 1..3 --out {folder}/one.nii.gz", "is one file, but 3 volumes are to be written"),
        ("--out {folder}/one.mgz", "one.mgz' cannot be written; use .nii.gz, "),
        ("--out {folder}/one.dcm", "one.dcm' cannot be written"),
        ("--out {folder}/one.png", "one.png' cannot be written"),
        ("--out {folder}/.nii.gz", "a suffix without a name"),
        ("--out -", "'-' is not the name"),
        ("--out=", "'' is not the name"),
        ("--out {folder}/x --count 0", "from 1 to 100,000; found 0"),
        ("--out {folder}/x --truncation 2", "truncation must be from 0 to 1; found 2.0"),
        ("--out {folder}/x --device tpu", "'tpu' is not known"),
        ("--out {folder}/x --preview --segment", "leave out --segment"),
    ],
)
def test_options_that_cannot_be_are_wrong_usage(
    options: str, words: str, tmp_path: Path, usage_error: Callable[..., str]
) -> None:
    # Said before the model, which is not there, is looked at.
    assert words in usage_error("generate", "--model", "none", *options.format(folder=tmp_path).split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--out {folder}/x --class 1", "has no classes"),
        ("--out {folder}/x --device cuda:999", "CUDA device"),
    ],
)
def test_mistakes_get_one_line(
    options: str,
    words: str,
    a_model_file: ModelFiles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = f"generate --model {a_model_file()} {options.format(folder=tmp_path)}"
    assert main(line.split()) == 1
    shown = capsys.readouterr()
    assert words in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", ["x", "4..1", "1..", "-1", "1..999999"])
def test_a_seed_that_is_none_is_wrong_usage(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["generate", "--model", "demo", f"--seed={seed}", "--out", "x"])
    assert stopped.value.code == 2
    assert "is not a seed" in capsys.readouterr().err


def test_a_missing_model_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--model", str(tmp_path / "none"), "--out", str(tmp_path / "x")]) == 1
    assert "There is no model file" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_whole_files_only(a_model_file: ModelFiles, tmp_path: Path) -> None:
    line = f"generate --model {a_model_file(size=64)} --count 5000 --device cpu --out {tmp_path}"
    process = subprocess.Popen(
        [sys.executable, "-m", "HAGANCore", *line.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # What starts the tests in the background may have told its children to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("synthetic_*.nii.gz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.strip().splitlines()[-1].endswith("hagan generate: Stopped.")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert all(name.startswith("synthetic_tiny_seed") for name in left)
    volumes = list(tmp_path.glob("*.nii.gz"))
    assert 3 <= len(volumes) < 5000
    assert all(read_volume(path).array.shape == (64, 64, 64) for path in volumes)


def test_help_carries_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    assert "hagan generate --model demo --seed 1" in capsys.readouterr().out
