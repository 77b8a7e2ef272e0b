"""The plugin of the subject hierarchy as Slicer wants it: one class, called as its file, in a module."""

# ruff: noqa: N802, N815  the names are Slicer's

from __future__ import annotations

import slicer
from AbstractScriptedSubjectHierarchyPlugin import AbstractScriptedSubjectHierarchyPlugin

from HAGANSlicerLib.context_menu import ContextMenu


class HAGANSlicerSubjectHierarchyPlugin(AbstractScriptedSubjectHierarchyPlugin):
    """Hands over what Slicer asks; the actions are in :mod:`HAGANSlicerLib.context_menu`."""

    filePath = __file__

    def __init__(self, scriptedPlugin):
        scriptedPlugin.name = "HAGANSlicer"
        self.menu = ContextMenu(scriptedPlugin)
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)

    def itemContextMenuActions(self):
        """Return the actions of the menu of an item."""
        return list(self.menu.actions.values())

    def showContextMenuActionsForItem(self, itemID):
        """Show the actions that make sense for an item; all are hidden before."""
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        self.menu.show_for(tree.GetItemDataNode(itemID) if tree is not None else None)
