"""NIfTI and FreeSurfer MGZ files, through nibabel: it leaves us the choice of the matrix that is believed.

NIfTI's quaternion loses up to 0.1 mm across a scan where its first component is near zero (float32), and
ITK may prefer it; the sform matrix keeps 1e-4 mm, so we read that one and write both.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.imageglobals import logger as nibabel_log
from nibabel.nifti1 import Nifti1Extension

from ..errors import HaganError, OutOfMemory
from .itk import DENSEST_PACKING
from .provenance import from_header_text, meta_from_document, to_header_text
from .volume import Geometry, Volume, nearest_rotation, require_rectangular

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_COMMENT = 6
"""NIfTI's code for a header extension that holds plain text."""
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}
"""NIfTI's codes for metre and micrometre; 2 is mm, and what says nothing (0) means mm."""
_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    nibabel.spatialimages.HeaderDataError,
    nibabel.filebasedimages.ImageFileError,
)
"""What a damaged header or a torn file makes nibabel raise."""


def read_nibabel(path: Path) -> Volume:
    """Read NIfTI (plain, gzipped, pair) or MGH/MGZ; the world becomes LPS mm.

    Raises:
        HaganError: truncated, damaged, not 3D, colour, or sheared axes.
    """
    with _quiet_nibabel():
        image = _load(path)
    shape = _spatial_shape(path, image.shape)
    dtype = image.get_data_dtype()
    _require_bytes(path, image, shape, dtype.itemsize)
    if dtype.kind not in "iufb":
        raise HaganError(
            f"'{path}' holds colour or complex voxels ({dtype}); only one number per voxel can be used. "
            "Export the scan in Hounsfield units or grey values."
        )
    try:
        array = np.asanyarray(image.dataobj).reshape(shape, order="F")
    except _ERRORS as error:
        raise _damaged(path, error) from None
    except MemoryError:
        raise OutOfMemory(
            f"'{path}' holds {' × '.join(map(str, shape))} voxels, for which memory does not suffice; "
            "close other programs or crop it first."
        ) from None
    geometry = geometry_from_ras(path, _in_mm(image), shape)
    meta = {"source": str(path), **_meta(image.header)}
    return Volume(_sensible(array).T, geometry, meta)


def nifti_bytes(volume: Volume, array: npt.NDArray, document: dict[str, Any] | None) -> bytes:
    """Return a NIfTI-1 file of ``array`` on the volume's grid, with the provenance in its header."""
    affine = _RAS_FROM_LPS @ volume.geometry.matrix
    image = nibabel.Nifti1Image(array.T, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    if document is not None:
        # `descrip` has 79 letters, but every viewer shows it; the extension has all.
        note = "SYNTHETIC, HAGANCore, not for diagnosis" if document["synthetic"] else "HAGANCore"
        image.header["descrip"] = note.encode()
        image.header.extensions.append(Nifti1Extension(_COMMENT, to_header_text(document).encode("ascii")))
    return image.to_bytes()


def geometry_from_ras(path: Path, affine: npt.NDArray[np.float64], shape: tuple[int, ...]) -> Geometry:
    """Return the geometry of a RAS voxel-to-world matrix for an array of ``shape`` (x, y, z)."""
    matrix = _RAS_FROM_LPS @ affine
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    axes = matrix[:3, :3] / np.where(spacing > 0, spacing, 1.0)
    require_rectangular(f"'{path}'", spacing if np.isfinite(matrix).all() else [np.nan] * 3, axes)
    return Geometry(
        shape=(shape[2], shape[1], shape[0]),
        spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        origin=(float(matrix[0, 3]), float(matrix[1, 3]), float(matrix[2, 3])),
        direction=tuple(float(value) for value in nearest_rotation(axes).ravel()),
    )


@contextmanager
def _quiet_nibabel() -> Iterator[None]:
    """Keep nibabel from saying on the terminal what it repairs in a header."""
    before, nibabel_log.disabled = nibabel_log.disabled, True
    try:
        yield
    finally:
        nibabel_log.disabled = before


def _load(path: Path) -> Any:
    """Return the nibabel image; a gzipped file is unpacked whole, so that its checksum is tested."""
    try:
        with path.open("rb") as stream:
            if stream.read(2) != b"\x1f\x8b":
                return nibabel.load(path)
        content = gzip.decompress(path.read_bytes())
        for kind in _kinds(path, content):
            return kind.from_bytes(content)
    except _ERRORS as error:
        raise _damaged(path, error) from None
    raise _damaged(path, ValueError("its content is not of that kind"))


def _kinds(path: Path, content: bytes) -> list[Any]:
    if path.name.lower().endswith((".mgz", ".mgh")):
        return [nibabel.MGHImage]
    header_bytes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    if 348 in header_bytes:
        return [nibabel.Nifti1Image]
    if 540 in header_bytes:
        return [nibabel.Nifti2Image]
    return []


def _damaged(path: Path, error: Exception) -> HaganError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return HaganError(
        f"'{path}' cannot be read as {'MGZ' if path.suffix.lower() in ('.mgz', '.mgh') else 'NIfTI'}: it is "
        f"truncated, damaged or another kind of file ({reason[:160]}). Copy or export it again."
    )


def _in_mm(image: Any) -> npt.NDArray[np.float64]:
    """Return the voxel-to-world matrix in mm: NIfTI may say that its numbers are micrometres or metres."""
    affine = np.array(image.affine, np.float64)
    if "xyzt_units" in (image.header.keys() if hasattr(image.header, "keys") else ()):
        affine[:3] *= _MM_PER_UNIT.get(int(image.header["xyzt_units"]) & 7, 1.0)
    return affine


def _require_bytes(path: Path, image: Any, shape: tuple[int, ...], itemsize: int) -> None:
    """Refuse a header that promises more voxels than the file can hold, before memory is taken for them."""
    claimed = math.prod(shape) * itemsize
    place = image.file_map["image"]
    if place.fileobj is not None:
        held = len(place.fileobj.getbuffer())
    elif str(place.filename).lower().endswith((".gz", ".bz2", ".zst")):
        held = DENSEST_PACKING * Path(place.filename).stat().st_size
    else:
        held = Path(place.filename).stat().st_size
    if min(shape) < 0 or claimed > held:
        voxels = " × ".join(map(str, shape))
        raise _damaged(
            path, ValueError(f"{voxels} voxels are announced, {claimed:,} bytes, {held:,} are there")
        )


def _spatial_shape(path: Path, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop trailing dimensions of length 1, which some programs write."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise HaganError(
            f"'{path}' has {len(shape)} dimensions ({' × '.join(map(str, shape))}); one 3D volume is needed. "
            "Split a series of volumes and give one of them."
        )
    return shape


def _sensible(array: npt.NDArray) -> npt.NDArray:
    """Keep integers; make scaled values (nibabel gives float64) int16 where they are whole, else float32."""
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is reported
            array = array.astype(np.float32)
        if array.size and np.isfinite(array).all() and np.abs(array).max() < 32767:
            whole = array.astype(np.int16)
            if np.array_equal(whole, array):
                return whole
    # numpy works fastest on the machine's own byte order; NIfTI and MGZ files may have either.
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _meta(header: Any) -> dict[str, Any]:
    for extension in getattr(header, "extensions", ()):
        if extension.get_code() == _COMMENT:
            content = extension.get_content()
            text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
            document = from_header_text(text)
            if document is not None:
                return meta_from_document(document)
    # A program that drops extensions mostly keeps the description.
    keys = header.keys() if hasattr(header, "keys") else ()
    if "descrip" in keys and bytes(header["descrip"].item()).startswith(b"SYNTHETIC"):
        return {"synthetic": True}
    return {}
