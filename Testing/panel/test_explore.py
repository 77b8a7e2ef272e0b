"""The Explore panel, driven as a person would, with the real worker and a model that has a direction."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from HAGANSlicerLib.scene import latents
from plain_model import write_plain_model
from slicer_harness.steered_model import DIRECTION, RANGE_ML, write_steered_model

from HAGANCore.inference.model import load_model

SLOW = 90  # seconds: the first step loads torch and the model


@pytest.fixture(scope="module")
def a_steered_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A model 'steered' in a model folder of its own; yields a latent of it."""
    folder = tmp_path_factory.mktemp("modèles")
    path = write_steered_model(folder / "steered.safetensors")
    write_steered_model(folder / "far.safetensors", 20_000)
    write_plain_model(folder / "plain.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAGAN_MODEL_DIR", str(folder))
        yield load_model(path, "cpu").latent(40, None, 1.0).to_document()


@pytest.fixture(scope="module")
def a_shared_widget(a_steered_model: dict[str, Any], a_module: Any) -> Any:
    """The module's widget, for all tests of this file: starting its worker takes seconds."""
    widget = a_module.show()
    widget.window.models_changed("steered")
    yield widget
    a_module.hide()


@pytest.fixture
def a_window(a_shared_widget: Any, process_events_until: Any) -> Any:
    slicer.mrmlScene.Clear(0)
    window = a_shared_widget.window
    window.header.models_changed("steered")
    process_events_until(lambda: (window.context.model or {}).get("directions"), SLOW)
    window.header.ui.panels.setCurrentWidget(window.panels["explore"].widget)
    return window


@pytest.fixture
def a_latent(a_window: Any, a_steered_model: dict[str, Any]) -> Any:
    """A latent in the scene."""
    return latents.add_latent(slicer.mrmlScene, a_steered_model, "steered seed 40 latent")


@pytest.fixture
def an_encoded_latent(a_window: Any, a_steered_model: dict[str, Any]) -> Any:
    """The latent of the phantom that comes along, encoded with the model 'steered'."""
    from HAGANCore.resources import resource_path
    from HAGANCore.volumes.io import read_volume

    scan = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))
    latent = load_model("steered", "cpu").encode(scan).latent
    return latents.add_latent(slicer.mrmlScene, latent.to_document(), "phantom latent")


@pytest.fixture
def a_panel(a_window: Any, a_latent: Any, process_events_until: Any) -> Any:
    """The panel with that latent chosen, and its start shown and measured."""
    panel = a_window.panels["explore"]
    panel.ui.exploreLatentSelector.setCurrentNode(a_latent)
    process_events_until(lambda: panel.rows[0].start is not None, SLOW)
    return panel


@pytest.fixture
def sent(a_window: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Every request that goes to the worker during a test."""
    worker, requests = a_window.worker, []
    original = worker.request

    def remember(name: str, **arguments: Any) -> int:
        requests.append((name, arguments))
        return original(name, **arguments)

    monkeypatch.setattr(worker, "request", remember)
    return requests


def drag(row: Any, *amounts: float) -> Callable[[], None]:
    """Press the slider and move it; call what is returned to let it go."""
    handle = row.slider._qt.slider.slider
    low, high = row.range
    handle.setSliderDown(True)
    for amount in amounts:
        handle.setValue(round((amount - low) / (high - low) * handle.maximum()))
        slicer.app.processEvents()
    return lambda: handle.setSliderDown(False)


def idle(panel: Any) -> bool:
    return panel.steps.running is None and not panel.recorder.running


def volumes_shown() -> list[Any]:
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetImageData()]


def test_a_model_without_directions_says_how_to_fit_some(a_window: Any, process_events_until: Any) -> None:
    a_window.models_changed("plain")
    panel = a_window.panels["explore"]
    process_events_until(lambda: a_window.context.model and not a_window.context.model["directions"], SLOW)
    assert "hagan directions fit --model " in panel.ui.noDirectionsText.text
    assert panel.ui.noDirectionsText.visible
    assert not panel.rows
    assert not panel.ui.recordButton.enabled


def test_a_slider_has_name_unit_range_and_what_is_known_of_it(a_panel: Any) -> None:
    (row,) = a_panel.rows
    assert row.title == DIRECTION.capitalize()
    assert (row.slider.minimum, row.slider.maximum) == (-RANGE_ML, RANGE_ML)
    assert row.slider.suffix == " mL"
    assert row.slider.decimals == 0
    assert "Fitted with R² 0." in row.slider.toolTip
    assert "Held fixed: bones_ml" in row.slider.toolTip
    assert "Calibrated at −" in row.slider.toolTip
    row.slider.value = 300
    assert row.slider.prefix == "+"
    row.slider.value = -300
    assert row.slider.prefix == ""
    assert "from seed 40" in a_panel.ui.startText.text


def test_all_sliders_begin_and_end_alike(a_window: Any, process_events_until: Any) -> None:
    a_window.models_changed("demo")
    panel = a_window.panels["explore"]
    process_events_until(lambda: len(panel.rows) > 1, SLOW)

    def ends() -> list[tuple[int, int]]:
        slicer.app.processEvents()
        handles = [row.slider._qt.slider for row in panel.rows]
        return [(handle.x(), handle.width()) for handle in handles]

    assert len({row.hint_width() for row in panel.rows}) > 1  # by themselves they would differ
    first = ends()
    assert len(set(first)) == 1
    panel.rows[0].set_amount(panel.rows[0].range[1])  # with a sign, and the most digits
    assert ends() == first


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


def test_a_range_without_length_is_refused_in_the_words_of_the_panel(a_panel: Any, a_window: Any) -> None:
    a_panel.ui.recordFromSpinBox.setValue(-600)
    a_panel.ui.recordToSpinBox.setValue(-600)
    a_panel.ui.recordButton.click()
    assert "begins and ends at −600 mL;" in a_window.header.ui.messageLabel.text
    assert not a_panel.recorder.running


def test_what_the_worker_does_not_measure_is_said(a_panel: Any, process_events_until: Any) -> None:
    (row,) = a_panel.rows
    row.target = "airways_ml"
    drag(row, 100)()
    process_events_until(lambda: idle(a_panel), SLOW)
    assert row.measured.text == "not measured"
    row.target = "lungs_ml"


def test_an_encoded_scan_is_explored_in_its_patient_s_place(
    a_window: Any, an_encoded_latent: Any, process_events_until: Any
) -> None:
    panel = a_window.panels["explore"]
    panel.ui.exploreLatentSelector.setCurrentNode(an_encoded_latent)
    (row,) = panel.rows
    process_events_until(lambda: row.start is not None and idle(panel), SLOW)
    assert "Encoded from a scan with 'demo'" in panel.ui.startText.text
    (volume,) = volumes_shown()
    assert volume.GetName() == "phantom explored (synthetic)"
    drag(row, 400)()
    process_events_until(lambda: idle(panel) and "(+" in row.measured.text, SLOW)
    assert volumes_shown() == [volume]
    assert volume.GetAttribute("HAGAN.start") == '"encode"'


def test_dragging_previews_and_releasing_makes_the_full_volume(
    a_panel: Any, sent: list[Any], process_events_until: Any
) -> None:
    (row,) = a_panel.rows
    (volume,) = volumes_shown()
    segmentation = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]
    before, voxels = row.start, slicer.util.arrayFromVolume(volume).copy()
    release = drag(row, 100, 200, 400)
    assert [arguments["quality"] for name, arguments in sent] == ["preview"]  # the others wait or are gone
    release()
    assert sent[-1][1]["quality"] == "full"
    assert sent[-1][1]["steps"] == [{"direction": DIRECTION, "amount": pytest.approx(400, abs=20)}]
    process_events_until(lambda: idle(a_panel), SLOW)
    measured, change = row.measured.text.removesuffix(" mL)").split(" mL (+")
    assert float(measured.replace(",", "")) - before == pytest.approx(float(change), abs=1)
    assert float(change) == pytest.approx(row.amount, rel=0.021)
    assert a_panel.ui.stepText.text == ""
    assert volumes_shown() == [volume]  # in place
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == [segmentation]
    assert np.abs(slicer.util.arrayFromVolume(volume) - voxels).mean() > 1
    assert volume.GetName().endswith("(synthetic)")
    assert json.loads(volume.GetAttribute("HAGAN.steps"))[0]["direction"] == DIRECTION
    surface = segmentation.GetClosedSurfaceInternalRepresentation("left_lung")
    assert surface.GetNumberOfPoints() > 100
    assert not list(a_panel.context.worker.session.glob("*.npy"))


def test_without_correction_a_released_slider_takes_one_calibrated_step(
    a_panel: Any, sent: list[Any], process_events_until: Any
) -> None:
    a_panel.ui.exactCheckBox.setChecked(False)
    drag(a_panel.rows[0], 300)()
    assert [arguments["exact"] for name, arguments in sent] == [False, False]  # preview and full
    process_events_until(lambda: idle(a_panel), SLOW)
    a_panel.ui.exactCheckBox.setChecked(True)
    drag(a_panel.rows[0], 400)()
    assert sent[-1][1]["exact"]
    process_events_until(lambda: idle(a_panel), SLOW)


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
    assert "out of range for this latent; nearest is -" in said
    assert "(−" in panel.rows[0].measured.text
    recording = recorded(panel, 2, process_events_until, ends=(-15_000, 600))
    assert "In 1 the change could not be met" in a_window.header.ui.messageLabel.text
    assert recording.table_rows()[1][1] > -5_000
    a_window.models_changed("plain")
    process_events_until(lambda: not panel.rows, SLOW)
    assert panel.ui.stepText.text == ""


def test_a_burst_of_moves_never_queues_up(a_panel: Any, sent: list[Any], process_events_until: Any) -> None:
    (row,) = a_panel.rows
    release = drag(row, *np.linspace(-600, 600, 120))
    assert sum(arguments["quality"] == "preview" for name, arguments in sent) < 60
    release()
    process_events_until(lambda: idle(a_panel), SLOW)
    assert sent[-1][1]["quality"] == "full"
    assert sent[-1][1]["steps"][0]["amount"] == 600
    assert row.slider.value == 600


def test_without_preview_nothing_is_asked_while_dragging(
    a_panel: Any, sent: list[Any], process_events_until: Any
) -> None:
    a_panel.ui.previewCheckBox.setChecked(False)
    release = drag(a_panel.rows[0], 100, 300)
    assert not sent
    release()
    assert [arguments["quality"] for name, arguments in sent] == ["full"]
    process_events_until(lambda: idle(a_panel), SLOW)
    a_panel.ui.previewCheckBox.setChecked(True)


def test_reset_goes_back_to_the_start(a_panel: Any, process_events_until: Any) -> None:
    (row,) = a_panel.rows
    start = slicer.util.arrayFromVolume(volumes_shown()[0]).copy()
    for reset in (row.reset_button.click, a_panel.ui.resetAllButton.click):
        drag(row, 500)()
        process_events_until(lambda: idle(a_panel), SLOW)
        assert not np.array_equal(slicer.util.arrayFromVolume(volumes_shown()[0]), start)
        reset()
        process_events_until(lambda: idle(a_panel), SLOW)
        assert row.slider.value == 0
        assert np.array_equal(slicer.util.arrayFromVolume(volumes_shown()[0]), start)
        assert "(" not in row.measured.text


def test_cancel_stops_a_step_and_the_next_one_works(a_panel: Any, process_events_until: Any) -> None:
    (row,) = a_panel.rows
    drag(row, 200)()
    assert a_panel.ui.cancelStepButton.enabled
    a_panel.ui.cancelStepButton.click()
    process_events_until(lambda: idle(a_panel), 5)
    drag(row, 300)()
    process_events_until(lambda: idle(a_panel) and "(" in row.measured.text, SLOW)


def recorded(
    panel: Any, count: int, process_events_until: Any, ends: tuple[float, float] = (-600, 600)
) -> Any:
    panel.ui.recordFromSpinBox.setValue(ends[0])
    panel.ui.recordToSpinBox.setValue(ends[1])
    panel.ui.recordCountSpinBox.setValue(count)
    panel.ui.recordButton.click()
    assert not panel.ui.directionsWidget.enabled
    assert panel.ui.cancelRecordButton.visible
    process_events_until(lambda: idle(panel), SLOW)
    return panel.recorder.recorded


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


def check_export(folder: Path, recording: Any, large: np.ndarray) -> None:
    """Read the last volume and its labels back: voxels, place, provenance."""
    from HAGANCore.volumes.io import read_volume

    volume = read_volume(folder / f"{recording.file_name}_002.nii.gz")
    labels = read_volume(folder / f"{recording.file_name}_002_labels.nii.gz")
    assert np.abs(volume.array - large).max() <= 0.5
    assert volume.meta["synthetic"]
    assert volume.meta["provenance"]["steps"][0]["amount"] == 600
    assert set(np.unique(labels.array)) == {0, 1, 2, 3}
    assert np.allclose(labels.geometry.matrix, volume.geometry.matrix, atol=1e-4)
    assert volume.array[labels.array == 1].mean() < -500  # lung lies on lung
    document = json.loads((folder / f"{recording.file_name}_002.json").read_text(encoding="utf-8"))
    assert document["synthetic"] is True


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
