"""Commands that are killed (SIGKILL, which nobody can catch), and two at once in one folder.

Each command is given more work than it could do, is waited for until a file shows that it is in the middle of
it, and is killed. What is there then must be whole, and the same command must go on from it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from HAGANCore import load_model
from HAGANCore.cli import main
from HAGANCore.cohorts.store import JOURNAL, Cohort, CohortWriter
from HAGANCore.directions.samples import Task, measured_alone
from HAGANCore.imaging.io import read_volume, write_volume
from HAGANCore.phantoms import make_phantom
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.processtree import kill_tree, own_tree
from HAGANCore.training.process import training_state

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")

SECONDS = 60.0
"""For what must happen at all; a machine may be busy."""
SMALL = [
    *("--device", "cpu"),
    *(
        f"--set={field}"
        for field in (
            "latent=8",
            "generator_width=4",
            "discriminator_width=64",
            "ground_encoder_width=16",
            "batch=1",
            "precision=float32",
            "log_every=1",
            "checkpoint_minutes=0.0001",
        )
    ),
]
Started = Callable[..., subprocess.Popen]


@pytest.fixture
def started() -> Iterator[Started]:
    """Start ``hagan …`` in a process of its own; whatever still runs at the end is killed."""
    running: list[subprocess.Popen] = []

    def start(*words: object) -> subprocess.Popen:
        command = [sys.executable, "-m", "HAGANCore", *map(str, words)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **own_tree())
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            kill_tree(process.pid)
        process.communicate()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait until something is so, which ``process`` brings about."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.002)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(SECONDS) == -signal.SIGKILL


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def run(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    """Run ``hagan … --json`` here and return its document."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a ``hagan …`` here that must be refused, and return its one line."""
    capsys.readouterr()
    assert main([*map(str, words)]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    return said[-1]


def check_cohort(folder: Path, count: int) -> None:
    """Compare every volume with the hash in the manifest; nothing half-written and no lock is left."""
    cohort = Cohort.open(folder)
    assert len(cohort) == count
    for entry in cohort.entries:
        assert hashlib.sha256((folder / entry.file).read_bytes()).hexdigest() == entry.sha256
    assert not list(folder.rglob(".tmp-*"))
    assert not (folder / "writer.json").exists()


def check_whole(folder: Path) -> int:
    """Count what a killed command has left, every volume of which can be read, pixel for pixel."""
    names = [entry.file for entry in Cohort.open(folder).entries]
    for name in names:
        assert np.load(folder / name).shape == (32, 32, 32)
    return len(names)


@pytest.mark.parametrize("jobs", [1, 2])
def test_phantoms_go_on_after_a_kill_and_a_second_command_keeps_out(
    started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str], jobs: int
) -> None:
    folder, line = (
        tmp_path / "cohort",
        ("phantom", "--size", 32, "--out", tmp_path / "cohort", "--jobs", jobs),
    )
    process = started(*line, "--count", 10_000)
    wait_until(lambda: lines_in(folder / JOURNAL) >= 3, process)
    assert f"process {process.pid}" in (said := refused(capsys, *line, "--count", 2))
    assert "Another process writes into" in said
    kill(process)
    left = check_whole(folder)
    assert left >= 3
    before = {entry.id: entry.sha256 for entry in Cohort.open(folder).entries}
    assert run(capsys, *line[:-1], 1, "--count", left + 1)["count"] == left + 1
    check_cohort(folder, left + 1)
    after = {entry.id: entry.sha256 for entry in Cohort.open(folder).entries}
    assert before.items() <= after.items()


def test_preprocessing_goes_on_after_a_kill_and_ends_as_without_one(
    started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = tmp_path / "scans"
    phantom = make_phantom(1, 32).volume
    for index in range(100):
        write_volume(phantom.with_array(phantom.array + np.int16(index)), scans / f"p{index:02d}.nii")
    line = ("preprocess", scans, "--size", 32, "--profile", "thorax-ct-fov", "--jobs", 1, "--out")
    process = started(*line, tmp_path / "cut")
    wait_until(lambda: lines_in(tmp_path / "cut" / JOURNAL) >= 2, process)
    assert "Another process writes into" in refused(capsys, *line, tmp_path / "cut")
    kill(process)
    assert 2 <= check_whole(tmp_path / "cut") < 100
    run(capsys, *line, tmp_path / "cut")
    run(capsys, *line, tmp_path / "whole")
    check_cohort(tmp_path / "cut", 100)
    hashes = [
        {entry.id: entry.sha256 for entry in Cohort.open(tmp_path / name).entries}
        for name in ("cut", "whole")
    ]
    assert hashes[0] == hashes[1]


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed") / "cohort"
    with CohortWriter(folder, PROFILES["thorax-ct-fov"], 32) as writer:
        for index in range(3):
            writer.add(f"v{index}", np.linspace(-1, 1 - index / 4, 32**3).reshape(32, 32, 32))
    return folder


def test_a_training_goes_on_after_a_kill_as_if_there_had_been_none(
    started: Started, a_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder = tmp_path / "run"
    checkpoints = run_folder / "checkpoints"
    process = started("train", a_cohort, "--out", run_folder, *SMALL, "--iterations", 100_000)
    wait_until(lambda: len(list(checkpoints.glob("iteration-*.pt"))) >= 2, process)
    config = (run_folder / "config.json").read_bytes()
    second = ("train", a_cohort, "--out", run_folder, *SMALL, "--set=latent=16")
    assert f"A training runs in '{run_folder}' (process {process.pid}" in refused(capsys, *second)
    kill(process)
    assert (run_folder / "config.json").read_bytes() == config
    state = training_state(run_folder)
    assert state.state == "failed"
    assert state.error is not None
    assert "ended from outside" in state.error
    torn = checkpoints / ".tmp-1-iteration-00000099.pt"
    torn.write_bytes(b"half of a checkpoint")
    reached = int(max(checkpoints.glob("iteration-*.pt")).stem.rpartition("-")[2])
    wanted = ("--iterations", reached + 2)
    document = run(capsys, "train", a_cohort, "--out", run_folder, "--resume", *wanted)
    assert (document["finished"], document["iteration"]) == (True, reached + 2)
    assert not list(run_folder.rglob(".tmp-*"))
    whole = run(capsys, "train", a_cohort, "--out", tmp_path / "whole", *SMALL, *wanted)
    resumed, uninterrupted = load_file(document["model"]), load_file(whole["model"])
    assert resumed.keys() == uninterrupted.keys()
    assert all(bool((resumed[name] == uninterrupted[name]).all()) for name in resumed)


def test_of_two_trainings_begun_at_once_one_trains(started: Started, a_cohort: Path, tmp_path: Path) -> None:
    lines = [
        ("train", a_cohort, "--out", tmp_path / "run", *SMALL, "--iterations", 3, f"--set=latent={latent}")
        for latent in (8, 16)
    ]
    processes = [started(*line) for line in lines]
    said = [process.communicate(timeout=SECONDS)[1].decode() for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 1], said
    refusal = said[codes.index(1)]
    # Which of them depends on where the first one was.
    assert any(
        words in refusal for words in ("A training runs in", "Another process writes into", "already holds")
    ), refusal
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["latent"] == (8, 16)[codes.index(0)]
    assert load_model(tmp_path / "run/model.safetensors", "cpu").architecture.latent == config["latent"]


def test_a_training_does_not_begin_where_another_one_begins(
    a_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The moment between looking and marking, held open: another process has the run folder's lock."""
    from HAGANCore.processtree import identity

    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "writer.json").write_text(json.dumps(identity(os.getppid())))
    (folder / "config.json").write_text("{}")
    line = ("train", a_cohort, "--out", folder, *SMALL, "--iterations", 1)
    assert "Another process writes into" in refused(capsys, *line)
    assert (folder / "config.json").read_text() == "{}"
    assert not (folder / "process").exists()


def test_a_killed_exploration_leaves_no_table_of_other_volumes(
    started: Started, a_steerable_model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("explore", "--model", a_steerable_model_file, "--device", "cpu", "--seed", 8, "--quick")
    line = (*line, "--direction", "lung volume", "--out", tmp_path)
    earlier = run(capsys, *line, "--values", "50")
    table, first = Path(earlier["files"]["table"]), Path(earlier["steps"][0]["path"])
    process = started(*line, "--values=-200..200:15")
    wait_until(lambda: len(list(tmp_path.glob("synthetic_*.nii.gz"))) >= 3, process)
    process.send_signal(signal.SIGSTOP)  # as long as it lives, however quick it is
    assert not table.exists()
    assert "Another process writes into" in refused(capsys, *line, "--values", "50")
    kill(process)
    volumes = list(tmp_path.glob("synthetic_*.nii.gz"))
    assert all(read_volume(path).meta["provenance"]["seed"] == 8 for path in volumes)
    assert first in volumes
    document = run(capsys, *line, "--values", "50")
    with table.open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [document["steps"][0]["path"]]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_measurements_of_directions_survive_a_kill(
    started: Started, a_steerable_model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("directions", "matrix", "--model", a_steerable_model_file, "--device", "cpu", "--jobs", 1)
    line = (*line, "--report", tmp_path / "report")
    process = started(*line, "--seed", "1..10000")
    journal = tmp_path / "report/measurements.jsonl"
    wait_until(lambda: lines_in(journal) >= 3, process)
    assert "Another process writes into" in refused(capsys, *line, "--seed", "1..2")
    kill(process)
    kept = journal.read_text().splitlines()[:3]
    with journal.open("a") as file:
        file.write('{"latent": "cut o')  # what a kill in the middle of a line would leave
    run(capsys, *line, "--seed", "1..2")
    lines = journal.read_text().splitlines()
    assert lines[:3] == kept
    notes = [json.loads(text) for text in lines]  # every line is whole
    assert len({note["latent"] for note in notes}) == len(notes)
    model = load_model(a_steerable_model_file, "cpu", "float32")
    latent = model.latent(1)
    (note,) = (note for note in notes if note["latent"] == latent.sha256)
    again = measured_alone(Task(str(a_steerable_model_file), "cpu", False, latent.z, None))
    assert note["values"] == pytest.approx(again)


def test_two_commands_that_change_one_model_file_lose_nothing(
    started: Started, a_steerable_model_file: Path, tmp_path: Path
) -> None:
    from HAGANCore.directions.direction import directions_of
    from HAGANCore.directions.store import add_directions
    from HAGANCore.models.modelfile import read_model

    path = tmp_path / "model.safetensors"
    path.write_bytes(a_steerable_model_file.read_bytes())
    names = list(directions_of(read_model(path)))
    renames = [started("directions", "rename", name, f"{name} 2", "--model", path) for name in names]
    said = [process.communicate(timeout=SECONDS)[1].decode() for process in renames]
    done = [process.returncode == 0 for process in renames]
    assert any(done)
    assert all(ok or "Another process writes into" in text for ok, text in zip(done, said, strict=True)), said
    expected = [f"{name} 2" if ok else name for name, ok in zip(names, done, strict=True)]
    assert list(directions_of(read_model(path))) == expected
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    add_directions(path, [])  # and no lock is left
