"""Where a NIfTI or MGH file says its voxels lie: its two matrices, its voxel sizes, and what it leaves open.

nibabel puts a missing voxel size right (1 mm) and takes one of the two matrices without a word, so the header
is read here as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from .voxel_size import LEFT_AND_RIGHT_ARE_A_GUESS, usable

Matrix = npt.NDArray[np.float64]
Sizes = tuple[float | None, float | None, float | None]

_MM_PER_UNIT = {1: 1000.0, 3: 0.001}
"""NIfTI's codes for metre and micrometre; 2 is mm, and what says nothing (0) means mm."""
_APART_MM = 0.5
"""Positions that differ by more are two different places: the quaternion's rounding stays below 0.1 mm."""
_SAME_SIZE = 0.01


@dataclass(frozen=True, slots=True)
class Place:
    """What the header says of the grid, in mm."""

    affine: Matrix
    """4 × 4, voxel to RAS mm: what is used."""
    sizes: Sizes
    """Edge lengths of a voxel as the file says them; None where it says nothing."""
    oriented: bool
    """Whether the header says which way the axes run."""
    other: Matrix | None = None
    """The matrix that is not used, where there are two."""
    header_sizes: Sizes = (None, None, None)
    """Voxel sizes that stand beside the matrix."""

    def notes(self, shape: tuple[int, ...]) -> list[str]:
        """Return what the user should know; ``shape`` is the number of voxels (x, y, z)."""
        notes = []
        if not self.oriented:
            notes.append(f"The file has no orientation, {LEFT_AND_RIGHT_ARE_A_GUESS}")
        if self.other is not None:
            notes += self._disagreement(self.other, shape)
        elif all(usable(size) for size in (*self.sizes, *self.header_sizes)):
            mine, theirs = np.abs(np.array([self.sizes, self.header_sizes], float))
            if not np.allclose(mine, theirs, rtol=_SAME_SIZE):
                notes.append(
                    f"The file's matrix has voxels of {_written(mine)}, its list of voxel sizes "
                    f"{_written(theirs)}; the matrix was taken."
                )
        return notes

    def _disagreement(self, other: Matrix, shape: tuple[int, ...]) -> list[str]:
        corners = np.array([[*corner, 1] for corner in product(*((0, n - 1) for n in shape))], float).T
        apart = float(np.linalg.norm(((self.affine - other) @ corners)[:3], axis=0).max())
        if apart <= _APART_MM:
            return []
        mirrored = np.linalg.det(self.affine[:3, :3]) * np.linalg.det(other[:3, :3]) < 0
        return [
            f"The file's two positions disagree by up to {apart:.1f} mm (sform: voxels of "
            f"{_written(_lengths(self.affine))}; qform: {_written(_lengths(other))}"
            f"{'; one is the mirror image of the other' if mirrored else ''}); the sform was taken."
        ]


def place_of(image: Any, header: bytes) -> Place:
    """Return what the header of a nibabel image says, given its bytes as they stand in the file."""
    if isinstance(image, nibabel.MGHImage):
        return _of_mgh(image, header)
    raw = image.header
    if isinstance(raw, nibabel.Nifti1Header):  # NIfTI-2 is a kind of it, and so is a pair
        raw = type(raw)(header[: type(raw).sizeof_hdr], check=False)
        return _of_nifti(image, raw)
    length = type(raw).template_dtype.itemsize
    plain = type(raw)(header[:length], check=False)
    return Place(np.array(image.affine, float), _sizes(plain["pixdim"][1:4], 1.0), oriented=False)


def _of_nifti(image: Any, raw: Any) -> Place:
    scale = _MM_PER_UNIT.get(int(raw["xyzt_units"]) & 7, 1.0)
    listed = _sizes(raw["pixdim"][1:4], scale)
    has_sform, has_qform = int(raw["sform_code"]) > 0, int(raw["qform_code"]) > 0
    affine = np.array(image.affine, float)
    affine[:3] *= scale
    if not has_sform:
        return Place(affine, listed, oriented=has_qform)
    other = None
    if has_qform and all(usable(size) for size in listed):
        other = np.array(image.header.get_qform(), float)
        other[:3] *= scale
    return Place(affine, _sizes(_lengths(affine), 1.0), oriented=True, other=other, header_sizes=listed)


def _of_mgh(image: Any, header: bytes) -> Place:
    raw = nibabel.freesurfer.mghformat.MGHHeader.template_dtype
    said = np.frombuffer(header[: raw.itemsize].ljust(raw.itemsize, b"\0"), raw)[0]
    affine = np.array(image.affine, float)
    # FreeSurfer: unless the flag is 1, sizes and directions are to be ignored.
    if said["goodRASFlag"] != 1:
        return Place(affine, (None, None, None), oriented=False)
    return Place(affine, _sizes(said["delta"], 1.0), oriented=True)


def _sizes(values: npt.ArrayLike, scale: float) -> Sizes:
    x, y, z = (float(value) * scale for value in np.asarray(values, float))
    return x, y, z


def _lengths(affine: Matrix) -> npt.NDArray[np.float64]:
    return np.linalg.norm(affine[:3, :3], axis=0)


def _written(sizes: npt.NDArray[np.float64]) -> str:
    return " × ".join(f"{size:.4g}" for size in sizes) + " mm"
