"""A volume of the scene on its way to the worker: written once, however often it is asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.worker.protocol import release, volume_to_wire
from HAGANCore.worker.wire import array_to_wire

from .scene import outlines, provenance, volumes


def send_volume(session: Path, node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any]:
    """Write a volume into the session folder, in the world (transforms applied); return its message.

    Raises:
        HaganError: no voxels, several values per voxel, or a transform that is not linear.
    """
    array, geometry = volumes.volume_of(node)
    return volume_to_wire(
        session,
        array,
        geometry,
        modality=modality_of(node),
        unit="",
        synthetic=provenance.is_synthetic(node),
        provenance=provenance.provenance_of(node),
    )


def engine_volume(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """Return a volume as the engine sees it, in the world (transforms applied); the voxels are shared."""
    array, geometry = volumes.volume_of(node)
    return Volume(array, Geometry.from_dict({**geometry, "shape": array.shape}))


def modality_of(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Return the DICOM modality of a volume, or nothing where it did not come from DICOM."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item = tree.GetItemByDataNode(node) if tree is not None else 0
    return str(tree.GetItemAttribute(item, "DICOM.Modality") or "") if item else ""


class SentVolume:
    """The volume that was sent last; the same voxels in the same place are not written again.

    Writing 512 × 512 × 300 voxels takes about 0.1 s, which a check on every click should not cost.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._wire: dict[str, Any] | None = None

    def of(self, session: Path, node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any]:
        """Return the message of a volume; see :func:`send_volume`."""
        _, geometry = volumes.volume_of(node)
        key = (node.GetID(), node.GetImageData().GetMTime(), repr(geometry), modality_of(node))
        if self._wire is None or key != self._key or not Path(self._wire["array"]).exists():
            self.forget()
            self._wire = send_volume(session, node)
            self._key = key
        return self._wire

    def forget(self) -> None:
        """Remove the file: the volume is not needed any more."""
        release(self._wire)
        self._wire = None


class SentLabels:
    """The outlines that were sent last; the same ones are not written again."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._wire: dict[str, Any] | None = None
        self.left_out: tuple[str, ...] = ()
        """Segments of the last ones that are neither lung nor bone."""

    def of(self, session: Path, node: Any) -> dict[str, Any]:
        """Return the message of a segmentation or a label map volume.

        Raises:
            HaganError: see :func:`~.scene.outlines.outlines_of`.
        """
        key = outlines.state_of(node)
        if self._wire is None or key != self._key or not Path(self._wire["array"]).exists():
            self.forget()
            found = outlines.outlines_of(node)
            self._wire = array_to_wire(session, found.array, found.geometry)
            self.left_out = found.left_out
            self._key = key
        return self._wire

    def forget(self) -> None:
        """Remove the file: the outlines are not needed any more."""
        release(self._wire)
        self._wire, self.left_out = None, ()
