"""The HAGANSlicer module, by Slicer's convention: module, widget, logic, test. The rest is in HAGANSlicerLib.

Written so that it can be read by every Slicer of recent years: one that is too old gets an explanation, not a
traceback.
"""

# ruff: noqa: N802  the names are Slicer's

from __future__ import annotations

import sys

import slicer
from HAGANSlicerLib import about, compatibility
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class HAGANSlicer(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "HAGAN"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", about.CATEGORY)]
        self.parent.dependencies = ["Segmentations", "VolumeRendering", "Volumes"]
        self.parent.contributors = about.CONTRIBUTORS
        self.parent.helpText = about.help_text()
        self.parent.acknowledgementText = about.acknowledgement_text()


class HAGANSlicerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Connects the window of the module with Slicer: scene, module switching, reload."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.window = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        problem = compatibility.slicer_problem()
        if problem:
            self.layout.addWidget(compatibility.explanation(problem))
            return
        from HAGANSlicerLib.window import ModuleWindow

        self.logic = HAGANSlicerLogic()
        self.window = ModuleWindow(self.logic)
        self.layout.addWidget(self.window.widget)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.window.use_parameters(self.logic.getParameterNode())

    def cleanup(self):
        """Called when the module is reloaded and when Slicer ends."""
        self.removeObservers()
        if self.window:
            self.window.cleanup()
            self.window = None

    def enter(self):
        """Called each time the user opens this module."""
        if self.window:
            self.window.use_parameters(self.logic.getParameterNode())
            self.window.enter()

    def exit(self):
        """Called each time the user opens a different module."""
        if self.window:
            self.window.exit()

    def onSceneStartClose(self, caller, event):
        self.window.scene_closing()

    def onSceneEndClose(self, caller, event):
        # A module that is not shown makes its parameter node again when it is entered.
        self.window.scene_closed(self.logic.getParameterNode() if self.parent.isEntered else None)

    def onSceneEndImport(self, caller, event):
        self.window.use_parameters(self.logic.getParameterNode())

    def onReload(self):
        """Reload the whole package, not this file alone."""
        for name in [name for name in sys.modules if name.split(".")[0] == "HAGANSlicerLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class HAGANSlicerLogic(ScriptedLoadableModuleLogic):
    """The module's parameter node."""

    def getParameterNode(self):
        from HAGANSlicerLib.parameters import HAGANSlicerParameterNode

        return HAGANSlicerParameterNode(super().getParameterNode())


class HAGANSlicerTest(ScriptedLoadableModuleTest):
    """Run by "Reload and Test"; the tests themselves are those that ctest runs."""

    def runTest(self):
        pass
