"""SimpleITK images, NRRD and MetaImage files."""

from __future__ import annotations

import math
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..errors import HaganError, OutOfMemory
from .besides import detached_files
from .provenance import HEADER_KEY, from_header_text, meta_from_document, to_header_text
from .text_header import text_place
from .volume import Geometry, Vector, Volume, nearest_rotation, require_rectangular
from .voxel_size import LEFT_AND_RIGHT_ARE_A_GUESS, require_size, with_spacing

DENSEST_PACKING = 50_000
"""Bytes that one byte of a file can stand for at most: bzip2 of zeros; gzip ends at 1032."""
_stderr_lock = threading.Lock()


def to_itk(volume: Volume, array: npt.NDArray | None = None) -> sitk.Image:
    """Return the volume, or another ``array`` on its grid, as a SimpleITK image."""
    array = volume.array if array is None else array
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == np.bool_ else array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction)
    return image


def from_itk(image: sitk.Image, meta: dict[str, Any] | None = None) -> Volume:
    """Return a SimpleITK image of three dimensions as a volume; the voxels are copied.

    Raises:
        HaganError: axes that are not at right angles.
    """
    axes = np.reshape(image.GetDirection(), (3, 3))
    source = (meta or {}).get("source")
    require_rectangular(f"'{source}'" if source else "The image", image.GetSpacing(), axes)
    direction = nearest_rotation(axes)
    x, y, z = image.GetSize()
    geometry = Geometry(
        shape=(z, y, x),
        spacing=image.GetSpacing(),
        origin=image.GetOrigin(),
        direction=tuple(float(value) for value in direction.ravel()),
    )
    return Volume(sitk.GetArrayFromImage(image), geometry, meta or {})


def read_itk(path: Path, spacing: Vector | None = None) -> Volume:
    """Read NRRD or MetaImage.

    Args:
        path: of the file, or of the header where the voxels are in other files beside it.
        spacing: the voxel size in mm along the file's own axes, where the user gives it.

    Raises:
        HaganError: truncated, damaged, not 3D, colour, sheared axes, no voxel size, or voxels that are to be
            read from elsewhere than the header's folder.
    """
    voxel_files = detached_files(path) or [path]
    place = text_place(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet_libraries():
            reader.ReadImageInformation()
            _check_kind(path, reader)
            _check_bytes(path, reader, voxel_files)
            require_size(f"'{path}'", place.sizes, spacing)
            image = reader.Execute()
    except MemoryError:
        raise _too_large(path, reader) from None
    except RuntimeError as error:
        if "allocat" in str(error):
            raise _too_large(path, reader) from None
        raise _damaged(path, _last_words(error)) from None
    size = image.GetSize()
    image = image if len(size) == 3 else image[(slice(None),) * 3 + (0,) * (len(size) - 3)]
    meta: dict[str, Any] = {"source": str(path)}
    if image.HasMetaDataKey(HEADER_KEY) or HEADER_KEY in reader.GetMetaDataKeys():
        meta.update(meta_from_document(from_header_text(reader.GetMetaData(HEADER_KEY))))
    if not place.oriented:
        meta["notes"] = [f"The file has no orientation, {LEFT_AND_RIGHT_ARE_A_GUESS}"]
    return with_spacing(from_itk(image, meta), spacing, place.sizes)


def write_itk(volume: Volume, array: npt.NDArray, document: dict[str, Any] | None, path: Path) -> None:
    """Write ``array`` on the volume's grid as NRRD or MetaImage, compressed, with its provenance.

    Raises:
        OSError: the place cannot be written.
    """
    image = to_itk(volume, array)
    if document is not None:
        image.SetMetaData(HEADER_KEY, to_header_text(document))
    try:
        with quiet_libraries():
            sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise OSError(None, _last_words(error)) from None


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep C++ libraries from writing on the terminal: their news reaches the user as one clear line.

    MetaIO writes straight to file descriptor 2, whatever SimpleITK is told.
    """
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    with _stderr_lock:
        try:
            sys.stderr.flush()
            saved = os.dup(2)
        except (OSError, AttributeError, ValueError):  # no terminal at all: a windowed program
            yield
            return
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _check_kind(path: Path, reader: sitk.ImageFileReader) -> None:
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    if len(size) < 3 or any(length > 1 for length in size[3:]):
        raise HaganError(
            f"'{path}' has {len(size)} dimensions ({' × '.join(map(str, size))}); one 3D volume is needed. "
            "Split a series of volumes and give one of them."
        )
    if components > 1:
        raise HaganError(
            f"'{path}' has {components} values in each voxel (colour, or several volumes in one file); only "
            "one number per voxel can be used. Export the scan in Hounsfield units or grey values."
        )


def _check_bytes(path: Path, reader: sitk.ImageFileReader, voxel_files: list[Path]) -> None:
    """Refuse a header that promises more voxels than its files can hold, before memory is taken for them."""
    pixel = sitk.GetArrayViewFromImage(sitk.Image([1] * 3, reader.GetPixelID())).itemsize
    claimed, held = math.prod(reader.GetSize()) * pixel, sum(file.stat().st_size for file in voxel_files)
    if claimed > DENSEST_PACKING * held:
        voxels = " × ".join(map(str, reader.GetSize()))
        raise _damaged(path, f"{voxels} voxels are announced, {claimed:,} bytes, in a file of {held:,}")


def _damaged(path: Path, reason: str) -> HaganError:
    return HaganError(
        f"'{path}' cannot be read as {path.suffix[1:].upper()}: it is truncated, damaged or another kind "
        f"of file ({reason}). Copy or export it again."
    )


def _too_large(path: Path, reader: sitk.ImageFileReader) -> OutOfMemory:
    return OutOfMemory(
        f"'{path}' holds {' × '.join(map(str, reader.GetSize()))} voxels, for which memory does not suffice; "
        "close other programs or crop it first."
    )


def _last_words(error: Exception) -> str:
    """Return the end of ITK's message: what went wrong, without places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # The system's last error stands there whatever it was about: "No such file" of a file that was read.
    lines = [line for line in lines if not line.startswith("Reason:")] or lines
    if lines and not lines[-1].startswith("["):  # NRRD's own words are better than ITK's about them
        lines = [line for line in lines if "ERROR: " in line] or lines
    said = lines[-1].split("ERROR: ")[-1] if lines else type(error).__name__
    return re.sub(r"^\w+\(0x[0-9a-f]+\): ", "", said)[:160]
