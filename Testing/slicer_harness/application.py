"""slicer.app with Qt, and the modules of `slicer` that the wheel does not have: stand-ins, or Slicer's own files."""

# ruff: noqa: N802, N803, N815  the names are Slicer's

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import slicer
import slicer.util
from PySide6 import QtCore, QtWidgets

from . import pythonqt, qt_shim, scene

STANDINS = {
    "ScriptedLoadableModule": "scripted_module",
    "parameterNodeWrapper": "parameters",
    "i18n": "i18n",
    "packaging": "packaging",
}
"""Modules of `slicer` that the wheel lacks, and the stand-in of each."""


class qSlicerModuleManager(QtCore.QObject):  # noqa: N801
    """slicer.app.moduleManager(): tells of modules that come and go."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)


class Application(scene.Application):
    """slicer.app as far as a module's panel needs it; `slicer_qt_api.json` says what the real one has."""

    applicationName = "Slicer"
    applicationVersion = "5.13.0"
    majorVersion, minorVersion = 5, 13
    platform = "linux-amd64"
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"

    def __init__(self, environment: scene.Environment) -> None:
        super().__init__(environment.scene, environment.application_logic)
        self._module_manager = pythonqt.wrap(_kept(qSlicerModuleManager()))
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-harness-")
        self.temporaryPath = self._folder.name
        settings = QtCore.QSettings(
            str(Path(self._folder.name) / "Slicer.ini"), QtCore.QSettings.Format.IniFormat
        )
        self._settings = pythonqt.wrap(_kept(settings))

    def moduleManager(self) -> Any:
        return self._module_manager

    def settings(self) -> Any:
        return self._settings

    userSettings = revisionUserSettings = settings

    def processEvents(self, *_: Any) -> None:
        QtWidgets.QApplication.processEvents()

    def translate(self, context: str, text: str) -> str:
        del context
        return text

    def moduleDocumentationUrl(self, module: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{module.lower()}.html"

    def setOverrideCursor(self, cursor: Any) -> None:
        QtWidgets.QApplication.setOverrideCursor(pythonqt.unwrap(cursor))

    def restoreOverrideCursor(self) -> None:
        QtWidgets.QApplication.restoreOverrideCursor()

    def startupEnvironment(self) -> dict[str, str]:
        return dict(os.environ)


def install() -> scene.Environment:
    """Boots the scene and makes Qt, slicer.app and the missing modules of `slicer` available (once)."""
    environment = scene.boot()
    pythonqt.IMPLEMENTATIONS["qSlicerModuleManager"] = qSlicerModuleManager
    qt_shim.install()
    if not isinstance(slicer.app, Application):
        slicer.app = Application(environment)
        slicer.moduleNames = type("moduleNames", (), {})()
        if source := os.environ.get("SLICER_SOURCE"):
            _use_slicers_own_files(Path(source) / "Base" / "Python" / "slicer")
        else:
            _use_standins()
    return environment


def _kept(qt_object: Any) -> Any:
    _forever.append(qt_object)
    return qt_object


_forever: list[Any] = []


def _use_standins() -> None:
    for name, standin in STANDINS.items():
        module = importlib.import_module(f".standins.{standin}", __package__)
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)


def _use_slicers_own_files(folder: Path) -> None:
    """Slicer's modules come from a checkout, slicer.util too: the wheel's copy is of an older version."""
    slicer.__path__.append(str(folder))
    specification = importlib.util.spec_from_file_location("slicer.util", folder / "util.py")
    if specification is None or specification.loader is None or not folder.is_dir():
        raise RuntimeError(f"SLICER_SOURCE has no Slicer Python files in {folder}")
    specification.loader.exec_module(slicer.util)
    for name in STANDINS:
        setattr(slicer, name, importlib.import_module(f"slicer.{name}"))
