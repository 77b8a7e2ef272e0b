"""Work in processes: errors belong to their task, and a process that dies takes no other's work along."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.processes import in_processes, in_threads

WORK = """
import os
from HAGANCore.errors import Cancelled, HaganError

def work(task):
    if task == "die":
        os._exit(9)
    if task == "bad":
        raise HaganError("bad scan")
    if task == "stop":
        raise Cancelled("Stopped.")
    return task.upper(), os.environ.get("OMP_NUM_THREADS")
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """A function in a module that new processes can import, too."""
    (tmp_path / "work_of_this_test.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    module = importlib.import_module("work_of_this_test")
    yield module.work
    del sys.modules["work_of_this_test"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_errors_belong_to_their_task(work: Callable, jobs: int) -> None:
    outcomes = dict(in_processes(work, ["a", "bad", "b", "c"], jobs))
    threads = "7" if jobs == 1 else "1"  # many processes of many threads would slow one another down
    assert {task: outcomes[task] for task in "abc"} == {task: (task.upper(), threads) for task in "abc"}
    assert isinstance(outcomes["bad"], HaganError)
    assert str(outcomes["bad"]) == "bad scan"
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_process_that_dies_costs_only_its_own_task(work: Callable) -> None:
    outcomes = dict(in_processes(work, ["a", "b", "die", "c", "d"], 2))
    assert {task: outcomes[task][0] for task in "abcd"} == {"a": "A", "b": "B", "c": "C", "d": "D"}
    assert isinstance(outcomes["die"], HaganError)
    assert "ended by the system" in str(outcomes["die"])


def test_stop_stops(work: Callable) -> None:
    with pytest.raises(Cancelled):
        list(in_processes(work, ["a", "stop", "b"], 1))


def test_threads_keep_the_order_and_tell_how_far_they_are() -> None:
    seen: list[float] = []
    assert in_threads(str, range(5), lambda fraction, text="": seen.append(fraction)) == list("01234")
    assert seen == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert in_threads(str, []) == []


def test_one_thread_where_the_environment_wants_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert len(set(in_threads(lambda task: threading.get_ident(), range(20)))) == 1


def test_a_cancel_drops_the_tasks_that_wait() -> None:
    done = []

    def work(task: int) -> None:
        time.sleep(0.001)
        done.append(task)

    def cancel(fraction: float, text: str = "") -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        in_threads(work, range(10_000), cancel)
    assert len(done) < 10_000


def test_the_command_lets_threads_sleep_while_they_wait() -> None:
    names = ("OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS")
    code = (
        f"import os, HAGANCore.cli as c; c.main(['model', 'list']); print([os.environ[n] for n in {names}])"
    )
    bare = {name: value for name, value in os.environ.items() if name not in names}
    for environment, expected in (
        (bare, "['PASSIVE', '1']"),
        (bare | {"OMP_WAIT_POLICY": "ACTIVE"}, "['ACTIVE', '1']"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == expected
