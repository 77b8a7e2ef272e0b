"""What the README's pictures are put together from: four views, tables and plots, and pieces of widgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from HAGANCore.errors import HaganError
from HAGANCore.imaging.pictures import Picture, captioned, sheet

WIDTH = 480
"""Of the module panel in Slicer, pixels."""
MARGIN = 10
MANY_COLUMNS, REMARKS = 8, 280
"""A table with more columns ends with one of remarks, which is so many pixels wide."""


def views_picture(
    views: Any,
    volume_node: Any,
    segmentation_node: Any,
    title: str,
    ras: Sequence[float],
    camera: Any = None,
) -> Picture:
    """Return the four views of a volume, with what is measured in it above them.

    Args:
        views: the slicer_harness.four_up.FourUp.
        volume_node: shown in the slices.
        segmentation_node: shown over them and in 3D.
        title: begins the line above.
        ras: the point where the slices meet.
        camera: of the 3D view, from ``views.camera()``; None looks at all there is.
    """
    views.show(volume_node, segmentation_node, ras, camera)
    axial, coronal, sagittal = (
        labelled(view.image(), view.node.GetOrientation(), left_of(view.node)) for view in views.slices
    )
    picture = sheet([[axial, views.three_d.image()], [coronal, sagittal]], gap=4)
    return captioned(picture, f"{title}: {measured(volume_node, segmentation_node)}")


def measured(volume_node: Any, segmentation_node: Any) -> str:
    """Return how large the segments are."""
    from HAGANSlicerLib.panels.explore.nodes import label_map
    from HAGANSlicerLib.scene.segments import STRUCTURES

    labels = label_map(segmentation_node, volume_node)
    voxel_ml = float(np.prod(volume_node.GetSpacing())) / 1000
    right, left, bones = (voxel_ml * float((labels == structure.label).sum()) for structure in STRUCTURES)
    return f"lungs {right + left:,.0f} mL (right {right:,.0f}, left {left:,.0f}), bone {bones:,.0f} mL"


def left_of(slice_node: Any) -> str:
    """Return which side of the patient is at the left of a slice view: a letter of RAS or LPI."""
    matrix = slice_node.GetSliceToRAS()
    toward_right = [matrix.GetElement(row, 0) for row in range(3)]
    axis = int(np.argmax(np.abs(toward_right)))
    return ("RAS" if toward_right[axis] < 0 else "LPI")[axis]


def labelled(picture: Picture, title: str, left: str) -> Picture:
    """Return a slice view with its name in the corner and the patient's side at its left."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    draw.text((6, 4), title, fill=(235, 235, 235), font=ImageFont.load_default(12))
    middle = picture.shape[0] / 2
    draw.text((6, middle), left, fill=(255, 220, 90), font=ImageFont.load_default(15), anchor="lm")
    return np.asarray(image)


def table_picture(table_node: Any) -> Picture:
    """Return a table as Slicer's table view shows it, as wide as the panel."""
    from PySide6.QtCore import Qt
    from slicer_harness.standins.mrml_tables import qMRMLTableView

    view = qMRMLTableView()
    view.setMRMLTableNode(table_node)
    view.verticalHeader().hide()
    view.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
    view.setStyleSheet("font-size: 8pt")
    view.resizeColumnsToContents()
    return captioned(fitted_table(view), f"Table view: {table_node.GetName()}")


def fitted_table(view: Any) -> Picture:
    """Return the picture of a table view with all its rows and columns, wider where it ends with remarks."""
    columns, rows = view.columnCount(), view.rowCount()
    remarks = REMARKS if columns > MANY_COLUMNS else 0
    width, of_numbers = WIDTH + remarks, columns - 1 - bool(remarks)
    first = min(view.columnWidth(0), WIDTH - 56 * of_numbers)
    view.setColumnWidth(0, first)
    for column in range(1, 1 + of_numbers):
        view.setColumnWidth(column, (WIDTH - first - 2) // of_numbers)
    if remarks:
        view.setColumnWidth(columns - 1, remarks)
    view.resizeRowsToContents()
    header = 3 * view.fontMetrics().height() if columns > 3 else view.horizontalHeader().sizeHint().height()
    view.horizontalHeader().setFixedHeight(header + 4)  # its own hint is that of one line
    view.resize(width, header + 8 + sum(view.rowHeight(row) for row in range(rows)))
    return grabbed(view)


def plot_picture(chart_node: Any) -> Picture:
    """Return a plot chart as a plot view shows it, as wide as the panel."""
    import slicer
    from slicer_harness.standins.mrml_tables import qMRMLPlotWidget

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    node.SetPlotChartNodeID(chart_node.GetID())
    view = qMRMLPlotWidget()
    view.setMRMLPlotViewNode(node)
    view.resize(WIDTH, 240)
    return captioned(grabbed(view), "Plot view")


def grabbed(widget: Any) -> Picture:
    """Return the picture of a Qt widget as it stands."""
    from PySide6.QtGui import QImage

    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def below(upper: Picture, lower: Picture) -> Picture:
    """Return two pictures one below the other, on white where one is narrower."""
    width = max(upper.shape[1], lower.shape[1])
    white = ((0, 0), (0, width - upper.shape[1]), (0, 0))
    return sheet([[np.pad(upper, white, constant_values=255)], [lower]], gap=0)


def trimmed(picture: Picture) -> Picture:
    """Return a picture without the rows at its end that show the background alone."""
    differs = np.flatnonzero(np.abs(picture.astype(int) - picture[-1, -1]).max((1, 2)) > 8)
    return picture[: min(len(picture), int(differs[-1]) + 1 + MARGIN)]


def require_font() -> None:
    """Raise where Qt has no font, and would draw boxes in place of letters."""
    from PySide6.QtGui import QFontDatabase

    if not QFontDatabase.families():
        raise HaganError("Qt finds no font to write with; install one, on Debian fonts-dejavu-core.")
