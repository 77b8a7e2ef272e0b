"""The Generate panel, driven as a person would, with the real worker and the demonstration model."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import slicer


@pytest.fixture
def a_panel(a_window: Any) -> Any:
    return a_window.panels["generate"]


def nodes_of(class_name: str) -> list[Any]:
    return [
        node
        for node in slicer.util.getNodesByClass(class_name)
        if (node.GetAttribute("HAGAN.role") or "") != ""
    ]


def test_volumes_with_segments_table_and_latents_appear(
    a_panel: Any, a_window: Any, process_events_until: Any
) -> None:
    a_panel.ui.seedSpinBox.setValue(41)
    a_panel.ui.countSpinBox.setValue(2)
    a_panel.ui.generateButton.click()
    assert a_panel.ui.jobRow.visible
    assert not a_panel.ui.generateButton.enabled
    process_events_until(lambda: not a_panel.job.running, 120)
    assert not a_panel.ui.jobRow.visible
    volumes = nodes_of("vtkMRMLScalarVolumeNode")
    assert [node.GetName() for node in volumes] == ["demo seed 41 (synthetic)", "demo seed 42 (synthetic)"]
    assert volumes[0].GetDisplayNode().GetWindow() == 1600.0
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = tree.GetItemParent(tree.GetItemByDataNode(volumes[0]))
    assert tree.GetItemName(folder) == "HAGANSlicer"
    segmentations = nodes_of("vtkMRMLSegmentationNode")
    assert [node.GetDisplayNode().GetVisibility() for node in segmentations] == [1, 0]
    assert nodes_of("vtkMRMLTableNode")[0].GetNumberOfRows() == 2
    latents = nodes_of("vtkMRMLTextNode")
    assert a_window.context.parameters.exploreLatent.GetID() == latents[-1].GetID()
    assert "2 volumes made" in a_window.header.ui.messageLabel.text
    assert "right lung" in a_panel.ui.resultLabel.text
    assert not list(a_window.worker.session.glob("*.npy"))  # the arrays are in the scene now


def test_without_outlines_the_volume_rendering_is_shown(a_panel: Any, process_events_until: Any) -> None:
    a_panel.ui.segmentCheckBox.setChecked(False)
    a_panel.ui.generateButton.click()
    process_events_until(lambda: not a_panel.job.running, 120)
    assert not nodes_of("vtkMRMLSegmentationNode")
    rendering = slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode")
    assert [node.GetVisibility() for node in rendering] == [1]
    a_panel.ui.generateButton.click()  # the next one takes its place in the views
    process_events_until(lambda: not a_panel.job.running, 120)
    rendering = slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode")
    assert [node.GetVisibility() for node in rendering] == [0, 1]


def test_seed_is_drawn_anew_unless_kept_or_typed(a_panel: Any, process_events_until: Any) -> None:
    ui = a_panel.ui
    ui.segmentCheckBox.setChecked(False)

    def generated(click: Any = ui.generateButton.click) -> int:
        click()
        process_events_until(lambda: not a_panel.job.running, 120)
        return int(ui.seedSpinBox.value)

    ui.seedSpinBox.setValue(5)
    assert generated() == 5  # typed
    drawn = generated()
    assert drawn != 5
    ui.lockButton.click()
    assert generated() == drawn  # kept
    ui.diceButton.click()
    assert ui.seedSpinBox.value != drawn


def test_cancel_ends_within_a_second_and_keeps_what_is_finished(
    a_panel: Any, a_window: Any, process_events_until: Any
) -> None:
    a_panel.ui.countSpinBox.setValue(100)
    a_panel.ui.generateButton.click()
    process_events_until(lambda: nodes_of("vtkMRMLScalarVolumeNode"), 120)
    process_events_until(
        lambda: "Generating" in a_panel.job.label.text and " left" in a_panel.job.label.text, 20
    )
    begun = time.monotonic()
    a_panel.job.cancel_button.click()
    assert "stopping" in a_panel.job.label.text
    process_events_until(lambda: not a_panel.job.running, 5)
    assert time.monotonic() - begun < 1.5  # 1 s, and half a second for a busy machine
    assert 1 <= len(nodes_of("vtkMRMLScalarVolumeNode")) < 100
    assert "cancelled" in a_window.header.ui.messageLabel.text
    assert a_panel.ui.generateButton.enabled


def test_a_scene_closed_in_the_middle_stays_empty_and_says_so(
    a_panel: Any, a_window: Any, process_events_until: Any
) -> None:
    a_panel.ui.countSpinBox.setValue(100)
    a_panel.ui.generateButton.click()
    process_events_until(lambda: nodes_of("vtkMRMLScalarVolumeNode"), 120)
    slicer.mrmlScene.Clear(0)
    assert not a_panel.job.running
    assert "dropped" in a_window.header.ui.messageLabel.text
    until = time.monotonic() + 1.2
    process_events_until(lambda: time.monotonic() > until, 5)
    assert not nodes_of("vtkMRMLScalarVolumeNode")
    a_panel.ui.generateButton.click()  # the new scene is as good as any
    process_events_until(lambda: not a_panel.job.running, 120)
    assert len(nodes_of("vtkMRMLScalarVolumeNode")) == 1


def test_a_volume_is_made_again_and_compared(
    a_panel: Any, a_window: Any, process_events_until: Any, a_model_file: Any
) -> None:
    ui = a_panel.ui
    assert not ui.againButton.enabled  # nothing is chosen
    a_panel.ui.segmentCheckBox.setChecked(False)
    ui.countSpinBox.setValue(1)
    ui.generateButton.click()
    process_events_until(lambda: not a_panel.job.running, 120)
    (volume,) = nodes_of("vtkMRMLScalarVolumeNode")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "a scan")
    assert ui.againSelector.nodeCount() == 1  # scans are not offered
    ui.againSelector.setCurrentNode(volume)
    ui.againButton.click()
    process_events_until(lambda: not a_panel.job.running, 120)
    said = a_window.header.ui.messageLabel.text
    assert said == f"'{volume.GetName()}' was made again: every voxel is the same."
    assert len(nodes_of("vtkMRMLScalarVolumeNode")) == 2
    ui.againButton.click()
    slicer.mrmlScene.RemoveNode(volume)
    process_events_until(lambda: not a_panel.job.running, 120)
    assert "was deleted" in a_window.header.ui.messageLabel.text
    assert not list(a_window.worker.session.glob("*.npy"))
    ui.againSelector.setCurrentNode(nodes_of("vtkMRMLScalarVolumeNode")[0])
    a_window.models_changed(select=str(a_model_file()))
    process_events_until(lambda: a_window.context.model is not None, 30)
    ui.againButton.click()
    assert "made by the model 'demo'" in a_window.header.ui.messageLabel.text
    assert not a_panel.job.running
    a_window.models_changed(select="demo")
    process_events_until(lambda: a_window.context.model is not None, 30)


def test_an_error_is_said_in_one_line_and_the_next_click_works(
    a_panel: Any, a_window: Any, process_events_until: Any, tmp_path: Path, a_model_file: Any
) -> None:
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(a_model_file().read_bytes())
    a_window.models_changed(select=str(copy))
    process_events_until(lambda: a_window.context.model is not None, 30)
    copy.unlink()
    a_panel.ui.generateButton.click()
    process_events_until(lambda: not a_panel.job.running, 30)
    message = a_window.header.ui.messageLabel.text
    assert message.startswith("⚠")
    assert "\n" not in message
    a_window.models_changed(select="demo")
    process_events_until(lambda: a_window.context.model is not None, 30)


def test_a_preview_of_a_large_model_is_small_says_so_and_lies_where_the_volume_would(
    a_panel: Any, a_window: Any, process_events_until: Any, a_model_file: Any
) -> None:
    assert not a_panel.ui.previewCheckBox.enabled  # the demonstration model is quick enough
    a_window.models_changed(select=str(a_model_file(size=256)))
    process_events_until(lambda: a_window.context.model is not None, 30)
    assert a_panel.ui.previewCheckBox.enabled
    a_panel.ui.previewCheckBox.setChecked(True)
    assert not a_panel.ui.segmentCheckBox.enabled
    a_panel.ui.seedSpinBox.setValue(7)
    a_panel.ui.generateButton.click()
    process_events_until(lambda: not a_panel.job.running, 60)
    (volume,) = nodes_of("vtkMRMLScalarVolumeNode")
    assert volume.GetName() == "tiny seed 7 preview (synthetic)"
    assert volume.GetAttribute("HAGAN.preview") == "true"
    assert volume.GetAttribute("HAGAN.synthetic") == "1"
    assert volume.GetImageData().GetDimensions() == (64, 64, 64)
    assert volume.GetSpacing() == pytest.approx((6, 5, 5))  # 384 × 320 × 320 mm in 64³ voxels
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    assert bounds == pytest.approx([-192, 192, -160, 160, -160, 160])
    a_panel.ui.previewCheckBox.setChecked(False)
    a_window.models_changed(select="demo")
    process_events_until(lambda: a_window.context.model is not None, 30)


def test_classes_are_offered_for_a_conditional_model_only(
    a_panel: Any, a_window: Any, process_events_until: Any, a_model_file: Any
) -> None:
    assert not a_panel.ui.classSelector.visible
    a_window.models_changed(select=str(a_model_file(classes=5)))
    process_events_until(lambda: a_window.context.model is not None, 30)
    selector = a_panel.ui.classSelector
    assert [selector.itemText(index) for index in range(selector.count)][:2] == ["any", "stage 0"]
    selector.setCurrentIndex(selector.findData("stage 3"))
    a_panel.ui.segmentCheckBox.setChecked(False)
    a_panel.ui.generateButton.click()
    process_events_until(lambda: not a_panel.job.running, 30)
    (volume,) = nodes_of("vtkMRMLScalarVolumeNode")
    assert "stage 3" in volume.GetAttribute("HAGAN.class")
    a_window.models_changed(select="demo")
    process_events_until(lambda: a_window.context.model is not None, 30)
    assert not selector.visible


def test_undo_takes_out_all_of_the_last_click_and_redo_brings_it_back(
    a_panel: Any, a_window: Any, process_events_until: Any
) -> None:
    ui, header = a_panel.ui, a_window.header.ui
    ui.segmentCheckBox.setChecked(True)
    assert "nothing has been made" in header.undoButton.toolTip
    for seed, count in ((51, 1), (61, 2)):
        ui.seedSpinBox.setValue(seed)
        ui.countSpinBox.setValue(count)
        ui.generateButton.click()
        process_events_until(lambda: not a_panel.job.running, 120)
    made = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    assert len(nodes_of("vtkMRMLScalarVolumeNode")) == 3
    header.undoButton.click()
    assert [node.GetName() for node in nodes_of("vtkMRMLScalarVolumeNode")] == ["demo seed 51 (synthetic)"]
    assert [node.GetDisplayNode().GetVisibility() for node in nodes_of("vtkMRMLSegmentationNode")] == [1]
    assert len(nodes_of("vtkMRMLTableNode")) == 1
    assert not ui.resultLabel.visible
    header.undoButton.click()
    assert not nodes_of("vtkMRMLScalarVolumeNode")
    assert not header.undoButton.enabled
    header.redoButton.click()
    header.redoButton.click()
    assert {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")} == made
    assert not header.redoButton.enabled
    assert a_window.context.parameters.exploreLatent.GetName() == "demo seed 61 latent"
    ui.countSpinBox.setValue(1)


def test_what_is_still_being_made_is_not_undone(
    a_panel: Any, a_window: Any, process_events_until: Any
) -> None:
    a_panel.ui.countSpinBox.setValue(100)
    a_panel.ui.generateButton.click()
    process_events_until(lambda: nodes_of("vtkMRMLScalarVolumeNode"), 120)
    a_window.header.ui.undoButton.click()
    assert "still being made" in a_window.header.ui.messageLabel.text
    assert nodes_of("vtkMRMLScalarVolumeNode")
    a_panel.job.cancel_button.click()
    process_events_until(lambda: not a_panel.job.running, 5)
    a_panel.ui.countSpinBox.setValue(1)
    a_window.header.ui.undoButton.click()
    assert not nodes_of("vtkMRMLScalarVolumeNode")


def test_a_message_goes_with_its_scene(a_panel: Any, a_window: Any, process_events_until: Any) -> None:
    a_panel.ui.segmentCheckBox.setChecked(False)
    a_panel.ui.generateButton.click()
    process_events_until(lambda: not a_panel.job.running, 120)
    label = a_window.header.ui.messageLabel
    assert re.fullmatch(r"1 volume made in [\d.]+ (s|min)\.", label.text)
    slicer.mrmlScene.Clear(0)
    assert not label.text.strip()
    assert not a_window.header.ui.undoButton.enabled


def test_undo_while_explore_shows_the_result_leaves_explore_without_a_start(
    a_panel: Any, a_window: Any, process_events_until: Any
) -> None:
    a_panel.ui.segmentCheckBox.setChecked(False)
    a_panel.ui.generateButton.click()
    process_events_until(lambda: not a_panel.job.running, 120)
    explore = a_window.panels["explore"]
    a_window.header.ui.panels.setCurrentWidget(explore.widget)
    process_events_until(lambda: explore.steps.running is not None, 60)  # its start is being made
    a_window.header.ui.undoButton.click()
    assert a_window.context.parameters.exploreLatent is None
    process_events_until(lambda: explore.steps.running is None, 60)
    assert not nodes_of("vtkMRMLTextNode")
    a_window.header.ui.redoButton.click()
    assert a_window.context.parameters.exploreLatent is not None
    process_events_until(lambda: all(row.start is not None for row in explore.rows), 60)
    a_window.header.ui.panels.setCurrentWidget(a_panel.widget)


def test_that_a_model_cannot_be_used_is_no_message_of_the_scene(
    a_panel: Any, a_window: Any, process_events_until: Any, tmp_path: Path
) -> None:
    broken, label = tmp_path / "broken.safetensors", a_window.header.ui.messageLabel
    broken.write_bytes(b"nothing of the kind")
    a_window.models_changed(select=str(broken))
    process_events_until(lambda: label.text.startswith("⚠"), 30)
    said = label.text
    a_window.header.forget_message()
    assert label.text == said
    a_window.models_changed(select="demo")
    process_events_until(lambda: a_window.context.model is not None, 30)
    a_window.header.forget_message()
    assert not label.text.strip()


def test_a_mac_says_why_its_processor_computes(a_window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from HAGANSlicerLib.panels.header import mac_note

    assert "has not been measured" not in a_window.header.ui.planLabel.toolTip
    monkeypatch.setattr("sys.platform", "darwin")
    assert "Apple's GPU (MPS) has not been measured" in mac_note("cpu")
    assert mac_note("mps") == ""
