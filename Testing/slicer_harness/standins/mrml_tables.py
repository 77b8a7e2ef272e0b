"""The MRML widgets that show a table, a plot and the subject hierarchy."""

# ruff: noqa: N801, N802, N815  the names are Slicer's

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from .ctk_widgets import ctkComboBox
from .mrml_widgets import qMRMLWidget, qSlicerWidget
from .observing import Observer, SceneObserver


class qMRMLTableView(QTableWidget):
    """Shows the vtkTable of a table node and follows it."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._observer = Observer(self._show)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlTableNode(self) -> Any:
        return self._observer.subject

    def setMRMLTableNode(self, node: Any) -> None:
        self._observer.observe(node, vtk.vtkCommand.ModifiedEvent)
        self._show()

    def _show(self) -> None:
        node = self.mrmlTableNode()
        table = node.GetTable() if node else vtk.vtkTable()
        columns = range(table.GetNumberOfColumns())
        self.setColumnCount(len(columns))
        self.setRowCount(table.GetNumberOfRows())
        self.setHorizontalHeaderLabels([table.GetColumnName(column) or "" for column in columns])
        for row in range(table.GetNumberOfRows()):
            for column in columns:
                self.setItem(row, column, QTableWidgetItem(table.GetValue(row, column).ToString()))


class qMRMLPlotView(qSlicerWidget):
    """Draws the line series of the chart that a plot view node shows."""

    COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf")
    MARGIN = 46

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._observer = Observer(self._redraw)
        self.setMinimumHeight(160)

    def mrmlPlotViewNode(self) -> Any:
        return self._observer.subject

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._observer.observe(node, vtk.vtkCommand.ModifiedEvent)
        self.update()

    def _redraw(self) -> None:
        self.update()

    def fitToContent(self) -> None:
        self.update()

    def paintEvent(self, _: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), QColor("white"))
        node = self.mrmlPlotViewNode()
        chart = node.GetPlotChartNode() if node else None
        lines = _lines(chart) if chart else []
        area = QRectF(self.rect()).adjusted(self.MARGIN, 24, -10, -self.MARGIN)
        painter.setPen(QColor("black"))
        painter.drawRect(area)
        points = [point for _, line in lines for point in line]
        if not chart or not points:
            return
        painter.drawText(QRectF(0, 2, self.width(), 20), Qt.AlignmentFlag.AlignCenter, chart.GetTitle() or "")
        bottom = QRectF(area.left(), area.bottom() + 20, area.width(), 20)
        painter.drawText(bottom, Qt.AlignmentFlag.AlignCenter, chart.GetXAxisTitle() or "")
        bounds = _bounds(points)
        for text, where in _ticks(bounds, area):
            painter.drawText(where, text)
        for index, (name, line) in enumerate(lines):
            painter.setPen(QPen(QColor(self.COLOURS[index % len(self.COLOURS)]), 1.6))
            painter.drawPolyline([_placed(point, bounds, area) for point in line])
            painter.drawText(QPointF(area.left() + 8, area.top() + 16 + 15 * index), name)


def _lines(chart: Any) -> list[tuple[str, list[tuple[float, float]]]]:
    lines = []
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        node = series.GetTableNode() if series else None
        if not node:
            continue
        table = node.GetTable()
        x = table.GetColumnByName(series.GetXColumnName() or "")
        y = table.GetColumnByName(series.GetYColumnName() or "")
        if y:
            rows = range(table.GetNumberOfRows())
            points = [
                (x.GetVariantValue(row).ToDouble() if x else row, y.GetVariantValue(row).ToDouble())
                for row in rows
            ]
            lines.append((series.GetName(), points))
    return lines


def _bounds(points: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs), max(max(xs), min(xs) + 1e-9), min(ys), max(max(ys), min(ys) + 1e-9)


def _placed(point: tuple[float, float], bounds: tuple[float, float, float, float], area: QRectF) -> QPointF:
    left, right, low, high = bounds
    x = area.left() + area.width() * (point[0] - left) / (right - left)
    y = area.bottom() - area.height() * (point[1] - low) / (high - low)
    return QPointF(x, y)


def _ticks(bounds: tuple[float, float, float, float], area: QRectF) -> list[tuple[str, QPointF]]:
    left, right, low, high = bounds
    return [
        (f"{left:.4g}", QPointF(area.left(), area.bottom() + 14)),
        (f"{right:.4g}", QPointF(area.right() - 24, area.bottom() + 14)),
        (f"{low:.3g}", QPointF(2, area.bottom())),
        (f"{high:.3g}", QPointF(2, area.top() + 10)),
    ]


class qMRMLPlotWidget(qMRMLWidget):
    """A plot view in a frame."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = qMRMLPlotView()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._view)

    def plotView(self) -> qMRMLPlotView:
        return self._view

    def mrmlPlotViewNode(self) -> Any:
        return self._view.mrmlPlotViewNode()

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._view.setMRMLPlotViewNode(node)


class qMRMLSubjectHierarchyComboBox(ctkComboBox):
    """Chooses an item of the subject hierarchy."""

    currentItemChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._items: list[int] = []
        self._types: list[str] = []
        self._none = True
        self._observer = SceneObserver(self._refresh)
        self.currentIndexChanged.connect(lambda _: self.currentItemChanged.emit(self.currentItem()))

    def mrmlScene(self) -> Any:
        return self._observer.scene

    def setMRMLScene(self, scene: Any) -> None:
        self._observer.observe_scene(scene)
        self._refresh()

    def subjectHierarchyNode(self) -> Any:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._observer.scene)

    def currentItem(self) -> int:
        index = self.currentIndex()
        return self._items[index] if 0 <= index < len(self._items) else 0

    def setCurrentItem(self, item: int) -> None:
        self._refresh()
        self.setCurrentIndex(self._items.index(item) if item in self._items else -1)

    def currentNode(self) -> Any:
        return self.subjectHierarchyNode().GetItemDataNode(self.currentItem()) if self.currentItem() else None

    def clearSelection(self) -> None:
        self.setCurrentIndex(0 if self._none else -1)

    def setNodeTypes(self, types: Any) -> None:
        self._types = list(types)
        self._refresh()

    def _refresh(self) -> None:
        before = self.currentItem()
        hierarchy = self.subjectHierarchyNode() if self._observer.scene else None
        found = vtk.vtkIdList()
        if hierarchy:
            hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
        items = [found.GetId(index) for index in range(found.GetNumberOfIds())]
        items = [item for item in items if self._accepts(hierarchy.GetItemDataNode(item))]
        self._items = [0] * self._none + items
        self.blockSignals(True)
        self.clear()
        self.addItems(["None"] * self._none + [hierarchy.GetItemName(item) for item in items])
        self.setCurrentIndex(self._items.index(before) if before in self._items else -1)
        self.blockSignals(False)
        if self.currentItem() != before:
            self.currentItemChanged.emit(self.currentItem())

    def _accepts(self, node: Any) -> bool:
        return not self._types or (node is not None and any(node.IsA(kind) for kind in self._types))

    def _set_none(self, enabled: bool) -> None:
        self._none = enabled
        self._refresh()

    nodeTypes = Property("QStringList", lambda self: self._types, setNodeTypes)
    noneEnabled = Property(bool, lambda self: self._none, _set_none)
