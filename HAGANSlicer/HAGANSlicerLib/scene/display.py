"""What the views show: slices, comparison, volume rendering, plots and tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import slicer
import vtk

PRESETS = {"CT": "CT-Chest-Contrast-Enhanced", "MR": "MR-Default"}
"""Modality: the preset of Slicer's Volume Rendering module."""

# Used where Slicer's own presets are missing. HU; opacity per mm of tissue.
_CT_OPACITY = ((-3024, 0.0), (60, 0.0), (180, 0.2), (350, 0.5), (1000, 0.7), (3071, 0.7))
_CT_COLOR = (
    (-3024, (0.0, 0.0, 0.0)),
    (60, (0.55, 0.2, 0.15)),
    (180, (0.85, 0.55, 0.35)),
    (350, (0.97, 0.9, 0.8)),
    (3071, (1.0, 1.0, 1.0)),
)


def show_volume(scene: Any, node: Any) -> None:
    """Show a volume alone in all slice views, the whole of it."""
    for composite in _composites(scene):
        composite.SetBackgroundVolumeID(node.GetID())
        composite.SetForegroundVolumeID(None)
    fit_slices()


def compare(scene: Any, background: Any, foreground: Any, opacity: float = 0.5) -> None:
    """Show one volume over another in all slice views; an opacity of 0 shows the background alone."""
    for composite in _composites(scene):
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID())
        composite.SetForegroundOpacity(opacity)


def fit_slices() -> None:
    """Bring the whole background volume into each slice view, at a slice through voxel centres."""
    logics = slicer.app.applicationLogic().GetSliceLogics()
    for index in range(logics.GetNumberOfItems()):
        logic = logics.GetItemAsObject(index)
        logic.FitSliceToBackground()
        logic.SnapSliceOffsetToIJK()


def volume_rendering(scene: Any, node: Any, modality: str = "CT", visible: bool = True) -> Any:
    """Render a volume in 3D with the preset of its modality.

    Returns:
        The vtkMRMLVolumeRenderingDisplayNode; None where Slicer has no Volume Rendering module.
    """
    module = getattr(slicer.modules, "volumerendering", None)
    if module is None:
        logging.warning("No volume rendering: this Slicer has no Volume Rendering module.")
        return None
    logic = module.logic()
    display = logic.GetFirstVolumeRenderingDisplayNode(node)
    if display is None:
        display = logic.CreateDefaultVolumeRenderingNodes(node)
        name = PRESETS.get(modality, "")
        preset = logic.GetPresetByName(name)
        if preset is not None:
            display.GetVolumePropertyNode().Copy(preset)
        elif modality == "CT":
            logging.info("Volume rendering: preset '%s' is missing; using the module's own.", name)
            _set_functions(display.GetVolumePropertyNode(), _CT_OPACITY, _CT_COLOR)
    display.SetVisibility(visible)
    return display


def show_segmentation(node: Any, visible: bool = True) -> None:
    """Show or hide segments in slices and in 3D."""
    node.GetDisplayNode().SetVisibility(visible)


def show_plot(chart: Any) -> None:
    """Show a plot chart; changes the layout to one that has a plot view."""
    slicer.modules.plots.logic().ShowChartInLayout(chart)


def show_table(node: Any) -> None:
    """Make a table the one that table views show."""
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetActiveTableID(node.GetID())
    logic.PropagateTableSelection()


def _composites(scene: Any) -> Iterator[Any]:
    found = scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    for index in range(found.GetNumberOfItems()):
        yield found.GetItemAsObject(index)


def _set_functions(
    node: Any,
    opacity: Sequence[tuple[float, float]],
    color: Sequence[tuple[float, tuple[float, float, float]]],
) -> None:
    opacities, colors = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
    for value, alpha in opacity:
        opacities.AddPoint(value, alpha)
    for value, rgb in color:
        colors.AddRGBPoint(value, *rgb)
    node.SetScalarOpacity(opacities)
    node.SetColor(colors)
    property_ = node.GetVolumeProperty()
    property_.ShadeOn()
    property_.SetInterpolationTypeToLinear()
    property_.SetAmbient(0.1)
    property_.SetDiffuse(0.9)
    property_.SetSpecular(0.2)
