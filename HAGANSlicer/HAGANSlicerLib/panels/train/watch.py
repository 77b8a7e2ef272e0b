"""The part of Train that shows a run: the plot of its losses and its newest picture."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ...panel import Context
from ...scene import display, plots
from .run import RunFolder

_CHART = "HAGAN training losses"
_PICTURE_WIDTH = 440
"""Pixels, while the panel is not shown and has no width."""


class RunWatch:
    """Follows one run folder; what is shown changes only when something new was written there."""

    def __init__(self, context: Context, ui: Any) -> None:
        self._context, self._ui = context, ui
        self.run: RunFolder | None = None
        self._chart: slicer.vtkMRMLPlotChartNode | None = None
        self._picture: tuple[int, Any, int] | None = None
        ui.showLossButton.connect("clicked()", self.show_plot)

    def use(self, run: RunFolder | None) -> None:
        """Follow another run."""
        self.run, self._picture = run, None
        self._ui.previewPicture.clear()
        self._ui.previewText.setText("")
        self.look()

    def look(self) -> None:
        """Show what is new."""
        if self.run is None:
            self._ui.showLossButton.setEnabled(False)
            return
        if self.run.read_log() and self._chart is not None:
            self._draw()
        self._ui.showLossButton.setEnabled(bool(self.run.lines))
        self._show_picture()

    def show_plot(self) -> None:
        """Draw the losses in a plot view; from now on the plot grows with the log."""
        self._draw()
        display.show_plot(self._chart)

    def forget_plot(self) -> None:
        """The scene closes, and the plot with it."""
        self._chart = None

    def _draw(self) -> None:
        iterations, columns = self.run.losses()
        if not iterations:
            return
        if self._chart is not None and not self._context.scene.IsNodePresent(self._chart):
            self._chart = None  # deleted by the user
        self._chart = plots.line_plot(
            self._context.scene, _CHART, columns, iterations, _("Iteration"), _("Loss"), node=self._chart
        )

    def _show_picture(self) -> None:
        newest = self.run.newest_picture()
        if newest is None:
            return
        iteration, path = newest
        width = self._ui.previewPicture.width if self._ui.previewPicture.visible else _PICTURE_WIDTH
        shown = (iteration, path.stat().st_mtime_ns, width)
        if shown == self._picture:
            return
        picture = qt.QPixmap(str(path))
        if picture.isNull():  # being written; the next look finds it whole
            return
        self._picture = shown
        self._ui.previewPicture.setPixmap(picture.scaledToWidth(width, qt.Qt.SmoothTransformation))
        self._ui.previewText.setText(
            _("Preview of iteration {iteration}:").format(iteration=f"{iteration:,}")
        )
