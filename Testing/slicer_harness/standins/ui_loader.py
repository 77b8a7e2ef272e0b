"""QUiLoader as Slicer has it: it knows the CTK and MRML widgets and their signals and slots."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from .. import pythonqt


class QUiLoader(QtUiTools.QUiLoader):
    """Makes every widget from Python, so that each has one PySide6 object for its whole life."""

    def createWidget(self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = "") -> Any:  # noqa: N802
        kind = pythonqt.IMPLEMENTATIONS.get(class_name)
        if kind is None:
            return super().createWidget(class_name, parent, name)
        widget = kind(parent)
        widget.setObjectName(name)
        return widget

    def load(self, device: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """The widget of a `.ui` file; unlike Qt, which prints a line, a mistake in the file raises."""
        if not device.isOpen():
            device.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        root = ET.fromstring(device.readAll().data())
        unknown = (
            {item.get("class") for item in root.iter("widget")} - pythonqt.IMPLEMENTATIONS.keys() - {"Line"}
        )
        if unknown:
            raise RuntimeError(
                f"No such widget class in Slicer's list or in the harness: {', '.join(sorted(unknown))}"
            )
        connections = [
            [item.findtext(part) for part in ("sender", "signal", "receiver", "slot")]
            for item in root.iter("connection")
        ]
        settings = _taken_settings(root)
        for item in root.findall("connections"):
            root.remove(item)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(f"Could not load the .ui file: {self.errorString()}")
        by_name = {child.objectName(): child for child in [widget, *widget.findChildren(QtCore.QObject)]}
        for name, setting, value in settings:
            setattr(pythonqt.wrap(by_name[name]), setting, value)
        for child in [widget, *widget.findChildren(QtWidgets.QWidget)]:
            child.setToolTip(pythonqt.as_rich_text(child.toolTip()))
        for sender, signal, receiver, slot in connections:
            _connect(by_name, sender, signal, receiver, slot)
        return widget


def _taken_settings(root: ET.Element) -> list[tuple[str, str, Any]]:
    """Takes enums and flags of CTK's and Slicer's widgets out of the tree: Qt could not read them."""
    settings = []
    for widget in root.iter("widget"):
        class_name = widget.get("class", "")
        if not class_name.startswith(("ctk", "qMRML", "qSlicer")):
            continue
        enums = pythonqt.law()[class_name].enums
        for item in widget.findall("property"):
            text = item.findtext("set") or item.findtext("enum")
            names = [name.rpartition("::")[2] for name in (text or "").split("|")]
            if text and item.get("name") not in QWIDGET_PROPERTIES and all(name in enums for name in names):
                value = 0
                for name in names:
                    value |= int(enums[name])
                settings.append((widget.get("name", ""), item.get("name", ""), value))
                widget.remove(item)
    return settings


QWIDGET_PROPERTIES = frozenset(
    QtWidgets.QWidget.staticMetaObject.property(index).name()
    for index in range(QtWidgets.QWidget.staticMetaObject.propertyCount())
)


def _connect(by_name: dict[str, Any], sender: str, signal: str, receiver: str, slot: str) -> None:
    missing = [name for name in (sender, receiver) if name not in by_name]
    if missing:
        raise RuntimeError(f"A connection names {', '.join(missing)}, which the .ui file does not have")
    if not pythonqt.wrap(by_name[sender]).connect(signal, pythonqt.wrap(by_name[receiver]), slot):
        raise RuntimeError(f"Connection {sender}.{signal} → {receiver}.{slot} is not possible in Slicer")
