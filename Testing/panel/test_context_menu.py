"""Right click in the subject hierarchy: what is offered for which node, and that it is done.

The tree itself, its menu and the hand-over of the plugin need the application; here the plugin's own file is
loaded as the application loads it, and its actions are triggered.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import qt
import slicer

from HAGANCore.imaging.io import read_volume
from HAGANCore.resources import resource_path

GEOMETRY = {"spacing": [1, 1, 1], "origin": [0, 0, 0], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]}


class ScriptedPlugin(qt.QObject):
    """Stand-in of qSlicerSubjectHierarchyScriptedPlugin: a name, and a class from a file of its name."""

    def setPythonSource(self, path: str) -> bool:  # noqa: N802
        name = Path(path).stem
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.python = getattr(module, name)(self)
        return True


class AbstractScriptedSubjectHierarchyPlugin:
    """Stand-in of Slicer's class: remembers the plugin as the handler does."""

    registered: ClassVar[list[Any]] = []

    def __init__(self, scripted_plugin: Any) -> None:
        self.registered.append(scripted_plugin)


@pytest.fixture
def a_plugin(a_module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plugin as it is after the application has started."""
    base = ModuleType("AbstractScriptedSubjectHierarchyPlugin")
    base.AbstractScriptedSubjectHierarchyPlugin = AbstractScriptedSubjectHierarchyPlugin
    monkeypatch.setitem(sys.modules, "SubjectHierarchyPlugins", ModuleType("SubjectHierarchyPlugins"))
    monkeypatch.setitem(sys.modules, "AbstractScriptedSubjectHierarchyPlugin", base)
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyScriptedPlugin", lambda parent: ScriptedPlugin())
    monkeypatch.setattr(AbstractScriptedSubjectHierarchyPlugin, "registered", [])
    slicer.app._signals.startupCompleted.emit()
    (plugin,) = AbstractScriptedSubjectHierarchyPlugin.registered
    return plugin


@pytest.fixture
def a_menu(a_plugin: Any, a_window: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that opens the menu of a node and gives the actions by their text."""
    monkeypatch.setattr(slicer.util, "selectModule", lambda name: None)
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: SimpleNamespace(window=a_window))
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)

    def open_for(node: Any) -> dict[str, Any]:
        actions = a_plugin.python.itemContextMenuActions()
        for action in actions:  # as the tree does before it asks
            action.setVisible(False)
        # The application gives every node its item at once.
        item = (
            0
            if node is None
            else tree.GetItemByDataNode(node) or tree.CreateItem(tree.GetSceneItemID(), node)
        )
        a_plugin.python.showContextMenuActionsForItem(item)
        return {str(action.text): action for action in actions if action.visible}

    return open_for


def a_scan() -> Any:
    from HAGANSlicerLib.scene import volumes

    phantom = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))
    return volumes.add_volume(slicer.mrmlScene, phantom.array, phantom.geometry.to_dict(), "chest")


def test_an_application_without_a_subject_hierarchy_starts_all_the_same(
    a_module: Any, monkeypatch: pytest.MonkeyPatch, no_swallowed_exceptions: list[BaseException]
) -> None:
    monkeypatch.setitem(sys.modules, "SubjectHierarchyPlugins", None)  # importing it fails
    slicer.app._signals.startupCompleted.emit()
    assert no_swallowed_exceptions == []


def test_nothing_is_offered_for_other_nodes(a_plugin: Any, a_menu: Any) -> None:
    from HAGANSlicerLib.scene import volumes

    assert a_plugin.objectName == "HAGANSlicer"
    assert a_menu(None) == {}
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert a_menu(labels) == {}
    assert a_menu(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "a note")) == {}
    other = volumes.add_volume(slicer.mrmlScene, np.zeros((2, 2, 2), np.int16), GEOMETRY, "scan")
    assert list(a_menu(other)) == ["Encode with HAGAN"]


def test_a_scan_is_encoded_from_the_menu_and_its_results_offer_what_fits_them(
    a_menu: Any, a_window: Any, process_events_until: Any
) -> None:
    encode, scan = a_window.panels["encode"], a_scan()
    encode.ui.segmentCheckBox.setChecked(False)
    a_menu(scan)["Encode with HAGAN"].trigger()
    process_events_until(lambda: encode.job.running, 60)
    process_events_until(lambda: not encode.job.running, 90)
    reconstruction = slicer.util.getNode("chest reconstruction (synthetic)")
    assert set(a_menu(reconstruction)) == {"Explore with HAGAN", "Make again with HAGAN"}
    assert a_menu(slicer.util.getNode("chest difference (synthetic)")) == {}
    assert set(a_menu(slicer.util.getNode("chest latent"))) == {"Explore with HAGAN"}


def test_a_refused_scan_is_shown_and_not_encoded(
    a_menu: Any, a_window: Any, process_events_until: Any
) -> None:
    from HAGANSlicerLib.scene import volumes

    encode = a_window.panels["encode"]
    grey = volumes.add_volume(slicer.mrmlScene, np.full((40, 40, 40), 90, np.int16), GEOMETRY, "grey")
    a_menu(grey)["Encode with HAGAN"].trigger()
    process_events_until(lambda: encode.ui.checkLabel.text.startswith("✗"), 60)
    assert not encode.job.running
    assert a_window.header.ui.panels.currentWidget() == encode.widget


def test_a_generated_volume_is_explored_and_made_again_from_the_menu(
    a_menu: Any, a_window: Any, process_events_until: Any
) -> None:
    generate, header = a_window.panels["generate"], a_window.header.ui
    generate.ui.segmentCheckBox.setChecked(False)
    for _ in range(2):
        generate.ui.generateButton.click()
        process_events_until(lambda: not generate.job.running, 90)
    first = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[0]
    a_menu(first)["Explore with HAGAN"].trigger()
    assert header.panels.currentWidget() == a_window.panels["explore"].widget
    latent = a_window.context.parameters.exploreLatent
    assert latent.GetID() == first.GetNodeReferenceID("HAGAN.latent")
    a_menu(first)["Make again with HAGAN"].trigger()
    assert header.panels.currentWidget() == generate.widget
    process_events_until(lambda: not generate.job.running, 90)
    assert "made again: every voxel is the same" in header.messageLabel.text
    slicer.mrmlScene.RemoveNode(first)


def test_what_was_deleted_while_its_menu_was_open_is_left_alone(a_menu: Any, a_window: Any) -> None:
    scan = a_scan()
    actions = a_menu(scan)
    slicer.mrmlScene.RemoveNode(scan)
    actions["Encode with HAGAN"].trigger()
    assert not a_window.panels["encode"].job.running
