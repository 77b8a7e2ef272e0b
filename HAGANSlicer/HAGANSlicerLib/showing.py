"""Which result the views show: the newest one, alone, as results of one model all lie in the same place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer
from slicer.i18n import tr as _

from HAGANCore.wording import millilitres_text, percent_text

from .scene import camera, display, provenance, tables
from .scene.results import Nodes

LARGEST_PREPARED = 256**3


def show_result(scene: Any, nodes: Nodes, modality: str) -> None:
    """Show a volume in the slice views and its segments, or else its volume rendering, in 3D.

    Volume rendering with the modality's preset is prepared in any case; over surfaces it would hide them. A
    volume of more than :data:`LARGEST_PREPARED` voxels has it only where it is shown: the module looks
    through all voxels for their range, half a second in which the window stands still.
    """
    hide_results(scene)
    display.show_volume(scene, nodes.volume)
    alone = nodes.segmentation is None
    if alone or nodes.volume.GetImageData().GetNumberOfPoints() <= LARGEST_PREPARED:
        display.volume_rendering(scene, nodes.volume, modality, visible=alone)
    if nodes.segmentation is not None:
        display.show_segmentation(nodes.segmentation)
    camera.look_at(scene, nodes.volume, nodes.segmentation)
    if nodes.table is not None:
        display.show_table(nodes.table)


def hide_results(scene: Any) -> None:
    """Hide the segments and volume renderings of all results, which stay in the scene."""
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene):
        if provenance.role_of(node) and node.GetDisplayNode() is not None:
            display.show_segmentation(node, visible=False)
    for node in slicer.util.getNodesByClass("vtkMRMLVolumeRenderingDisplayNode", scene):
        volume = node.GetDisplayableNode()
        if volume is not None and provenance.role_of(volume):
            node.SetVisibility(False)


def measured_text(labels: Mapping[str, Any]) -> str:
    """Return the measured volumes of a label map as a line for a person, with what makes them doubtful.

    Args:
        labels: of a message.
    """
    measurements = labels["measurements"]
    titles = (
        ("right_lung_ml", _("right lung")),
        ("left_lung_ml", _("left lung")),
        ("bones_ml", _("bone")),
    )
    parts = []
    for key, title in titles:
        remark = tables.remark_on(key, labels)
        text = f"{title} {millilitres_text(measurements[key])}"
        parts.append(f"{text} ⚠ {remark}" if remark else text)
    if measurements["thorax_ml"]:
        share = percent_text(measurements["lungs_ml"] / measurements["thorax_ml"], 0)
        parts.append(_("lungs {percent} of the thorax").format(percent=share))
    return "; ".join(parts)
