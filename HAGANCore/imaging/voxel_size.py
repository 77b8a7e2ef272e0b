"""The size of a voxel, and what to do where a file does not say it: without one there are no millilitres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import HaganError
from .volume import Vector, Volume

GIVEN_KEY = "voxel_size_given_mm"
"""Entry of a volume's ``meta`` and of a result's provenance where the user gave the voxel size."""
_SAME_SIZE = 0.01
"""Relative difference up to which the file's own size and the user's are the same."""
LEFT_AND_RIGHT_ARE_A_GUESS = "so left and right (and top and bottom) are a guess; check them in a viewer."


class NoVoxelSize(HaganError):
    """A file does not say how large its voxels are, or how far its slices lie apart; the user can."""


def parse_spacing(text: str) -> Vector:
    """Return the voxel size that ``X,Y,Z`` means, in mm.

    >>> parse_spacing("0.7,0.7,2.5")
    (0.7, 0.7, 2.5)

    Raises:
        HaganError: not three lengths above 0.
    """
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise HaganError(f"A voxel size is three lengths in mm, as in 0.7,0.7,2.5; found '{text}'.") from None
    return checked_spacing((x, y, z))


def checked_spacing(spacing: Sequence[float]) -> Vector:
    """Return a voxel size that a caller gave.

    Raises:
        HaganError: not three finite lengths above 0.
    """
    sizes = tuple(float(size) for size in spacing)
    if len(sizes) != 3 or not all(math.isfinite(size) and size > 0 for size in sizes):
        written = ", ".join(f"{size:g}" for size in sizes)
        raise HaganError(f"A voxel size is three lengths in mm, all above 0; found {written}.")
    return sizes


def usable(size: float | None) -> bool:
    """Whether this is the length of a voxel's edge: there, a number, and not 0."""
    return size is not None and math.isfinite(size) and size != 0


def require_size(name: str, sizes: Sequence[float | None], given: Vector | None) -> None:
    """Refuse a file that does not say how large its voxels are, unless the user does.

    Args:
        name: the file, as the message begins.
        sizes: in mm along x, y and z, as the file has them; None where it says nothing.
        given: by the user.

    Raises:
        NoVoxelSize: a size is missing, 0 or not a number, and none is given.
    """
    if given is not None or all(usable(size) for size in sizes):
        return
    found = " × ".join("?" if size is None else f"{size:g}" for size in sizes)
    said = f"has a voxel size of {found} mm (x × y × z)"
    if not any(usable(size) for size in sizes) and None in sizes:
        said = "does not say how large its voxels are"
    raise NoVoxelSize(
        f"{name} {said}, and without a size there are no millilitres; give it with --spacing X,Y,Z in mm, or "
        "export the scan again."
    )


def with_spacing(volume: Volume, given: Vector | None, own: Sequence[float | None]) -> Volume:
    """Return the volume with the voxel size that the user gave, and a note that says so.

    Args:
        volume: as it was read.
        given: mm along x, y, z, the order of the file's own indices; None leaves the volume as it is.
        own: the sizes that the file says, None where it says nothing.
    """
    if given is None:
        return volume
    note = f"The voxel size {_written(given)} was given by the user; "
    if all(usable(size) for size in own):
        sizes = [abs(float(size)) for size in own if size is not None]
        same = np.allclose(sizes, given, rtol=_SAME_SIZE)
        note += f"the file's own, {_written(sizes)}, is {'the same' if same else 'not used'}."
    else:
        note += "the file does not say it."
    meta = {**volume.meta, GIVEN_KEY: list(given), "notes": [*volume.meta.get("notes", ()), note]}
    return replace(volume, geometry=replace(volume.geometry, spacing=given), meta=meta)


def given_facts(volume: Volume) -> dict[str, Any]:
    """Return what the provenance of a result has to say of its scan's voxel size: nothing, or who gave it."""
    if GIVEN_KEY not in volume.meta:
        return {}
    return {GIVEN_KEY: volume.meta[GIVEN_KEY], "voxel_size_from": "given by the user"}


def _written(sizes: Sequence[float]) -> str:
    return " × ".join(f"{size:g}" for size in sizes) + " mm"
