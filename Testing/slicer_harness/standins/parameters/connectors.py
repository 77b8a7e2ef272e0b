"""How a widget shows and changes a parameter: which widgets show which types, what they read and write."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import ctk
import qt
import slicer

from . import annotations as notes


class Connector:
    """Joins a widget's property to a parameter by the signal that tells of a change."""

    def __init__(
        self, widget: Any, prop: str, signal: str | None, to_widget: Callable, from_widget: Callable
    ) -> None:
        self._widget, self._property, self._signal = widget, prop, signal
        self._to_widget, self._from_widget = to_widget, from_widget
        self._callback: Callable[[], None] | None = None

    def read(self) -> Any:
        """The widget's value as the parameter's type."""
        return self._from_widget(getattr(self._widget, self._property))

    def write(self, value: Any) -> None:
        """Shows a value, unless the widget already does (writing a text again would move its cursor)."""
        shown = self._to_widget(value)
        if getattr(self._widget, self._property) != shown:
            setattr(self._widget, self._property, shown)

    def changed(self) -> None:
        """The slot of the signal."""
        if self._callback:
            self._callback()

    def on_changed(self, callback: Callable[[], None] | None) -> None:
        """Calls back after each change in the widget; None ends that."""
        self._callback = callback
        if self._signal:
            signal = getattr(self._widget, self._signal)
            (signal.connect if callback else signal.disconnect)(self.changed)


class NodeConnector(Connector):
    """A qMRMLNodeComboBox, whose node is no property."""

    def __init__(self, widget: Any) -> None:
        super().__init__(
            widget, "currentNodeID", "currentNodeChanged", lambda value: value, lambda value: value
        )

    def read(self) -> Any:
        """The chosen node."""
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        """Chooses a node."""
        self._widget.setCurrentNode(value)


class PlainTextConnector(Connector):
    """A QTextEdit, whose text is read by a method."""

    def read(self) -> str:
        """The text without formats."""
        return str(self._widget.toPlainText())

    def write(self, value: str) -> None:
        """Shows a text."""
        self._widget.setPlainText(value)


def connector_for(widget: Any, annotated: Any) -> Connector:
    """The connector of a widget and a type; RuntimeError where Slicer has none."""
    kind, annotations = notes.split(annotated)
    for widget_classes, kinds, make in _CONNECTORS:
        if type(widget) in widget_classes and _is_of(kind, kinds):
            return make(widget, kind, annotations)
    raise RuntimeError(
        f"Unable to create GUI connector from datatype '{annotated}' to widget type '{type(widget)}'."
    )


def _is_of(kind: Any, kinds: tuple) -> bool:
    return kind in kinds or any(
        base in kinds and isinstance(kind, type) and issubclass(kind, base)
        for base in (enum.Enum, slicer.vtkMRMLNode)
    )


def _same(value: Any) -> Any:
    return value


def _bool(signal: str) -> Callable:
    def make(widget: Any, _kind: Any, _annotations: list) -> Connector:
        if hasattr(widget, "checkable"):
            widget.checkable = True
        return Connector(widget, "checked", signal, _same, _same)

    return make


def _text(widget: Any, _kind: Any, _annotations: list) -> Connector:
    return Connector(widget, "text", None if type(widget) is qt.QLabel else "textChanged", _same, _same)


def _number(widget: Any, kind: Any, annotations: list) -> Connector:
    if (step := notes.first(annotations, notes.SingleStep)) is not None:
        widget.singleStep = step.value
    decimals = notes.first(annotations, notes.Decimals)
    if type(widget) not in (qt.QSpinBox, qt.QSlider, ctk.ctkDoubleSlider) and (kind is int or decimals):
        widget.decimals = 0 if kind is int else decimals.value
    low, high = _bounds(annotations)
    if None in (low, high) and type(widget) in (ctk.ctkSliderWidget, slicer.qMRMLSliderWidget, qt.QSlider):
        raise RuntimeError(
            f"Cannot have a connection to {type(widget).__name__} where the type is unbounded."
        )
    whole = type(widget) in (qt.QSpinBox, qt.QSlider)
    widget.minimum = (-(2**31) if whole else float("-inf")) if low is None else low
    widget.maximum = (2**31 - 1 if whole else float("inf")) if high is None else high
    return Connector(widget, "value", "valueChanged", kind, kind)


def _bounds(annotations: list) -> tuple[float | None, float | None]:
    if within := notes.first(annotations, notes.WithinRange):
        return within.minimum, within.maximum
    low, high = notes.first(annotations, notes.Minimum), notes.first(annotations, notes.Maximum)
    return low.minimum if low else None, high.maximum if high else None


def _choice(widget: Any, _kind: Any, annotations: list) -> Connector:
    choice = notes.first(annotations, notes.Choice)
    if choice is None:
        raise RuntimeError("A combo box for a plain type needs the Choice annotation.")
    return _options(widget, list(choice.choices), [str(option) for option in choice.choices])


def _enum(widget: Any, kind: Any, _annotations: list) -> Connector:
    label = getattr(kind, "label", lambda option: option.name)
    return _options(widget, list(kind), [label(option) for option in kind])


def _options(widget: Any, options: Sequence, labels: Sequence[str]) -> Connector:
    widget.clear()
    for label in labels:
        widget.addItem(label)
    return Connector(widget, "currentIndex", "currentIndexChanged", options.index, options.__getitem__)


def _path(prop: str, signal: str) -> Callable:
    return lambda widget, _kind, _annotations: Connector(widget, prop, signal, str, pathlib.Path)


def _plain_text(widget: Any, _kind: Any, _annotations: list) -> Connector:
    return PlainTextConnector(widget, "plainText", "textChanged", _same, _same)


def _node(widget: Any, kind: Any, _annotations: list) -> Connector:
    widget.nodeTypes = [kind().GetClassName()]
    return NodeConnector(widget)


_DOUBLES = (
    qt.QDoubleSpinBox,
    ctk.ctkSliderWidget,
    slicer.qMRMLSliderWidget,
    ctk.ctkDoubleSlider,
    ctk.ctkDoubleSpinBox,
    slicer.qMRMLSpinBox,
)
_COMBOS = (qt.QComboBox, ctk.ctkComboBox)
_CONNECTORS: tuple[tuple[tuple, tuple, Callable], ...] = (
    ((qt.QCheckBox,), (bool,), _bool("stateChanged")),
    ((qt.QPushButton,), (bool,), _bool("toggled")),
    ((qt.QSpinBox, qt.QSlider), (int,), _number),
    (_DOUBLES, (int, float), _number),
    (_COMBOS, (enum.Enum,), _enum),
    (_COMBOS, (int, float, str, bool), _choice),
    ((qt.QLineEdit, qt.QLabel), (str,), _text),
    ((qt.QTextEdit,), (str,), _plain_text),
    ((ctk.ctkPathLineEdit,), (pathlib.Path,), _path("currentPath", "currentPathChanged")),
    ((ctk.ctkDirectoryButton,), (pathlib.Path,), _path("directory", "directoryChanged")),
    ((slicer.qMRMLNodeComboBox,), (slicer.vtkMRMLNode,), _node),
)
