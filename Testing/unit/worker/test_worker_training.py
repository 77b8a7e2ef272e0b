"""Trainings that are processes of their own: started, found again, asked and stopped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.operations.detached import start
from HAGANCore.operations.train import TrainRequest
from HAGANCore.processtree import kill_tree, own_tree, started
from HAGANCore.training.checkpoint import list_checkpoints
from HAGANCore.training.process import marked_training, stop_training, training_state
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import RequestError


def test_a_training_is_stopped_with_a_checkpoint_and_goes_on_to_its_end(
    a_worker: WorkerClient,
    a_cohort: Path,
    a_folder: Path,
    small_training: dict[str, object],
    wait_until: Callable,
):
    run = a_folder / "run"
    assert training_state(run).state == "none"
    order = {"cohort": str(a_cohort), "folder": str(run)}
    pid = a_worker.call("train", **order, config=small_training)["pid"]
    with pytest.raises(RequestError, match=r"A training runs in .*choose another folder"):
        a_worker.call("train", **order, config=small_training)
    wait_until(lambda: a_worker.call("train_state", folder=str(run))["iteration"] > 0)
    assert a_worker.call("train_state", folder=str(run))["pid"] == pid
    a_worker.call("train_stop", folder=str(run))
    wait_until(lambda: training_state(run).state != "running")
    state = training_state(run)
    assert (state.state, state.error, state.iterations) == ("stopped", None, 80_000)
    assert list_checkpoints(run / "checkpoints")
    more = {"iterations": state.iteration + 1}
    a_worker.call("train", **order, config=more, resume=True)
    wait_until(lambda: training_state(run).state != "running")
    assert training_state(run).state == "finished", (run / "process" / "err").read_text()
    assert (run / "model.safetensors").is_file()


def test_a_training_that_cannot_begin_says_why(
    a_worker: WorkerClient, a_cohort: Path, a_folder: Path, small_training: dict[str, object]
):
    with pytest.raises(RequestError, match="no field 'speed'"):
        a_worker.call("train", cohort=str(a_cohort), folder=str(a_folder / "a"), config={"speed": 2})
    config = {**small_training, "conditional": True}
    with pytest.raises(RequestError, match="A conditional run needs classes") as caught:
        a_worker.call("train", cohort=str(a_cohort), folder=str(a_folder / "b"), config=config)
    assert caught.value.kind == "input"
    assert training_state(a_folder / "b").state == "failed"


def test_a_training_that_is_cancelled_while_it_starts_is_gone(
    a_worker: WorkerClient,
    a_cohort: Path,
    a_folder: Path,
    small_training: dict[str, object],
    wait_until: Callable,
):
    run = a_folder / "cancelled"

    def stop(*progress: object) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        a_worker.call("train", on_progress=stop, cohort=str(a_cohort), folder=str(run), config=small_training)
    wait_until(lambda: training_state(run).state == "stopped")


def test_a_number_that_now_names_another_process_is_not_killed(tmp_path: Path):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **own_tree())
    try:
        (tmp_path / "process").mkdir()
        document = {"pid": stranger.pid, "started": "long ago"}
        (tmp_path / "process" / "process.json").write_text(json.dumps(document))
        assert training_state(tmp_path).state == "failed"
        with pytest.raises(HaganError, match="No training runs"):
            stop_training(tmp_path, now=True)
        assert stranger.poll() is None
    finally:
        kill_tree(stranger.pid)
    stranger.wait()
    assert started(stranger.pid) is None


def test_a_start_names_one_process():
    assert started(os.getpid()) == started(os.getpid())
    assert started(os.getpid()) is not None
    assert started(2**22 + 1) is None


def options(config: dict[str, object]) -> list[str]:
    """Return a configuration as options of the command."""
    return ["--device=cpu", *(f"--set={name}={json.dumps(value)}" for name, value in config.items())]


def a_request(cohort: Path, run: Path, config: dict[str, object]) -> TrainRequest:
    """Return the request of a training on the CPU."""
    return TrainRequest(cohort=str(cohort), out=str(run), settings=config, device="cpu")


@pytest.mark.parametrize("now", [False, True])
def test_a_training_begun_by_hand_is_seen_refuses_a_second_one_and_can_be_stopped(
    now: bool, a_cohort: Path, tmp_path: Path, small_training: dict[str, object], wait_until: Callable
):
    run, order = tmp_path / "run", [str(a_cohort), *options(small_training)]
    command = [sys.executable, "-m", "HAGANCore", "train", *order, "--out", str(run)]
    by_hand = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # in our group
    try:
        wait_until(lambda: training_state(run).iteration > 0)
        assert (training_state(run).state, training_state(run).pid) == ("running", by_hand.pid)
        words = rf"A training runs in .*process {by_hand.pid}, since 20\d\d-.*choose another folder"
        with pytest.raises(HaganError, match=words):
            start(a_request(a_cohort, run, small_training))
        if not now:
            second = subprocess.run([*command, "--resume"], capture_output=True, text=True)
            assert second.returncode == 1
            assert re.search(words, second.stderr)
            assert second.stderr.count("\n") == 1
        stop_training(run, now)
        assert by_hand.wait(60) == (-9 if now else 1)
    finally:
        by_hand.kill()
    assert training_state(run).state == "stopped"
    assert (list_checkpoints(run / "checkpoints") == []) == now
    assert (run / "process").exists() == now


def test_why_a_training_by_hand_failed_can_be_found(tmp_path: Path):
    def fail() -> None:
        with marked_training(tmp_path):
            assert training_state(tmp_path).state == "running"
            raise HaganError("The disk is full.")

    with pytest.raises(HaganError, match="disk"):
        fail()
    assert (training_state(tmp_path).state, training_state(tmp_path).error) == ("failed", "The disk is full.")
    with marked_training(tmp_path):
        assert training_state(tmp_path).pid == os.getpid()
    assert training_state(tmp_path).state == "none"


def test_a_killed_training_is_said_to_have_failed_and_can_be_found(
    a_cohort: Path, tmp_path: Path, small_training: dict[str, object], wait_until: Callable
):
    request = a_request(a_cohort, tmp_path / "run", small_training)
    pid = start(request)
    with pytest.raises(HaganError, match="A training runs in"):
        start(request)
    kill_tree(pid)
    wait_until(lambda: training_state(tmp_path / "run").state != "running")
    state = training_state(tmp_path / "run")
    assert state.state == "failed"
    assert "ended from outside" in str(state.error)
