"""Views that draw themselves when the scene asks for it, as the application's do while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore
from vtk import vtkCommand

from .four_up import FourUp

_UPDATE_MS = 1000 // 60
"""ctkVTKAbstractView draws at most 60 times a second, however often it is asked."""


class LiveViews:
    """Four views that follow the scene: each draws once, soon after its displayable managers ask for it.

    Args:
        views: the four views of the harness.
    """

    def __init__(self, views: FourUp) -> None:
        self._timers: list[QtCore.QTimer] = []
        self.drawn: list[float] = []
        """How many seconds each drawing of a view took."""
        for view in [*views.slices, views.three_d]:
            timer = QtCore.QTimer()
            timer.setSingleShot(True)
            timer.setInterval(_UPDATE_MS)
            timer.timeout.connect(self._drawing(view))
            self._timers.append(timer)
            asked = self._asking(timer)
            view.managers.AddObserver(vtkCommand.UpdateEvent, asked)
            if view is not views.three_d:
                view.logic.AddObserver(vtkCommand.ModifiedEvent, asked)

    @property
    def waiting(self) -> bool:
        """Whether a view has still to be drawn."""
        return any(timer.isActive() for timer in self._timers)

    def _drawing(self, view: Any) -> Callable[[], None]:
        def draw() -> None:
            begun = time.perf_counter()
            view.draw()
            self.drawn.append(time.perf_counter() - begun)

        return draw

    def _asking(self, timer: QtCore.QTimer) -> Callable[..., None]:
        def ask(*_: Any) -> None:
            if not timer.isActive():
                timer.start()

        return ask
