"""slicer.app with Qt, and the modules of `slicer` that the wheel lacks: stand-ins, or Slicer's own files."""

# ruff: noqa: N802, N815  the names are Slicer's

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import slicer.util
from PySide6 import QtCore, QtWidgets

from . import pythonqt, qt_shim, scene
from .law import NotInHarness, normalized
from .standins.core_io import qSlicerCoreIOManager
from .standins.module_host import qSlicerLayoutManager, qSlicerModuleManager

STANDINS = {
    "ScriptedLoadableModule": "scripted_module",
    "parameterNodeWrapper": "parameters",
    "i18n": "i18n",
    "packaging": "packaging",
}
"""Modules of `slicer` that the wheel lacks, and the stand-in of each."""


class _Signals(QtCore.QObject):
    startupCompleted = QtCore.Signal()


class Application(scene.Application):
    """slicer.app as far as a module's panel needs it; a test holds it to what the real one has."""

    applicationName = "Slicer"
    applicationVersion = "5.13.0"
    majorVersion, minorVersion = 5, 13
    platform = "linux-amd64"
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"

    def __init__(self, environment: scene.Environment) -> None:
        super().__init__(environment.scene, environment.application_logic)
        self._signals = _Signals()
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-harness-")
        self.temporaryPath = self._folder.name
        settings_file = str(Path(self._folder.name) / "Slicer.ini")
        self._module_manager = qSlicerModuleManager()
        self._layout_manager = qSlicerLayoutManager()
        self._io_manager = qSlicerCoreIOManager(environment.scene, self._folder.name)
        self._settings = QtCore.QSettings(settings_file, QtCore.QSettings.Format.IniFormat)

    def connect(self, signal: str, slot: Callable) -> bool:
        """Calls the slot at each signal."""
        own = getattr(self._signals, normalized(signal).removesuffix("()"), None)
        if not isinstance(own, QtCore.SignalInstance):
            raise NotInHarness(f"slicer.app.{signal}: the harness does not emit this signal")
        own.connect(slot)
        return True

    def moduleManager(self) -> Any:
        """Finds modules."""
        return pythonqt.wrap(self._module_manager)

    def layoutManager(self) -> Any:
        """Keeps the layout."""
        return pythonqt.wrap(self._layout_manager)

    def coreIOManager(self) -> Any:
        """Saves and loads scenes."""
        return pythonqt.wrap(self._io_manager)

    def settings(self) -> Any:
        """Settings that are forgotten when the tests end."""
        return pythonqt.wrap(self._settings)

    userSettings = revisionUserSettings = settings

    def processEvents(self, *_: Any) -> None:
        """Lets Qt work."""
        QtWidgets.QApplication.processEvents()

    def translate(self, _context: str, text: str) -> str:
        """English."""
        return text

    def moduleDocumentationUrl(self, module: str) -> str:
        """Where Slicer documents its own modules."""
        return f"{self.documentationBaseUrl}user_guide/modules/{module.lower()}.html"

    def setOverrideCursor(self, cursor: Any) -> None:
        """Shows another cursor everywhere."""
        QtWidgets.QApplication.setOverrideCursor(pythonqt.unwrap(cursor))

    def restoreOverrideCursor(self) -> None:
        """Shows the former cursor."""
        QtWidgets.QApplication.restoreOverrideCursor()


def install() -> scene.Environment:
    """Boots the scene and makes Qt, slicer.app and the missing modules of `slicer` available (once)."""
    environment = scene.boot()
    qt_shim.install()
    if not isinstance(slicer.app, Application):
        slicer.app = Application(environment)
        if source := os.environ.get("SLICER_SOURCE"):
            _use_slicers_own_files(Path(source) / "Base" / "Python" / "slicer")
        else:
            _use_standins()
    return environment


def _use_standins() -> None:
    for name, standin in STANDINS.items():
        module = importlib.import_module(f".standins.{standin}", __package__)
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)


def _use_slicers_own_files(folder: Path) -> None:
    """Slicer's modules come from a checkout, slicer.util too, in place of the wheel's copy."""
    specification = importlib.util.spec_from_file_location("slicer.util", folder / "util.py")
    if specification is None or specification.loader is None or not folder.is_dir():
        raise RuntimeError(f"SLICER_SOURCE has no Python files of Slicer in '{folder}'; set it to a checkout")
    slicer.__path__.append(str(folder))
    specification.loader.exec_module(slicer.util)
    for name in STANDINS:
        sys.modules.pop(f"slicer.{name}", None)  # the scene's stand-in of i18n
        setattr(slicer, name, importlib.import_module(f"slicer.{name}"))
