"""Series of volumes or segmentations as sequences that Slicer plays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from slicer.i18n import tr as _

from .images import fill_image
from .provenance import is_synthetic, mark, synthetic_name


def record(
    scene: Any,
    name: str,
    frames: Iterable[tuple[str, Any | npt.NDArray]],
    unit: str,
    index_name: str = "step",
    template: Any = None,
    browser: Any = None,
) -> tuple[Any, Any]:
    """Add a sequence of frames and a browser to play it.

    Args:
        scene: the vtkMRMLScene.
        name: of the sequence and its browser.
        frames: index (a number as text) and a node, copied with its attributes; or an array (z, y, x).
        unit: of the index, e.g. ``mL``.
        index_name: what the index is.
        template: for arrays: the volume node whose place and display they share.
        browser: a browser of the same indices to join, so that both play together.

    Returns:
        The vtkMRMLSequenceNode and the vtkMRMLSequenceBrowserNode.
    """
    sequence = new_sequence(scene, name, unit, index_name)
    for index, frame in frames:
        sequence.SetDataNodeAtValue(_node_of(frame, template), index)
    return sequence, browse(scene, sequence, browser)


def new_sequence(scene: Any, name: str, unit: str, index_name: str = "step") -> Any:
    """Add a sequence without frames; the arguments are those of :func:`record`."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName(index_name)
    sequence.SetIndexUnit(unit)
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    return sequence


def browse(scene: Any, sequence: Any, browser: Any = None) -> Any:
    """Return the browser that plays a sequence, ``browser`` or a new one, with the frame in the scene."""
    if browser is None:
        name = _("{name} browser").format(name=sequence.GetName())
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", name)
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        browser.SetPlaybackRateFps(5.0)
    else:
        browser.AddSynchronizedSequenceNode(sequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(sequence)
    if is_synthetic(shown):
        mark(sequence, {}, role="sequence")
        shown.SetName(synthetic_name(shown))
    return browser


def _node_of(frame: Any, template: Any) -> Any:
    if not isinstance(frame, np.ndarray):
        return frame
    node = slicer.vtkMRMLScalarVolumeNode()
    matrix = vtk.vtkMatrix4x4()
    template.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetName(template.GetName())
    for attribute in template.GetAttributeNames():
        node.SetAttribute(attribute, template.GetAttribute(attribute))
    image = vtk.vtkImageData()
    fill_image(image, frame)
    node.SetAndObserveImageData(image)
    return node
