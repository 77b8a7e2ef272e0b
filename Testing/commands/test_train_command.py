"""``hagan train`` as a user types it, and what every command owes its user."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cli import main
from HAGANCore.cohorts.store import CohortWriter
from HAGANCore.models.modelfile import read_model
from HAGANCore.preparation.profiles import PROFILES

SMALL = [
    "--device=cpu",
    *(
        f"--set={field}"
        for field in (
            "latent=8",
            "generator_width=4",
            "discriminator_width=64",
            "ground_encoder_width=16",
            "batch=2",
            "precision=float32",
        )
    ),
]


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "cohort"
    with CohortWriter(folder, PROFILES["thorax-ct-fov"], 32) as writer:
        for index in range(3):
            writer.add(f"v{index}", np.full((32, 32, 32), index / 4 - 0.5))
    return folder


def test_a_run_ends_with_a_model_file_and_goes_on_for_more(
    a_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    line = ["train", str(a_cohort), "--out", str(tmp_path / "run"), "--json"]
    assert main([*line, *SMALL, "--iterations", "2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["finished"], document["iteration"]) == (True, 2)
    assert read_model(document["model"]).description.training["iterations"] == 2
    assert main([*line, "--resume", "--iterations", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["iteration"] == 3


def test_minutes_stop_a_run_that_can_go_on(
    a_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    line = ["train", str(a_cohort), "--out", str(tmp_path / "run"), "--json", "--minutes", "0.00001", *SMALL]
    assert main(line) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["finished"], document["iteration"], document["model"]) == (False, 1, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--set batch", "FIELD=VALUE"),
        ("--set batch=two", "found 'two'"),
        ("--set batch=1000000000", "at most 4,096; found 1000000000"),
        ("--set conditional=True", "true or false"),
        ("--set learning_rate=1", "no field 'learning_rate'"),
        ("--iterations -1", "found -1"),
        ("--minutes nan", "more than 0"),
        ("--preset best", "choose one of default, reference"),
        ("--preset default --config c.json", "not both"),
        ("--device tpu9", "'tpu9' is not known"),
    ],
)
def test_options_that_cannot_be_are_wrong_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    usage_error: Callable[..., str],
    options: str,
    words: str,
):
    monkeypatch.chdir(tmp_path)
    # Said before the cohort, which is not there, is looked at.
    assert words in usage_error("train", "none", "--out", "run", *options.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--set name=5", "name must be"),
        ("--set generator_width=3", "'generator_width' must be"),
        ("--config none.json", "cannot be read"),
        ("--device cuda:999", "CUDA device"),
        ("--card card.json", "'licence' must be a text"),
        ("--resume", "cannot be read"),
        ("--set batch=65", "the 3 volumes of the cohort"),
        ("--out card.json/run", "'card.json' is a file"),
    ],
)
def test_mistakes_get_one_line_before_anything_is_trained(
    a_cohort: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: str,
    words: str,
):
    monkeypatch.chdir(tmp_path)
    Path("card.json").write_text('{"licence": 5}')
    assert main(["train", str(a_cohort), "--out", "run", *options.split()]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert "unexpected" not in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert not Path("run/log.jsonl").exists()


def test_nothing_to_train_writes_a_model_only_where_it_is_missing(
    a_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    line = ["train", str(a_cohort), "--out", str(tmp_path / "run")]
    assert main([*line, *SMALL, "--iterations", "3"]) == 0
    assert main([*line, *SMALL]) == 1
    assert "already holds a run" in capsys.readouterr().err
    model, config = tmp_path / "run/model.safetensors", tmp_path / "run/config.json"
    before = model.stat().st_mtime_ns, config.read_bytes()
    assert main([*line, "--resume", "--iterations", "2"]) == 0
    assert capsys.readouterr().out == "Already at iteration 3 of 2; nothing to train.\n"
    assert (model.stat().st_mtime_ns, config.read_bytes()) == before
    assert main([*line, "--resume", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["finished"], document["iteration"], document["model"]) == (True, 3, str(model))
    model.unlink()
    assert main([*line, "--resume"]) == 0
    assert "iterations" not in capsys.readouterr().out
    assert read_model(model).description.training["iterations"] == 3
    size = model.stat().st_size
    assert main([*line, "--resume", "--store", "float16"]) == 0  # asked for another file
    assert model.stat().st_size < 0.6 * size
    assert (tmp_path / "run/log.jsonl").read_text().count("\n") == 1
    # A model that is left alone, and a folder of something else.
    for checkpoint in (tmp_path / "run/checkpoints").iterdir():
        checkpoint.unlink()
    kept = model.read_bytes()
    capsys.readouterr()
    assert main([*line, *SMALL]) == 1
    assert "without checkpoints" in capsys.readouterr().err
    assert main([*line, "--resume"]) == 1
    assert "There is no checkpoint in" in capsys.readouterr().err
    assert model.read_bytes() == kept
    model.unlink()
    config.write_text('{"compilerOptions": {}}')
    assert main([*line, *SMALL]) == 1
    assert "is not the configuration of a run" in capsys.readouterr().err
    assert config.read_text() == '{"compilerOptions": {}}'


def test_a_missing_tensorboard_is_said(
    a_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboard" else find(name, *rest)
    )
    assert main(["train", str(a_cohort), "--out", str(tmp_path / "run"), *SMALL, "--iterations", "1"]) == 0
    assert "log.jsonl only" in capsys.readouterr().err


def test_the_handler_of_sigterm_is_that_of_the_caller_again(capsys: pytest.CaptureFixture[str]):
    before = signal.getsignal(signal.SIGTERM)
    assert main(["model", "list"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_narrow_encoding_and_a_reader_that_left_are_no_errors(option: list[str]):
    command = [sys.executable, "-m", "HAGANCore", "model", "list", *option]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment["PYTHONIOENCODING"] = "ascii"
    shown = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert shown.stdout.isascii()
    assert not shown.stderr
    reading, writing = os.pipe()
    os.close(reading)
    left = subprocess.run(command, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (left.returncode, left.stderr) == (0, b"")
