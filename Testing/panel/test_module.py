"""The module as a whole: it opens, explains itself, and keeps its choices in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

CONTROLS = ("QPushButton", "QCheckBox", "QSpinBox", "QComboBox", "ctkSliderWidget", "qMRMLNodeComboBox")


def test_header_says_what_computes_and_that_results_are_not_for_diagnosis(a_window: Any) -> None:
    header = a_window.header.ui
    assert "per volume of 64³" in header.planLabel.text
    assert "CPU" in header.planLabel.text or "GPU" in header.planLabel.text
    assert "not for diagnosis" in header.noticeLabel.text
    assert not header.installRow.visible  # nothing is missing here


def test_models_of_the_registry_can_be_chosen_and_the_last_entry_imports(a_window: Any) -> None:
    selector = a_window.header.ui.modelSelector
    texts = [selector.itemText(index) for index in range(selector.count)]
    assert texts[0].startswith("Demonstration")
    assert any("to obtain" in text for text in texts)  # the published ones, which are not on this machine
    assert texts[-1] == "Import…"
    assert selector.currentText == texts[0]


def test_import_in_the_list_of_models_asks_for_a_file_and_leaves_the_model(
    a_window: Any, monkeypatch: Any
) -> None:
    header, models = a_window.header.ui, a_window.panels["models"]
    asked: list[bool] = []
    monkeypatch.setattr(models, "choose_files", lambda: asked.append(models.widget.visible) or [])
    before = header.modelSelector.currentText
    choose(header.modelSelector, "import…")
    assert asked == [True]  # with the tab in front that shows how the import goes
    assert header.modelSelector.currentText == before
    assert a_window.context.model is not None
    assert not models.job.running
    header.panels.setCurrentIndex(0)


def test_a_model_that_is_not_here_says_how_to_obtain_it(a_window: Any, process_events_until: Any) -> None:
    selector = a_window.header.ui.modelSelector
    choose(selector, "hagan-copdgene")
    assert "Only its authors distribute the weights" in a_window.header.ui.messageLabel.text
    assert a_window.context.model is None
    assert not a_window.panels["generate"].ui.generateButton.enabled
    choose(selector, "demo")
    process_events_until(lambda: a_window.context.model is not None, 30)
    assert a_window.panels["generate"].ui.generateButton.enabled


def test_every_control_of_every_panel_has_a_tooltip(a_window: Any) -> None:
    bare = []
    for panel in a_window.all_panels:
        for name, control in vars(panel.ui).items():
            inside_a_control = name.startswith(("qt_", "ctk")) or name in ("Slider", "SpinBox")
            if control.className() in CONTROLS and not inside_a_control and not control.toolTip:
                bare.append(f"{panel.ui_name}: {name}")
    assert not bare


def test_choices_go_into_the_scene_and_come_back_with_it(a_window: Any, tmp_path: Path) -> None:
    ui = a_window.panels["generate"].ui
    ui.countSpinBox.setValue(7)
    ui.truncationSlider.setValue(0.5)
    ui.segmentCheckBox.setChecked(False)
    node = a_window.context.parameters.parameterNode
    saved = {name: node.GetParameter(name) for name in node.GetParameterNames()}
    slicer.mrmlScene.Clear(0)
    assert (ui.countSpinBox.value, ui.truncationSlider.value, ui.segmentCheckBox.checked) == (1, 1.0, True)
    fresh = a_window.context.parameters.parameterNode
    for name, value in saved.items():
        fresh.SetParameter(name, value)
    assert (ui.countSpinBox.value, ui.truncationSlider.value, ui.segmentCheckBox.checked) == (7, 0.5, False)


def choose(selector: Any, data: str) -> None:
    """Choose an entry of a combo box as a person does."""
    index = selector.findData(data)
    selector.setCurrentIndex(index)
    selector._qt.activated.emit(index)
