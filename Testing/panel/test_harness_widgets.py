"""The stand-ins of CTK's and MRML's widgets, and the loader of .ui files."""

from __future__ import annotations

import ctk
import pytest
import qt
import slicer

UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Panel</class>
<widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout" name="column">
 <item><widget class="ctkCollapsibleButton" name="section">
  <property name="text"><string>Inputs</string></property>
  <layout class="QFormLayout" name="form">
   <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="volume">
    <property name="toolTip"><string>The scan</string></property>
    <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
    <property name="SlicerParameterName" stdset="0"><string>volume</string></property></widget></item>
   <item row="1" column="1"><widget class="ctkPathLineEdit" name="folder">
    <property name="filters"><set>ctkPathLineEdit::Dirs|ctkPathLineEdit::Writable</set></property>
   </widget></item>
   <item row="2" column="1"><widget class="WIDGET" name="last"/></item>
  </layout></widget></item></layout></widget>
<connections><connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
 <receiver>volume</receiver><slot>SLOT</slot></connection></connections></ui>"""


@pytest.fixture
def a_ui_file(tmp_path):
    def write(widget="QLabel", slot="setMRMLScene(vtkMRMLScene*)"):
        path = tmp_path / "Panel.ui"
        path.write_text(UI.replace("WIDGET", widget).replace("SLOT", slot))
        return str(path)

    return write


@pytest.fixture
def a_volume(a_scene):
    return a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")


@pytest.fixture
def a_selector(a_scene):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    selector.addEnabled = False
    selector.setMRMLScene(a_scene)
    return selector


def test_a_ui_file_loads_with_its_properties_and_connections(a_ui_file, a_volume):
    widget = slicer.util.loadUI(a_ui_file())
    ui = slicer.util.childWidgetVariables(widget)
    widget.setMRMLScene(slicer.mrmlScene)
    assert ui.volume.mrmlScene() == slicer.mrmlScene
    assert ui.volume.currentNode() == a_volume
    assert ui.volume.toolTip == "<p>The scan</p>"
    assert ui.volume.property("SlicerParameterName") == "volume"
    assert ui.folder.filters == ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Writable
    assert ui.section.text == "Inputs"


def test_mistakes_in_a_ui_file_raise(a_ui_file):
    with pytest.raises(RuntimeError, match="QLable"):
        slicer.util.loadUI(a_ui_file(widget="QLable"))
    with pytest.raises(RuntimeError, match="not possible in Slicer"):
        slicer.util.loadUI(a_ui_file(slot="setScene(vtkMRMLScene*)"))


def test_a_collapsed_section_hides_what_is_in_it(a_ui_file):
    widget = slicer.util.loadUI(a_ui_file())
    ui = slicer.util.childWidgetVariables(widget)
    widget.show()
    folded = []
    ui.section.connect("contentsCollapsed(bool)", folded.append)
    ui.section.collapsed = True
    assert not ui.folder.visible
    ui.section.collapsed = False
    assert ui.folder.visible
    assert folded == [True, False]


def test_a_slider_reports_each_value_once_and_stays_within_its_range():
    slider = ctk.ctkSliderWidget()
    values = []
    slider.minimum, slider.maximum = -10, 10
    slider.connect("valueChanged(double)", values.append)
    slider.value = 3.5
    slider.value = 99
    assert values == [3.5, 10.0]


def test_a_slider_without_tracking_reports_the_value_at_the_end_of_the_drag():
    from PySide6.QtCore import QPoint, Qt
    from PySide6.QtTest import QTest

    slider = ctk.ctkSliderWidget()
    slider.tracking = False
    moving, moved = [], []
    slider.connect("valueIsChanging(double)", moving.append)
    slider.connect("valueChanged(double)", moved.append)
    slider.resize(300, 24)
    slider.show()
    slicer.app.processEvents()
    handle = slider._qt.slider.slider
    QTest.mousePress(handle, Qt.MouseButton.LeftButton, pos=QPoint(5, handle.height() // 2))
    QTest.mouseMove(handle, QPoint(100, handle.height() // 2))
    assert moving
    assert not moved
    QTest.mouseRelease(handle, Qt.MouseButton.LeftButton, pos=QPoint(100, handle.height() // 2))
    assert moved == [moving[-1]] == [slider.value]


def test_a_range_keeps_its_ends_in_order():
    box = ctk.ctkRangeWidget()
    box.setRange(0, 100)
    box.setValues(20, 30)
    box.minimumValue = 50
    assert box.minimumValue <= box.maximumValue == 50


def test_a_path_field_tells_of_a_new_path():
    field = ctk.ctkPathLineEdit()
    paths = []
    field.connect("currentPathChanged(QString)", paths.append)
    field.filters = ctk.ctkPathLineEdit.Dirs
    field.currentPath = "/one"
    field.setCurrentPath("/two")
    assert (paths, field.currentPath) == (["/one", "/two"], "/two")


def test_a_selector_follows_the_scene(a_selector, a_scene):
    seen = []
    a_selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    node = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    a_scene.AddNewNodeByClass("vtkMRMLTextNode", "text")
    assert a_selector.nodeCount() == 1
    a_selector.setCurrentNode(node)
    assert a_selector.currentNodeID == node.GetID()
    a_scene.RemoveNode(node)
    assert a_selector.currentNode() is None
    assert seen == [node, None]


def test_a_selector_survives_closing_the_scene(a_selector, a_volume, a_scene):
    a_selector.setCurrentNode(a_volume)
    a_scene.Clear(0)
    assert a_selector.currentNode() is None
    assert a_selector.nodeCount() == 0


def test_a_selector_offers_only_nodes_with_the_wanted_attribute(a_selector, a_scene):
    plain = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "plain")
    marked = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "marked")
    marked.SetAttribute("HAGAN.synthetic", "1")
    a_selector.addAttribute("vtkMRMLScalarVolumeNode", "HAGAN.synthetic", "1")
    assert a_selector.nodeFromIndex(0) == marked
    a_selector.setCurrentNode(plain)
    assert a_selector.currentNode() is None


def test_node_types_come_back_as_a_tuple(a_selector):
    assert a_selector.nodeTypes == ("vtkMRMLScalarVolumeNode",)


def test_a_selector_adds_a_node(a_selector, a_scene):
    a_selector.baseName = "Latent"
    node = a_selector.addNode("vtkMRMLScalarVolumeNode")
    assert node.GetName() == "Latent"
    assert a_selector.currentNode() == node
    assert node.GetScene() == a_scene


def test_a_table_view_shows_a_table_node_and_follows_it(a_scene):
    node = a_scene.AddNewNodeByClass("vtkMRMLTableNode", "volumes")
    view = slicer.qMRMLTableView()
    view.setMRMLScene(a_scene)
    view.setMRMLTableNode(node)
    node.AddColumn().SetName("mL")
    node.AddEmptyRow()
    node.SetCellText(0, 0, "4700")
    assert view._qt.item(0, 0).text() == "4700"
    assert view._qt.horizontalHeaderItem(0).text() == "mL"


def test_a_plot_view_draws_its_chart(a_scene):
    table = a_scene.AddNewNodeByClass("vtkMRMLTableNode")
    for name in ("step", "mL"):
        table.AddColumn().SetName(name)
    for row in range(3):
        table.AddEmptyRow()
        table.SetCellText(row, 0, str(row))
        table.SetCellText(row, 1, str(row * row))
    series = a_scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "lung")
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName("step")
    series.SetYColumnName("mL")
    chart = a_scene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    view_node = a_scene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    view = slicer.qMRMLPlotWidget()
    view.setMRMLPlotViewNode(view_node)
    view.resize(300, 200)
    empty = view.grab().toImage()
    view_node.SetPlotChartNodeID(chart.GetID())
    assert view.grab().toImage() != empty


def test_a_module_panel_reloads_in_place(tmp_path, a_scene):
    from slicer_harness.modules import LoadedModule

    source = (
        "from slicer.ScriptedLoadableModule import *\n"
        "class Tiny(ScriptedLoadableModule):\n"
        "    def __init__(self, parent):\n"
        "        super().__init__(parent)\n"
        "        parent.title = 'VERSION'\n"
        "class TinyWidget(ScriptedLoadableModuleWidget):\n"
        "    title = 'VERSION'\n"
        "    def cleanup(self):\n"
        "        self.cleaned = True\n"
    )
    path = tmp_path / "Tiny.py"
    path.write_text(source.replace("VERSION", "first"))
    module = LoadedModule(path)
    before = module.show()
    assert before.parent.isEntered
    assert slicer.util.getModuleWidget("Tiny") is before
    path.write_text(source.replace("VERSION", "second one"))
    before.onReload() if hasattr(before, "onReload") else slicer.util.reloadScriptedModule("Tiny")
    after = slicer.modules.TinyWidget
    assert (before.cleaned, after.title) == (True, "second one")
    module.hide()
    assert after.cleaned


def test_a_module_object_takes_no_unknown_attribute(a_module):
    with pytest.raises(AttributeError):
        a_module.parent.licence = "Apache-2.0"


def test_a_screenshot_is_a_picture(a_screenshot, tmp_path):
    widget = qt.QLabel("hello")
    widget.resize(80, 30)
    assert a_screenshot(widget, tmp_path / "label.png").stat().st_size > 100


def test_a_scene_is_saved_as_a_bundle_and_loaded_again(a_volume, a_scene, tmp_path):
    import numpy as np

    slicer.util.updateVolumeFromArray(a_volume, np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    a_scene.Clear(0)
    slicer.util.loadScene(path)
    again = slicer.util.arrayFromVolume(a_scene.GetFirstNodeByName("CT"))
    assert again.ravel().tolist() == list(range(24))
