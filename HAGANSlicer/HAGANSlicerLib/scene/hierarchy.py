"""Folders of the subject hierarchy (the tree of the Data module)."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError


def folder(scene: Any, name: str) -> int:
    """Return the item of the folder of that name at the top of the tree; it is made if it is missing."""
    tree = _tree(scene)
    top = tree.GetSceneItemID()
    found = tree.GetItemChildWithName(top, name)
    return int(found or tree.CreateFolderItem(top, name))


def put(scene: Any, folder_item: int, *nodes: Any) -> None:
    """Move nodes into a folder; None is passed over."""
    tree = _tree(scene)
    for node in nodes:
        if node is None:
            continue
        item = tree.GetItemByDataNode(node)
        if item:
            tree.SetItemParent(item, folder_item)
        else:
            tree.CreateItem(folder_item, node)


def take_out(scene: Any, node: Any) -> None:
    """Remove a node's item from the tree; the node itself stays in the scene."""
    tree = _tree(scene)
    item = tree.GetItemByDataNode(node)
    if item:
        tree.RemoveItem(item, False, False)


def folder_of(scene: Any, node: Any) -> str:
    """Return the name of the folder that a node lies in; empty at the top of the tree."""
    tree = _tree(scene)
    parent = tree.GetItemParent(tree.GetItemByDataNode(node))
    return "" if parent in (0, tree.GetSceneItemID()) else str(tree.GetItemName(parent))


def _tree(scene: Any) -> Any:
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if tree is None:
        raise HaganError(_("The scene has no subject hierarchy; use a scene of the Slicer application."))
    return tree
