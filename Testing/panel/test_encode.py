"""The Encode panel, driven as a person would, with the real worker and the demonstration model behind it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from HAGANCore.imaging.io import read_volume
from HAGANCore.resources import resource_path


@pytest.fixture
def a_window(a_shared_widget: Any, process_events_until: Any) -> Any:
    """The module's window in an empty scene, with Encode in front and the demonstration model ready."""
    slicer.mrmlScene.Clear(0)
    window = a_shared_widget.window
    process_events_until(lambda: window.context.model is not None, 120)
    window.header.ui.panels.setCurrentWidget(window.panels["encode"].widget)
    return window


@pytest.fixture
def a_panel(a_window: Any) -> Any:
    return a_window.panels["encode"]


@pytest.fixture(scope="module")
def a_phantom() -> Any:
    return read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))


def add_scan(phantom: Any, scale: float = 1.0, offset: float = 0.0, name: str = "phantom") -> Any:
    """The phantom as a loaded scan, its values times ``scale`` plus ``offset``."""
    from HAGANSlicerLib.scene import volumes

    array = (phantom.array * scale + offset).astype(np.int16)
    return volumes.add_volume(slicer.mrmlScene, array, phantom.geometry.to_dict(), name)


def wait_for_check(panel: Any, process_events_until: Any) -> str:
    process_events_until(lambda: panel.ui.checkLabel.text[0] in "✓✗⚠", 30)
    return str(panel.ui.checkLabel.text)


def test_a_scan_is_checked_encoded_and_compared_on_its_own_grid(
    a_panel: Any, a_window: Any, a_phantom: Any, process_events_until: Any
) -> None:
    scan = add_scan(a_phantom)
    move = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "moved")
    shift = vtk.vtkTransform()
    shift.Translate(11, -7, 5)
    move.SetMatrixTransformToParent(shift.GetMatrix())
    scan.SetAndObserveTransformNodeID(move.GetID())
    a_panel.ui.inputSelector.setCurrentNode(scan)
    assert wait_for_check(a_panel, process_events_until).startswith("✓")
    assert not a_panel.ui.forceCheckBox.enabled
    assert not a_panel.ui.compareRow.visible
    a_panel.ui.encodeButton.click()
    process_events_until(lambda: not a_panel.job.running, 90)
    reconstruction = slicer.util.getNode("phantom reconstruction (synthetic)")
    difference = slicer.util.getNode("phantom difference (synthetic)")
    assert reconstruction.GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()
    here, there = [0.0] * 6, [0.0] * 6
    scan.GetRASBounds(here)
    reconstruction.GetRASBounds(there)
    assert np.allclose(here, there, atol=1e-3)
    assert reconstruction.GetParentTransformNode() is difference.GetParentTransformNode() is move
    said = a_panel.ui.resultLabel.text.splitlines()[0]
    assert re.fullmatch(
        r"Mean absolute error: \d+ HU\. On volumes that it made itself, this model comes within \d+ HU: .+",
        said,
    )
    assert said.endswith("this is near the best that it can do.")  # a phantom, as the model was trained on
    errors = slicer.util.getNode("phantom errors (synthetic)")
    measures = [errors.GetCellText(row, 0) for row in range(errors.GetNumberOfRows())]
    assert measures[:2] == ["Mean absolute error", "Mean absolute error on the model's own volumes"]
    assert a_window.context.parameters.exploreLatent is not None
    assert a_panel.ui.compareRow.visible
    composite = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    for slice_view in composite:  # none where no slice view was made
        assert slice_view.GetForegroundVolumeID() == reconstruction.GetID()
    a_panel.ui.blendSlider.setValue(0.25)
    a_panel.ui.overlaySelector.setCurrentIndex(1)
    for slice_view in composite:
        assert slice_view.GetBackgroundVolumeID() == scan.GetID()
        assert slice_view.GetForegroundVolumeID() == difference.GetID()
        assert slice_view.GetForegroundOpacity() == pytest.approx(0.25)
    assert a_window.context.parameters.encode.blend == pytest.approx(0.25)
    a_panel.ui.inputSelector.setCurrentNode(add_scan(a_phantom, name="another"))
    assert not a_panel.ui.resultLabel.visible  # it speaks of the first scan
    a_panel.ui.inputSelector.setCurrentNode(scan)
    assert a_panel.ui.compareRow.visible


def test_a_reconstruction_that_comes_with_a_saved_scene_can_be_compared(
    a_panel: Any, a_phantom: Any, process_events_until: Any, tmp_path: Any
) -> None:
    a_panel.ui.inputSelector.setCurrentNode(add_scan(a_phantom))
    wait_for_check(a_panel, process_events_until)
    a_panel.ui.segmentCheckBox.setChecked(False)
    a_panel.ui.encodeButton.click()
    process_events_until(lambda: not a_panel.job.running, 90)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    assert not a_panel.ui.compareRow.visible
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    process_events_until(lambda: a_panel.ui.inputSelector.currentNode() is not None, 30)
    assert a_panel.ui.compareRow.visible
    assert "phantom reconstruction" in a_panel.ui.resultLabel.text
    a_panel.ui.overlaySelector.setCurrentIndex(0)
    a_panel.ui.overlaySelector.setCurrentIndex(1)
    assert a_panel.ui.compareRow.visible  # the difference is there, too
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("phantom difference (synthetic)"))
    a_panel.ui.overlaySelector.setCurrentIndex(0)
    assert a_panel.ui.compareRow.visible
    a_panel.ui.overlaySelector.setCurrentIndex(1)
    assert not a_panel.ui.compareRow.visible


def test_a_scan_that_is_refused_needs_the_box_to_be_ticked(
    a_panel: Any, a_phantom: Any, process_events_until: Any
) -> None:
    scan = add_scan(a_phantom, scale=0.05, offset=60, name="grey values")
    a_panel.ui.inputSelector.setCurrentNode(scan)
    text = wait_for_check(a_panel, process_events_until)
    assert text.startswith("✗")
    assert "Hounsfield" in text
    assert not a_panel.ui.encodeButton.enabled
    a_panel.ui.forceCheckBox.click()
    assert a_panel.ui.encodeButton.enabled


def test_the_first_scan_that_is_not_synthetic_is_chosen_when_the_tab_opens(
    a_panel: Any, a_window: Any, a_phantom: Any, process_events_until: Any
) -> None:
    from HAGANSlicerLib.scene import provenance

    provenance.mark(add_scan(a_phantom, name="made"), {}, role="volume")
    scan = add_scan(a_phantom, name="real")
    a_window.header.ui.panels.setCurrentIndex(0)
    a_window.header.ui.panels.setCurrentIndex(1)
    assert a_panel.ui.inputSelector.currentNode().GetName() == scan.GetName() == "real"
    assert wait_for_check(a_panel, process_events_until).startswith("✓")


def test_a_scan_that_goes_while_it_is_encoded_drops_the_result(
    a_panel: Any, a_window: Any, a_phantom: Any, process_events_until: Any
) -> None:
    scan = add_scan(a_phantom)
    a_panel.ui.inputSelector.setCurrentNode(scan)
    a_panel.ui.segmentCheckBox.setChecked(False)
    a_panel.ui.encodeButton.click()
    slicer.mrmlScene.RemoveNode(scan)
    process_events_until(lambda: not a_panel.job.running, 120)
    assert "was deleted" in a_window.header.ui.messageLabel.text
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert not a_panel.ui.encodeButton.enabled


def test_refinement_can_be_cancelled(
    a_panel: Any, a_window: Any, a_phantom: Any, process_events_until: Any
) -> None:
    a_panel.ui.inputSelector.setCurrentNode(add_scan(a_phantom))
    a_panel.ui.refineSpinBox.setValue(500)
    a_panel.ui.encodeButton.click()
    process_events_until(lambda: a_panel.job.bar.value > 0, 120)
    a_panel.job.cancel_button.click()
    process_events_until(lambda: not a_panel.job.running, 2)
    assert "cancelled" in a_window.header.ui.messageLabel.text
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 1


def test_a_scene_closed_in_the_middle_stays_empty_and_the_next_scan_is_encoded(
    a_panel: Any, a_window: Any, a_phantom: Any, process_events_until: Any
) -> None:
    a_panel.ui.inputSelector.setCurrentNode(add_scan(a_phantom))
    wait_for_check(a_panel, process_events_until)
    a_panel.ui.refineSpinBox.setValue(500)
    a_panel.ui.encodeButton.click()
    process_events_until(lambda: a_panel.job.bar.value > 0, 120)
    slicer.mrmlScene.Clear(0)
    assert not a_panel.job.running
    assert "dropped" in a_window.header.ui.messageLabel.text
    process_events_until(lambda: not a_window.worker._requests.open_ids, 30)
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert not list(a_window.worker.session.glob("*.npy"))
    assert not a_panel.ui.compareRow.visible
    a_panel.ui.inputSelector.setCurrentNode(add_scan(a_phantom, name="next"))
    wait_for_check(a_panel, process_events_until)
    a_panel.ui.refineSpinBox.setValue(0)
    a_panel.ui.segmentCheckBox.setChecked(False)
    a_panel.ui.encodeButton.click()
    process_events_until(lambda: not a_panel.job.running, 120)
    assert slicer.util.getNode("next reconstruction (synthetic)")


def test_a_model_without_encoder_says_so(
    a_panel: Any, a_window: Any, a_model_file: Any, process_events_until: Any
) -> None:
    a_window.models_changed(select=str(a_model_file(encoders=False)))
    process_events_until(lambda: a_window.context.model is not None, 30)
    assert "no encoder" in a_panel.ui.checkLabel.text
    assert not a_panel.ui.encodeButton.enabled
    a_window.models_changed(select="demo")
    process_events_until(lambda: a_window.context.model is not None, 30)


def test_a_scan_unlike_what_the_model_has_seen_is_said_to_be_so(a_module: Any) -> None:
    from HAGANSlicerLib.panels.encode import error_text

    model = {"size": 64}
    far = error_text({"mae_hu": 205.6, "own_mae_hu": 57.6}, model)
    assert far.startswith(
        "Mean absolute error: 206 HU. On volumes that it made itself, this model comes within 58 HU"
    )
    assert "unlike what the model has seen, or finer than its 64³ voxels can show" in far
    assert error_text({"mae_hu": 205.6, "own_mae_hu": None}, model) == "Mean absolute error: 206 HU."
    assert error_text({"mae": 0.0512, "own_mae": 0.05}, model).startswith("Mean absolute error: 0.0512. ")
    assert error_text({}, model) == ""


def test_an_encoding_is_undone_and_redone_as_one(
    a_panel: Any, a_window: Any, a_phantom: Any, process_events_until: Any
) -> None:
    header = a_window.header.ui
    assert not header.undoButton.enabled
    scan = add_scan(a_phantom)
    a_panel.ui.inputSelector.setCurrentNode(scan)
    wait_for_check(a_panel, process_events_until)
    a_panel.ui.segmentCheckBox.setChecked(False)
    a_panel.ui.encodeButton.click()
    process_events_until(lambda: not a_panel.job.running, 90)
    a_panel.ui.segmentCheckBox.setChecked(True)
    names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")}
    assert len(names) == 3  # scan, reconstruction, difference
    header.undoButton.click()
    assert [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")] == ["phantom"]
    assert not a_panel.ui.compareRow.visible
    assert not a_panel.ui.resultLabel.visible
    assert header.messageLabel.text == (
        "'phantom reconstruction' was taken out of the scene; Redo brings it back."
    )
    assert (header.undoButton.enabled, header.redoButton.enabled) == (False, True)
    header.redoButton.click()
    assert {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")} == names
    assert a_panel.ui.compareRow.visible
    assert a_window.context.parameters.exploreLatent is not None
    assert (header.undoButton.enabled, header.redoButton.enabled) == (True, False)


def test_a_scan_that_cuts_the_lungs_has_its_marks_beside_the_numbers(
    a_panel: Any, a_phantom: Any, process_events_until: Any
) -> None:
    from HAGANSlicerLib.scene import volumes

    kept = a_phantom.array[a_phantom.array.shape[0] // 3 :]
    scan = volumes.add_volume(slicer.mrmlScene, kept, a_phantom.geometry.to_dict(), "cut")
    a_panel.ui.inputSelector.setCurrentNode(scan)
    wait_for_check(a_panel, process_events_until)
    if a_panel.ui.forceCheckBox.enabled:
        a_panel.ui.forceCheckBox.setChecked(True)
    a_panel.ui.encodeButton.click()
    process_events_until(lambda: not a_panel.job.running, 90)
    of_scan = next(line for line in a_panel.ui.resultLabel.text.splitlines() if line.startswith("Scan: "))
    assert re.search(r"right lung [\d,]+ mL ⚠ incomplete \([^;]*bottom[^;]*\), doubtful;", of_scan)
    assert "The right lung is cut at the bottom of the scan" in a_panel.ui.resultLabel.text
    table = slicer.util.getNode("cut volumes (synthetic)").GetTable()
    assert "Right lung: incomplete" in table.GetColumnByName("Remarks").GetValue(0)


def outline(scan: Any, phantom: Any, name: str, lungs: bool = True) -> Any:
    """A segmentation of the user's: the phantom's own lungs, a bone of 1,000 voxels, and a heart."""
    from HAGANSlicerLib.scene import segments

    from HAGANCore.anatomy import segment

    labels = segment(phantom).labels.copy()
    labels[labels == 3] = 0
    labels[:10, :10, :10] = 3
    node = segments.show_labels(
        slicer.mrmlScene, scan, labels if lungs else labels // 3 * 3, phantom.geometry.to_dict(), name
    )
    heart = slicer.vtkSegment()
    heart.SetName("heart")
    node.GetSegmentation().AddSegment(heart, "heart")
    return node


def test_the_user_s_own_outlines_take_the_place_of_the_rules(
    a_panel: Any, a_phantom: Any, process_events_until: Any
) -> None:
    scan = add_scan(a_phantom)
    a_panel.ui.inputSelector.setCurrentNode(scan)
    assert wait_for_check(a_panel, process_events_until).startswith("✓")
    bones_only = outline(scan, a_phantom, "bones only", lungs=False)
    a_panel.ui.labelsSelector.setCurrentNode(bones_only)
    assert wait_for_check(a_panel, process_events_until).startswith("✗")
    assert not a_panel.ui.encodeButton.enabled
    a_panel.ui.labelsSelector.setCurrentNode(outline(scan, a_phantom, "mine"))
    said = wait_for_check(a_panel, process_events_until)
    assert said.splitlines()[-1] == "Not used of the segmentation: heart."
    assert not a_panel.ui.labelsAreSelector.enabled  # segments have names, not numbers
    a_panel.ui.encodeButton.click()
    process_events_until(lambda: not a_panel.job.running, 90)
    table = slicer.util.getNode("phantom volumes (synthetic)").GetTable()
    bones = table.GetColumnByName("Bone (mL)")
    voxel_ml = float(np.prod(scan.GetSpacing())) / 1000
    assert bones.GetValue(0) == pytest.approx(1000 * voxel_ml, abs=0.06)  # a corner of air, by the label map
    assert bones.GetValue(1) > 2000 * voxel_ml  # of the reconstruction, by the rules
    assert "those of the label map" in a_panel.ui.resultLabel.text


def test_the_numbers_of_a_label_map_volume_have_a_meaning_that_is_kept(
    a_panel: Any, a_window: Any, a_phantom: Any, process_events_until: Any
) -> None:
    from HAGANSlicerLib.scene import volumes

    from HAGANCore.anatomy import segment

    a_panel.ui.inputSelector.setCurrentNode(add_scan(a_phantom))
    total = np.array([0, 13, 11, 92], np.int16)[segment(a_phantom).labels]  # lobes and a rib
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "total")
    volumes.update_volume(node, total, a_phantom.geometry.to_dict())
    a_panel.ui.labelsSelector.setCurrentNode(node)
    process_events_until(lambda: "which mean nothing here" in a_panel.ui.checkLabel.text, 30)
    a_panel.ui.labelsAreSelector.setCurrentIndex(1)
    assert wait_for_check(a_panel, process_events_until).startswith("✓")
    parameters = a_window.context.parameters
    assert (parameters.encodeLabels, parameters.encode.labelsAre) == (node, "totalsegmentator")
