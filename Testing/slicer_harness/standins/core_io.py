"""What saves and loads scenes: Slicer's file code behind the two calls that slicer.util makes."""

# ruff: noqa: N801, N802  the names are Slicer's

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import QObject


class qSlicerCoreIOManager(QObject):
    """slicer.app.coreIOManager(), for scenes alone."""

    def __init__(self, scene: Any, folder: str) -> None:
        super().__init__()
        self._scene = scene
        cache = slicer.vtkCacheManager()  # where a bundle is unpacked
        cache.SetRemoteCacheDirectory(folder)
        manager = slicer.vtkDataIOManager()
        manager.SetCacheManager(cache)
        scene.SetDataIOManager(manager)

    def saveNodes(self, file_type: str, properties: dict[str, Any], messages: Any = None) -> bool:
        """Writes the scene as .mrml, or as .mrb with all its data."""
        path = _scene_path(file_type, properties)
        if path.endswith(".mrb"):
            return bool(self._scene.WriteToMRB(path, None, messages))
        self._scene.SetURL(path)
        return bool(self._scene.Commit(path, messages))

    def loadNodes(
        self, file_type: str, properties: dict[str, Any], nodes: Any = None, messages: Any = None
    ) -> bool:
        """Reads a scene into the one that is open, or in its place with the property "clear"."""
        del nodes
        path, clear = _scene_path(file_type, properties), bool(properties.get("clear", False))
        if path.endswith(".mrb"):
            return bool(self._scene.ReadFromMRB(path, clear, messages))
        self._scene.SetURL(path)
        return bool(self._scene.Connect(messages) if clear else self._scene.Import(messages))


def _scene_path(file_type: str, properties: dict[str, Any]) -> str:
    if file_type != "SceneFile":
        raise NotImplementedError(f"The harness reads and writes scenes, not {file_type}")
    return str(properties["fileName"])
