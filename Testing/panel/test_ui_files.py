"""The .ui files and the Python code of the module, held against what Slicer has."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import slicer
from slicer_harness.law import law
from slicer_harness.lint import problems, tab_problems, untranslated, widgets_of

MODULE = Path(__file__).resolve().parents[2] / "HAGANSlicer"
UI_FILES = sorted((MODULE / "Resources" / "UI").glob("*.ui"))
SOURCES = [path for path in sorted(MODULE.rglob("*.py")) if "Scripts" not in path.parts]
OPERATED = {
    *("QPushButton", "QToolButton", "QCheckBox", "QRadioButton", "QSpinBox", "QDoubleSpinBox", "QComboBox"),
    *("QLineEdit", "QSlider", "QTableWidget", "QListWidget", "ctkSliderWidget", "ctkDoubleSpinBox"),
    *("ctkComboBox", "ctkPathLineEdit", "ctkDirectoryButton", "ctkRangeWidget", "ctkDoubleRangeSlider"),
    *("ctkDoubleSlider", "qMRMLNodeComboBox", "qMRMLCheckableNodeComboBox", "qMRMLSliderWidget"),
    *("qMRMLSpinBox", "qMRMLSubjectHierarchyComboBox"),
}
"""Classes that a person clicks, drags or types into."""
REACHED = OPERATED | {"QTabWidget", "QTextBrowser", "ctkCollapsibleButton"}
"""Classes that a person without a mouse must get to."""
SAME_IN_ALL_LANGUAGES = (
    # Terminologies, parameters and presets of Slicer and of DICOM
    *("Segmentation category and type - 3D Slicer General", "SCT^123037004^Anatomical Structure"),
    *("Anatomic codes - DICOM master list", "Conversion method", "SurfaceNets smoothing", "Smoothing factor"),
    *("Attenuation Coefficient", "Hounsfield unit", "Image Synthesis"),
    # names by which nodes and data are found again, and of networks
    *("HAGAN difference", "HAGAN training losses", "HAGAN thorax phantom", "The HAGANSlicer authors"),
    *("generator G", "discriminator D", "encoder E^H", "encoder E^G"),
    # HTML, units, and what only a programmer sees
    *(
        "<h3>",
        "<a href='copy:'>",
        "… min",
        " min",
        "A job runs one request",
        "the PyTorch extension installed",
    ),
    *("HAGANCore was found neither",),
)
OF_LAYOUTS = {"leftMargin", "topMargin", "rightMargin", "bottomMargin", "margin", "spacing"}
OF_LAYOUTS |= {"horizontalSpacing", "verticalSpacing"}
LARGEST_MINIMUM = 200  # pixels: less than half of Slicer's module panel


@pytest.fixture(params=UI_FILES, ids=lambda path: path.stem)
def a_ui_file(request):
    return request.param


@pytest.fixture
def widgets(a_ui_file):
    return list(ET.parse(a_ui_file).getroot().iter("widget"))


def properties_of(item):
    return {entry.get("name"): entry for entry in item.findall("property")}


def test_there_are_ui_files_and_sources_to_check():
    assert {path.stem for path in UI_FILES} >= {"HAGANSlicer", "GeneratePanel", "EncodePanel", "ExplorePanel"}
    assert len(SOURCES) > 5


def test_a_ui_file_loads_with_all_its_connections(a_ui_file, a_scene):
    widget = slicer.util.loadUI(str(a_ui_file))
    assert widget.className() == "qMRMLWidget"
    if hasattr(widget, "setMRMLScene"):
        widget.setMRMLScene(a_scene)


def test_every_class_is_known(widgets):
    assert {item.get("class") for item in widgets} - law().keys() - {"Line"} == set()


def test_every_property_exists(widgets):
    unknown = [
        f"{item.get('name')}.{name}"
        for item in widgets
        for name, entry in properties_of(item).items()
        if entry.get("stdset") != "0" and name != "buddy" and item.get("class") != "Line"
        if name not in law()[item.get("class")].properties
    ]
    assert unknown == []


def test_every_property_of_a_layout_exists(a_ui_file):
    layouts = ET.parse(a_ui_file).getroot().iter("layout")
    unknown = [
        f"{item.get('name')}.{name}"
        for item in layouts
        for name in properties_of(item)
        if name not in OF_LAYOUTS and name not in law()[item.get("class")].properties
    ]
    assert unknown == []


def test_every_parameter_name_is_a_parameter(a_module, widgets):
    from HAGANSlicerLib.parameters import HAGANSlicerParameterNode

    names = [properties_of(item).get("SlicerParameterName") for item in widgets]
    for name in [entry.findtext("string") for entry in names if entry is not None]:
        assert HAGANSlicerParameterNode.dataType(name) is not None, name


def test_every_control_has_a_tooltip(widgets):
    silent = [
        item.get("name")
        for item in widgets
        if item.get("class") in OPERATED and not (properties_of(item).get("toolTip") is not None)
    ]
    assert silent == []


def test_tab_reaches_every_control_in_the_order_of_reading(a_ui_file):
    assert tab_problems(a_ui_file, REACHED) == []


@pytest.mark.parametrize(
    ("stops", "message"),
    [
        (["first", "second"], None),
        (["second", "first"], "leaves the order of reading at first"),
        (["first"], "does not reach second"),
        (["first", "second", "first"], "goes to first twice"),
        (["first", "second", "third"], "go to third, which is not there"),
    ],
)
def test_the_check_of_tab_stops_finds_what_is_wrong(stops, message, tmp_path):
    widgets = "".join(f'<widget class="QCheckBox" name="{name}"/>' for name in ("first", "second"))
    tabs = "".join(f"<tabstop>{name}</tabstop>" for name in stops)
    path = tmp_path / "panel.ui"
    path.write_text(
        f'<ui><widget class="QWidget" name="all">{widgets}</widget><tabstops>{tabs}</tabstops></ui>'
    )
    found = tab_problems(path, REACHED)
    assert found == [] if message is None else [line for line in found if message in line]


@pytest.mark.parametrize(
    "source",
    [path for path in SOURCES if "Testing" not in path.parts],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_text_can_be_translated(source):
    texts = [line for line in untranslated(source) if not any(same in line for same in SAME_IN_ALL_LANGUAGES)]
    assert texts == []


def test_the_check_of_texts_finds_those_that_are_not_in_tr(tmp_path):
    path = tmp_path / "code.py"
    path.write_text(
        '"""Words of a docstring."""\n'
        'label.setText("Nothing is here")\n'
        'name = f"{scan} latent"\n'
        'other = _("{scan} latent").format(scan=f"{scan}_part")\n'
        'logging.info("Words for the log")\n'
        'button.connect("valueChanged(double, int x)", f)\n'
    )
    assert untranslated(path) == ["code.py:2: Nothing is here", "code.py:3:  latent"]


def test_nothing_has_a_fixed_size(widgets):
    fixed = []
    for item in widgets:
        found = properties_of(item)
        fixed += [
            f"{item.get('name')}.{name}" for name in found if name.startswith("maximum") and "ize" in name
        ]
        for name in ("minimumSize", "baseSize"):
            width = found[name].findtext("size/width") if name in found else None
            if width is not None and int(width) > LARGEST_MINIMUM:
                fixed.append(f"{item.get('name')}.{name}")
    assert fixed == []


def test_names_of_widgets_are_used_once(widgets):
    names = [item.get("name") for item in widgets]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_python_code_asks_nothing_of_qt_that_slicer_lacks(source):
    assert problems(source, widgets_of(UI_FILES)) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("qt.QLabel(text='x')", "keyword"),
        ("qt.QWidgett()", "not in Slicer"),
        ("qt.Qt.Diagonal", "not in Slicer"),
        ("with qt.QSignalBlocker(w): pass", "segmentation fault"),
        ("isinstance(w, qt.QWidget)", "inherits"),
        ("import threading", "starve"),
        ("self.ui.slider.value()", "not called"),
        ("self.ui.slider.setMaximum(3)", "is not in ctkSliderWidget"),
        ("self.ui.slider.colour = 1", "cannot be set"),
        ("self.ui.slider.connect('valueChangedd(double)', f)", "has no signal"),
        ("self.ui.slidr.value", "no .ui file"),
    ],
)
def test_the_check_of_python_code_finds_what_fails_in_slicer(code, message, tmp_path):
    path = tmp_path / "code.py"
    path.write_text(code)
    assert any(message in line for line in problems(path, {"slider": {"ctkSliderWidget"}}))


@pytest.mark.parametrize(
    ("line", "kind", "found"),
    [
        ("self.ui.thing.addWidget(w)", "QVBoxLayout", True),
        ("self._thing = self._ui.thing", "QGridLayout", True),
        ("self.ui.thing.addAction(a)", "QMenu", True),
        ("self.ui.thing.layout().addWidget(w)", "QWidget", False),
        ("if self.ui.thing:\n    pass", "QWidget", True),
        ("a = b or not self.ui.thing", "QWidget", True),
        ("a = b if w.layout() else c", "QWidget", True),
        ("if w.layout() is not None and self.ui.thing.enabled:\n    pass", "QWidget", False),
    ],
)
def test_the_check_of_python_code_finds_what_an_empty_object_breaks(line, kind, found, tmp_path):
    path = tmp_path / "code.py"
    path.write_text(line)
    assert bool(problems(path, {"thing": {kind}})) == found


def test_the_check_of_python_code_accepts_what_works_in_slicer(tmp_path):
    path = tmp_path / "code.py"
    path.write_text(
        "self.ui.slider.value = self.ui.slider.maximum\n"
        "self.ui.slider.setValue(3)\n"
        "self.ui.slider.connect('valueChanged(double)', f)\n"
        "qt.QTimer.singleShot(0, f)\n"
        "qt.QMessageBox.question(None, 'a', 'b', qt.QMessageBox.Yes | qt.QMessageBox.No)\n"
    )
    assert problems(path, {"slider": {"ctkSliderWidget"}}) == []
