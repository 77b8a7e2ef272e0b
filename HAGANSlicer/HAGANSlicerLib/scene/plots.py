"""Line plots: a table, a series per line, and a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .tables import fill_table

TABLE = "HAGAN.table"
"""Role of the reference from a chart to its table."""
_COLORS = ((0.0, 0.45, 0.70), (0.90, 0.62, 0.0), (0.0, 0.62, 0.45), (0.84, 0.37, 0.0), (0.80, 0.47, 0.65))
"""Okabe and Ito 2008: told apart by every kind of colour vision."""


def line_plot(
    scene: Any,
    name: str,
    columns: Mapping[str, Sequence[float]],
    x: Sequence[float],
    x_label: str,
    y_label: str,
    node: Any = None,
) -> Any:
    """Fill a chart with one line per column.

    Args:
        scene: the vtkMRMLScene.
        name: of a new chart.
        columns: label of a line and its values, as many as ``x``.
        x: values of the horizontal axis.
        x_label: its title, with unit.
        y_label: title of the vertical axis, with unit.
        node: a chart of this function to fill again, as a live plot does; None adds one.

    Returns:
        The vtkMRMLPlotChartNode.
    """
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    values = [(x_label, "", np.asarray(x, float))]
    values += [(label, "", np.asarray(y, float)) for label, y in columns.items()]
    table = fill_table(scene, _("{name} table").format(name=name), values, node.GetNodeReference(TABLE))
    node.SetNodeReferenceID(TABLE, table.GetID())
    modified = node.StartModify()
    try:
        node.SetTitle(name)
        node.SetXAxisTitle(x_label)
        node.SetYAxisTitle(y_label)
        node.SetLegendVisibility(len(columns) > 1)
        known = {node.GetNthPlotSeriesNode(i).GetName() for i in range(node.GetNumberOfPlotSeriesNodes())}
        for index, label in enumerate(columns):
            if label not in known:
                color = _COLORS[index % len(_COLORS)]
                node.AddAndObservePlotSeriesNodeID(_series(scene, table, x_label, label, color).GetID())
    finally:
        node.EndModify(modified)
    return node


def _series(scene: Any, table: Any, x_label: str, label: str, color: tuple[float, float, float]) -> Any:
    series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", label)
    series.SetName(label)  # the scene makes names unique, but the legend shows them
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName(x_label)
    series.SetYColumnName(label)
    series.SetColor(*color)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    return series
