"""The MRML combo box whose nodes can be checked."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QStandardItem
from PySide6.QtWidgets import QWidget

from .mrml_widgets import qMRMLNodeComboBox


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):  # noqa: N801  Slicer's name
    """Chooses any number of nodes: each row of the list has a check box."""

    checkedNodesChanged = Signal()  # noqa: N815

    def __init__(self, parent: QWidget | None = None) -> None:
        self._checked: set[str] = set()
        super().__init__(parent)
        self.combo_box.model().itemChanged.connect(self._item_changed)

    def checkedNodes(self) -> list[Any]:  # noqa: N802
        return [node for node in self._nodes() if node.GetID() in self._checked]

    def uncheckedNodes(self) -> list[Any]:  # noqa: N802
        return [node for node in self._nodes() if node.GetID() not in self._checked]

    def noneChecked(self) -> bool:  # noqa: N802
        return not self.checkedNodes()

    def allChecked(self) -> bool:  # noqa: N802
        return not self.uncheckedNodes()

    def checkState(self, node: Any) -> Any:  # noqa: N802
        return Qt.CheckState.Checked if node.GetID() in self._checked else Qt.CheckState.Unchecked

    def setCheckState(self, node: Any, state: Any) -> None:  # noqa: N802
        self._check(node.GetID(), int(getattr(state, "value", state)) == Qt.CheckState.Checked.value)
        self._show_rows()

    def check(self, node: Any) -> None:
        self.setCheckState(node, Qt.CheckState.Checked)

    def uncheck(self, node: Any) -> None:
        self.setCheckState(node, Qt.CheckState.Unchecked)

    def _nodes(self) -> list[Any]:
        return [self._observer.scene.GetNodeByID(id) for id in self._node_ids()]

    def _check(self, node_id: str, checked: bool) -> None:
        if checked != (node_id in self._checked):
            self._checked ^= {node_id}
            self.checkedNodesChanged.emit()

    def _show_rows(self) -> None:
        super()._show_rows()
        model = self.combo_box.model()
        model.blockSignals(True)
        for row, node_id in enumerate(self._rows):
            item = model.item(row)
            item.setCheckable(True)
            item.setCheckState(Qt.CheckState.Checked if node_id in self._checked else Qt.CheckState.Unchecked)
        model.blockSignals(False)
        if gone := self._checked - set(self._node_ids()):
            self._checked -= gone
            self.checkedNodesChanged.emit()

    def _item_changed(self, item: QStandardItem) -> None:
        self._check(self._rows[item.row()], item.checkState() == Qt.CheckState.Checked)
