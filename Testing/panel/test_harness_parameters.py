"""parameterNodeWrapper: the stand-in, or with SLICER_SOURCE Slicer's own, keeps and shows parameters."""

from __future__ import annotations

import enum
import os
from typing import Annotated

import ctk
import pytest
import qt
import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    Minimum,
    WithinRange,
    parameterNodeWrapper,
    parameterPack,
)


class Speed(enum.Enum):
    SLOW = "slow"
    FAST = "fast"


@parameterPack
class Inner:
    count: Annotated[int, WithinRange(1, 9)] = 2
    share: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    on: bool = True
    kind: Annotated[str, Choice(["CT", "MR"])] = "CT"


@parameterNodeWrapper
class Parameters:
    volume: vtkMRMLScalarVolumeNode
    inner: Inner
    names: list[str]
    speed: Speed
    text: str = "hi"
    least: Annotated[int, Minimum(3), Default(4)]


@pytest.fixture
def a_node(a_scene):
    return a_scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")


@pytest.fixture
def parameters(a_node):
    return Parameters(a_node)


@pytest.fixture
def a_gui(a_scene):
    """A widget with one control per parameter, named as a .ui file would name it."""
    gui = qt.QWidget()
    column = qt.QVBoxLayout(gui)
    gui_widgets = {
        "volume": slicer.qMRMLNodeComboBox(),
        "inner.count": qt.QSpinBox(),
        "inner.share": ctk.ctkSliderWidget(),
        "inner.on": qt.QCheckBox(),
        "inner.kind": qt.QComboBox(),
        "speed": ctk.ctkComboBox(),
        "text": qt.QLineEdit(),
    }
    for name, widget in gui_widgets.items():
        widget.setProperty("SlicerParameterName", name)
        column.addWidget(widget)
    gui_widgets["volume"].noneEnabled = True
    gui_widgets["volume"].setMRMLScene(a_scene)
    gui_widgets["inner.share"].singleStep = 0.01
    return gui, gui_widgets


def test_defaults_are_written_to_the_node(parameters):
    assert (parameters.text, parameters.least, parameters.speed) == ("hi", 4, Speed.SLOW)
    assert (parameters.inner.count, parameters.inner.share, parameters.inner.on) == (2, 0.5, True)
    assert (parameters.volume, list(parameters.names)) == (None, [])
    assert parameters.parameterNode.GetParameter("inner.count") == "2"
    assert parameters.parameterNode.GetParameter("speed") == "SLOW"


def test_setting_a_member_of_a_pack_changes_the_node(parameters):
    parameters.inner.count = 7
    parameters.setValue("inner.kind", "MR")
    assert parameters.parameterNode.GetParameter("inner.count") == "7"
    assert parameters.getValue("inner.kind") == parameters.inner.kind == "MR"


def test_a_list_is_kept_when_it_is_changed_in_place(parameters):
    parameters.names.append("lungs")
    parameters.names += ["bones"]
    del parameters.names[0]
    assert list(parameters.names) == ["bones"]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("inner.count", 10, ValueError),
        ("inner.count", "many", TypeError),
        ("inner.kind", "PET", ValueError),
        ("least", 2, ValueError),
        ("text", None, ValueError),
        ("nothing", 1, ValueError),
        ("text.part", 1, Exception),
    ],
)
def test_values_that_are_not_allowed_are_refused_and_nothing_changes(parameters, name, value, error):
    before = parameters.parameterNode.GetParameter("inner.count")
    with pytest.raises(error):
        parameters.setValue(name, value)
    assert parameters.parameterNode.GetParameter("inner.count") == before


@pytest.mark.skipif(
    "SLICER_SOURCE" in os.environ, reason="some versions of Slicer can, so the stand-in cannot"
)
def test_an_optional_node_cannot_be_declared():
    with pytest.raises(TypeError):

        @parameterNodeWrapper
        class _Wrong:
            volume: vtkMRMLScalarVolumeNode | None


def test_a_default_that_is_not_allowed_is_refused():
    with pytest.raises(ValueError):

        @parameterPack
        class _Wrong:
            count: Annotated[int, WithinRange(1, 9)] = 0


def test_widgets_and_parameters_follow_each_other(parameters, a_gui, a_scene):
    gui, widgets = a_gui
    tag = parameters.connectGui(gui)
    node = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    assert widgets["volume"].nodeTypes == ("vtkMRMLScalarVolumeNode",)
    widgets["volume"].setCurrentNode(node)
    widgets["inner.count"].value = 5
    widgets["inner.share"].value = 0.25
    widgets["inner.on"].checked = False
    widgets["inner.kind"].setCurrentIndex(1)
    widgets["text"].text = "typed"
    assert parameters.volume == node
    inner = parameters.inner
    assert (inner.count, inner.share, inner.on, inner.kind) == (5, 0.25, False, "MR")
    assert parameters.text == "typed"
    parameters.inner.count = 8
    parameters.speed = Speed.FAST
    assert widgets["inner.count"].value == 8
    assert widgets["speed"].currentText == "FAST"
    parameters.disconnectGui(tag)
    widgets["inner.count"].value = 1
    assert parameters.inner.count == 8


def test_widgets_get_the_range_of_the_parameter(parameters, a_gui):
    gui, widgets = a_gui
    parameters.connectGui(gui)
    assert (widgets["inner.count"].minimum, widgets["inner.count"].maximum) == (1, 9)
    assert (widgets["inner.share"].minimum, widgets["inner.share"].maximum) == (0, 1)
    assert [widgets["inner.kind"].itemText(index) for index in range(2)] == ["CT", "MR"]


def test_a_name_that_no_parameter_has_is_refused(parameters, a_gui):
    gui, widgets = a_gui
    widgets["text"].setProperty("SlicerParameterName", "inner.nothing")
    with pytest.raises(ValueError):
        parameters.connectGui(gui)


def test_a_widget_that_cannot_show_the_type_is_refused(parameters):
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        parameters.connectParametersToGui({"text": qt.QSpinBox()})


def test_parameters_come_back_with_a_saved_scene(parameters, a_scene, tmp_path):
    node = a_scene.AddNewNodeByClass("vtkMRMLTextNode", "other")
    assert node
    parameters.volume = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    parameters.inner.count = 6
    parameters.names = ["a", "b"]
    path = tmp_path / "scene.mrml"
    a_scene.SetURL(str(path))
    assert a_scene.Commit()
    a_scene.Clear(1)
    assert a_scene.Connect()
    again = Parameters(a_scene.GetFirstNodeByName("parameters"))
    assert (again.inner.count, list(again.names), again.volume.GetName()) == (6, ["a", "b"], "CT")


def test_modifications_can_be_held_back(parameters):
    events = []
    parameters.AddObserver("ModifiedEvent", lambda *_: events.append(1))
    with slicer.util.NodeModify(parameters):
        parameters.inner.count = 3
        parameters.inner.share = 0.1
    assert len(events) == 1
