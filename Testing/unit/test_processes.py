"""Work in processes: errors belong to their task, and a process that dies takes no other's work along."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.processes import in_processes

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
