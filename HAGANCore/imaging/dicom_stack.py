"""Put the images of a DICOM series on one another at their true positions, or say why that cannot be.

Every check names the value found. What positions, spacings or values contradict is refused; what is merely
uneven is interpolated to even distances, so that millilitres are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from .dicom_facts import Facts, Frame
from .volume import Geometry, Vector, Volume, nearest_rotation
from .voxel_size import LEFT_AND_RIGHT_ARE_A_GUESS, NoVoxelSize

_SAME_PLACE_MM = 1e-3
_STRAIGHT_MM, _STRAIGHT = 1.0, 0.01
"""How far slices may shift sideways: in mm for rounded positions, and as a share of the stack's length. A
gantry is tilted by degrees (1° is a share of 0.017)."""
_UNEVEN_GAP, _UNEVEN_MM = 0.05, 0.02
"""Spread of the distances, in usual ones or in mm, from which on slices are interpolated to even ones."""
_HOLE = 3.5
"""A distance that is so many times as large as both beside it is a hole or a wrong position."""
_FINEST_SHARE = 4
"""The even distance is not finer than this part of the usual one, however near two slices lie."""
_SAME_PIXEL = 1e-3
_JUMP, _JUMP_HU = 3.0, 50.0
"""How much more than its neighbours a slice with another rescaling may differ: times, and HU."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One image of a series."""

    path: Path
    index: int
    """Its number within the file, from 0."""
    facts: Facts

    @property
    def frame(self) -> Frame:
        """What the header says of it."""
        return self.facts.frames[self.index]

    def __str__(self) -> str:
        return f"'{self.path.name}'" + (f", image {self.index + 1}" if len(self.facts.frames) > 1 else "")


@dataclass(frozen=True, slots=True)
class Stack:
    """The images of a series in their order along the normal, and where they lie."""

    planes: tuple[Plane, ...]
    heights: npt.NDArray[np.float64]
    """Positions along the normal in mm, rising."""
    origin: npt.NDArray[np.float64]
    """Centre of the first voxel of the lowest image, LPS mm."""
    axes: npt.NDArray[np.float64]
    """(3, 3), directions of a row, of a column and of the normal, in columns."""
    pixel_mm: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def gaps(self) -> npt.NDArray[np.float64]:
        """Distances of neighbours in mm."""
        return np.diff(self.heights)


def stack_of(name: str, planes: Sequence[Plane], spacing: Vector | None) -> Stack:
    """Bring the images of a series into their order.

    Args:
        name: the series, as messages begin.
        planes: its images, in any order.
        spacing: the voxel size that the user gives, mm along a row, along a column and between slices.

    Raises:
        HaganError: no or only some positions, several images at one, other pixels in some, a tilted gantry,
            a slice beside the others, a hole between slices.
    """
    pixel_mm = _pixel_size(name, planes, spacing)
    notes = []
    turned = next((plane.frame.orientation for plane in planes if plane.frame.orientation), None)
    if turned is None:
        notes.append(f"The DICOM images have no orientation, {LEFT_AND_RIGHT_ARE_A_GUESS}")
        turned = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    row, column = np.array(turned[:3]), np.array(turned[3:])
    axes = nearest_rotation(np.stack([row, column, np.cross(row, column)], axis=1))
    without = [plane for plane in planes if plane.frame.position is None]
    if without:
        planes, places = _unplaced(name, planes, without, spacing, axes)
        notes.append(
            f"The DICOM images have no positions; they were put {spacing[2] if spacing else 0:g} mm apart "
            f"in the order of their numbers, {LEFT_AND_RIGHT_ARE_A_GUESS}"
        )
    else:
        places = np.array([plane.frame.position for plane in planes], float)
    order = np.argsort(places @ axes[:, 2], kind="stable")
    placed = tuple(planes[index] for index in order)
    places = places[order]
    stack = Stack(placed, places @ axes[:, 2], places[0], axes, pixel_mm, tuple(notes))
    _check_distinct(name, stack)
    _check_holes(name, stack)
    _check_straight(name, stack, places)
    return stack


def volume_of(
    name: str, stack: Stack, arrays: Sequence[npt.NDArray], modality: str, thickness: float
) -> Volume:
    """Return the images as one volume with even distances; ``meta`` has notes and ``slice_gaps_mm``.

    Args:
        name: the series, as messages begin.
        stack: of :func:`stack_of`.
        arrays: (y, x) each, in the stack's order.
        modality: ``CT``, …
        thickness: mm between slices where there is one only.

    Raises:
        HaganError: a CT's slice whose values are off by its rescaling.
    """
    if modality == "CT":
        _check_rescaling(name, stack, arrays)
    array = np.stack(arrays)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    gaps = stack.gaps
    gap = float(gaps.mean()) if len(gaps) else thickness
    meta: dict = {"notes": list(stack.notes)} if stack.notes else {}
    if len(gaps):
        meta["slice_gaps_mm"] = [float(gaps.min()), float(np.median(gaps)), float(gaps.max())]
        if _uneven(stack.heights):
            array, gap = _evened(array, stack.heights)
    geometry = Geometry(
        shape=(array.shape[0], array.shape[1], array.shape[2]),
        spacing=(stack.pixel_mm[0], stack.pixel_mm[1], gap),
        origin=(float(stack.origin[0]), float(stack.origin[1]), float(stack.origin[2])),
        direction=tuple(float(value) for value in stack.axes.ravel()),
    )
    return Volume(array, geometry, meta)


def _pixel_size(name: str, planes: Sequence[Plane], spacing: Vector | None) -> tuple[float, ...]:
    """Return the size of a pixel, which must be the same in all images."""
    if spacing is not None:
        return spacing[:2]
    without = [plane for plane in planes if plane.frame.pixel_mm is None]
    if without:
        raise NoVoxelSize(
            f"The DICOM series {name} does not say how large its pixels are in {len(without)} of "
            f"{len(planes)} images (PixelSpacing is missing or 0, the first in {without[0]}), and without a "
            "size there are no millilitres; give it with --spacing X,Y,Z in mm, or export the series again."
        )
    known = [(plane, plane.frame.pixel_mm) for plane in planes if plane.frame.pixel_mm]
    sizes = [size for _, size in known]
    usual = max(set(sizes), key=sizes.count)
    for plane, size in known:
        if not np.allclose(size, usual, rtol=_SAME_PIXEL):
            raise HaganError(
                f"The DICOM series {name} has pixels of {usual[0]:g} × {usual[1]:g} mm, but {plane} of "
                f"{size[0]:g} × {size[1]:g} mm; export it again, or leave that image out."
            )
    return usual


def _unplaced(
    name: str,
    planes: Sequence[Plane],
    without: Sequence[Plane],
    spacing: Vector | None,
    axes: npt.NDArray[np.float64],
) -> tuple[list[Plane], npt.NDArray[np.float64]]:
    """Return images without positions in the order of their numbers, as far apart as the user says."""
    count, missing = len(planes), len(without)
    if missing < count:
        raise HaganError(
            f"The DICOM series {name} has no position (ImagePositionPatient) in {missing} of {count} images, "
            f"the first in {without[0]}; export it again, or leave those out."
        )
    if spacing is None:
        raise NoVoxelSize(
            f"The DICOM series {name} does not say where its slices lie (no ImagePositionPatient); export it "
            "again, or give the voxel size with --spacing X,Y,Z in mm to stack them by their numbers."
        )
    inside = sorted(planes, key=lambda plane: (plane.facts.number or 0, plane.path.name, plane.index))
    return inside, np.outer(np.arange(count) * spacing[2], axes[:, 2])


def _check_distinct(name: str, stack: Stack) -> None:
    count, gaps = len(stack.planes), stack.gaps
    if count > 1 and gaps.min() < _SAME_PLACE_MM:
        raise HaganError(
            f"The DICOM series {name} has several images at one position ({count} images at "
            f"{1 + int((gaps >= _SAME_PLACE_MM).sum())} positions: time points or repeated reconstructions); "
            "export one of them alone."
        )


def _check_straight(name: str, stack: Stack, places: npt.NDArray[np.float64]) -> None:
    """Refuse slices that are shifted against one another: their voxels are no rectangular grid."""
    if len(places) < 2:
        return
    length = float(stack.heights[-1] - stack.heights[0])
    shifts = (places - places[0]) @ stack.axes[:, :2]
    allowed = max(_STRAIGHT_MM, _STRAIGHT * length)
    sideways = float(np.linalg.norm(shifts[-1]))
    if sideways > allowed:
        raise HaganError(
            f"The DICOM series {name} was taken with a tilted gantry (slices shift by {sideways:.0f} mm "
            f"over {length:.0f} mm); resample it to a rectangular grid first."
        )
    beside = np.linalg.norm(shifts, axis=1)
    if beside.max() > allowed:
        worst = int(beside.argmax())
        raise HaganError(
            f"The DICOM series {name} has an image that lies {beside[worst]:.0f} mm beside the others "
            f"({stack.planes[worst]}); its position is wrong, export it again."
        )


def _check_holes(name: str, stack: Stack) -> None:
    """Refuse a distance far above those beside it: too much would be made up, or a position is wrong.

    Where the images of one file do not rise in their order and are uneven, one position is wrong as well.
    """
    gaps = stack.gaps
    if len(gaps) < 2:
        return
    around = np.pad(gaps, 1)
    beside = np.maximum(around[:-2], around[2:])
    for index in np.flatnonzero(gaps > _HOLE * beside):
        raise HaganError(
            f"The DICOM series {name} has {gaps[index]:.1f} mm between two slices ({stack.planes[index]} and "
            f"{stack.planes[index + 1]}) where {float(np.median(gaps)):.1f} mm is usual: slices are missing, "
            "or a position is wrong. Export the complete series."
        )
    numbers = [plane.index for plane in stack.planes]
    one_file = len({plane.path for plane in stack.planes}) == 1
    if (
        one_file
        and numbers not in (sorted(numbers), sorted(numbers, reverse=True))
        and _uneven(stack.heights)
    ):
        falling = numbers[0] > numbers[-1]
        steps = np.diff(numbers) * (-1 if falling else 1)
        wrong = stack.planes[int(np.flatnonzero(steps < 0)[0])]
        raise HaganError(
            f"The DICOM series {name} has images whose positions contradict their order ({wrong}: distances "
            f"of {gaps.min():.1f}..{gaps.max():.1f} mm); a position is wrong, export the series again."
        )


def _check_rescaling(name: str, stack: Stack, arrays: Sequence[npt.NDArray]) -> None:
    """Refuse slices that another slope or intercept puts apart from their neighbours.

    Scanners may rescale each slice by its own numbers; then the values still go on from slice to slice.
    """
    rescalings = [plane.frame.rescale for plane in stack.planes]
    changes = [index for index, (a, b) in enumerate(pairwise(rescalings)) if a != b]
    if not changes:
        return
    thin = [np.asarray(array[::2, ::2], np.float32) for array in arrays]
    apart = np.array([float(np.abs(a - b).mean()) for a, b in pairwise(thin)])
    same = np.delete(apart, changes)
    usual = float(np.median(same if len(same) else apart))
    for index in changes:
        if apart[index] > _JUMP * usual + _JUMP_HU:
            first, second = (
                f"{slope:g} and {intercept:g}" for slope, intercept in rescalings[index : index + 2]
            )
            raise HaganError(
                f"The DICOM series {name} jumps by {apart[index]:.0f} HU on average (usual: {usual:.0f}) "
                f"between {stack.planes[index]} and {stack.planes[index + 1]}, where slope and intercept "
                f"change from {first} to {second}; the values of one are wrong, export it again."
            )


def _uneven(heights: npt.NDArray[np.float64]) -> bool:
    """Whether the mean distance would put slices at wrong places."""
    gaps = np.diff(heights)
    even = np.linspace(heights[0], heights[-1], len(heights))
    spread = float(gaps.max() - gaps.min())
    return spread > max(_UNEVEN_GAP * float(np.median(gaps)), _UNEVEN_MM) or bool(
        np.abs(heights - even).max() > 0.5 * float(gaps.mean())
    )


def _evened(array: npt.NDArray, heights: npt.NDArray[np.float64]) -> tuple[npt.NDArray, float]:
    """Return the slices interpolated to even distances, the smallest that there are, and that distance."""
    gaps = np.diff(heights)
    wanted = max(float(gaps.min()), float(np.median(gaps)) / _FINEST_SHARE)
    length = float(heights[-1] - heights[0])
    count = round(length / wanted) + 1
    out = np.empty((count, *array.shape[1:]), array.dtype)
    for index, height in enumerate(np.linspace(heights[0], heights[-1], count)):
        below = int(np.clip(np.searchsorted(heights, height, side="right") - 1, 0, len(heights) - 2))
        share = np.float32(np.clip((height - heights[below]) / gaps[below], 0, 1))
        mixed = array[below] * (1 - share) + array[below + 1] * share
        out[index] = np.rint(mixed) if array.dtype.kind in "iu" else mixed
    return out, length / (count - 1)
