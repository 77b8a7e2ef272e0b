"""NIfTI and FreeSurfer MGZ files, through nibabel: it leaves us the choice of the matrix that is believed.

NIfTI's quaternion loses up to 0.1 mm across a scan where its first component is near zero (float32), and
ITK may prefer it; the sform matrix keeps 1e-4 mm, so we read that one and write both.
"""

from __future__ import annotations

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
from .besides import require_beside
from .gzipped import DENSEST, is_gzip, unpack
from .itk import DENSEST_PACKING
from .nifti_place import Place, place_of
from .provenance import from_header_text, meta_from_document, to_header_text
from .volume import Geometry, Vector, Volume, nearest_rotation, require_rectangular
from .voxel_size import require_size, with_spacing

_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_COMMENT = 6
"""NIfTI's code for a header extension that holds plain text."""
_MGH_HEADER, _NIFTI1_HEADER, _NIFTI2_HEADER = 284, 348, 540
"""Bytes of the headers."""
_MGH_FOOTER = 1 << 16
"""Bytes for what may follow the voxels of an MGH file: scan parameters and the history of commands."""
_ERRORS = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    nibabel.spatialimages.HeaderDataError,
    nibabel.wrapstruct.WrapStructError,
    nibabel.filebasedimages.ImageFileError,
)
"""What a damaged header or a torn file makes nibabel raise."""


def read_nibabel(path: Path, spacing: Vector | None = None) -> Volume:
    """Read NIfTI (plain, gzipped, pair) or MGH/MGZ; the world becomes LPS mm.

    Args:
        path: of the file.
        spacing: the voxel size in mm along the file's own axes, where the user gives it.

    Raises:
        HaganError: truncated, damaged, not 3D, colour, sheared axes, or no voxel size.
    """
    with _quiet_nibabel():
        image, header = _load(path)
        place = place_of(image, header)
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
    require_size(f"'{path}'", place.sizes, spacing)
    geometry = geometry_from_ras(path, _sized(place, spacing), shape)
    meta: dict[str, Any] = {"source": str(path), **_meta(image.header)}
    if notes := place.notes(shape):
        meta["notes"] = notes
    return with_spacing(Volume(_sensible(array).T, geometry, meta), spacing, place.sizes)


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


def _load(path: Path) -> tuple[Any, bytes]:
    """Return the nibabel image and its header's bytes; a gzipped file is unpacked as far as that promises."""
    try:
        if is_gzip(path):
            content = unpack(path, _NIFTI2_HEADER, lambda header: _promised(path, header))
            for kind in _kinds(path, content):
                return kind.from_bytes(content), content[:_NIFTI2_HEADER]
        else:
            image = nibabel.load(path)
            for file in image.file_map.values():
                if file.filename is not None and Path(file.filename).name != path.name:
                    require_beside(path, Path(file.filename).name)
            place = Path(str((image.file_map.get("header") or image.file_map["image"]).filename))
            with place.open("rb") as stream:
                return image, stream.read(_NIFTI2_HEADER)
    except _ERRORS as error:
        raise _damaged(path, error) from None
    raise _damaged(path, ValueError("its content is not of that kind"))


def _promised(path: Path, header: bytes) -> int:
    """Return how many bytes header and voxels of an unpacked file take, as the header says."""
    for kind in _kinds(path, header):
        if kind is nibabel.MGHImage:
            said = kind.header_class(header[:_MGH_HEADER], check=False)
            before, behind = _MGH_HEADER, _MGH_FOOTER
        else:
            length = _NIFTI1_HEADER if kind is nibabel.Nifti1Image else _NIFTI2_HEADER
            said = kind.header_class(header[:length], check=False)
            before, behind = int(said["vox_offset"]), 0
        shape = tuple(int(length) for length in said.get_data_shape())
        claimed = math.prod(shape) * said.get_data_dtype().itemsize
        _require_held(path, shape, claimed, DENSEST * path.stat().st_size)
        return before + claimed + behind
    return len(header)


def _kinds(path: Path, content: bytes) -> list[Any]:
    if path.name.lower().endswith((".mgz", ".mgh")):
        return [nibabel.MGHImage]
    header_bytes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    if _NIFTI1_HEADER in header_bytes:
        return [nibabel.Nifti1Image]
    if _NIFTI2_HEADER in header_bytes:
        return [nibabel.Nifti2Image]
    return []


def _damaged(path: Path, error: Exception) -> HaganError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return HaganError(
        f"'{path}' cannot be read as {'MGZ' if path.suffix.lower() in ('.mgz', '.mgh') else 'NIfTI'}: it is "
        f"truncated, damaged or another kind of file ({reason[:160]}). Copy or export it again."
    )


def _sized(place: Place, spacing: Vector | None) -> npt.NDArray[np.float64]:
    """Return the voxel-to-world matrix in mm; where the user gives the voxel size, with that one."""
    if spacing is None:
        return place.affine
    affine = place.affine.copy()
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or lengths.min() == 0:
        return np.diag([-1.0, 1.0, 1.0, 1.0]) * [*spacing, 1.0]
    affine[:3, :3] *= np.asarray(spacing) / lengths
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
    _require_held(path, shape, claimed, held)


def _require_held(path: Path, shape: tuple[int, ...], claimed: int, held: int) -> None:
    if min(shape, default=0) < 0 or claimed > held:
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
