"""The module's panels inside Slicer, worked as a person works them: what can be reached with the mouse alone.

Run by ``ctest -R HAGANSlicer`` in the extension's build tree, or in Slicer's Python console by::

    slicer.testing.runUnitTest([".../HAGANSlicer/Testing/Python"], "HAGANSlicerPanelsTest")
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
import slicer

SLOW = 180  # seconds: the first request starts a process that loads torch
SEED = 3
TINY = (
    "latent=16 generator_width=4 discriminator_width=64 ground_encoder_width=16 log_every=1 preview_every=10"
)


class HAGANSlicerPanelsTest(unittest.TestCase):
    """Each test begins with an empty scene, the demonstration model, and a model folder of its own."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.folder = Path(tempfile.mkdtemp())
        os.environ["HAGAN_MODEL_DIR"] = str(self.folder / "models")
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule("HAGANSlicer")
        self.window = slicer.util.getModuleWidget("HAGANSlicer").window
        self.window.worker.restart()  # the worker takes its environment along when it starts
        self.window.enter()
        self.header = self.window.header.ui
        self.window.models_changed("demo")
        self.wait(lambda: self.window.context.model is not None)

    def tearDown(self):
        slicer.mrmlScene.Clear()
        del os.environ["HAGAN_MODEL_DIR"]
        self.window.worker.restart()
        self.window.models_changed("demo")
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self, condition, seconds=SLOW):
        """Let the application work until the condition holds."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"not within {seconds} s; {self.header.messageLabel.text}"
            slicer.app.processEvents()
            time.sleep(0.002)

    def open(self, name):
        """Bring a panel to the front."""
        self.header.panels.setCurrentWidget(self.window.panels[name].widget)
        return self.window.panels[name]

    def generate(self, count=1, segment=True):
        """Make volumes in the Generate panel; returns the volumes of the scene."""
        panel = self.open("generate")
        panel.ui.seedSpinBox.setValue(SEED)
        panel.ui.countSpinBox.setValue(count)
        panel.ui.segmentCheckBox.setChecked(segment)
        panel.ui.generateButton.click()
        self.wait(lambda: not panel.job.running)
        return volumes()

    def make_again(self, volume):
        """Make a volume again in the Generate panel."""
        panel = self.open("generate")
        panel.ui.againSelector.setCurrentNode(volume)
        self.wait(lambda: panel.ui.againButton.enabled)
        panel.ui.againButton.click()
        self.wait(lambda: not panel.job.running)

    def explore(self):
        """Open Explore with a new latent; returns the panel when its start is shown and measured."""
        self.generate(segment=False)
        panel = self.open("explore")
        self.wait(lambda: panel.rows and all(row.start is not None for row in panel.rows))
        return panel

    def test_without_torch_the_installation_is_offered_and_nothing_computed(self):
        from HAGANSlicerLib.installer import Installer

        header = self.window.header
        working, header.installer = (
            header.installer,
            Installer(torch="torch>=999", confirm=lambda text: False),
        )
        try:
            header.look_for_missing()
            self.window.models_changed("demo")
            assert header.ui.installRow.visible
            assert "PyTorch" in header.ui.installLabel.text
            assert "before the installation" in header.ui.planLabel.text
            assert not self.window.panels["generate"].ui.generateButton.enabled
            header.install()
            assert header.ui.messageLabel.text
            assert header.ui.installRow.visible
        finally:
            header.installer = working
            header.look_for_missing()
        assert not header.ui.installRow.visible

    def test_a_training_is_stopped_and_resumed_and_its_losses_are_plotted(self):
        cohort, run = self.folder / "cohort", self.folder / "run"
        hagan("phantom", "--count", "4", "--size", "32", "--out", str(cohort))
        panel = self.open("train")
        ui = panel.ui
        ui.cohortFolderEdit.currentPath = str(cohort)
        ui.runFolderEdit.currentPath = str(run)
        ui.iterationsSpinBox.setValue(100_000)
        ui.batchSpinBox.setValue(2)
        ui.settingsEdit.setText(TINY)
        ui.startButton.click()
        try:
            self.wait(
                lambda: (panel.look(), panel.watch.run is not None and len(panel.watch.run.lines) > 2)[1]
            )
            ui.showLossButton.click()
            assert [node.GetNumberOfPlotSeriesNodes() for node in nodes("vtkMRMLPlotChartNode")] == [4]
            ui.stopButton.click()
            self.wait(lambda: (panel.look(), panel.state["state"] == "stopped")[1])
            stopped_at = panel.state["iteration"]
            self.wait(lambda: ui.resumeButton.enabled)
            ui.iterationsSpinBox.setValue(stopped_at + 3)
            ui.resumeButton.click()
            self.wait(lambda: (panel.look(), panel.state["state"] == "finished")[1])
        finally:
            if panel.state["state"] == "running":  # a failure on the way
                ui.stopButton.click()
                ui.stopButton.click()  # now
                self.wait(lambda: (panel.look(), panel.state["state"] != "running")[1])
        assert panel.watch.run.losses()[0][-1] == stopped_at + 3
        assert (run / "model.safetensors").is_file()

    def test_a_model_is_imported_and_what_is_no_model_is_refused(self):
        from HAGANCore.models.registry import resolve_model

        panel = self.open("models")
        self.wait(lambda: panel.models)
        broken = self.folder / "broken one.safetensors"
        broken.write_bytes(b"nothing of the kind")
        panel.import_files([str(broken)])
        self.wait(lambda: not panel.job.running)
        assert self.header.messageLabel.text.startswith("⚠")
        copy = self.folder / "my copy.safetensors"
        shutil.copy(resolve_model("demo"), copy)
        panel.import_files([str(copy)])
        self.wait(lambda: not panel.job.running)
        self.wait(lambda: "my-copy" in [model["name"] for model in panel.models])
        assert "broken-one" not in [model["name"] for model in panel.models]
        self.wait(lambda: self.window.context.model is not None)
        assert self.window.context.parameters.modelName == "my-copy"

    def test_the_table_of_what_was_made_is_shown(self):
        self.generate(count=2)
        shown = slicer.app.applicationLogic().GetSelectionNode().GetActiveTableID()
        assert slicer.mrmlScene.GetNodeByID(shown).GetNumberOfRows() == 2

    def test_a_result_is_undone_and_redone(self):
        assert not self.header.undoButton.enabled
        self.generate(count=2)
        names, arrays = [node.GetName() for node in volumes()], [array(node).copy() for node in volumes()]
        self.header.undoButton.click()
        assert volumes() == []
        assert not nodes("vtkMRMLSegmentationNode")
        self.header.redoButton.click()
        assert [node.GetName() for node in volumes()] == names
        assert all(
            np.array_equal(array(node), before) for node, before in zip(volumes(), arrays, strict=True)
        )
        assert [
            node.GetSegmentation().GetNumberOfSegments() for node in nodes("vtkMRMLSegmentationNode")
        ] == [
            3,
            3,
        ]

    def record(self):
        """Record a range of three in Explore; returns the panel and what was recorded."""
        panel = self.explore()
        panel.ui.recordFromSpinBox.setValue(-300)
        panel.ui.recordToSpinBox.setValue(300)
        panel.ui.recordCountSpinBox.setValue(3)
        panel.ui.recordButton.click()
        self.wait(lambda: panel.recorder.recorded is not None and not panel.recorder.running)
        assert panel.recorder.recorded.count == 3
        return panel, panel.recorder.recorded

    def test_a_recorded_range_plays(self):
        panel, recording = self.record()
        panel.ui.playButton.click()
        assert recording.browser.GetPlaybackActive()
        self.wait(lambda: recording.browser.GetSelectedItemNumber() > 0, 30)
        panel.ui.playButton.click()
        assert not recording.browser.GetPlaybackActive()

    def test_a_recorded_range_is_tabulated_plotted_and_exported(self):
        panel, recording = self.record()
        ui, out = panel.ui, self.folder / "Übung 1"
        ui.frameSlider.setValue(2)
        last = array(recording.volume).copy()
        ui.frameSlider.setValue(0)
        assert not np.array_equal(array(recording.volume), last)
        ui.showTableButton.click()
        shown = slicer.app.applicationLogic().GetSelectionNode().GetActiveTableID()
        assert slicer.mrmlScene.GetNodeByID(shown).GetNumberOfRows() == 3
        ui.showPlotButton.click()
        assert nodes("vtkMRMLPlotChartNode")
        ui.exportFolderEdit.currentPath = str(out)
        ui.exportButton.click()
        self.wait(lambda: not panel.exporter.busy)
        assert len(list(out.glob("*.csv"))) == 1
        assert len([path for path in out.glob("*.nrrd") if "_labels" not in path.name]) == 3

    def test_the_scene_is_cleared_while_a_slider_is_worked(self):
        panel = self.explore()
        panel.rows[0].slider.value = panel.rows[0].range[1]
        self.wait(lambda: panel.steps.running is not None, 30)
        slicer.mrmlScene.Clear()
        self.wait(lambda: panel.steps.running is None)
        slicer.app.processEvents()
        assert volumes() == []
        assert len(self.generate(segment=False)) == 1  # and the module goes on

    def test_a_result_survives_a_scene_folder_and_a_bundle(self):
        (made,) = self.generate()
        name, before = made.GetName(), array(made).copy()
        folder, bundle = self.folder / "scene", self.folder / "scene.mrb"
        folder.mkdir()
        assert slicer.app.applicationLogic().SaveSceneToSlicerDataBundleDirectory(str(folder), None)
        assert slicer.util.saveScene(str(bundle))
        for path in (next(folder.glob("*.mrml")), bundle):
            slicer.mrmlScene.Clear()
            assert not self.header.undoButton.enabled  # it belonged to the other scene
            slicer.util.loadScene(str(path))
            again = slicer.util.getNode(name)
            assert np.array_equal(array(again), before)
            assert again.GetNodeReference("HAGAN.latent") is not None
            self.make_again(again)
            assert "every voxel is the same" in self.header.messageLabel.text

    def test_the_tree_of_the_data_module_has_the_module_s_actions(self):
        handler = slicer.qSlicerSubjectHierarchyPluginHandler.instance()
        plugin = handler.pluginByName("HAGANSlicer")
        assert plugin is not None
        (made,) = self.generate(segment=False)
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        actions = {action.text: action for action in plugin.itemContextMenuActions()}
        for action in actions.values():
            action.visible = False
        plugin.showContextMenuActionsForItem(tree.GetItemByDataNode(made))
        shown = {text for text, action in actions.items() if action.visible}
        assert shown == {"Explore with HAGAN", "Make again with HAGAN"}


def nodes(class_name):
    """Return the nodes of a class that this module made, or that belong to it."""
    return slicer.util.getNodesByClass(class_name)


def volumes():
    """Return the synthetic volumes of the scene."""
    return [node for node in nodes("vtkMRMLScalarVolumeNode") if node.GetAttribute("HAGAN.role") == "volume"]


def array(node):
    """Return the voxels of a volume."""
    return slicer.util.arrayFromVolume(node)


def hagan(*arguments):
    """Run a command of the engine in a process of its own, as the module does."""
    from HAGANSlicerLib.core import python_program

    from HAGANCore.worker.protocol import worker_environment

    environment = {**os.environ, **worker_environment()}
    subprocess.run([python_program(), "-m", "HAGANCore", *arguments], env=environment, check=True)
