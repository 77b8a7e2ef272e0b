"""Publishes `qt`, `ctk` and Slicer's widget classes, limited to what Slicer has: see `pythonqt`."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from . import pythonqt
from .law import law, names_of
from .standins import (
    core_io,
    ctk_sliders,
    ctk_widgets,
    module_host,
    mrml_checkable,
    mrml_tables,
    mrml_widgets,
    ui_loader,
)

STANDINS = (
    core_io,
    ctk_sliders,
    ctk_widgets,
    module_host,
    mrml_checkable,
    mrml_tables,
    mrml_widgets,
    ui_loader,
)


def install() -> QtWidgets.QApplication:
    """Makes `import qt` and `import ctk` work, `slicer.qMRML…` too; returns PySide6's application."""
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
    if "qt" not in sys.modules:
        _register_implementations()
        sys.modules["qt"] = _LawfulModule("qt")
        sys.modules["ctk"] = _LawfulModule("ctk")
        for name in names_of("slicer"):
            setattr(slicer, name, pythonqt.proxy_class(name))
    return application


class _LawfulModule(ModuleType):
    """A module whose classes are made on first use."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in names_of(self.__name__):
            raise AttributeError(f"{self.__name__}.{name} is not in Slicer, or not copied by make_qt_api.py")
        proxy = pythonqt.proxy_class(name)
        setattr(self, name, proxy)
        return proxy


def _register_implementations() -> None:
    for module in (QtCore, QtGui, QtWidgets):
        for name in names_of("qt") & set(dir(module)):
            pythonqt.IMPLEMENTATIONS[name] = getattr(module, name)
    for module in STANDINS:
        for name in law().keys() & vars(module).keys():
            if getattr(module, name).__module__ == module.__name__:
                pythonqt.IMPLEMENTATIONS[name] = getattr(module, name)
