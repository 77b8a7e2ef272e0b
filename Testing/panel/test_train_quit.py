"""A training outlives the module: Slicer is quit and opened again, finds it running, and ends it at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SLOW = 120  # seconds: a training starts a process that loads torch
TINY = (
    "latent=16 generator_width=4 discriminator_width=64 ground_encoder_width=16 log_every=1 "
    "preview_every=1000 checkpoint_minutes=0.001"
)


@pytest.fixture
def a_cohort(tmp_path: Path) -> Path:
    """Four phantoms of 32³."""
    from HAGANCore.phantoms.cohort import write_phantom_cohort

    write_phantom_cohort(tmp_path / "cohort", count=4, size=32, seed=1)
    return tmp_path / "cohort"


@pytest.fixture
def a_run(tmp_path: Path) -> Iterator[Path]:
    """A run folder, whose training is ended after the test."""
    yield tmp_path / "run"
    from HAGANCore.training.process import stop_training, training_state

    if training_state(tmp_path / "run").state == "running":
        stop_training(tmp_path / "run", now=True)


def opened(module: Any) -> Any:
    """Open the module at its Train tab, as after the start of Slicer."""
    window = module.show().window
    window.header.ui.panels.setCurrentWidget(window.panels["train"].widget)
    return window.panels["train"]


def test_a_training_outlives_the_module_is_found_again_and_stopped_now(
    a_scene: Any, a_module: Any, a_cohort: Path, a_run: Path, process_events_until: Any
) -> None:
    from HAGANCore.cohorts.store import Cohort
    from HAGANCore.training import Trainer
    from HAGANCore.training.config import TrainingConfig
    from HAGANCore.training.process import training_state

    panel = opened(a_module)
    try:
        panel.ui.cohortFolderEdit.currentPath, panel.ui.runFolderEdit.currentPath = str(a_cohort), str(a_run)
        panel.ui.settingsEdit.setText(TINY)
        panel.ui.startButton.click()
        process_events_until(lambda: len(panel.watch.run.lines) > 2 or panel.look(), SLOW)
        process_events_until(lambda: panel.state["state"] == "running", SLOW)
        worker = panel.context.worker
        process = worker._process
    finally:
        a_module.hide()
    assert process.state() == 0  # the worker has left
    assert not worker.session.exists()
    left = training_state(a_run)
    assert left.state == "running"

    a_scene.Clear(0)
    panel = opened(a_module)
    try:
        assert panel.state["state"] == "none"
        panel.ui.cohortFolderEdit.currentPath, panel.ui.runFolderEdit.currentPath = str(a_cohort), str(a_run)
        process_events_until(lambda: panel.state["state"] == "running", SLOW)
        assert panel.state["pid"] == left.pid
        assert not panel.ui.startButton.enabled
        process_events_until(lambda: panel.state["iteration"] > left.iteration or panel.look(), SLOW)
        process_events_until(lambda: list(a_run.glob("checkpoints/*.pt")), SLOW)

        os.kill(left.pid, signal.SIGSTOP)  # it hangs, as a training does whose disk is gone
        panel.ui.stopButton.click()
        process_events_until((a_run / "process" / "stop").is_file, SLOW)
        assert panel.ui.stopButton.text == "Stop now"
        assert "'Stop now' loses what is not saved" in panel.ui.trainStateText.text
        begun = time.monotonic()
        panel.ui.stopButton.click()
        process_events_until(lambda: panel.state["state"] == "stopped" or panel.look(), SLOW)
        assert time.monotonic() - begun < 5
        assert panel.ui.resumeButton.enabled
        assert panel.ui.stopButton.text == "Stop"
        assert "can be resumed" in panel.ui.trainStateText.text
    finally:
        a_module.hide()
    resumed = Trainer(Cohort.open(a_cohort), a_run, TrainingConfig.of_run(a_run), resume=True)
    assert 0 < resumed.iteration <= panel.state["iteration"]
