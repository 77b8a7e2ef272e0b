"""Two workers at once, as two Slicers have: what they share, and the death of one."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from HAGANCore.cohorts.store import Cohort
from HAGANCore.resources import resource_path
from HAGANCore.training.process import stop_training, training_state
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import RequestError, open_array

SCAN = str(resource_path("SampleData/thorax_phantom.nii.gz"))
Workers = tuple[WorkerClient, WorkerClient]


@pytest.fixture(scope="module")
def two_workers(a_folder: Path) -> Iterator[Workers]:
    environment = {"HAGAN_MODEL_DIR": str(a_folder / "shared models")}
    with WorkerClient(environment=environment) as one, WorkerClient(environment=environment) as other:
        yield one, other


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_one_that_is_killed_leaves_the_others_arrays(
    two_workers: Workers, wait_until: Callable[[Callable[[], bool]], None]
):
    one, other = two_workers
    parts: list[dict[str, Any]] = []
    other.call("generate", model="demo", seed=1, on_part=parts.append)
    heard: list[object] = []
    busy = one.start("generate", lambda *said: heard.append(said), model="demo", seed=1, count=100_000)
    wait_until(lambda: one.wait(busy, 0.01) or bool(heard))
    assert one.pid is not None
    os.kill(one.pid, signal.SIGKILL)
    assert one.wait(busy, 60.0)
    with pytest.raises(RequestError, match="killed by SIGKILL"):
        one.result(busy)
    assert open_array(parts[0]["volume"]).std() > 100
    assert one.session != other.session
    for worker in (one, other):
        assert worker.call("generate", model="demo", seed=1)["count"] == 1


def test_two_cannot_prepare_one_cohort_at_once(
    two_workers: Workers, a_folder: Path, wait_until: Callable[[Callable[[], bool]], None]
):
    one, other = two_workers
    out = a_folder / "shared cohort"
    wanted: dict[str, Any] = {"out": str(out), "profile": "thorax-ct-fov", "size": 32}
    volumes = [{"id": f"p{index:03d}", "file": SCAN} for index in range(300)]
    first = one.start("preprocess", volumes=volumes, **wanted)
    wait_until(lambda: (out / "manifest.json").exists())
    with pytest.raises(RequestError, match="Another process writes into") as caught:
        other.call("preprocess", volumes=volumes[:1], **wanted)
    assert caught.value.kind == "input"
    one.cancel(first)
    assert one.wait(first, 60.0)
    # What was refused a moment ago goes on where the other stopped.
    done = other.call("preprocess", volumes=volumes[:3], **wanted)
    assert done["count"] == len(Cohort.open(out)) >= 3


def test_two_cannot_train_in_one_folder(
    two_workers: Workers, a_folder: Path, a_cohort: Path, small_training: dict[str, object]
):
    run = a_folder / "shared run"
    wanted = {"cohort": str(a_cohort), "folder": str(run), "config": small_training}
    ids = [worker.start("train", **wanted) for worker in two_workers]
    ends: list[str] = []
    try:
        for worker, id in zip(two_workers, ids, strict=True):
            assert worker.wait(id, 120.0)
            try:
                worker.result(id)
                ends.append("trains")
            except RequestError as error:
                ends.append(str(error))
        assert sorted(end == "trains" for end in ends) == [False, True], ends
        (refusal,) = (end for end in ends if end != "trains")
        assert "A training runs in" in refusal or "Another process writes into" in refusal
        pids = {worker.call("train_state", folder=str(run))["pid"] for worker in two_workers}
        assert pids == {training_state(run).pid}
    finally:
        stop_training(run, now=True)
