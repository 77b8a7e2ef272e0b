"""The MRML widgets: what shows nodes of the scene."""

# ruff: noqa: N801, N802, N815  the names are Slicer's

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QWidget

from .ctk_sliders import ctkDoubleSpinBox, ctkRangeWidget, ctkSliderWidget
from .observing import Observer, SceneObserver


class qSlicerWidget(QWidget):
    """A widget that knows the scene and passes it on."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLWidget(qSlicerWidget):
    """The top of a module's panel."""


class qMRMLNodeComboBox(QWidget):
    """Chooses a node of given classes; adds, renames and removes nodes where that is enabled."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeActivated = Signal(object)
    currentNodeRenamed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._types: list[str] = []
        self._attributes: list[tuple[str, str, Any]] = []
        self._base_name, self._none_text = "", "None"
        self._flags = {
            "noneEnabled": False,
            "addEnabled": True,
            "removeEnabled": True,
            "renameEnabled": False,
            "editEnabled": False,
            "showHidden": False,
            "showChildNodeTypes": True,
            "selectNodeUponCreation": True,
        }
        self._rows_shown: list[tuple[str, str]] = []
        self._rows: list[str] = []  # node id of each row; "" is None; "+class" adds one
        self._current = ""
        self._followed: dict[str, Observer] = {}
        self._observer = SceneObserver(self._refresh)
        self.combo_box = QComboBox()
        self.combo_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.combo_box.activated.connect(self._activated)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.combo_box)
        self.setFocusProxy(self.combo_box)
        self._show_rows()

    def mrmlScene(self) -> Any:
        return self._observer.scene

    def setMRMLScene(self, scene: Any) -> None:
        self._observer.observe_scene(scene)
        self._refresh()

    def currentNode(self) -> Any:
        return (
            self._observer.scene.GetNodeByID(self._current)
            if self._observer.scene and self._current
            else None
        )

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node else "")

    def setCurrentNodeID(self, node_id: str | None) -> None:
        wanted = node_id or ""
        self._change(wanted if wanted in self._node_ids() else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        ids = self._node_ids()
        self._change(ids[index] if 0 <= index < len(ids) else "")

    def nodeCount(self) -> int:
        return len(self._node_ids())

    def nodeFromIndex(self, index: int) -> Any:
        ids = self._node_ids()
        return self._observer.scene.GetNodeByID(ids[index]) if 0 <= index < len(ids) else None

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._attributes.append((node_type, name, value))
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._attributes = [entry for entry in self._attributes if entry[:2] != (node_type, name)]
        self._refresh()

    def addNode(self, node_type: str | None = None) -> Any:
        scene, kind = self._observer.scene, node_type or self._types[0]
        node = scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        for attribute_type, name, value in self._attributes:
            if attribute_type == kind:
                node.SetAttribute(name, "" if value is None else str(value))
        node.SetName(scene.GenerateUniqueName(self._base_name or node.GetNodeTagName()))
        scene.AddNode(node)
        self.nodeAdded.emit(node)
        self.nodeAddedByUser.emit(node)
        if self._flags["selectNodeUponCreation"]:
            self.setCurrentNode(node)
        return node

    def removeCurrentNode(self) -> None:
        if node := self.currentNode():
            self._observer.scene.RemoveNode(node)

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        name, accepted = QInputDialog.getText(
            self, "Rename", "New name:", text=node.GetName() if node else ""
        )
        if node and accepted and name:
            node.SetName(name)
            self._refresh()
            self.currentNodeRenamed.emit(name)

    def _node_ids(self) -> list[str]:
        return [row for row in self._rows if row and not row.startswith("+")]

    def _candidates(self) -> list[Any]:
        scene = self._observer.scene
        found: dict[str, Any] = {}
        for kind in self._types if scene else []:
            for index in range(scene.GetNumberOfNodesByClass(kind)):
                node = scene.GetNthNodeByClass(index, kind)
                self._follow(node)
                if self._accepts(node, kind):
                    found[node.GetID()] = node
        return list(found.values())

    def _follow(self, node: Any) -> None:
        """Looks again when the node changes, as Slicer's sorting and filtering model does."""
        if node.GetID() not in self._followed:
            self._followed[node.GetID()] = Observer(self._node_modified)
            self._followed[node.GetID()].observe(node, vtk.vtkCommand.ModifiedEvent)

    def _node_modified(self) -> None:
        if self._rows_wanted() != self._rows_shown:
            self._refresh()

    def _accepts(self, node: Any, kind: str) -> bool:
        if node.GetHideFromEditors() and not self._flags["showHidden"]:
            return False
        if not self._flags["showChildNodeTypes"] and node.GetClassName() != kind:
            return False
        wanted = [(name, value) for attribute_type, name, value in self._attributes if attribute_type == kind]
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for name, value in wanted
        )

    def _refresh(self) -> None:
        for node_id, observer in list(self._followed.items()):
            if observer.subject.GetScene() is not self._observer.scene:
                observer.end()
                del self._followed[node_id]
        self._show_rows()
        ids = self._node_ids()
        if self._current not in ids:
            self._change("" if self._flags["noneEnabled"] or not ids else ids[0])

    def _rows_wanted(self) -> list[tuple[str, str]]:
        rows = [("", self._none_text)] if self._flags["noneEnabled"] else []
        rows += [(node.GetID(), node.GetName()) for node in self._candidates()]
        if self._flags["addEnabled"] and self._observer.scene:
            rows += [(f"+{kind}", f"Create new {self._tag(kind)}") for kind in self._types]
        if self._flags["renameEnabled"]:
            rows.append(("+rename", "Rename current…"))
        return rows

    def _show_rows(self) -> None:
        self._rows_shown = self._rows_wanted()
        self._rows = [row for row, _ in self._rows_shown]
        self.combo_box.clear()
        self.combo_box.addItems([text for _, text in self._rows_shown])
        self._show_current()

    def _show_current(self) -> None:
        if self._current in self._rows:
            self.combo_box.setCurrentIndex(self._rows.index(self._current))
        else:
            self.combo_box.setPlaceholderText(f"Select a {self._tag(self._types[0])}" if self._types else "")
            self.combo_box.setCurrentIndex(-1)

    @staticmethod
    def _tag(kind: str) -> str:
        return str(getattr(slicer, kind)().GetNodeTagName()) if hasattr(slicer, kind) else kind

    def _activated(self, index: int) -> None:
        row = self._rows[index]
        if row == "+rename":
            self.renameCurrentNode()
        elif row.startswith("+"):
            self.addNode(row[1:])
        else:
            self._change(row)
            self.nodeActivated.emit(self.currentNode())
        self._show_current()

    def _change(self, node_id: str) -> None:
        changed = node_id != self._current
        self._current = node_id
        self._show_current()
        if changed:
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(node_id)

    def _set_types(self, types: Any) -> None:
        self._types = [types] if isinstance(types, str) else list(types)
        self._refresh()

    def _set_base_name(self, name: str) -> None:
        self._base_name = name

    def _set_none_text(self, text: str) -> None:
        self._none_text = text
        self._show_rows()

    def _flag(name: str) -> Any:  # type: ignore[misc]  # noqa: N805
        def write(self: qMRMLNodeComboBox, value: bool) -> None:
            self._flags[name] = value
            self._refresh()

        return Property(bool, lambda self: self._flags[name], write)

    currentNodeID = Property(str, lambda self: self._current, setCurrentNodeID)
    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    baseName = Property(str, lambda self: self._base_name, _set_base_name)
    noneDisplay = Property(str, lambda self: self._none_text, _set_none_text)
    noneEnabled = _flag("noneEnabled")
    addEnabled = _flag("addEnabled")
    removeEnabled = _flag("removeEnabled")
    renameEnabled = _flag("renameEnabled")
    editEnabled = _flag("editEnabled")
    showHidden = _flag("showHidden")
    showChildNodeTypes = _flag("showChildNodeTypes")
    selectNodeUponCreation = _flag("selectNodeUponCreation")


class _SceneAware:
    _scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene


class qMRMLSliderWidget(_SceneAware, ctkSliderWidget):
    """ctkSliderWidget with units of the scene (the stand-in leaves units to suffix)."""


class qMRMLSpinBox(_SceneAware, ctkDoubleSpinBox):
    """ctkDoubleSpinBox with units of the scene."""


class qMRMLRangeWidget(_SceneAware, ctkRangeWidget):
    """ctkRangeWidget with units of the scene."""
