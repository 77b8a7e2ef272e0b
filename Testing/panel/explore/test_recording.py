"""Ranges recorded in the Explore panel: made, played, tabulated, exported, saved; cancelled and closed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from explorer import SLOW, drag, idle, recorded, volumes_shown
from HAGANSlicerLib.scene import latents

from HAGANCore.inference.model import load_model


def test_a_range_without_length_is_refused_in_the_words_of_the_panel(a_panel: Any, a_window: Any) -> None:
    a_panel.ui.recordFromSpinBox.setValue(-600)
    a_panel.ui.recordToSpinBox.setValue(-600)
    a_panel.ui.recordButton.click()
    assert "begins and ends at −600 mL;" in a_window.header.ui.messageLabel.text
    assert not a_panel.recorder.running


def test_every_direction_of_the_demonstration_model_is_measured(
    a_window: Any, process_events_until: Any
) -> None:
    a_window.models_changed("demo")
    panel = a_window.panels["explore"]
    process_events_until(lambda: len(panel.rows) > 1, SLOW)
    start = latents.add_latent(slicer.mrmlScene, load_model("demo", "cpu").latent(1).to_document(), "demo")
    panel.ui.exploreLatentSelector.setCurrentNode(start)
    process_events_until(lambda: all(row.start for row in panel.rows), SLOW)
    fat = next(row for row in panel.rows if row.name == "body fat")
    drag(fat, 1000)()
    process_events_until(lambda: idle(panel) and "(+" in fat.measured.text, SLOW)
    panel.ui.recordDirectionComboBox.setCurrentIndex(panel.rows.index(fat))
    recording = recorded(panel, 2, process_events_until)
    changes = [row[1] for row in recording.table_rows()[1:]]
    assert changes[0] < -100 < 100 < changes[1]
    lungs = next(row for row in panel.rows if row.name == "lung volume")
    panel.ui.recordDirectionComboBox.setCurrentIndex(panel.rows.index(lungs))
    recording = recorded(panel, 2, process_events_until)
    rows = recording.table_rows()
    assert [row[1] for row in rows[1:]] == pytest.approx([-600, 600], abs=0.05 * 600)
    fats = [row[rows[0].index("Body fat (mL)")] - fat.start for row in rows[1:]]
    assert fats == pytest.approx([fat.amount, fat.amount], rel=0.1)
    steps = json.loads(recording.volume.GetAttribute("HAGAN.steps"))
    amounts = {step["direction"]: step["amount"] for step in steps}
    assert amounts == {"lung volume": -600, "body fat": pytest.approx(fat.amount)}  # it stays where it is


def test_a_change_that_cannot_be_met_is_said_beside_the_nearest(
    a_window: Any, a_latent: Any, process_events_until: Any
) -> None:
    a_window.models_changed("far")
    panel = a_window.panels["explore"]
    process_events_until(lambda: panel.rows and panel.rows[0].range[1] == 20_000, SLOW)
    panel.ui.exploreLatentSelector.setCurrentNode(a_latent)
    process_events_until(lambda: panel.rows[0].start is not None and idle(panel), SLOW)
    drag(panel.rows[0], -15_000)()
    process_events_until(lambda: idle(panel), SLOW)
    said = panel.ui.stepText.text
    reached = panel.rows[0].measured.text.partition("(")[2].rstrip(")")
    assert reached.startswith("−")
    asked = f"−{abs(round(panel.rows[0].amount)):,} mL"
    assert said == f"Lung volume: asked {asked}, reached {reached}: the nearest this model can make."
    recording = recorded(panel, 2, process_events_until, ends=(-15_000, 600))
    assert "In 1 the change could not be met" in a_window.header.ui.messageLabel.text
    assert recording.table_rows()[1][1] > -5_000
    a_window.models_changed("plain")
    process_events_until(lambda: not panel.rows, SLOW)
    assert panel.ui.stepText.text == ""


def test_a_range_is_recorded_played_tabulated_and_exported(
    a_panel: Any, a_window: Any, tmp_path: Path, process_events_until: Any
) -> None:
    recording = recorded(a_panel, 3, process_events_until)
    assert recording.count == 3
    assert a_panel.ui.playButton.enabled
    assert [recording.text_of(number) for number in range(3)] == ["−600 mL", "0 mL", "+600 mL"]
    a_panel.ui.frameSlider.setValue(2)
    assert a_panel.ui.frameText.text == "+600 mL"
    large = slicer.util.arrayFromVolume(recording.volume).copy()
    assert recording.segmentation.GetDisplayNode().GetVisibility() == 1
    a_panel.ui.frameSlider.setValue(0)
    assert not np.array_equal(slicer.util.arrayFromVolume(recording.volume), large)
    a_panel.ui.playButton.click()
    assert recording.browser.GetPlaybackActive()
    a_panel.ui.playButton.click()
    assert not recording.browser.GetPlaybackActive()
    a_panel.ui.showTableButton.click()
    table = slicer.app.applicationLogic().GetSelectionNode().GetActiveTableID()
    rows = recording.table_rows()
    head = rows[0]
    assert slicer.mrmlScene.GetNodeByID(table).GetNumberOfRows() == 3
    assert head[:2] == ["Lung volume: requested change (mL)", "Lung volume: measured change (mL)"]
    lungs = [row[head.index("Lungs (mL)")] for row in rows[1:]]
    assert lungs == sorted(lungs)
    assert [row[1] for row in rows[1:]] == pytest.approx([-600, 0, 600], rel=0.021)
    a_panel.ui.showPlotButton.click()
    (chart,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    assert chart.GetNumberOfPlotSeriesNodes() == 2
    assert "mL" in chart.GetXAxisTitle()

    a_panel.ui.exportFolderEdit.currentPath = str(tmp_path / "Übung 1")
    a_panel.ui.exportFormatComboBox.currentText = "NIfTI"
    a_panel.ui.exportButton.click()
    process_events_until(lambda: not a_panel.exporter.busy, SLOW)
    assert "6 files" in a_window.header.ui.messageLabel.text
    names = sorted(path.name for path in (tmp_path / "Übung 1").iterdir())
    assert len(names) == 13
    assert a_panel.ui.exportFolderEdit._qt.combo_box.findText(str(tmp_path / "Übung 1")) >= 0
    assert sum(name.endswith(".nii.gz") for name in names) == 6
    (table_file,) = (tmp_path / "Übung 1").glob("*.csv")
    with table_file.open(newline="", encoding="utf-8") as stream:
        written = list(csv.reader(stream))
    assert written[0] == head
    assert float(written[3][0]) == 600
    check_export(tmp_path / "Übung 1", recording, large)
    drag(a_panel.rows[0], 100)()  # the volume that follows the slider comes back into view
    process_events_until(lambda: idle(a_panel), SLOW)
    assert recording.segmentation.GetDisplayNode().GetVisibility() == 0


def test_an_export_names_a_scan_by_its_hash_unless_asked(
    a_panel: Any, an_encoded_latent: Any, process_events_until: Any, tmp_path: Path
) -> None:
    an_encoded_latent.SetName("Doe, Jane latent")
    a_panel.ui.exploreLatentSelector.setCurrentNode(an_encoded_latent)
    process_events_until(lambda: a_panel.rows[0].start is not None and idle(a_panel), SLOW)
    recorded(a_panel, 2, process_events_until)
    sha256 = latents.latent_of(an_encoded_latent)["facts"]["scan_sha256"]
    names, contents = {}, {}
    for keep in (False, True):
        folder = tmp_path / f"keep {keep}"
        a_panel.ui.exportFolderEdit.currentPath = str(folder)
        a_panel.ui.keepNamesCheckBox.setChecked(keep)
        a_panel.ui.exportButton.click()
        process_events_until(lambda: not a_panel.exporter.busy, SLOW)
        names[keep] = sorted(path.name for path in folder.iterdir())
        contents[keep] = b"".join(path.read_bytes() for path in folder.iterdir())
    a_panel.ui.keepNamesCheckBox.setChecked(False)
    assert len(names[False]) == len(names[True]) == 9
    stem = f"scan_{sha256[:12]}_lung_volume_synthetic"
    assert [name for name in names[False] if not name.startswith(stem)] == []
    assert b"Jane" not in contents[False]
    assert [name for name in names[True] if not name.startswith("Doe_Jane_lung_volume_synthetic")] == []


def check_export(folder: Path, recording: Any, large: np.ndarray) -> None:
    """Read the last volume and its labels back: voxels, place, provenance."""
    from HAGANCore.imaging.io import read_volume

    volume = read_volume(folder / f"{recording.file_stem()}_002.nii.gz")
    labels = read_volume(folder / f"{recording.file_stem()}_002_labels.nii.gz")
    assert np.abs(volume.array - large).max() <= 0.5
    assert volume.meta["synthetic"]
    assert volume.meta["provenance"]["steps"][0]["amount"] == 600
    assert set(np.unique(labels.array)) == {0, 1, 2, 3}
    assert np.allclose(labels.geometry.matrix, volume.geometry.matrix, atol=1e-4)
    assert volume.array[labels.array == 1].mean() < -500  # lung lies on lung
    document = json.loads((folder / f"{recording.file_stem()}_002.json").read_text(encoding="utf-8"))
    assert document["synthetic"] is True


def test_the_frames_have_the_worker_s_surfaces_and_leave_no_files(
    a_panel: Any, a_window: Any, process_events_until: Any
) -> None:
    recording = recorded(a_panel, 2, process_events_until)
    sequence = recording.browser.GetSequenceNode(recording.segmentation)
    points = []
    for number in range(2):
        segment = sequence.GetNthDataNode(number).GetSegmentation().GetSegment("right_lung")
        points.append(segment.GetRepresentation("Closed surface").GetNumberOfPoints())
    assert min(points) > 500
    assert points[0] != points[1]  # 600 mL less and 600 mL more
    assert not list(a_window.worker.session.glob("*.npy"))
    assert recording.table_rows()[0][-1] == "Remarks"


def test_a_latent_changed_while_frames_are_stored_leaves_nothing_behind(
    a_panel: Any, a_window: Any, process_events_until: Any
) -> None:
    before = {node.GetID() for node in volumes_shown()}
    a_panel.ui.recordCountSpinBox.setValue(3)
    a_panel.ui.recordButton.click()
    process_events_until(lambda: a_panel.recorder._storing is not None, SLOW)
    assert not a_panel.ui.cancelRecordButton.enabled
    a_panel.ui.exploreLatentSelector.setCurrentNode(None)
    process_events_until(lambda: idle(a_panel), SLOW)
    assert {node.GetID() for node in volumes_shown()} == before
    assert not slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    assert not list(a_window.worker.session.glob("*.npy"))


def test_a_cancelled_recording_keeps_what_was_made(a_panel: Any, process_events_until: Any) -> None:
    a_panel.ui.recordCountSpinBox.setValue(50)
    a_panel.ui.recordButton.click()
    process_events_until(lambda: a_panel.ui.recordProgressBar.value >= 2, SLOW)
    a_panel.ui.cancelRecordButton.click()
    process_events_until(lambda: idle(a_panel), 5)
    assert 2 <= a_panel.recorder.recorded.count < 50
    assert a_panel.ui.recordButton.enabled
    assert a_panel.ui.directionsWidget.enabled


def test_a_scene_closed_in_the_middle_stays_empty(a_panel: Any, process_events_until: Any) -> None:
    a_panel.ui.recordCountSpinBox.setValue(50)
    a_panel.ui.recordButton.click()
    process_events_until(lambda: a_panel.ui.recordProgressBar.value >= 1, SLOW)
    slicer.mrmlScene.Clear(0)
    process_events_until(lambda: not a_panel.context.worker._requests.open_ids, SLOW)
    assert idle(a_panel)
    assert not volumes_shown()
    assert not a_panel.ui.recordButton.enabled
    assert "Choose a latent" in a_panel.ui.startText.text


def test_a_recording_and_the_sliders_come_back_with_a_saved_scene(
    a_panel: Any, a_latent: Any, process_events_until: Any, tmp_path: Path
) -> None:
    recorded(a_panel, 2, process_events_until)
    drag(a_panel.rows[0], 400)()
    process_events_until(lambda: idle(a_panel), SLOW)
    measured = a_panel.rows[0].measured.text
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    assert a_panel.recorder.recorded is None
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    process_events_until(lambda: a_panel.recorder.recorded is not None, SLOW)
    assert a_panel.recorder.recorded.count == 2
    process_events_until(lambda: a_panel.rows, SLOW)  # the scene names the model, too
    assert a_panel.rows[0].slider.value == pytest.approx(400, abs=20)
    process_events_until(lambda: idle(a_panel) and "(" in a_panel.rows[0].measured.text, SLOW)
    assert a_panel.rows[0].measured.text == measured
