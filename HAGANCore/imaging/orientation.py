"""See any scan along the body's axes without touching its voxels: permute and flip only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from .volume import Geometry

Triple = tuple[float, float, float]
Range = tuple[float, float]

LPS_AXIS = {"L": (0, 1.0), "R": (0, -1.0), "P": (1, 1.0), "A": (1, -1.0), "S": (2, 1.0), "I": (2, -1.0)}
"""Anatomical letter: world axis (x, y, z) and sign in LPS."""


@dataclass(frozen=True, slots=True)
class View:
    """A scan's array seen along anatomical axes: a view, not a copy."""

    array: npt.NDArray
    spacing: Triple
    """In mm along the view's axes."""
    permutation: tuple[int, int, int]
    """For each axis of the view, the axis of the source array."""
    flip: tuple[bool, bool, bool]
    """Whether the view runs against the source's axis."""

    def to_source_box(self, box: Sequence[Range]) -> tuple[Range, Range, Range]:
        """Turn ranges of face coordinates along the view's axes into such along the source's axes."""
        ranges: list[Range] = [(0.0, 0.0)] * 3
        for axis, (first, last) in enumerate(box):
            count = self.array.shape[axis]
            ranges[self.permutation[axis]] = (
                (count - last, count - first) if self.flip[axis] else (first, last)
            )
        return ranges[0], ranges[1], ranges[2]

    def from_source_box(self, box: Sequence[Range]) -> tuple[Range, Range, Range]:
        """Turn ranges along the source's axes into such along the view's axes."""
        ranges = []
        for axis in range(3):
            first, last = box[self.permutation[axis]]
            count = self.array.shape[axis]
            ranges.append((count - last, count - first) if self.flip[axis] else (first, last))
        return ranges[0], ranges[1], ranges[2]


def canonical_view(array: npt.NDArray, geometry: Geometry, axes: str) -> View:
    """Return ``array`` seen along the anatomical ``axes``, e.g. ``SPL``; the nearest ones if oblique.

    >>> flipped = Geometry(shape=(2, 3, 4), direction=(-1, 0, 0, 0, 1, 0, 0, 0, -1))
    >>> view = canonical_view(np.zeros((2, 3, 4)), flipped, "SPL")
    >>> view.permutation, view.flip
    ((0, 1, 2), (True, False, True))
    """
    permutation, flip = nearest_axes(geometry, axes)
    spacing = [geometry.spacing[2 - axis] for axis in permutation]
    return View(
        array=seen_along(array, permutation, flip),
        spacing=(spacing[0], spacing[1], spacing[2]),
        permutation=permutation,
        flip=flip,
    )


def nearest_axes(geometry: Geometry, axes: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return which source axis comes nearest to each anatomical one, and whether it runs against it."""
    direction = np.reshape(geometry.direction, (3, 3))
    wanted = np.zeros((3, 3))
    for row, letter in enumerate(axes):
        world, sign = LPS_AXIS[letter]
        wanted[row, world] = sign
    # cosines[a, k]: how far source array axis k runs along the wanted axis a.
    cosines = wanted @ direction[:, ::-1]
    best = max(permutations(range(3)), key=lambda order: sum(abs(cosines[a, k]) for a, k in enumerate(order)))
    flip = [bool(cosines[a, k] < 0) for a, k in enumerate(best)]
    return (best[0], best[1], best[2]), (flip[0], flip[1], flip[2])


def seen_along(array: npt.NDArray, permutation: Sequence[int], flip: Sequence[bool]) -> npt.NDArray:
    """Return the view of ``array`` with its axes in this order and direction; writable where it is."""
    return array.transpose(tuple(permutation))[tuple(slice(None, None, -1 if f else 1) for f in flip)]
