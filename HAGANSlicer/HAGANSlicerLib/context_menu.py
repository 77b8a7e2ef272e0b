"""Right click in the Data module's tree: encode a scan, explore a latent, make a synthetic volume again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

ENCODE, EXPLORE, AGAIN = "encode", "explore", "again"
PLUGIN_FILE = Path(__file__).with_name("HAGANSlicerSubjectHierarchyPlugin.py")
"""Slicer takes the class in it that has the file's name."""


class ContextMenu:
    """The actions of the plugin; each is shown where it can be done.

    Args:
        owner: the plugin as Slicer has it, which owns the actions.
    """

    def __init__(self, owner: Any) -> None:
        self._node_id = ""
        self.actions: dict[str, Any] = {}
        for what, text in (
            (ENCODE, _("Encode with HAGAN")),
            (EXPLORE, _("Explore with HAGAN")),
            (AGAIN, _("Make again with HAGAN")),
        ):
            action = qt.QAction(text, owner)
            action.connect("triggered()", lambda what=what: self._run(what))
            self.actions[what] = action

    def show_for(self, node: Any) -> None:
        """Show what can be done with a node of the tree; None is a folder."""
        can = what_can_be_done(node)
        self._node_id = str(node.GetID()) if node is not None else ""
        for what, action in self.actions.items():
            action.setVisible(what in can)

    def _run(self, what: str) -> None:
        node = slicer.mrmlScene.GetNodeByID(self._node_id)
        if node is None:  # deleted while the menu was open
            return
        slicer.util.selectModule("HAGANSlicer")
        window = slicer.util.getModuleWidget("HAGANSlicer").window
        if window is not None:  # None where Slicer is too old, which the module's panel says
            window.run_on(what, node)


def what_can_be_done(node: Any) -> set[str]:
    """Return which of the actions make sense for a node."""
    from .scene import latents, provenance, replay

    if node is None:
        return set()
    role, can = provenance.role_of(node), set()
    scan = node.IsA("vtkMRMLScalarVolumeNode") and not node.IsA("vtkMRMLLabelMapVolumeNode")
    if scan and not role and not provenance.is_synthetic(node):
        can.add(ENCODE)
    if role == latents.ROLE or (scan and node.GetNodeReference(latents.REFERENCE) is not None):
        can.add(EXPLORE)
    if scan and role == "volume" and replay.can_be_made_again(node):
        can.add(AGAIN)
    return can


def register_context_menu() -> None:
    """Add the actions to the tree; for the signal ``startupCompleted()`` of the application.

    An application without a subject hierarchy goes without.
    """
    try:
        import SubjectHierarchyPlugins  # noqa: F401  puts the base class of such plugins on Python's path
    except ImportError:
        return
    plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
    plugin.setPythonSource(str(PLUGIN_FILE))  # makes the class, which registers the plugin
