"""Loads a scripted module and shows its panel, as the application does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import slicer

from . import pythonqt
from .standins.module_host import qSlicerScriptedLoadableModule, qSlicerScriptedLoadableModuleWidget


class LoadedModule:
    """A scripted module in memory, its Python code reloaded or not."""

    def __init__(self, path: Path) -> None:
        path = path.resolve()
        self.name, self.path = path.stem, path
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        specification = importlib.util.spec_from_file_location(self.name, path)
        if specification is None or specification.loader is None:
            raise ImportError(f"No scripted module at {path}")
        sys.modules[self.name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[self.name])
        self._object = qSlicerScriptedLoadableModule(self.name, str(path))
        self.parent = pythonqt.wrap(self._object)
        self.instance = getattr(self.python, self.name)(self.parent)
        setattr(slicer.modules, self.name.lower(), self.parent)
        setattr(slicer.modules, f"{self.name}Instance", self.instance)
        slicer.app.moduleManager()._qt.add(self._object)

    @property
    def python(self) -> Any:
        """The module's Python code as it was loaded last."""
        return sys.modules[self.name]

    def show(self, width: int = 480, height: int = 900) -> Any:
        """Returns the module's widget, set up in the application's module panel, entered and shown."""
        panel = qSlicerScriptedLoadableModuleWidget()
        self._object._widget = panel
        parent = pythonqt.wrap(panel)
        parent.setMRMLScene(slicer.mrmlScene)
        panel.show_module(self.name, lambda: self._make_widget(parent))
        panel.resize(width, height)
        panel.show()
        panel.enter()
        return panel.self()

    def hide(self) -> None:
        """Leaves the module and unloads its widget, as the application does when it ends."""
        panel = self._object._widget
        if panel is None:
            return
        panel.exit()
        slicer.app.moduleManager()._qt.moduleAboutToBeUnloaded.emit(self.name)
        panel.hide()
        panel.deleteLater()
        self._object._widget = None
        slicer.app.processEvents()

    def _make_widget(self, parent: Any) -> Any:
        widget = getattr(self.python, f"{self.name}Widget")(parent)
        setattr(slicer.modules, f"{self.name}Widget", widget)
        return widget
