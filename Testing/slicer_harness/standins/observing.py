"""VTK observers of widgets: they end with the widget, as those of Slicer's widgets do."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
import slicer


class Observer:
    """Calls a method of a widget on events of one VTK object, while the widget lives."""

    def __init__(self, method: Callable[[], None]) -> None:
        self._method = weakref.WeakMethod(method)
        self._tags: list[int] = []
        self.subject: Any = None

    def observe(self, subject: Any, *events: Any) -> None:
        """Watches this object, and no longer the one before; None ends it."""
        self.end()
        self.subject = subject
        self._tags = [subject.AddObserver(event, self._call) for event in events] if subject else []

    def end(self) -> None:
        """Watches nothing."""
        for tag in self._tags:
            self.subject.RemoveObserver(tag)
        self._tags = []

    def _call(self, *_: Any) -> None:
        method = self._method()
        if method is None or not shiboken6.isValid(method.__self__):
            self.end()
        else:
            method()


class SceneObserver(Observer):
    """Calls after nodes were added or removed, and after the scene was closed or loaded."""

    EVENTS = ("NodeAddedEvent", "NodeRemovedEvent", "EndCloseEvent", "EndImportEvent", "EndRestoreEvent")

    @property
    def scene(self) -> Any:
        """The scene that is watched, or None."""
        return self.subject

    def observe_scene(self, scene: Any) -> None:
        """Watches this scene."""
        self.observe(scene, *(getattr(slicer.vtkMRMLScene, name) for name in self.EVENTS))

    def _call(self, *_: Any) -> None:
        if not (self.scene.IsClosing() or self.scene.IsImporting()):
            super()._call()
