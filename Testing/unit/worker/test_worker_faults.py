"""What goes wrong with processes, done to a real one: always a message, and the next request works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from HAGANCore.errors import Cancelled
from HAGANCore.inference.model import load_model
from HAGANCore.processes import available_cores
from HAGANCore.resources import resource_path
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import RequestError, open_array, release

SCAN = resource_path("SampleData/thorax_phantom.nii.gz")
STOP_SECONDS = 3.0
"""One second is promised; a busy machine adds its own."""
SLOW_TORCH = """
import sys, time

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.meta_path.remove(self)
            time.sleep(5)

sys.meta_path.insert(0, Finder())
"""
"""A ``sitecustomize`` that lets a process wait for torch."""
needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes in /proc")

ENDLESS: dict[str, dict[str, Any]] = {
    "generate": {"model": "demo", "seed": 1, "count": 100_000},
    "encode": {"model": "demo", "volume": {"file": str(SCAN)}},
    "refine": {"model": "demo", "volume": {"file": str(SCAN)}, "refine": 100_000},
    "segment": {"volume": {"file": str(SCAN)}},
}


def works(worker: WorkerClient) -> bool:
    """Whether the worker makes a volume."""
    parts: list[dict[str, Any]] = []
    worker.call("generate", model="demo", seed=1, on_part=parts.append)
    shape = open_array(parts[0]["volume"]).shape
    release(parts[0]["volume"])
    return shape == (64, 64, 64)


def end_of(worker: WorkerClient, id: int) -> Any:
    """Return the result of a request, or the kind of its error."""
    assert worker.wait(id, 120.0)
    try:
        return worker.result(id)
    except Cancelled as error:
        return getattr(error.__cause__, "kind", None)


def wait_for_progress(worker: WorkerClient, id: int, heard: list, least: float = 0.0, word: str = "") -> None:
    """Wait until a request has reported that it is further than ``least``, and does what ``word`` says."""
    until = time.monotonic() + 120.0
    while not any(fraction > least and word in text for fraction, text, *_ in heard):
        assert not worker.wait(id, 0.01), worker.result(id)
        assert time.monotonic() < until


@pytest.mark.parametrize("case", ENDLESS)
def test_cancel_ends_the_work_and_leaves_the_worker(a_worker: WorkerClient, case: str):
    works(a_worker)
    before, heard = a_worker.pid, []
    name = "encode" if case == "refine" else case
    id = a_worker.start(name, lambda *progress: heard.append(progress), **ENDLESS[case])
    wait_for_progress(a_worker, id, heard, word="refining" if case == "refine" else "")
    begun = time.monotonic()
    a_worker.cancel(id)
    assert a_worker.wait(id, STOP_SECONDS)
    assert time.monotonic() - begun < STOP_SECONDS
    with pytest.raises(Cancelled):
        a_worker.result(id)
    assert works(a_worker)
    if case in ("generate", "refine"):  # these look often enough on any machine
        assert a_worker.pid == before


def test_an_exception_in_a_callback_cancels(a_worker: WorkerClient):
    def stop(*progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        a_worker.call("generate", on_progress=stop, **ENDLESS["generate"])
    assert works(a_worker)


def test_what_waits_is_cancelled_without_being_begun(a_worker: WorkerClient):
    busy = a_worker.start("generate", **ENDLESS["generate"])
    waiting = a_worker.start("segment", **ENDLESS["segment"])
    a_worker.cancel(waiting)
    assert a_worker.wait(waiting, STOP_SECONDS)
    assert not a_worker.wait(busy, 0.0)
    a_worker.cancel(busy)
    assert a_worker.wait(busy, STOP_SECONDS)
    assert works(a_worker)


def test_work_that_does_not_notice_a_cancel_takes_the_worker_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Loading torch asks nobody; here it takes as long as on a slow disk, however fast this machine is."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_TORCH)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with WorkerClient() as worker:
        id = worker.start("load_model", model="demo")
        assert worker.call("models")["models"]  # it is there and reads
        first = worker.pid
        begun = time.monotonic()
        worker.cancel(id)
        assert worker.wait(id, STOP_SECONDS)
        assert time.monotonic() - begun < STOP_SECONDS
        with pytest.raises(Cancelled):
            worker.result(id)
        assert worker.call("models")["models"]
        assert worker.pid not in (None, first)


def test_two_hundred_steps_in_a_burst_cost_one(a_worker: WorkerClient, a_steered_model: Path):
    latent = load_model(a_steered_model, "cpu").latent(seed=1).to_document()
    step = {"model": str(a_steered_model), "latent": latent, "segment": False}
    # The same model, so that it is loaded when the burst comes, and busy, so that all of it has to wait.
    a_worker.call("step", **step, steps=[])
    busy = a_worker.start("generate", model=str(a_steered_model), seed=1, count=100_000)
    ids = [
        a_worker.start("step", **step, steps=[{"direction": "lung volume", "amount": float(amount)}])
        for amount in range(200)
    ]
    a_worker.cancel(busy)
    ends = [end_of(a_worker, id) for id in ids]
    assert ends[:-1] == ["replaced"] * 199
    assert ends[-1]["volume"]["provenance"]["steps"][0]["amount"] == 199.0


def test_previews_in_a_burst_show_something_and_end_with_the_newest(
    a_worker: WorkerClient, a_steered_model: Path
):
    latent = load_model(a_steered_model, "cpu").latent(seed=1).to_document()
    ids = [a_worker.start("step", model=str(a_steered_model), latent=latent, steps=[]) for _ in range(200)]
    ends = [end_of(a_worker, id) for id in ids]
    done = [end for end in ends if isinstance(end, dict)]
    assert done
    assert ends[-1] is done[-1]
    assert ends.count("replaced") == 200 - len(done) > 100


@pytest.mark.parametrize(("newer", "finishes"), [("preview", True), ("full", False)])
def test_a_preview_that_is_computed_finishes_before_a_newer_preview_alone(
    a_worker: WorkerClient, newer: str, finishes: bool
):
    latent = load_model("demo", "cpu").latent(seed=1).to_document()
    step = {"model": "demo", "latent": latent, "steps": []}
    a_worker.call("step", **step)  # the model is loaded
    heard: list[float] = []
    first = a_worker.start(
        "step", on_progress=lambda fraction, *_: heard.append(fraction), **step, quality="preview"
    )
    until = time.monotonic() + 120.0
    while not heard and time.monotonic() < until:  # from here on it is computed and does not wait
        a_worker.wait(first, 0.005)
    second = a_worker.start("step", **step, quality=newer)
    end = end_of(a_worker, first)
    assert isinstance(end, dict) if finishes else end == "replaced"
    assert isinstance(end_of(a_worker, second), dict)


def test_a_new_full_step_stops_the_one_that_is_computed(a_worker: WorkerClient, a_steered_model: Path):
    latent = load_model(a_steered_model, "cpu").latent(seed=1).to_document()
    step = {"model": str(a_steered_model), "latent": latent, "steps": [], "quality": "full"}
    first = a_worker.start("step", **step)
    second = a_worker.start("step", **step)
    assert a_worker.wait(second, 120.0)
    assert a_worker.result(second)["quality"] == "full"
    assert a_worker.wait(first, 0.0)


def test_a_model_file_that_disappears_is_said(a_worker: WorkerClient, a_steered_model: Path, a_folder: Path):
    copy = shutil.copy(a_steered_model, a_folder / "kopie.safetensors")
    a_worker.call("generate", model=str(copy), seed=1)
    Path(copy).unlink()
    with pytest.raises(RequestError, match=r"no model file '.*kopie\.safetensors'") as caught:
        a_worker.call("generate", model=str(copy), seed=1)
    assert caught.value.kind == "input"
    assert works(a_worker)


def test_a_model_file_that_changes_is_loaded_again(
    a_worker: WorkerClient, a_model_file: Callable[..., Path], a_folder: Path
):
    path = a_folder / "changing.safetensors"
    hashes = []
    for seed in (0, 1):
        shutil.copy(a_model_file(seed=seed), path)
        os.utime(path, (seed + 1, seed + 1))
        hashes.append(a_worker.call("load_model", model=str(path))["sha256"])
    assert hashes[0] != hashes[1]


@needs_proc
def test_out_of_memory_is_a_message_and_the_worker_goes_on(a_worker: WorkerClient):
    import resource

    assert works(a_worker)
    pid = a_worker.pid
    assert pid is not None
    path = a_worker.session / "large.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=(600, 512, 512))  # sparse on the disk
    geometry = {"spacing": [1, 1, 1], "origin": [0, 0, 0], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]}
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + (500 << 20)
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        with pytest.raises(RequestError, match="Memory ran out") as caught:
            a_worker.call("segment", volume={"array": str(path), "geometry": geometry})
        assert caught.value.kind == "memory"
        assert works(a_worker)  # still within the limit: what did not fit is not held on to
        assert a_worker.pid == pid
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_killed_in_the_middle_of_a_job(a_worker: WorkerClient):
    heard: list = []
    works(a_worker)
    pid = a_worker.pid
    assert pid is not None
    id = a_worker.start("generate", lambda *progress: heard.append(progress), **ENDLESS["generate"])
    other = a_worker.start("segment", **ENDLESS["segment"])
    wait_for_progress(a_worker, id, heard)
    os.kill(pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    for open_request in (id, other):
        assert a_worker.wait(open_request, 60.0)
        with pytest.raises(RequestError, match=r"has ended .*next request starts a new one") as caught:
            a_worker.result(open_request)
        assert caught.value.kind == "internal"
    assert works(a_worker)
    assert a_worker.pid != pid


def test_garbage_on_stdout_breaks_nothing(tmp_path: Path):
    # A library's code that prints to the file descriptor itself, before the worker begins and ever after.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, threading, time\n"
        "os.write(1, b'libfoo: starting\\n')\n"
        "def chat():\n"
        "    while True:\n"
        "        os.write(1, b'{\"id\": 1, libfoo says')\n"
        "        time.sleep(0.01)\n"
        "if 'HAGANCore.worker' in sys.orig_argv:\n"
        "    threading.Thread(target=chat, daemon=True).start()\n"
    )
    folders = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[3])])
    with WorkerClient(environment={"PYTHONPATH": folders}) as worker:
        assert worker.call("models")["models"]
        assert "libfoo: starting" in worker.noise[0]  # printed before the worker had stdout for itself
        heard = len(worker.noise)
        time.sleep(0.5)
        assert worker.call("models")["models"]
        assert len(worker.noise) == heard
        worker.kill()
        assert "libfoo says" in " ".join(worker.last_lines)


@needs_proc
def test_cancelling_preprocessing_ends_its_whole_tree(
    a_worker: WorkerClient, a_folder: Path, descendants: Callable, wait_until: Callable
):
    worker = a_worker.call("hello") and a_worker.pid
    volumes = [{"id": f"p{index}", "file": str(SCAN)} for index in range(200)]
    id = a_worker.start(
        "preprocess", volumes=volumes, out=str(a_folder / "cut short"), profile="thorax-ct-fov", size=32
    )
    least = 1 if available_cores() == 1 else 3  # the inner worker, and its pool where that is worth it
    wait_until(lambda: len(descendants(worker)) >= least or a_worker.wait(id, 0.0))
    assert works(a_worker)  # it is not in the way
    begun = time.monotonic()
    a_worker.cancel(id)
    assert a_worker.wait(id, STOP_SECONDS)
    assert time.monotonic() - begun < STOP_SECONDS
    with pytest.raises(Cancelled):
        a_worker.result(id)
    wait_until(lambda: not descendants(worker))
    assert a_worker.pid == worker


PARENT = """
import sys, time
from HAGANCore.worker.client import WorkerClient
worker = WorkerClient()
worker.call("train", **{train})
volumes = [{{"id": f"p{{index}}", "file": {scan}}} for index in range(200)]
worker.start("preprocess", volumes=volumes, out={out}, profile="thorax-ct-fov", size=32)
print(worker.pid, worker.session, flush=True)
time.sleep(600)
"""


@needs_proc
def test_a_parent_that_dies_takes_the_worker_along_but_no_training(
    a_folder: Path,
    a_cohort: Path,
    small_training: dict[str, object],
    descendants: Callable,
    lives: Callable,
    wait_until: Callable,
):
    from HAGANCore.training.process import stop_training, training_state

    run = a_folder / "goes on"
    train = {"cohort": str(a_cohort), "folder": str(run), "config": small_training}
    code = PARENT.format(train=repr(train), scan=repr(str(SCAN)), out=repr(str(a_folder / "left behind")))
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid, _, session = parent.stdout.readline().decode().strip().partition(" ")
    training = training_state(run).pid
    assert training is not None
    least = 1 if available_cores() == 1 else 2  # the inner worker and its pool
    wait_until(lambda: len(descendants(int(pid)) - {training}) >= least)
    tree = {int(pid), *descendants(int(pid))} - {training}
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not any(lives(member) for member in tree))
    try:
        assert training_state(run).pid == training
        before = training_state(run).iteration
        wait_until(lambda: training_state(run).iteration > before)
    finally:
        stop_training(run, now=True)
        shutil.rmtree(session, ignore_errors=True)
    wait_until(lambda: not lives(training))
