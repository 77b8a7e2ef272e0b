"""What may outline the organs: the rules of this package, a label map of the user's, or TotalSegmentator."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import nibabel
import numpy as np
import SimpleITK as sitk

from ..errors import HaganError
from ..imaging.io import read_volume, write_volume
from ..imaging.itk import to_itk
from ..imaging.orientation import canonical_view
from ..imaging.volume import Geometry, Volume
from ..progress import Progress, no_progress
from .cut import where_cut
from .doubts import doubts_about_cuts
from .segment import LABELS, Segmentation, Survey

_SAME_GRID_MM = 0.01
"""A grid whose corners lie this near to the other's is the same: formats round."""
_TOTAL_LUNGS = {"left_lung": (10, 11), "right_lung": (12, 13, 14)}
_TOTAL_BONES = (*range(25, 51), *range(69, 79), *range(91, 117))
MEANINGS: dict[str, dict[str, tuple[int, ...]]] = {
    "hagan": {name: (number,) for name, number in LABELS.items()},
    "totalsegmentator": {**_TOTAL_LUNGS, "bones": _TOTAL_BONES},
}
"""Numbers in a label map by organ. ``hagan``: 1 right lung, 2 left lung, 3 bones, as ``hagan segment``
writes. ``totalsegmentator``: the lobes, and sacrum, vertebrae, limbs, skull, ribs and breastbone of its task
*total*, version 2 (Wasserthal et al., Radiology: AI 5 (2023) e230024); its other organs are left out."""


class Segmenter(Protocol):
    """Outlines lungs and bones in a CT; :func:`~HAGANCore.anatomy.segment` is one."""

    def __call__(self, volume: Volume, progress: Progress = no_progress) -> Segmentation:
        """Return the organs on the volume's own grid."""
        ...


@dataclass(frozen=True, slots=True)
class LabelMap:
    """A label map of the user's in place of the rules."""

    labels: Volume
    """Whole numbers, on any grid."""
    meaning: Mapping[str, tuple[int, ...]]
    """The numbers of each organ: a value of :data:`MEANINGS`."""

    def __call__(self, volume: Volume, progress: Progress = no_progress) -> Segmentation:
        """Return the organs of the label map.

        One on another grid is brought to the volume's by the nearest voxel, and the result says so.

        Raises:
            HaganError: it is no label map, holds a number without a meaning, or no organ within the volume.
        """
        progress(0.0, "reading the labels")
        numbers = self._checked()
        notes = []
        if not _same_grid(self.labels.geometry, volume.geometry):
            numbers = onto_grid(Volume(numbers, self.labels.geometry), volume.geometry)
            if not _on_one_lattice(self.labels.geometry, volume.geometry):
                notes.append("The label map lies on another grid; the nearest of its voxels were taken.")
        labels = np.zeros(volume.array.shape, np.uint8)
        for name, meant in self.meaning.items():
            labels[np.isin(numbers, meant)] = LABELS[name]
        if not labels.any():
            raise HaganError(
                "The label map shows no lung and no bone within the scan; does it belong to this scan?"
            )
        return _measured(labels, volume, tuple(notes), progress)

    def _checked(self) -> np.ndarray:
        array = self.labels.array
        values = np.unique(array)
        if not np.array_equal(values, np.rint(values)):
            span = f"{values[0]:.4g}..{values[-1]:.4g}"
            raise HaganError(f"A label map holds whole numbers; this one holds {span}.")
        known = {0}.union(*self.meaning.values())
        unknown = [int(value) for value in values if value not in known]
        if unknown and self.meaning == MEANINGS["hagan"]:
            raise HaganError(
                f"The label map holds {_listed(unknown)}, which mean nothing here; 1 is the right lung, 2 "
                "the left lung, 3 bones. If TotalSegmentator made it, say so (--labels-are totalsegmentator)."
            )
        return np.rint(array).astype(np.int32)


@dataclass(frozen=True, slots=True)
class TotalSegmentator:
    """TotalSegmentator, where it is installed. It loads its weights from its own server on first use."""

    def __call__(self, volume: Volume, progress: Progress = no_progress) -> Segmentation:
        """Return its lungs and bones.

        Raises:
            HaganError: it is not installed.
        """
        try:
            totalsegmentator = import_module("totalsegmentator.python_api").totalsegmentator
        except ImportError:
            raise HaganError(
                "TotalSegmentator is not installed in this Python; install it (pip install TotalSegmentator) "
                "or give the label map that it wrote elsewhere."
            ) from None
        progress(0.0, "TotalSegmentator")
        with tempfile.TemporaryDirectory() as folder:
            scan, labels = Path(folder, "scan.nii.gz"), Path(folder, "labels.nii.gz")
            write_volume(volume, scan)
            nibabel.save(totalsegmentator(nibabel.load(scan), ml=True), labels)
            found = read_volume(labels)
        return LabelMap(found, MEANINGS["totalsegmentator"])(volume, progress)


def segmenter_of(labels: Path | Volume, meaning: str = "hagan") -> LabelMap | TotalSegmentator:
    """Return what takes the place of the rules: a label map, a file of one, or ``totalsegmentator``.

    Raises:
        HaganError: the file cannot be read, or nobody knows the meaning.
    """
    if str(labels).lower() == "totalsegmentator":
        return TotalSegmentator()
    if meaning not in MEANINGS:
        known = ", ".join(MEANINGS)
        raise HaganError(f"There is no meaning '{meaning}' of label numbers; choose from {known}.")
    return LabelMap(read_volume(labels) if isinstance(labels, Path) else labels, MEANINGS[meaning])


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"{shown} and {len(numbers) - 5} more" if len(numbers) > 5 else shown


def _same_grid(first: Geometry, second: Geometry) -> bool:
    """Tell whether the voxels of two grids coincide."""
    if first.shape != second.shape:
        return False
    z, y, x = first.shape
    corners = np.array([(i, j, k, 1) for i in (0, x - 1) for j in (0, y - 1) for k in (0, z - 1)], float).T
    return bool(np.abs((first.matrix - second.matrix) @ corners).max() < _SAME_GRID_MM)


def _on_one_lattice(first: Geometry, second: Geometry) -> bool:
    """Tell whether the voxels of two grids coincide where they overlap: one is cut out of the other."""
    step = np.linalg.solve(second.matrix, first.matrix) - np.eye(4)
    offset = step[:3, 3] - np.rint(step[:3, 3])
    drift = np.abs(step[:3, :3]) @ np.array(first.shape[::-1], float)
    return bool((np.abs(offset) + drift).max() * max(second.spacing) < _SAME_GRID_MM)


def onto_grid(labels: Volume, grid: Geometry) -> np.ndarray:
    """Return labels on another grid, by the nearest voxel; 0 where they do not reach."""
    target = to_itk(Volume(np.zeros(grid.shape, np.uint8), grid))
    moved = sitk.Resample(to_itk(labels), target, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return sitk.GetArrayFromImage(moved)


def _measured(labels: np.ndarray, volume: Volume, notes: tuple[str, ...], progress: Progress) -> Segmentation:
    """Return a segmentation of labels: the body around them is found by this package's rules."""
    survey = Survey.of(volume, progress)
    seen = canonical_view(labels, volume.geometry, "SPL").array
    cut = where_cut(seen, LABELS, survey.view, survey.body, survey.spacing)
    millilitres = {
        name: np.count_nonzero(labels == LABELS[name]) * volume.geometry.voxel_ml
        for name in ("right_lung", "left_lung")
    }
    thorax_ml = survey.body_voxels * volume.geometry.voxel_ml
    doubts = tuple(doubts_about_cuts(cut, millilitres))
    progress(1.0)
    return Segmentation(labels, volume.geometry, thorax_ml, cut, doubts, notes)
