"""Undo and redo for results: the nodes of one Generate or Encode leave the scene and come back as one.

The scene's own undo is off in Slicer, and switching it on would copy every node of every module at each
step. Here the nodes of a result are taken out and kept, so that bringing them back needs no copy:
identifiers, references and voxels are those they had.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import slicer

from . import hierarchy
from .results import Nodes


@dataclass
class Result:
    """What one click made."""

    title: str
    """For a person: "demo seed 3", "phantom reconstruction"."""
    modality: str
    finished: bool = True
    """False while more parts may follow."""
    parts: list[Nodes] = field(default_factory=list)
    """One for each volume; parts may share a table."""

    def nodes(self) -> list[Any]:
        """Return every node of the result once."""
        found: list[Any] = []
        for part in self.parts:
            found += [node for node in part.all() if not any(node is other for other in found)]
        return found


@dataclass
class _Taken:
    """A node that was taken out of the scene, and what the scene forgets of it."""

    node: Any
    folder: str | None
    """Of the subject hierarchy; empty at its top, None for what it does not show."""
    references: list[tuple[str, int, str]]
    """Role, index and identifier: a reference is cut when the node at its end leaves first."""


class History:
    """The results of a scene in the order in which they were made; forgotten with the scene."""

    def __init__(self) -> None:
        self._done: list[Result] = []
        self._undone: list[tuple[Result, list[_Taken]]] = []

    def add(self, result: Result) -> None:
        """Remember a new result; what was undone before cannot be brought back any more."""
        self._done.append(result)
        self._undone.clear()

    def clear(self) -> None:
        """Forget everything: the scene closes."""
        self._done.clear()
        self._undone.clear()

    def last(self, scene: Any) -> Result | None:
        """Return the result that :meth:`undo` would take out; those that the user deleted are passed over."""
        while self._done and not any(scene.IsNodePresent(node) for node in self._done[-1].nodes()):
            self._done.pop()
        return self._done[-1] if self._done else None

    @property
    def next(self) -> Result | None:
        """The result that :meth:`redo` would bring back."""
        return self._undone[-1][0] if self._undone else None

    def undo(self, scene: Any) -> Result | None:
        """Take the last result out of the scene; returns it, or None where there is none."""
        result = self.last(scene)
        if result is None:
            return None
        self._done.pop()
        present = [node for node in result.nodes() if scene.IsNodePresent(node)]
        helpers = [helper for node in present for helper in _helpers_of(node)]
        # Helpers first when they come back: a node looks for its display when it enters the scene.
        taken = [_Taken(helper, None, _references_of(helper)) for helper in helpers]
        taken += [_Taken(node, hierarchy.folder_of(scene, node), _references_of(node)) for node in present]
        scene.StartState(slicer.vtkMRMLScene.BatchProcessState)
        try:
            for entry in reversed(taken):
                if scene.IsNodePresent(entry.node):  # a display may have left with its volume
                    if entry.folder is not None:
                        hierarchy.take_out(scene, entry.node)
                    scene.RemoveNode(entry.node)
        finally:
            scene.EndState(slicer.vtkMRMLScene.BatchProcessState)
        self._undone.append((result, taken))
        return result

    def redo(self, scene: Any) -> Result | None:
        """Bring back what was taken out last; returns it, or None where there is nothing."""
        if not self._undone:
            return None
        result, taken = self._undone.pop()
        scene.StartState(slicer.vtkMRMLScene.BatchProcessState)
        try:
            for entry in taken:
                scene.AddNode(entry.node)
        finally:
            scene.EndState(slicer.vtkMRMLScene.BatchProcessState)
        for entry in taken:
            for role, index, identifier in entry.references:
                if entry.node.GetNthNodeReferenceID(role, index) != identifier:
                    entry.node.SetNthNodeReferenceID(role, index, identifier)
            if entry.folder:
                hierarchy.put(scene, hierarchy.folder(scene, entry.folder), entry.node)
        self._done.append(result)
        return result


def _helpers_of(node: Any) -> list[Any]:
    """Return the nodes that exist for one node alone: display, storage, volume rendering's functions."""
    helpers = []
    if node.IsA("vtkMRMLDisplayableNode"):
        for index in range(node.GetNumberOfDisplayNodes()):
            display = node.GetNthDisplayNode(index)
            if display is None:
                continue
            if display.IsA("vtkMRMLVolumeRenderingDisplayNode"):
                helpers.append(display.GetVolumePropertyNode())
            helpers.append(display)
    if node.IsA("vtkMRMLStorableNode"):
        helpers.append(node.GetStorageNode())
    return [helper for helper in helpers if helper is not None]


def _references_of(node: Any) -> list[tuple[str, int, str]]:
    roles = [node.GetNthNodeReferenceRole(index) for index in range(node.GetNumberOfNodeReferenceRoles())]
    return [
        (role, index, identifier)
        for role in roles
        for index in range(node.GetNumberOfNodeReferences(role))
        if (identifier := node.GetNthNodeReferenceID(role, index))
    ]
