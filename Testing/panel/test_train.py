"""The Train panel, driven as a person would: a cohort of the scene, a real training, stop, resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from slicer import vtkMRMLScalarVolumeNode

SLOW = 120  # seconds: a training starts a process that loads torch
TINY = (
    "latent=16 generator_width=4 discriminator_width=64 ground_encoder_width=16 log_every=1 preview_every=10"
)


@pytest.fixture
def a_panel(a_shared_widget: Any) -> Any:
    slicer.mrmlScene.Clear(0)
    window = a_shared_widget.window
    window.header.ui.panels.setCurrentWidget(window.panels["train"].widget)
    return window.panels["train"]


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight phantoms of 32³."""
    from HAGANCore.phantoms.cohort import write_phantom_cohort

    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    write_phantom_cohort(folder, count=8, size=32, seed=1)
    return folder


@pytest.fixture
def a_run(a_panel: Any, tmp_path: Path) -> Iterator[Path]:
    """A run folder, whose training is ended after the test."""
    yield tmp_path / "run 1"
    from HAGANCore.training.process import stop_training, training_state

    if training_state(tmp_path / "run 1").state == "running":
        stop_training(tmp_path / "run 1", now=True)


def message(panel: Any) -> str:
    return str(panel.context._window.header.ui.messageLabel.text)


def state(panel: Any) -> str:
    panel.look()
    return str(panel.state["state"])


@pytest.fixture
def add_ct(a_panel: Any) -> Callable[[str], vtkMRMLScalarVolumeNode]:
    """Put the sample scan into the scene under a name."""
    from HAGANSlicerLib.scene import volumes

    from HAGANCore.imaging.io import read_volume
    from HAGANCore.resources import resource_path

    phantom = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))

    def add(name: str) -> vtkMRMLScalarVolumeNode:
        return volumes.add_volume(slicer.mrmlScene, phantom.array, phantom.geometry.to_dict(), name)

    return add


def prepare(panel: Any, folder: Path, *nodes: Any) -> None:
    panel.ui.cohortFolderEdit.currentPath = str(folder)
    for node in nodes:
        panel.ui.prepareVolumesSelector.check(node)
    panel.ui.sizeComboBox.currentText = "32"
    assert panel.ui.prepareButton.enabled
    panel.ui.prepareButton.click()
    assert not panel.ui.prepareButton.enabled


def test_volumes_of_the_scene_become_a_cohort(
    a_panel: Any, add_ct: Any, tmp_path: Path, process_events_until: Any
) -> None:
    from HAGANCore.cohorts.store import Cohort

    node = add_ct("Übung: CT/1")
    assert isinstance(node, vtkMRMLScalarVolumeNode)
    assert not a_panel.ui.prepareButton.enabled
    prepare(a_panel, tmp_path / "cohort", node)
    process_events_until(lambda: a_panel.ui.prepareButton.enabled, SLOW)
    assert message(a_panel) == "The cohort has 1 volume.", message(a_panel)
    assert len(Cohort.open(tmp_path / "cohort")) == 1


@pytest.mark.parametrize("moment", ["handing over", "preparing"])
def test_closing_the_scene_ends_a_cohort_in_the_making(
    a_panel: Any, add_ct: Any, tmp_path: Path, process_events_until: Any, moment: str
) -> None:
    from HAGANCore.cohorts.store import Cohort

    session = a_panel.context.worker.session
    prepare(a_panel, tmp_path / "cohort", *(add_ct(f"CT {number}") for number in range(8)))
    if moment == "handing over":
        process_events_until(lambda: len(list(session.glob("*.npy"))) == 2, SLOW)
    else:
        process_events_until(lambda: list((tmp_path / "cohort").rglob("*.npy")), SLOW)
    slicer.mrmlScene.Clear(0)
    process_events_until(lambda: not a_panel.cohort.job.running, 5)
    process_events_until(lambda: not list(session.glob("*.npy")), 5)  # nothing of the scans is left lying
    assert not a_panel.ui.prepareButton.enabled  # the new scene has no cohort folder yet
    assert "cannot" not in message(a_panel)
    prepare(a_panel, tmp_path / "cohort", *(add_ct(f"CT {number}") for number in range(2)))
    process_events_until(lambda: a_panel.ui.prepareButton.enabled, SLOW)
    assert "The cohort has " in message(a_panel)
    made = Cohort.open(tmp_path / "cohort")
    assert len(made) >= 2
    assert all(made.load(index).shape == (32,) * 3 for index in range(len(made)))


def test_a_training_starts_is_watched_stopped_and_resumed(
    a_panel: Any, a_cohort: Path, a_run: Path, process_events_until: Any
) -> None:
    ui = a_panel.ui
    assert not ui.startButton.enabled
    assert not ui.stopButton.enabled
    ui.cohortFolderEdit.currentPath = str(a_cohort)
    ui.runFolderEdit.currentPath = str(a_run)
    ui.iterationsSpinBox.setValue(100_000)
    ui.batchSpinBox.setValue(2)
    ui.settingsEdit.setText(TINY)
    assert ui.startButton.enabled
    assert not ui.resumeButton.enabled
    ui.startButton.click()
    process_events_until(lambda: not a_panel.start_job.running, SLOW)
    assert "The training runs" in message(a_panel)
    assert ui.runFolderEdit._qt.combo_box.findText(str(a_run)) >= 0  # in the history
    process_events_until(lambda: state(a_panel) == "running" and len(a_panel.watch.run.lines) > 2, SLOW)
    assert ui.stopButton.enabled
    assert not ui.startButton.enabled
    process_events_until(lambda: "Preview of iteration" in ui.previewText.text, SLOW)
    assert not ui.previewPicture.pixmap.isNull()
    ui.showLossButton.click()
    (chart,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    legend = [chart.GetNthPlotSeriesNode(i).GetName() for i in range(chart.GetNumberOfPlotSeriesNodes())]
    assert legend == ["generator G", "discriminator D", "encoder E^H", "encoder E^G"]
    table = chart.GetNodeReference("HAGAN.table")
    rows = table.GetNumberOfRows()
    process_events_until(lambda: (a_panel.look(), table.GetNumberOfRows() > rows)[1], SLOW)  # it is live
    slicer.mrmlScene.Clear(0)  # the training goes on without the scene
    ui.cohortFolderEdit.currentPath = str(a_cohort)
    ui.runFolderEdit.currentPath = str(a_run)  # picked up again
    process_events_until(lambda: state(a_panel) == "running", SLOW)
    assert ui.iterationsSpinBox.value == 100_000
    assert ui.iterationsSpinBox.text == "100,000"  # as in the text beside it
    assert ui.batchSpinBox.value == 2
    ui.stopButton.click()
    process_events_until(lambda: state(a_panel) == "stopped", SLOW)
    stopped_at = a_panel.state["iteration"]
    assert "can be resumed" in ui.trainStateText.text
    process_events_until(lambda: ui.resumeButton.enabled, SLOW)
    ui.iterationsSpinBox.setValue(stopped_at + 3)
    ui.resumeButton.click()
    process_events_until(lambda: state(a_panel) == "finished", SLOW)
    assert a_panel.watch.run.losses()[0][-1] == stopped_at + 3
    assert ui.useModelButton.enabled
    assert "Finished" in ui.trainStateText.text
    a_panel.state = {"state": "running"}  # it has ended, and the panel has not looked since
    a_panel._show_state()
    before = message(a_panel)
    ui.stopButton.click()
    assert ui.stopButton.text == "Stop now"
    assert "is lost" in ui.stopButton.toolTip
    process_events_until(lambda: a_panel.state["state"] == "finished", SLOW)
    assert message(a_panel) == before  # what was asked for is so: no error
    assert ui.stopButton.text == "Stop"


def test_a_run_that_was_ended_before_its_first_checkpoint_can_be_started_again(
    a_panel: Any, a_cohort: Path, a_run: Path, process_events_until: Any
) -> None:
    (a_run / "process").mkdir(parents=True)
    (a_run / "process" / "stop").write_text("now")
    (a_run / "config.json").write_text('{"iterations": 50}')
    a_panel.ui.cohortFolderEdit.currentPath, a_panel.ui.runFolderEdit.currentPath = str(a_cohort), str(a_run)
    process_events_until(lambda: state(a_panel) == "stopped", SLOW)
    assert a_panel.ui.startButton.enabled
    assert not a_panel.ui.resumeButton.enabled
    assert a_panel.ui.trainStateText.text == (
        "Stopped at iteration 0 of 50, before the first checkpoint; start it again."
    )


def test_long_settings_show_their_beginning_and_all_in_the_tooltip(a_panel: Any) -> None:
    edit = a_panel.ui.settingsEdit
    about = edit.toolTip
    edit.setText(TINY)
    assert edit.cursorPosition == 0
    assert TINY.replace(" ", "<br>") in edit.toolTip
    a_panel.ui.runFolderEdit._qt.setFocus()
    edit._qt.setFocus()
    edit._qt.end(False)
    edit._qt.insert(" batch=<3>")  # as typed
    assert edit.cursorPosition == len(edit.text)
    assert "<br>batch=&lt;3&gt;</p>" in edit.toolTip
    a_panel.ui.runFolderEdit._qt.setFocus()
    assert edit.cursorPosition == 0
    edit.setText("")
    assert edit.toolTip == about


def test_wrong_settings_are_said_before_anything_starts(
    a_panel: Any, a_cohort: Path, a_run: Path, process_events_until: Any
) -> None:
    a_panel.ui.cohortFolderEdit.currentPath = str(a_cohort)
    a_panel.ui.runFolderEdit.currentPath = str(a_run)
    a_panel.ui.settingsEdit.setText("latent 16")
    a_panel.ui.startButton.click()
    assert "'latent' in the settings is not of the form field=value" in message(a_panel)
    a_panel.ui.settingsEdit.setText("latend=16")
    a_panel.ui.startButton.click()
    process_events_until(lambda: not a_panel.start_job.running, SLOW)
    assert "no field 'latend'" in message(a_panel)
    assert not a_run.exists() or not list(a_run.glob("checkpoints/*"))
    begun = time.monotonic()
    a_panel.look()
    assert time.monotonic() - begun < 0.5
