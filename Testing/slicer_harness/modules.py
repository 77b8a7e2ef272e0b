"""Loads a scripted module and shows its panel, as the application does."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
import slicer.util


class ModuleObject:
    """The `parent` of a scripted module: what the application knows of it (qSlicerScriptedLoadableModule)."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.name = path.stem
        self.title = ""
        self.icon = None
        self.hidden = False
        self.index = -1

    def widgetRepresentation(self) -> None:  # noqa: N802
        """No window here shows it."""


@dataclass
class LoadedModule:
    """A scripted module in memory."""

    name: str
    path: Path
    python: ModuleType
    instance: Any


def load_module(path: Path) -> LoadedModule:
    """Imports NAME.py and makes its module object, with its folder on sys.path."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"No scripted module at {path}")
    python = importlib.util.module_from_spec(specification)
    sys.modules[name] = python
    specification.loader.exec_module(python)
    instance = getattr(python, name)(ModuleObject(path))
    setattr(slicer.modules, name.lower(), instance.parent)
    setattr(slicer.modules, f"{name}Instance", instance)
    _paths[name] = str(path)
    slicer.util.modulePath = _paths.__getitem__
    return LoadedModule(name, path, python, instance)


_paths: dict[str, str] = {}


def show_widget(module: LoadedModule, width: int = 480) -> Any:
    """The module's widget, set up in a qMRMLWidget like the application's module panel, entered and shown."""
    import qt

    parent = slicer.qMRMLWidget()
    parent.setLayout(qt.QVBoxLayout())
    parent.setMRMLScene(slicer.mrmlScene)
    widget = getattr(module.python, f"{module.name}Widget")(parent)
    setattr(slicer.modules, f"{module.name}Widget", widget)
    widget.setup()
    parent.resize(width, 900)
    parent.show()
    if hasattr(widget, "enter"):
        widget.enter()
    return widget


def hide_widget(widget: Any) -> None:
    """Leaves the module and unloads it: exit() and cleanup() as the application calls them."""
    if hasattr(widget, "exit"):
        widget.exit()
    slicer.app.moduleManager()._qt.moduleAboutToBeUnloaded.emit(widget.moduleName)
    widget.parent.hide()
    widget.parent.deleteLater()
    slicer.app.processEvents()
