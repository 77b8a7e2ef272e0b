"""Read and write volumes: one door for every format, the same geometry behind it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..files import written_whole
from ..processes import in_threads
from .dicom import is_dicom, read_dicom
from .itk import read_itk, write_itk
from .nifti import nifti_bytes, read_nibabel
from .provenance import meta_from_document, provenance_document, read_sidecar, write_sidecar
from .volume import Volume
from .voxel_size import checked_spacing

NIBABEL_SUFFIXES = (".nii", ".nii.gz", ".mgz", ".mgh", ".hdr", ".img")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_GZIP_PART = 4 << 20
"""Bytes that one thread compresses at a time; a part cannot refer to the 32 KB before it, which is little."""


def require_there(path: Path) -> None:
    """Make sure that a scan's file or folder is there, before anything is begun for it.

    Raises:
        HaganError: it is not.
    """
    if not path.exists():
        raise HaganError(f"There is no file or folder '{path}'; check the path.")


def read_volume(
    path: Path | str, series: str | None = None, spacing: Sequence[float] | None = None
) -> Volume:
    """Read a scan: a DICOM folder or file, NIfTI, NRRD, MHA/MHD or MGZ.

    Args:
        path: file or folder. Of a folder with several DICOM series the largest axial one is taken, and
            ``meta["notes"]`` lists the others.
        series: the series' UID, number or a part of its description, where another one is wanted.
        spacing: the voxel size in mm, for a file that does not say it or says it wrongly: along the file's
            first, second and third index (for DICOM: along a row, along a column, between slices), which is
            the order of ``Geometry.spacing``. ``meta["voxel_size_given_mm"]`` then says so.

    Returns:
        The volume; integers stay integers. ``meta`` has ``source``, where there is something to know about
        the reading ``notes`` (lines for a person), and, where the file holds it, ``synthetic`` and
        ``provenance``.

    Raises:
        HaganError: no such file, unknown format, truncated, empty, not 3D, colour, or no voxel size.
    """
    path = Path(path)
    given = None if spacing is None else checked_spacing(spacing)
    require_there(path)
    if not path.is_dir() and not path.is_file():  # to open a pipe may wait for ever
        raise HaganError(f"'{path}' is a device or a pipe; give a file or a folder.")
    if path.is_dir() or is_dicom(path):
        return read_dicom(path, series, given)
    if path.stat().st_size == 0:
        raise HaganError(f"'{path}' is empty (0 bytes); copy or export it again.")
    name = path.name.lower()
    if name.endswith(NIBABEL_SUFFIXES):
        volume = read_nibabel(path, given)
    elif name.endswith(ITK_SUFFIXES):
        volume = read_itk(path, given)
    else:
        raise HaganError(
            f"'{path}' is not a kind of file that can be read; use a DICOM folder or "
            f"{', '.join(NIBABEL_SUFFIXES[:3] + ITK_SUFFIXES)}."
        )
    if "synthetic" not in volume.meta and "provenance" not in volume.meta:
        volume.meta.update(meta_from_document(read_sidecar(path)))
    return volume


def scan_name(path: Path | str) -> str:
    """Return the name that files made from a scan begin with.

    >>> scan_name("scans/thorax.nii.gz"), scan_name("dicom_folder/")
    ('thorax', 'dicom_folder')
    """
    name = Path(path).resolve().name
    for suffix in sorted((*NIBABEL_SUFFIXES, *ITK_SUFFIXES, ".dcm"), key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def write_volume(volume: Volume, path: Path | str) -> Path:
    """Write a volume as NIfTI, NRRD or MHA, whole or not at all, making the folder where it is missing.

    Values in HU (``meta["unit"] == "HU"``) are rounded to int16. Provenance (``meta["provenance"]``,
    ``meta["synthetic"]``) goes into the header and into ``NAME.json`` beside the file.

    Raises:
        HaganError: the name has no suffix of a known format, or the place cannot be written.
    """
    path = Path(path)
    if not path.name.lower().endswith(WRITABLE_SUFFIXES):
        raise HaganError(
            f"'{path}' has no suffix of a format that can be written; use {', '.join(WRITABLE_SUFFIXES)}."
        )
    array = _stored(volume)
    document = provenance_document(volume.meta)
    try:
        with written_whole(path) as temporary:
            if path.name.lower().endswith((".nii", ".nii.gz")):
                content = nifti_bytes(volume, array, document)
                parts = gzip_parts(content) if path.suffix.lower() == ".gz" else [content]
                with temporary.open("wb") as file:
                    file.writelines(parts)
            else:
                write_itk(volume, array, document, temporary)
        write_sidecar(path, document)
    except OSError as error:
        raise HaganError(f"'{path}' cannot be written: {error.strerror or error}.") from None
    return path


def gzip_parts(content: bytes) -> list[bytes]:
    """Return a gzip file of ``content`` in parts, which several threads have compressed.

    As pigz does it: each part but the last ends at a byte with an empty block, so that one after the other
    they are one stream. No time, so equal volumes are equal files.

    >>> import gzip
    >>> gzip.decompress(b"".join(gzip_parts(b"thorax" * 1_000_000))) == b"thorax" * 1_000_000
    True
    """
    view = memoryview(content)
    cuts = [*range(0, max(1, len(view)), _GZIP_PART), len(view)]

    def packed(part: tuple[int, int]) -> bytes:
        # Level 1 takes a third of the time of level 6 on a chest CT, the file is 2 % larger.
        stream = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        end = zlib.Z_FINISH if part[1] == len(view) else zlib.Z_FULL_FLUSH
        return stream.compress(view[slice(*part)]) + stream.flush(end)

    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
    trailer = struct.pack("<LL", zlib.crc32(view), len(view) & 0xFFFFFFFF)
    return [header, *in_threads(packed, list(pairwise(cuts))), trailer]


def _stored(volume: Volume) -> npt.NDArray:
    """Return the array in the type that goes into the file: int16 for HU, never float64, bool or int64."""
    array = volume.array
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        if volume.meta.get("unit") == "HU":
            finite = np.nan_to_num(array, nan=-1024.0, posinf=-1024.0, neginf=-1024.0)
            return np.rint(np.clip(finite, -32768, 32767)).astype(np.int16)
        return array.astype(np.float32, copy=False)
    if array.dtype.itemsize == 8:
        kinds = (np.uint8, np.int16, np.int32)
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        for kind in kinds:
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return array.astype(kind)
    return array
