"""The harness treats code as PythonQt in Slicer does: one test per observation in a running Slicer."""

from __future__ import annotations

import ctk
import pytest
import qt
import slicer
from packaging.requirements import Requirement
from slicer_harness.law import NotInHarness, law, normalized


@pytest.fixture
def a_slider():
    return ctk.ctkSliderWidget()


@pytest.fixture
def a_button():
    return qt.QPushButton("press")


@pytest.fixture
def calls():
    """A slot that keeps what it was called with."""

    class Calls(list):
        def slot(self, *args):
            self.append(args)

    return Calls()


def test_properties_are_read_and_set_without_parentheses(a_slider):
    a_slider.value = 3
    assert a_slider.value == 3


def test_calling_a_property_is_a_type_error(a_slider, a_button):
    combo = qt.QComboBox()
    for call in (lambda: a_slider.value(), lambda: a_button.text(), lambda: combo.count()):
        with pytest.raises(TypeError):
            call()


def test_slots_can_be_called(a_slider):
    a_slider.setValue(4)
    assert a_slider.value == 4


@pytest.mark.parametrize(
    ("make", "setter", "value"),
    [
        (lambda: ctk.ctkSliderWidget(), "setMaximum", 10),
        (lambda: ctk.ctkSliderWidget(), "setSuffix", "mL"),
        (lambda: ctk.ctkCollapsibleButton(), "setCollapsed", False),
        (lambda: slicer.qMRMLNodeComboBox(), "setNodeTypes", ["vtkMRMLTextNode"]),
    ],
)
def test_setters_of_properties_that_are_no_slots_do_not_exist(make, setter, value):
    with pytest.raises(AttributeError):
        getattr(make(), setter)(value)


def test_setters_of_qts_own_classes_work(a_button):
    a_button.setText("y")
    a_button.setEnabled(False)
    assert (a_button.text, a_button.isEnabled()) == ("y", False)
    label = qt.QLabel("long")
    label.setWordWrap(True)
    assert label.wordWrap
    holder = qt.QWidget()
    form = qt.QFormLayout(holder)
    form.setContentsMargins(0, 0, 0, 0)
    form.addRow("a", label)
    assert label.parent() == holder
    combo = qt.QComboBox()
    combo.addItem("one", {"key": 1})
    assert combo.itemData(0) == {"key": 1}
    progress = qt.QProgressBar()
    progress.setRange(0, 7)
    assert progress.maximum == 7


@pytest.mark.parametrize(
    "make", [qt.QPushButton, ctk.ctkSliderWidget, slicer.qMRMLNodeComboBox, qt.QTimer, qt.QVBoxLayout]
)
def test_an_unknown_attribute_can_neither_be_read_nor_set(make):
    thing = make()
    with pytest.raises(AttributeError):
        thing.colour = "red"
    with pytest.raises(AttributeError):
        _ = thing.colour


def test_a_python_subclass_has_attributes_of_its_own_and_overrides_virtual_methods():
    class Square(qt.QWidget):
        def __init__(self, parent=None):
            super().__init__(parent)
            self.side = 33
            self.resized = 0

        def resizeEvent(self, event):  # noqa: N802  Qt's name
            self.resized += 1
            super().resizeEvent(event)

    holder = qt.QWidget()
    qt.QVBoxLayout(holder).addWidget(Square(holder))
    holder.resize(200, 100)
    holder.show()
    slicer.app.processEvents()
    (square,) = [child for child in holder.findChildren(qt.QWidget) if isinstance(child, Square)]
    assert square.side == 33  # kept though only Qt held the widget
    assert square.resized
    assert square.width > 100


def test_three_ways_to_connect(a_button, calls):
    assert a_button.connect("clicked()", calls.slot) is True
    assert a_button.connect("clicked(bool)", calls.slot) is True
    assert a_button.clicked.connect(calls.slot) is True
    a_button.click()
    assert calls == [(), (False,), (False,)]


def test_a_slot_gets_no_more_arguments_than_it_takes(a_slider):
    seen = []
    assert a_slider.connect("valueChanged(double)", lambda: seen.append("none"))
    assert a_slider.connect("valueChanged(double)", lambda value: seen.append(value))
    a_slider.value = 5
    assert seen == ["none", 5.0]


def test_a_signal_that_does_not_exist_is_printed_and_returns_false(a_button, calls, capsys):
    assert a_button.connect("clickedd()", calls.slot) is False
    assert a_button.connect("clicked", calls.slot) is False
    assert a_button.connect("clicked(int)", calls.slot) is False
    assert capsys.readouterr().out.count("cannot connect QPushButton::") == 3


def test_disconnect_ends_one_connection(a_button, calls):
    other = []
    a_button.connect("clicked()", calls.slot)
    a_button.connect("clicked()", lambda: other.append(1))
    assert a_button.disconnect("clicked()", calls.slot)
    assert not a_button.disconnect("clicked()", calls.slot)
    a_button.click()
    assert (calls, other) == ([], [1])


def test_enums_are_integers():
    assert qt.Qt.Horizontal == 1
    assert int(qt.Qt.Horizontal) == 1
    assert qt.Qt.Orientation.Horizontal == 1
    label = qt.QLabel("x")
    label.setAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    assert label.alignment == 2 | 128
    item = qt.QTableWidgetItem("fixed")
    item.setFlags(item.flags() & ~qt.Qt.ItemIsEditable)
    assert not item.flags() & qt.Qt.ItemIsEditable
    with pytest.raises(AttributeError):
        _ = qt.Qt.Diagonal


def test_a_signal_blocker_is_no_context_manager_but_signals_can_be_blocked(a_slider, calls):
    with pytest.raises((AttributeError, TypeError)), qt.QSignalBlocker(a_slider):
        pass
    a_slider.connect("valueChanged(double)", calls.slot)
    before = a_slider.blockSignals(True)
    a_slider.value = 9
    a_slider.blockSignals(before)
    assert calls == []


def test_keyword_arguments_are_refused(a_button):
    with pytest.raises(ValueError, match="keyword"):
        a_button.setText(text="y")
    with pytest.raises(ValueError, match="keyword"):
        qt.QLabel(text="y")


def test_no_widget_is_an_instance_of_a_qt_base(a_slider, a_button):
    assert not isinstance(a_slider, qt.QWidget)
    assert isinstance(a_button, qt.QPushButton)
    assert a_slider.inherits("QWidget")
    assert a_slider.className() == "ctkSliderWidget"


def test_tooltips_come_back_as_paragraphs(a_button):
    a_button.toolTip = "t"
    assert a_button.toolTip == "<p>t</p>"
    a_button.setToolTip("u")
    assert a_button.toolTip == "<p>u</p>"


def test_a_process_answers_through_its_signal(process_events_until):
    process = qt.QProcess()
    answers = []
    process.connect("readyReadStandardOutput()", lambda: answers.append(process.readAllStandardOutput()))
    process.start("cat", [])
    assert process.waitForStarted(5000)
    process.write(b"hello\n")
    process_events_until(lambda: answers, 5)
    assert bytes(answers[0].data()) == b"hello\n"
    assert str(answers[0]) == "b'hello\\n'"
    process.kill()
    assert process.waitForFinished(5000)
    assert process.state() == qt.QProcess.NotRunning


def test_a_timer_that_nobody_keeps_is_gone_like_every_object_without_parent(calls):
    def forget():
        timer = qt.QTimer()
        timer.connect("timeout()", calls.slot)
        timer.start(0)

    forget()
    slicer.app.processEvents()
    assert calls == []


def test_single_shots_fire(process_events_until, calls):
    qt.QTimer.singleShot(0, calls.slot)
    process_events_until(lambda: calls, 5)
    assert qt.QTimer().singleShot is False


def test_file_dialogs_return_the_path_alone(monkeypatch):
    from PySide6.QtWidgets import QFileDialog

    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/a", "*.nii"))
    assert qt.QFileDialog.getOpenFileName(None, "Open", "", "*.nii") == "/a"


def test_a_property_refuses_another_type():
    with pytest.raises(AttributeError, match="does not accept"):
        qt.QSpinBox().value = "many"


def test_names_outside_the_list_are_told_from_gaps_in_the_harness():
    with pytest.raises(AttributeError, match="not in Slicer"):
        _ = qt.QNoSuchWidget
    with pytest.raises(NotInHarness, match="no stand-in"):
        slicer.qMRMLSegmentsTableView()


def test_children_are_tuples_of_the_same_objects(a_button):
    holder = qt.QWidget()
    qt.QVBoxLayout(holder).addWidget(a_button)
    assert a_button in holder.children()
    assert isinstance(holder.children(), tuple)
    assert a_button.parent() is holder
    assert holder.findChildren(qt.QPushButton) == (a_button,)


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        ("setText(const QString& text)", "setText(QString)"),
        ("mrmlSceneChanged(vtkMRMLScene*)", "mrmlSceneChanged(vtkMRMLScene*)"),
        ("valuesChanged(double minValue, double maxValue)", "valuesChanged(double,double)"),
        ("reset()", "reset()"),
    ],
)
def test_signatures_are_compared_as_qt_does(declared, wanted):
    assert normalized(declared) == wanted


def test_the_application_stand_in_has_nothing_that_slicer_has_not():
    known = law()["instance: slicer.app"]
    public = {name for name in dir(slicer.app) if not name.startswith("_")}
    public -= {"connect"}  # of every QObject; dir(), from which the list was made, does not show it
    assert {name for name in public if name not in known} == set()


def test_the_application_does_what_panels_ask_of_it():
    slicer.app.layoutManager().setLayout(4)
    assert slicer.app.layoutManager().layout == 4
    slicer.app.settings().setValue("HAGANSlicer/test", "kept")
    assert slicer.app.settings().value("HAGANSlicer/test") == "kept"
    assert slicer.app.temporaryPath


def test_processes_of_slicer_util_report_line_by_line(process_events_until):
    import sys

    lines, ends = [], []
    slicer.util.launchConsoleProcess(
        [sys.executable, "-c", "print('one'); print('two')"],
        useStartupEnvironment=False,
        blocking=False,
        logCallback=lines.append,
        completedCallback=ends.append,
    )
    process_events_until(lambda: ends, 20)
    assert [line.strip() for line in lines] == ["one", "two"]
    assert callable(slicer.util.executePythonModule)
    assert slicer.packaging.pip_check([Requirement("numpy>=1")])


@pytest.mark.parametrize("where", ["slot", "timer", "observer"])
def test_exceptions_that_qt_and_vtk_swallow_are_noticed(where, no_swallowed_exceptions, capfd):
    def fail(*_):
        raise RuntimeError("in a slot")

    if where == "slot":
        button = qt.QPushButton()
        button.connect("clicked()", fail)
        button.click()
    elif where == "timer":
        qt.QTimer.singleShot(0, fail)
        slicer.app.processEvents()
    else:
        node = slicer.vtkMRMLTextNode()
        node.AddObserver("ModifiedEvent", fail)
        node.Modified()
    assert [str(error) for error in no_swallowed_exceptions] == ["in a slot"]
    no_swallowed_exceptions.clear()
    capfd.readouterr()


def test_what_is_empty_is_false_and_not_found_by_name_as_in_slicer():
    box = qt.QWidget()
    box.setObjectName("box")
    layout = qt.QVBoxLayout(box)
    layout.setObjectName("rows")
    assert not layout
    assert not hasattr(slicer.util.childWidgetVariables(box), "rows")
    assert box.layout() is layout
    layout.addWidget(qt.QLabel("one"))
    assert layout
    assert slicer.util.childWidgetVariables(box).rows is layout
    assert not qt.QMenu()
    assert not qt.QSize()
    assert qt.QSize(1, 1)
    assert not qt.QUrl()
    assert qt.QUrl("file:///tmp")
    assert qt.QPushButton()  # without a text it is there all the same
