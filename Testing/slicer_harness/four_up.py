"""The four-up view of a result: axial, coronal, sagittal, and lungs and bones in 3D, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vtk
from HAGANSlicerLib.scene import display

from .scene import Environment
from .views import Picture, SliceView, ThreeDView, write_png

_PLANES = (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"))
_BORDER = 4
_FRONT_RIGHT = (0.35, 1.0, 0.15)
"""Where the 3D view is seen from, RAS: from the front, a little from the patient's right and from above."""


class FourUp:
    """Slicer's four-up layout. Make one per process: its views stay in the scene."""

    def __init__(self, environment: Environment, size: int = 400) -> None:
        self.environment = environment
        self.slices = [SliceView(environment, name, plane, (size, size)) for name, plane in _PLANES]
        self.three_d = ThreeDView(environment, "1", (size, size))

    def show(
        self,
        volume_node: Any,
        segmentation_node: Any,
        ras: Sequence[float] | None = None,
        camera: Any = None,
    ) -> None:
        """Show a volume and its segments in the four views; other segmentations of the scene are hidden.

        Args:
            volume_node: shown in the slices, the whole of it.
            segmentation_node: over the slices, and as surfaces in 3D.
            ras: the point where the three slices meet; None is the middle of the volume.
            camera: of the 3D view, from :meth:`camera`; None looks at all there is.
        """
        scene = self.environment.scene
        others = scene.GetNodesByClass("vtkMRMLSegmentationNode")
        for index in range(others.GetNumberOfItems()):
            others.GetItemAsObject(index).SetDisplayVisibility(False)
        segmentation_node.SetDisplayVisibility(True)
        segmentation_node.CreateClosedSurfaceRepresentation()
        display.show_volume(scene, volume_node)
        if ras is not None:
            for view in self.slices:
                view.node.JumpSliceByOffsetting(*ras)
        self.three_d.hide_box()  # a scene that was emptied has it again
        self.three_d.look_from(_FRONT_RIGHT)
        if camera is not None:
            self.three_d.renderer.GetActiveCamera().DeepCopy(camera)
            self.three_d.renderer.ResetCameraClippingRange()

    def camera(self) -> vtk.vtkCamera:
        """Return where the 3D view is seen from, to see another volume from the same place."""
        camera = vtk.vtkCamera()
        camera.DeepCopy(self.three_d.renderer.GetActiveCamera())
        return camera

    def picture(
        self,
        volume_node: Any,
        segmentation_node: Any,
        ras: Sequence[float] | None = None,
        camera: Any = None,
    ) -> Picture:
        """Return one picture of the four views; the arguments are those of :meth:`show`."""
        self.show(volume_node, segmentation_node, ras, camera)
        axial, coronal, sagittal = (_framed(view.image()) for view in self.slices)
        above = np.hstack([axial, _framed(self.three_d.image())])
        return np.vstack([above, np.hstack([coronal, sagittal])])

    def png(
        self,
        path: Path | str,
        volume_node: Any,
        segmentation_node: Any,
        ras: Sequence[float] | None = None,
        camera: Any = None,
    ) -> Path:
        """Write :meth:`picture` into a PNG file and return its path."""
        return write_png(self.picture(volume_node, segmentation_node, ras, camera), path)


def _framed(picture: Picture) -> Picture:
    return np.pad(picture, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), constant_values=40)
