"""The HAGANSlicer module, by Slicer's convention: module, widget, logic, test. The rest is in HAGANSlicerLib.

Written so that it can be read by every Slicer of recent years: one that is too old gets an explanation, not a
traceback.
"""

# ruff: noqa: N802  the names are Slicer's

from __future__ import annotations

import sys

import slicer
from HAGANSlicerLib import about, compatibility
from HAGANSlicerLib.context_menu import register_context_menu
from HAGANSlicerLib.sample_data import register_sample_data
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
        self.parent.title = "HAGANSlicer"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", about.CATEGORY)]
        self.parent.dependencies = ["Segmentations", "VolumeRendering", "Volumes"]
        self.parent.contributors = about.CONTRIBUTORS
        self.parent.helpText = about.help_text()
        self.parent.acknowledgementText = about.acknowledgement_text()
        # Modules are loaded in any order; at this signal SampleData is there.
        slicer.app.connect("startupCompleted()", register_sample_data)
        slicer.app.connect("startupCompleted()", register_context_menu)


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
        if self.logic:
            self.logic.close()
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
        slicer.util.reloadScriptedModule(self.moduleName)


class HAGANSlicerLogic(ScriptedLoadableModuleLogic):
    """The module for scripts, and its parameter node. Arguments and examples: HAGANSlicerLib/scripting.py."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self._scripting = None

    def getParameterNode(self):
        from HAGANSlicerLib.parameters import HAGANSlicerParameterNode

        return HAGANSlicerParameterNode(super().getParameterNode())

    @property
    def scripting(self):
        """What does the work; made when it is first needed."""
        if self._scripting is None:
            from HAGANSlicerLib.scripting import Scripting

            self._scripting = Scripting()
        return self._scripting

    def generate(self, **wanted):
        """Make volumes; returns the nodes of each. ``logic.generate(seed=1)[0].volume``"""
        return self.scripting.generate(**wanted)

    def encode(self, scan, **wanted):
        """Encode a scan; returns its nodes. ``logic.encode(scan).volume`` is the reconstruction."""
        return self.scripting.encode(scan, **wanted)

    def step(self, latent, steps, **wanted):
        """Move a latent and make its volume. ``logic.step(nodes.latent, {"lung volume": 500}).volume``"""
        return self.scripting.step(latent, steps, **wanted)

    def make_again(self, volume, **wanted):
        """Make a synthetic volume again from its attributes. ``logic.make_again(volume).identical``"""
        return self.scripting.make_again(volume, **wanted)

    def segment(self, volume, **wanted):
        """Outline and measure lungs and bones of a CT. ``logic.segment(scan).segmentation``"""
        return self.scripting.segment(volume, **wanted)

    def close(self):
        """End the worker of the calls above; the next call starts another one."""
        if self._scripting is not None:
            self._scripting.close()


class HAGANSlicerTest(ScriptedLoadableModuleTest):
    """What "Reload and Test" runs: one volume made, outlined and measured in the application's scene."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_generate()

    def test_generate(self):
        logic = HAGANSlicerLogic()
        try:
            nodes = logic.generate(seed=1)[0]
        finally:
            logic.close()
        assert nodes.volume.GetImageData().GetDimensions() == (64, 64, 64)
        assert nodes.segmentation.GetSegmentation().GetNumberOfSegments() == 3
        assert nodes.volume.GetName().endswith("(synthetic)")
