"""What the application puts around a scripted module: module object, panel, module and layout managers."""

# ruff: noqa: N801, N802, N815  the names are Slicer's

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Property, QObject, Signal, Slot
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QVBoxLayout, QWidget

from .mrml_widgets import qSlicerWidget


class qSlicerScriptedLoadableModule(QObject):
    """What the application knows of a scripted module: the `parent` of its module class."""

    def __init__(self, name: str = "", path: str = "") -> None:
        super().__init__()
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None
        self._told: dict[str, Any] = {
            "name": name,
            "path": path,
            "title": name,
            "icon": QIcon(),
            "hidden": False,
            "index": -1,
            "acknowledgementText": "",
            "helpText": "",
            "categories": [],
            "contributors": [],
            "dependencies": [],
            "associatedNodeTypes": [],
        }

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        """The panel, once the module has been shown."""
        return self._widget

    def _told(name: str, kind: Any) -> Any:  # type: ignore[no-redef]  # noqa: N805
        return Property(
            kind, lambda self: self._told[name], lambda self, value: self._told.update({name: value})
        )

    name = _told("name", str)
    path = _told("path", str)
    title = _told("title", str)
    icon = _told("icon", QIcon)
    hidden = _told("hidden", bool)
    index = _told("index", int)
    acknowledgementText = _told("acknowledgementText", str)
    helpText = _told("helpText", str)
    categories = _told("categories", "QStringList")
    contributors = _told("contributors", "QStringList")
    dependencies = _told("dependencies", "QStringList")
    associatedNodeTypes = _told("associatedNodeTypes", "QStringList")


class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """The module panel: `parent` of the module's widget object, which it makes, enters and reloads."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        QVBoxLayout(self)
        self._python: Any = None
        self._make: Callable[[], Any] | None = None
        self._module_name = ""
        self._entered = False

    def show_module(self, name: str, make: Callable[[], Any]) -> None:
        """Makes the module's widget object and sets it up, as when the module is opened first."""
        self._module_name, self._make = name, make
        self._python = make()
        self._python.setup()

    def self(self) -> Any:
        """The Python object behind the panel."""
        return self._python

    def enter(self) -> None:
        """The person opens the module."""
        self._entered = True
        getattr(self._python, "enter", lambda: None)()

    def exit(self) -> None:
        """The person opens another module."""
        self._entered = False
        getattr(self._python, "exit", lambda: None)()

    @Slot()
    def reload(self) -> None:
        """A new widget in the same panel, after the Python code has been loaded again."""
        if self._make:
            self.show_module(self._module_name, self._make)
            if self._entered:
                self.enter()

    isEntered = Property(bool, lambda self: self._entered)
    moduleName = Property(str, lambda self: self._module_name)


class qSlicerModuleManager(QObject):
    """slicer.app.moduleManager(): finds modules and tells when they come and go."""

    moduleAboutToBeUnloaded = Signal(str)
    moduleLoaded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, QObject] = {}

    def add(self, module: qSlicerScriptedLoadableModule) -> None:
        """A module has been loaded."""
        self._modules[module.property("name")] = module
        self.moduleLoaded.emit(module.property("name"))

    def module(self, name: str) -> QObject | None:
        """A scripted module by its name."""
        return self._modules.get(name)

    def modulesNames(self) -> list[str]:
        """The scripted modules that have been loaded."""
        return list(self._modules)


class qSlicerLayoutManager(QObject):
    """slicer.app.layoutManager() without views: keeps which layout was asked for."""

    layoutChanged = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._layout = 3  # four-up

    @Slot(int)
    def setLayout(self, layout: int) -> None:
        """Asks for one of vtkMRMLLayoutNode's layouts."""
        if layout != self._layout:
            self._layout = layout
            self.layoutChanged.emit(layout)

    def sliceViewNames(self) -> list[str]:
        """No slice views: `Testing/render` has those."""
        return []

    layout = Property(int, lambda self: self._layout, setLayout)
    threeDViewCount = Property(int, lambda _self: 0)
    plotViewCount = Property(int, lambda _self: 0)
    tableViewCount = Property(int, lambda _self: 0)
