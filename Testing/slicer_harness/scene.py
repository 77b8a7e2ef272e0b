"""A booted MRML scene: Slicer's own nodes, logics and displayable managers, without the application.

After :func:`boot`, ``slicer.mrmlScene``, ``slicer.modules.<name>.logic()`` and ``slicer.app`` work as far as
they can without Qt. With the environment variable SLICER_SOURCE set to a checkout of Slicer, the module
logics also find its volume-rendering presets and its terminologies, which are not in the wheel.
"""

# ruff: noqa: N802  the names are Slicer's

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
import vtk

from .standins import i18n

_LOGICS = {
    "Colors": "vtkSlicerColorLogic",  # without it every label map logs errors
    "Markups": "vtkSlicerMarkupsLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Models": "vtkSlicerModelsLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
}
"""Name of a loadable module: class of its logic."""


class Module:
    """``slicer.modules.<name>``: gives the module's logic, as the application does."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = name
        self._logic = logic

    def logic(self) -> Any:
        """Return the module's logic."""
        return self._logic


class Application:
    """``slicer.app``: the part of ``qSlicerApplication`` that needs no Qt. Anything else raises."""

    def __init__(self, scene: Any, logic: Any) -> None:
        self._scene = scene
        self._logic = logic
        self.temporaryPath = tempfile.gettempdir()

    def mrmlScene(self) -> Any:
        """Return the application's scene."""
        return self._scene

    def applicationLogic(self) -> Any:
        """Return the application's logic, which knows the slice and view logics."""
        return self._logic

    def layoutManager(self) -> None:
        """Return nothing, as ``Slicer --no-main-window`` does."""

    def testingEnabled(self) -> bool:
        """Say that this is a test."""
        return True

    def processEvents(self, *_: Any) -> None:
        """Do nothing: there is no event loop."""


def _provide_translations() -> None:
    """Make ``slicer.i18n``, which the wheel lacks, importable: texts stay English."""
    slicer.i18n = sys.modules["slicer.i18n"] = i18n


_provide_translations()  # scene logic is imported before a scene is booted


@dataclass(frozen=True)
class Environment:
    """What has been booted."""

    scene: Any
    """The vtkMRMLScene."""
    application_logic: Any
    """The vtkSlicerApplicationLogic."""
    logics: dict[str, Any]
    """Module name in lower case: its logic."""

    def clear(self) -> None:
        """Close the scene as the application does: singleton nodes (views, colours) stay.

        Also forgets the messages that VTK has logged so far.
        """
        self.scene.Clear(0)
        self.forget_messages()

    def logged_errors(self) -> int:
        """Return how many errors VTK and MRML have logged since messages were last forgotten."""
        return int(_log().GetNumberOfLoggedErrorMessages())

    def forget_messages(self) -> None:
        """Count logged errors from nought again."""
        _log().ResetNumberOfLoggedMessages()


@cache
def boot() -> Environment:
    """Make this process's scene (once: Slicer's factories are singletons) and publish it in ``slicer``."""
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)  # it repeats each message of the log
    scene = slicer.vtkMRMLScene()
    scene.SetURL(str(Path(tempfile.gettempdir()) / "untitled.mrml"))
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)

    application_logic = slicer.vtkSlicerApplicationLogic()
    application_logic.SetMRMLScene(scene)
    application_logic.GetColorLogic().SetMRMLScene(scene)
    application_logic.GetColorLogic().AddDefaultColorNodes()
    application_logic.SetSliceLogics(vtk.vtkCollection())
    application_logic.SetViewLogics(vtk.vtkCollection())
    for factory in view_factories():
        factory.SetMRMLApplicationLogic(application_logic)

    # The application's home and share folders are not in the wheel: logics complain once, and go on without.
    _log().SetDisplayModeToNever()
    logics = {name.lower(): _module_logic(name, scene, application_logic) for name in _LOGICS}
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    _log().SetDisplayModeToAlwaysStdErr()

    slicer.mrmlScene = scene
    slicer.app = Application(scene, application_logic)
    slicer.modules = ModuleType("slicer.modules")
    for name in _LOGICS:
        setattr(slicer.modules, name.lower(), Module(name, logics[name.lower()]))
    sys.modules["slicer.modules"] = slicer.modules
    environment = Environment(scene, application_logic, logics)
    environment.forget_messages()
    return environment


def view_factories() -> tuple[Any, Any]:
    """Return the factories of displayable managers of 3D views and of slice views."""
    return (
        slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(),
        slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(),
    )


def _log() -> Any:
    """VTK's output window, which counts what is logged; it is installed by the first call."""
    return slicer.vtkTestingOutputWindow.GetInstance()


def _share_folder(module: str) -> Path:
    """Return where a module finds its data: a checkout of Slicer, else a folder that says there are none."""
    source = os.environ.get("SLICER_SOURCE")
    if source:
        return Path(source) / "Modules" / "Loadable" / module / "Resources"
    return Path(__file__).with_name("share")


def _module_logic(name: str, scene: Any, application_logic: Any) -> Any:
    logic = getattr(slicer, _LOGICS[name])()
    if hasattr(logic, "SetModuleShareDirectory"):
        logic.SetModuleShareDirectory(str(_share_folder(name)))
    logic.SetMRMLApplicationLogic(application_logic)
    logic.SetMRMLScene(scene)
    application_logic.SetModuleLogic(name, logic)
    return logic
