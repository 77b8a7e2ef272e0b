"""Slice and 3D views rendered off-screen by Slicer's own displayable managers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from PIL import Image
from vtk.util.numpy_support import vtk_to_numpy

from .scene import Environment, view_factories

if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    # VTK finds this window by itself, after a warning for each window that there is no X server.
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

_SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
_THREE_D_MANAGERS = (
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)
Picture = npt.NDArray[np.uint8]


class _View:
    """An off-screen render window with a group of displayable managers."""

    node: Any
    """The vtkMRMLSliceNode or vtkMRMLViewNode."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.ShowWindowOff()
        self.window.SetMultiSamples(0)  # with more, rendered volumes vanish on software OpenGL
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.window.SetSize(*size)  # Initialize() has set the window's default

    def _add_managers(self, factory: Any, names: tuple[str, ...]) -> None:
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.SetRenderer(self.renderer)
        self.managers.Initialize(factory, self.renderer)

    def draw(self) -> None:
        """Render, without reading the picture."""
        self.window.Render()

    def image(self) -> Picture:
        """Render and return the picture, (height, width, RGB), first row at the top."""
        self.draw()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.ShouldRerenderOff()
        grab.Update()
        output = grab.GetOutput()
        width, height, _ = output.GetDimensions()
        pixels = vtk_to_numpy(output.GetPointData().GetScalars()).reshape(height, width, -1)
        return np.ascontiguousarray(pixels[::-1, :, :3])

    def png(self, path: Path | str) -> Path:
        """Render the picture into a PNG file and return its path."""
        return write_png(self.image(), path)


class SliceView(_View):
    """A slice view, e.g. ``SliceView(environment, "Red", "Axial")``.

    It shows what its composite node asks for, as the application's view of that name does.
    """

    def __init__(
        self, environment: Environment, name: str, orientation: str, size: tuple[int, int] = (400, 400)
    ) -> None:
        super().__init__(size)
        # The image's actor must be in the renderer before the displayable managers add theirs: after them
        # it is rejected by depth wherever they draw, and overlays cover black.
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._add_managers(view_factories()[1], _SLICE_MANAGERS)

        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(environment.application_logic)
        environment.application_logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(environment.scene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)

    @property
    def composite(self) -> Any:
        """The view's vtkMRMLSliceCompositeNode: background, foreground, label and their opacities."""
        return self.logic.GetSliceCompositeNode()

    def fit(self) -> None:
        """Show the whole background volume, at the middle of it."""
        self.logic.FitSliceToBackground()
        self.logic.SnapSliceOffsetToIJK()

    def show_slice_at(self, offset_mm: float) -> None:
        """Move the slice plane to ``offset_mm`` along its normal (RAS)."""
        self.logic.SetSliceOffset(offset_mm)

    def pixel_of(self, ras: tuple[float, float, float]) -> tuple[int, int]:
        """Return the (row, column) in :meth:`image` that shows a point of the patient."""
        to_ras = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), to_ras)
        x, y, _, _ = to_ras.MultiplyPoint((*ras, 1.0))
        return self.window.GetSize()[1] - 1 - round(y), round(x)

    def draw(self) -> None:
        """Render what the slice's logic has."""
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        super().draw()


class ThreeDView(_View):
    """A 3D view with Slicer's default background, without box and axis labels."""

    def __init__(self, environment: Environment, name: str = "1", size: tuple[int, int] = (400, 400)) -> None:
        super().__init__(size)
        self._add_managers(view_factories()[0], _THREE_D_MANAGERS)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(environment.application_logic)
        environment.application_logic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(environment.scene)
        self.node = self.logic.AddViewNode(name)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.hide_box()

    def hide_box(self) -> None:
        """Show neither box nor axis labels: closing a scene gives the view node its defaults again."""
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)

    def look_from(self, direction: tuple[float, float, float], zoom: float = 1.3) -> None:
        """Look at all that is visible from ``direction`` (RAS: (0, 1, 0) is from the front), head up."""
        camera = self.renderer.GetActiveCamera()
        camera.SetFocalPoint(0, 0, 0)
        camera.SetPosition(*direction)
        camera.SetViewUp(0, 0, 1)
        self.window.Render()  # the displayable managers build their actors only now
        self.renderer.ResetCamera()
        camera.Dolly(zoom)
        self.renderer.ResetCameraClippingRange()


def write_png(picture: Picture, path: Path | str) -> Path:
    """Write a picture (height, width, RGB), first row at the top, and return its path."""
    Image.fromarray(picture).save(path)
    return Path(path)
